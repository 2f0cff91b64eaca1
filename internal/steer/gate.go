package steer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// ICMPv6 and those of its messages that hosts find each other by (RFC 4861, Sections 4.3 and 4.4).
const (
	protoICMPv6     = 58
	ndSolicitation  = 135
	ndAdvertisement = 136
)

// A ClosedAddr is an address of this host that is only for routing.
type ClosedAddr struct {
	Addr netip.Addr // IPv4 or IPv6 without a zone
	Link int        // closed for what comes in by this device; 0: by any
}

// Closed says which packets to this host a [Gate] refuses: those to a closed address, except
// neighbour solicitations and advertisements (RFC 9568, Section 6.4.3, with Accept_Mode false).
// The zero value refuses none.
type Closed struct {
	Addrs []ClosedAddr
	// Open are indexes of devices by which everything may come in: the loopback device, and
	// those by which the director itself hands packets to the stack.
	Open []int
	// Ready says that addresses may come at any moment and are to be closed at once then.
	Ready bool
}

// Refuses reports whether the stack must not accept an IP packet that is for this host and came
// in by a link. It is the specification of Gate, and safe for use by many goroutines.
func (c Closed) Refuses(packet []byte, link int) bool {
	if len(packet) == 0 || slices.Contains(c.Open, link) {
		return false
	}
	p, _, ok := parseIPv4(packet)
	if packet[0]>>4 == 6 {
		var l4 int
		p, l4, ok = parseIPv6(packet)
		if ok && p.proto == protoICMPv6 && len(packet) > l4 && (packet[l4] == ndSolicitation || packet[l4] == ndAdvertisement) {
			return false
		}
	}
	return ok && slices.ContainsFunc(c.Addrs, func(a ClosedAddr) bool { return a.Addr == p.dst && (a.Link == 0 || a.Link == link) })
}

// normal returns a copy in the one order of its meaning.
func (c Closed) normal() (Closed, error) {
	n := Closed{Addrs: slices.Clone(c.Addrs), Open: slices.Clone(c.Open), Ready: c.Ready || len(c.Addrs) > 0}
	for i, a := range n.Addrs {
		if !a.Addr.IsValid() {
			return Closed{}, fmt.Errorf("close address %d: it is not set", i)
		}
		n.Addrs[i].Addr = a.Addr.WithZone("").Unmap()
	}
	slices.SortFunc(n.Addrs, func(a, b ClosedAddr) int { return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Link, b.Link)) })
	n.Addrs = slices.Compact(n.Addrs)
	slices.Sort(n.Open)
	n.Open = slices.Compact(n.Open)
	return n, nil
}

// equal reports whether two from normal have the same in force.
func (c Closed) equal(o Closed) bool {
	return slices.Equal(c.Addrs, o.Addrs) && slices.Equal(c.Open, o.Open) && c.Ready == o.Ready
}
