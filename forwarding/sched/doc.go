// Package sched chooses a real server for a new connection: IPVS's schedulers, one file
// each, named as in keepalived.conf.
//
// A scheduler is handed its service's servers by [Scheduler.Update], hears of each that changes
// by [Scheduler.Changed], and answers [Scheduler.Pick] with an index into that list. It declares
// what it must know of a server and imports nothing of the forwarder.
//
// The list is in IPVS's order, the server added last in front, and every scheduler walks
// it in that order with the arithmetic of the Linux kernel (net/netfilter/ipvs/ip_vs_*.c),
// so a mixed pair of directors makes the same choices. Where the kernel walks the list for each
// connection, a tree over it gives the same answer in the logarithm of its length.
package sched
