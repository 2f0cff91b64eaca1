package forwarding

import (
	"cmp"
	"net/netip"
	"slices"

	"uvs/internal/wire"
)

// A Network is the control plane's picture of the surroundings, the input of NewRoutes.
// NewRoutes keeps none of its slices.
type Network struct {
	Links      []Link
	Routes     []RouteSpec
	Neighbours []Neighbour
	// Locals are the host's own addresses, VIPs included: single ones, and prefixes that it
	// answers for as a whole (127.0.0.0/8, routes of type local).
	Locals []netip.Prefix
	// Forwarding4 and Forwarding6 say whether the host is a router (net.ipv4.ip_forward,
	// net.ipv6.conf.all.forwarding). They do not bear on flows, only on strangers' packets.
	Forwarding4, Forwarding6 bool
	// Pools are those of Locals that flows get local ends of: the host's stack gets nothing that
	// servers send to them.
	Pools []netip.Addr
	Stack Stack
}

// A Stack is how frames get into the host's own stack, and out of it past the routing table. The
// zero Stack is none: servers that are the host itself get no connections.
type Stack struct {
	// Link is the index of a device of the director's own: what is sent there is received by the
	// stack, and what the stack sends there is received from it. 0: there is no way.
	Link int
	MAC  wire.MAC
	// Loopback is the index of the loopback device: only from there the stack takes packets to
	// ::1. 0: there is no port on it.
	Loopback int
	// Virtual says that the stack has the virtual addresses, so that it takes what is delivered
	// to a server by direct routing.
	Virtual bool
}

// A Link is an interface that frames may leave by.
type Link struct {
	Index int
	MAC   wire.MAC
	MTU   int // longest IP packet in bytes; 0: there is no bound
	// VLANs are the ids of the VLANs that have devices of their own above the link: frames
	// with these tags are not the link's.
	VLANs []uint16
	// Sources are the host's addresses on the link that packets of its own may come from,
	// with the lengths of their subnets, in order of preference.
	Sources []netip.Prefix
}

// A RouteSpec is a unicast route. Of equal prefixes the first in the list counts.
type RouteSpec struct {
	Prefix netip.Prefix
	Hops   []HopSpec  // none: the destination is unreachable
	MTU    int        // the route's own bound in bytes, 0 for that of the link
	Source netip.Addr // what packets of the host's own come from; invalid: an address of the link
}

// A HopSpec is one way of a route.
type HopSpec struct {
	Link    int
	Gateway netip.Addr // invalid: the destination itself is the neighbour
	Weight  int        // share of flows, at least 1; less counts as 1
}

// A Neighbour is a resolved address.
type Neighbour struct {
	Link int
	Addr netip.Addr
	MAC  wire.MAC
	// Stale says that nobody has confirmed the MAC of late. It is used, but a packet from
	// that neighbour knows better.
	Stale bool
}

// A NextHop is where a packet goes: the interface and the two MAC addresses.
type NextHop struct {
	Link int
	MTU  int        // longest IP packet that goes this way, in bytes; 0: there is no bound
	Src  wire.MAC   // the interface's
	Dst  wire.MAC   // the neighbour's; zero while it is unresolved
	Addr netip.Addr // the neighbour: gateway or destination

	stale bool // Dst may be out of date
	stack bool // into the host's own stack; Addr is invalid, and Dst may be zero
}

// Resolved reports whether the neighbour's MAC is known.
func (n *NextHop) Resolved() bool { return n.stack || !n.Dst.IsZero() }

// Routes decides by longest prefix where packets go. It is immutable and safe for use by
// many goroutines.
type Routes struct {
	v4, v6             []prefixLevel // longest prefix first
	neighbours         map[neighbourKey]neighbour
	links              map[int]Link
	vlans              map[linkVLAN]struct{} // that have devices of their own
	locals             map[wireKey]struct{}  // address only
	localNets          []netip.Prefix        // those of Locals that are no single address
	anySources         []netip.Addr          // of all links, but for link-local ones of IPv6
	forward4, forward6 bool
	pools              hosts
	stack              Stack
}

type prefixLevel struct {
	bits   int
	routes map[[16]byte]*route
}

type route struct {
	hops   []NextHop // gateways are looked up beforehand; on-link hops have no Addr
	weight []int     // running sums
	source netip.Addr
}

type linkVLAN struct {
	link int
	id   uint16
}

type neighbour struct {
	mac   wire.MAC
	stale bool
}

type neighbourKey struct {
	link int
	addr netip.Addr
}

// NewRoutes compiles n. A route of which n lists no link leads nowhere, as one without hops.
func NewRoutes(n Network) *Routes {
	r := &Routes{
		neighbours: make(map[neighbourKey]neighbour, len(n.Neighbours)),
		links:      make(map[int]Link, len(n.Links)),
		vlans:      make(map[linkVLAN]struct{}),
		locals:     make(map[wireKey]struct{}, len(n.Locals)),
		forward4:   n.Forwarding4,
		forward6:   n.Forwarding6,
		pools:      make(hosts, len(n.Pools)),
		stack:      n.Stack,
	}
	for _, a := range n.Pools {
		r.pools.add(a)
	}
	for _, l := range n.Links {
		l.Sources = slices.Clone(l.Sources)
		for _, p := range l.Sources {
			if a := p.Addr(); a.Is4() || !a.IsLinkLocalUnicast() {
				r.anySources = append(r.anySources, a)
			}
		}
		r.links[l.Index] = l
		for _, id := range l.VLANs {
			r.vlans[linkVLAN{l.Index, id}] = struct{}{}
		}
	}
	for _, x := range n.Neighbours {
		r.neighbours[neighbourKey{x.Link, x.Addr}] = neighbour{x.MAC, x.Stale}
	}
	for _, p := range n.Locals {
		if p.IsSingleIP() {
			r.locals[newWireKey(p.Addr(), 0, 0)] = struct{}{}
		} else {
			r.localNets = append(r.localNets, p.Masked())
		}
	}
	for _, spec := range n.Routes {
		levels := &r.v4
		if spec.Prefix.Addr().Is6() {
			levels = &r.v6
		}
		r.insert(levels, spec)
	}
	for _, levels := range [][]prefixLevel{r.v4, r.v6} {
		slices.SortFunc(levels, func(a, b prefixLevel) int { return cmp.Compare(b.bits, a.bits) })
	}
	return r
}

func (r *Routes) insert(levels *[]prefixLevel, spec RouteSpec) {
	compiled := &route{source: spec.Source}
	total := 0
	for _, h := range spec.Hops {
		link, ok := r.links[h.Link]
		if !ok {
			continue
		}
		hop := NextHop{Link: h.Link, MTU: link.MTU, Src: link.MAC, Addr: h.Gateway}
		if spec.MTU > 0 && (hop.MTU == 0 || spec.MTU < hop.MTU) {
			hop.MTU = spec.MTU
		}
		if h.Gateway.IsValid() {
			x := r.neighbours[neighbourKey{h.Link, h.Gateway}]
			hop.Dst, hop.stale = x.mac, x.stale
		}
		total += max(h.Weight, 1)
		compiled.hops = append(compiled.hops, hop)
		compiled.weight = append(compiled.weight, total)
	}
	i := slices.IndexFunc(*levels, func(l prefixLevel) bool { return l.bits == spec.Prefix.Bits() })
	if i < 0 {
		i = len(*levels)
		*levels = append(*levels, prefixLevel{spec.Prefix.Bits(), make(map[[16]byte]*route)})
	}
	key := wireAddr(spec.Prefix.Masked().Addr())
	if _, taken := (*levels)[i].routes[key]; !taken {
		(*levels)[i].routes[key] = compiled
	}
}

// Lookup returns the next hop towards an address, which is a Tuple's; hash chooses among
// equal-cost ways and should be the flow's. The result is by value, with Dst zero when the
// neighbour is not resolved. ok is false when there is no way at all.
func (r *Routes) Lookup(addr *[16]byte, v6 bool, hash uint32) (hop NextHop, ok bool) {
	way := r.match(addr, v6)
	if way == nil || len(way.hops) == 0 {
		return NextHop{}, false
	}
	hop = way.hops[way.choose(hash)]
	if !hop.Addr.IsValid() {
		hop.Addr = netAddr(*addr, v6)
		x := r.neighbours[neighbourKey{hop.Link, hop.Addr}]
		hop.Dst, hop.stale = x.mac, x.stale
	}
	return hop, true
}

// back returns the next hop to where packets of an address come from: the address itself if
// it is a neighbour there, else the station that sent them.
func (r *Routes) back(addr *[16]byte, v6 bool, from *station, hop *NextHop) bool {
	link, ok := r.links[from.link]
	if !ok {
		return false
	}
	*hop = NextHop{Link: link.Index, MTU: link.MTU, Src: link.MAC, Addr: netAddr(*addr, v6)}
	x := r.neighbours[neighbourKey{hop.Link, hop.Addr}]
	hop.Dst, hop.stale = x.mac, x.stale
	if !hop.Resolved() || hop.stale {
		hop.Dst = from.mac
	}
	return true
}

// match returns the route with the longest prefix, nil if there is none.
func (r *Routes) match(addr *[16]byte, v6 bool) *route {
	levels := r.v4
	if v6 {
		levels = r.v6
	}
	for i := range levels {
		if way, found := levels[i].routes[maskAddr(addr, levels[i].bits)]; found {
			return way
		}
	}
	return nil
}

// source returns the address that a packet of the host's own to addr comes from: the
// route's, else the one on the link that shares a subnet with the next hop, else the link's
// first, else one of another link (fib_result_prefsrc, inet_select_addr in net/ipv4). Those that
// skip reports true for do not count; nil skips none. It is invalid if there is none.
func (r *Routes) source(addr *[16]byte, v6 bool, hop *NextHop, skip func(netip.Addr) bool) netip.Addr {
	skipped := func(a netip.Addr) bool { return skip != nil && skip(a) }
	if way := r.match(addr, v6); way != nil && way.source.IsValid() && !skipped(way.source) {
		return way.source
	}
	to := netAddr(*addr, v6)
	var first netip.Addr
	for _, p := range r.links[hop.Link].Sources {
		a := p.Addr()
		if a.Is6() != v6 || v6 && a.IsLinkLocalUnicast() != to.IsLinkLocalUnicast() || skipped(a) {
			continue
		}
		if p.Contains(hop.Addr) {
			return a
		}
		if !first.IsValid() {
			first = a
		}
	}
	if first.IsValid() || v6 && to.IsLinkLocalUnicast() {
		return first
	}
	for _, a := range r.anySources {
		if a.Is6() == v6 && !skipped(a) {
			return a
		}
	}
	return netip.Addr{}
}

// ownsVLAN reports whether frames with a VLAN's tag on a link belong to another device.
func (r *Routes) ownsVLAN(link int, id uint16) bool {
	_, owned := r.vlans[linkVLAN{link, id}]
	return owned
}

func (w *route) choose(hash uint32) int {
	if len(w.hops) == 1 {
		return 0
	}
	// The upper half of a product spreads a hash evenly without a division.
	point := int(uint64(hash) * uint64(w.weight[len(w.weight)-1]) >> 32)
	for i, sum := range w.weight {
		if point < sum {
			return i
		}
	}
	return len(w.hops) - 1
}

func maskAddr(a *[16]byte, bits int) (m [16]byte) {
	n := bits / 8
	copy(m[:n], a[:n])
	if rest := bits % 8; rest != 0 {
		m[n] = a[n] & byte(0xff<<(8-rest))
	}
	return m
}

// local reports whether an address is one of the host's own.
func (r *Routes) local(addr *[16]byte, v6 bool) bool {
	if _, ok := r.locals[wireKey{addr: *addr, v6: v6}]; ok {
		return true
	}
	for _, p := range r.localNets {
		if p.Addr().Is6() == v6 && maskAddr(addr, p.Bits()) == wireAddr(p.Addr()) {
			return true
		}
	}
	return false
}

// pooled reports whether an address is one of local ends.
func (r *Routes) pooled(addr *[16]byte, v6 bool) bool {
	return len(r.pools) > 0 && r.pools.has(addr, v6)
}

// isStack reports whether what is received on a link comes from the host's own stack.
func (r *Routes) isStack(link int) bool { return link == r.stack.Link && link != 0 }

// intoStack returns the way to a server whose address is the host's own, false if there is none.
// By direct routing packets keep the virtual address.
func (r *Routes) intoStack(addr *[16]byte, v6 bool, m Method) (NextHop, bool) {
	s := &r.stack
	loopback := m == Masq && v6 && *addr == [16]byte{15: 1}
	switch {
	case s.Link == 0 || m != Masq && !s.Virtual || loopback && s.Loopback == 0:
		return NextHop{}, false
	case loopback:
		return NextHop{Link: s.Loopback, stack: true}, true
	}
	return NextHop{Link: s.Link, Src: s.MAC, Dst: s.MAC, stack: true}, true
}

func (r *Routes) forwarding(v6 bool) bool {
	if v6 {
		return r.forward6
	}
	return r.forward4
}
