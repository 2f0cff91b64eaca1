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
// [Rules] say what is taken, [Rules.Drops] is the decision in plain Go, and backends
// carry it out in the kernel, the best first:
//
//   - tcx: an eBPF program at the ingress of each device, Linux 6.6 or newer.
//   - clsact: the same program in a tc filter, Linux 4.5 or newer.
//   - nft: a netdev table with an ingress chain for each device.
//   - iptables: a chain that PREROUTING of the table "raw" jumps to.
//   - bare: nothing in the kernel, see below.
//
// All but bare put a whole new generation in place for every change. So an update is all
// or nothing, no packet meets a moment without steering, and what a killed run left
// behind is simply an older generation, found again by its name whichever backend made
// it. Steering outlives the process on purpose: after a crash clients meet silence, not
// resets, until the restart. [Cleanup] removes it.
//
// bare promises less: the kernel keeps off by itself because it has no virtual address
// and does not forward. Apply refuses rules while that is not so, but nothing keeps
// others from changing it later; other ports of a virtual address are silent; and who
// answers ARP, neighbour discovery and ping is the caller's care. It leaves nothing
// behind.
//
// A [Diverter] has drivers hand the plain part of what is taken to AF_XDP sockets
// ([Rules.Diverts]), past packet sockets and stack. It stands beside steering, which goes on
// for all that is not diverted.
//
// A [Gate] is for addresses that are only for routing, which nothing of this host accepts
// packets to. It stands behind steering, where the stack accepts packets.
//
// All functions act on the network namespace of the calling thread.
package steer
