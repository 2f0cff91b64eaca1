package hostnet

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ProtocolKeepalived marks routes and rules as those of VRRP (RTPROT_KEEPALIVED of
// linux/rtnetlink.h). Snapshots list those that bear it, whichever table they are in.
const ProtocolKeepalived = 18

// A RouteSpec is a route to be made, with all that the kernel lets one ask for. A
// [Route], which is what a lookup finds, knows less. The zero values of the fields ask
// for nothing, so that a destination, a table and a hop are a route already.
type RouteSpec struct {
	Kind RouteKind
	// Dst is masked; the default route is 0.0.0.0/0 or ::/0. From bounds the source of
	// packets, for IPv6 only; the zero Prefix does not.
	Dst, From netip.Prefix
	Table     uint32
	// Metric orders routes to the same destination, the lowest wins. 0 is the kernel's
	// default: 0 for IPv4, 1024 for IPv6.
	Metric   uint32
	Scope    uint8
	Protocol uint8
	TOS      uint8
	// Source is the preferred source address, or the zero Addr.
	Source netip.Addr
	Place  RoutePlace
	// Metrics are the RTA_METRICS. CongestionControl is the algorithm of connections, ""
	// for the default; CongestionLocked forbids sockets to choose another.
	Metrics           []RouteMetric
	CongestionControl string
	CongestionLocked  bool
	// Realms are the source realm << 16 | the destination realm.
	Realms uint32
	// Expires is in seconds after which an IPv6 route goes away, if HasExpires.
	Expires    uint32
	HasExpires bool
	// Preference is that of router advertisements, 0 medium, 1 high, 3 low, if
	// HasPreference (IPv6).
	Preference    uint8
	HasPreference bool
	// TTLPropagate of MPLS, if HasTTLPropagate.
	TTLPropagate, HasTTLPropagate bool
	// Hops are the ways out: none for kinds that send nothing, more than one for
	// multipath.
	Hops []HopSpec
}

// A HopSpec is one way out of a RouteSpec.
type HopSpec struct {
	// Link is the index of the device, 0 where the gateway decides. Gateway is the zero
	// Addr where the destination is on the link.
	Link    int
	Gateway netip.Addr
	// Weight is 1 to 256, and 0 is 1. It and Realms count with several hops only.
	Weight int
	Realms uint32
	// OnLink takes the gateway for reachable though no route says so.
	OnLink bool
	// Encap is a light-weight tunnel, or nil.
	Encap *Encap
}

// RoutePlace says what a new route is to those of the same destination and metric.
type RoutePlace uint8

// The places of a route.
const (
	// Prepend puts it before the others.
	Prepend RoutePlace = iota
	// Exclusive fails with ErrExists if there is another.
	Exclusive
	// Append puts it behind the others.
	Append
	// Replace takes the place of the first, and is Prepend if there is none.
	Replace
)

// A RouteMetric is one of RTA_METRICS.
type RouteMetric struct {
	// Attribute is the RTAX_ number of linux/rtnetlink.h and Value in the kernel's units.
	Attribute uint8
	Value     uint32
	// Locked keeps the stack from changing it.
	Locked bool
}

// An Encap is a light-weight tunnel (LWTUNNEL_ENCAP_ in linux/lwtunnel.h).
type Encap struct {
	Kind EncapKind
	// ID, Source, Dest, TOS, TTL and Flags are those of EncapIP and EncapIP6; what is zero
	// is left to the kernel, but for ID if HasID.
	ID           uint64
	HasID        bool
	Source, Dest netip.Addr
	TOS, TTL     uint8
	Flags        uint16
	// Labels are those of EncapMPLS, 20 bits each, the outermost first; PropagateTTL is
	// the TTL of all, 0 for that of the packet.
	Labels       []uint32
	PropagateTTL uint8
	// Locator is that of EncapILA.
	Locator uint64
}

// EncapKind is the kind of a light-weight tunnel, by its number in linux/lwtunnel.h.
type EncapKind uint16

// The kinds of a light-weight tunnel.
const (
	EncapMPLS EncapKind = 1
	EncapIP   EncapKind = 2
	EncapILA  EncapKind = 3
	EncapIP6  EncapKind = 4
)

// metric6 is the metric of an IPv6 route that names none (IP6_RT_PRIO_USER).
const metric6 = 1024

// sameRoute reports whether have, a route of the kernel, is what want asked for or, as
// IPv6 does with routes that differ in the way out only, contains it.
func sameRoute(have, want RouteSpec) bool {
	return have.place() == want.place() && have.Kind == want.Kind && have.Protocol == want.Protocol &&
		(!want.Source.IsValid() || have.Source == want.Source) &&
		!slices.ContainsFunc(want.Hops, func(h HopSpec) bool {
			return want.Kind == Unicast && !slices.ContainsFunc(have.Hops, h.within)
		})
}

// within reports whether a hop of the kernel is the one that h asked for.
func (h HopSpec) within(have HopSpec) bool {
	return (h.Link == 0 || h.Link == have.Link) && (!h.Gateway.IsValid() || h.Gateway == have.Gateway)
}

// routePlace is where in the kernel's tables a route is.
type routePlace struct {
	dst, from     netip.Prefix
	table, metric uint32
	tos           uint8
}

func (r RouteSpec) place() routePlace {
	p := routePlace{dst: r.Dst.Masked(), from: r.From, table: r.Table, metric: r.Metric, tos: r.TOS}
	if p.from.Bits() == 0 {
		p.from = netip.Prefix{}
	}
	if p.metric == 0 && r.Dst.Addr().Is6() {
		p.metric = metric6
	}
	return p
}

// String returns the route roughly as ip-route(8) would, with numbers of devices.
func (r RouteSpec) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.Kind, r.Dst)
	if r.From.IsValid() {
		fmt.Fprintf(&b, " from %s", r.From)
	}
	if r.TOS != 0 {
		fmt.Fprintf(&b, " tos %#x", r.TOS)
	}
	fmt.Fprintf(&b, " table %d", r.Table)
	for _, h := range r.Hops {
		if h.Gateway.IsValid() {
			fmt.Fprintf(&b, " via %s", h.Gateway)
		}
		if h.Link != 0 {
			fmt.Fprintf(&b, " dev %d", h.Link)
		}
	}
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	return b.String()
}

// equal reports whether two routes of the kernel are the same.
func (r RouteSpec) equal(o RouteSpec) bool {
	return r.place() == o.place() && r.Kind == o.Kind && r.Scope == o.Scope && r.Protocol == o.Protocol &&
		r.Source == o.Source && slices.EqualFunc(r.Hops, o.Hops, func(a, b HopSpec) bool {
		return a.Link == b.Link && a.Gateway == b.Gateway && a.Weight == b.Weight
	})
}
