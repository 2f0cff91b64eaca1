// Package hostnet knows the network of the host it runs on: links, addresses,
// neighbours, routes and policy rules of one network namespace.
//
// A [Watcher] keeps a picture of them by rtnetlink and publishes it as immutable
// [Snapshot] values. A snapshot answers the questions of a packet forwarder without a
// system call: which route does this destination take, which MAC has that next hop, is
// this address ours. The Watcher also carries out the few changes a director makes:
// it adds and removes addresses, and asks the kernel to resolve a neighbour.
//
// An [Actor] carries out what VRRP does to the host, many changes at a time: addresses,
// routes and rules with all their options ([Change]), and macvlan and ipvlan devices
// ([Device]). [Settings] change sysctls for as long as they are needed. What of it is
// there, made by this run or left by one that crashed, the snapshots and
// [Actor.VirtualDevices] tell: routes and rules of VRRP bear [ProtocolKeepalived].
//
// The files without _linux in their names are pure, but for sysctl.go, which reads and
// writes files: the types, the reducer that turns events into snapshots, the lookups and
// [CapturePoints] take values and return values.
//
// What is followed and what is not: routes are those of the tables local, main and
// default, without type of service and without source prefix, and VRRP's of all tables,
// which no lookup obeys; policy rules beyond the
// three standard ones are listed in [Snapshot.Rules] so that a caller can report them,
// and no lookup obeys them.
package hostnet
