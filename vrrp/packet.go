package vrrp

import "net/netip"

// A Packet is a received packet of IP protocol 112, or of 51 (AH) for IPv4.
type Packet struct {
	Source, Destination netip.Addr
	// TTL is the TTL or hop limit that it arrived with, −1 if that is not known.
	TTL int
	// Header is the IPv4 header as received, on which AH depends; nil for IPv6.
	Header []byte
	// AH tells that Payload begins with an authentication header.
	AH bool
	// Payload is what follows the IP header. The Machine keeps none of it.
	Payload []byte
}
