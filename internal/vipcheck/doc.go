// Package vipcheck asks a real server whether it takes packets for a virtual address, past the network's idea of where
// that address is: an opening TCP segment goes to the server's MAC or into its tunnel, and what comes back is read.
//
// # Why not a socket of TCP
//
// The kernel sends what is for the virtual address to whoever has it: to the director itself, or to the master. And the
// answer comes from that address, which an IPv4 stack that has it takes for a martian. So segments are made here, and
// read by packet sockets (AF_PACKET) of one protocol each. The kernel serves these before IP, and after ingress of tc and
// netfilter: what steering drops there, all that a busy director forwards, never meets their filters.
//
// Segments come from a port that a listening socket of the prober holds. A filter has that socket drop whatever it is
// given, so that nobody else uses the port, and no stack answers with resets what it has not asked for.
package vipcheck
