package hostnet

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A RouteKind is what a route does with a packet (RTN_* in linux/rtnetlink.h).
type RouteKind uint8

// The kinds of route.
const (
	Unicast     RouteKind = 1
	Local       RouteKind = 2
	Broadcast   RouteKind = 3
	Anycast     RouteKind = 4
	Multicast   RouteKind = 5
	Blackhole   RouteKind = 6
	Unreachable RouteKind = 7
	Prohibit    RouteKind = 8
	Throw       RouteKind = 9
)

// String returns the kind as ip-route(8) prints it.
func (k RouteKind) String() string {
	names := [...]string{"unspec", "unicast", "local", "broadcast", "anycast", "multicast",
		"blackhole", "unreachable", "prohibit", "throw"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// The routing tables that are followed, by their numbers (RT_TABLE_*).
const (
	TableDefault = 253
	TableMain    = 254
	TableLocal   = 255
)

// TableStack is the routing table by which a director takes what its own stack answers for a
// service: "uvs" in ASCII. It is not followed.
const TableStack = 0x757673

// A Hop is one way out of a route.
type Hop struct {
	// Link is the index of the device to send by.
	Link int
	// Gateway is the neighbour to send to. The zero Addr means that the destination is on
	// the link itself. An IPv4 route may have an IPv6 gateway (RFC 8950).
	Gateway netip.Addr
	// Weight is the hop's share among the hops of its route, at least 1.
	Weight int
}

// A Route is an entry of a routing table.
type Route struct {
	// Dst is masked; the default route is 0.0.0.0/0 or ::/0.
	Dst   netip.Prefix
	Table int
	Kind  RouteKind
	// Hops are the live ways out, in the kernel's order; hops that the kernel marks dead
	// are left out. It is empty for kinds that send nothing. Treat it as read-only.
	Hops []Hop
	// Metric orders routes to the same destination: the lowest wins.
	Metric uint32
	// MTU is the route's own limit in bytes, or 0 for that of the device.
	MTU int
	// Source is the preferred source address, or the zero Addr.
	Source netip.Addr
}

// Hop picks one of the route's hops by a flow's hash, in proportion to the weights. The
// same hash picks the same hop as long as the route stays the same. It returns the zero
// Hop if the route has none.
func (r Route) Hop(hash uint32) Hop {
	switch len(r.Hops) {
	case 0:
		return Hop{}
	case 1:
		return r.Hops[0]
	}
	total := 0
	for _, h := range r.Hops {
		total += h.Weight
	}
	// Scale instead of taking a remainder: the upper bits of a hash are as good as the
	// lower ones and a multiplication is cheaper.
	n := int(uint64(hash) * uint64(total) >> 32)
	for _, h := range r.Hops {
		if n < h.Weight {
			return h
		}
		n -= h.Weight
	}
	return r.Hops[len(r.Hops)-1]
}

// String returns the route roughly as ip-route(8) would, with device numbers.
func (r Route) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s table %d metric %d", r.Kind, r.Dst, r.Table, r.Metric)
	for _, h := range r.Hops {
		if h.Gateway.IsValid() {
			fmt.Fprintf(&b, " via %s", h.Gateway)
		}
		fmt.Fprintf(&b, " dev %d", h.Link)
	}
	return b.String()
}

// equal reports whether two routes are the same in every field.
func (r Route) equal(o Route) bool {
	return r.Dst == o.Dst && r.Table == o.Table && r.Kind == o.Kind && r.Metric == o.Metric &&
		r.MTU == o.MTU && r.Source == o.Source && slices.Equal(r.Hops, o.Hops)
}
