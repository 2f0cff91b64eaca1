// Package forwarding is the data plane: it takes frames from ports, finds or makes their
// flow, rewrites them in place and sends them on.
//
// The way of a frame through a Worker is
//
//	Port.Recv → Decode → flow lookup → (miss: service, scheduler, insert) → state, counters → rewrite → next hop → Port.Send
//
// and Process holds all of it between Recv and Send: no I/O, no clock, no allocation, at
// most one shard lock at a time, and for every frame that is not forwarded a counted
// Reason. Semantics are those of the kernel's IPVS (net/netfilter/ipvs).
//
// The control plane reaches a running Engine in two ways: Engine.Update changes services
// and servers, all or nothing; Engine.SetRoutes replaces the picture of the network. Both
// publish immutable values through atomic pointers, which a worker loads once per batch.
// Services and servers themselves (counters, scheduler position) outlive those snapshots.
package forwarding
