// Package announce speaks to a link about an address: [Probe] asks whether another host
// has it, [Burst] tells everyone that we do, and [Answer] speaks for one that the kernel
// does not have.
//
// For IPv4 it speaks ARP in the manner of RFC 5227, for IPv6 neighbour discovery in the
// manner of RFC 4862 and RFC 4861. The kernel does neither for a director: it does not
// probe IPv4 at all, its IPv6 detection keeps an address from serving for a second, and
// it announces only in cases that an operator cannot rely on.
//
// The functions are synchronous, start no goroutine and keep nothing after they return.
// The frames are made and read by code without I/O, in arp.go and nd.go.
package announce
