// Package steer keeps the kernel's network stack off the packets that the
// director forwards itself.
//
// The director reads frames from packet sockets, which see a frame before any
// filter does. The stack gets the same frame afterwards and would answer it with
// a reset, or forward a second copy of it. Steering drops, behind the packet
// socket, exactly what the director takes, and nothing else: ARP, neighbour
// discovery, ping, other ports of a virtual address and everybody's own rules
// and programs go on as if the package were not there.
//
// [Rules] say what is taken, [Rules.Drops] is the decision in plain Go, and two
// backends carry it out in the kernel:
//
//   - tcx: an eBPF program at the ingress of each device, Linux 6.6 or newer.
//   - nft: a netdev table with an ingress chain for each device.
//
// Both build a whole new generation for every change, put it in place, and take
// the older one away only then. So an update is all or nothing, no packet meets
// a moment without steering, and what a killed run left behind is simply one more
// older generation. Steering outlives the process on purpose: after a crash
// clients meet silence, not resets, until the restart. [Cleanup] removes it.
//
// All functions act on the network namespace of the calling thread.
package steer
