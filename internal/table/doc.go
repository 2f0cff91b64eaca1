// Package table is the effective service table: what the configuration file says, changed
// by what operators told it since, under an overlay of what health checks found.
//
// # Layers
//
// The file is loaded at the start and again at each reload. An operator's edit (ipvsadm)
// marks the entry that it touches and outlives a reload, unless the file says something else
// about that very entry than it did before: then the file has the last word. What an
// operator deleted is not resurrected by a reload either, as in keepalived.
//
// Health never changes what is configured. A server whose checks fail leaves the list, or
// stays with an effective weight of 0 if it is to be inhibited; a service without quorum
// that has a sorry server gives way to it.
//
// # Rules
//
// Operators' commands are validated, and refused, as the kernel does
// (net/netfilter/ipvs/ip_vs_ctl.c). Services stand in the order of their adding, servers
// with the newest first. Each entry says why the data plane does not serve it, if so.
//
// A Table is a value to work on: whoever wants all or nothing changes a Clone. It is owned
// by one goroutine, and pure: no clock, no socket, no log.
package table
