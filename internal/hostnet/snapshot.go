package hostnet

import (
	"cmp"
	"iter"
	"math/bits"
	"net/netip"
	"slices"
)

// Parts names the parts of a Snapshot, as a set of bits.
type Parts uint8

// The parts of a Snapshot.
const (
	PartLinks Parts = 1 << iota
	PartAddresses
	PartNeighbours
	PartRoutes4
	PartRoutes6
	PartRules
	PartForwarding
	PartOwnRoutes

	partCount = iota
)

// slot returns the position of a single part among all.
func slot(p Parts) int { return bits.TrailingZeros8(uint8(p)) }

// The positions of the followed tables, in the order in which a lookup asks them.
const (
	posLocal = iota
	posMain
	posDefault
	posVRF // the tables of all VRFs, as one

	tableCount
)

// tableIndex returns the position of a table by its number.
func tableIndex(number int) (int, bool) {
	switch number {
	case TableLocal:
		return posLocal, true
	case TableMain:
		return posMain, true
	case TableDefault:
		return posDefault, true
	}
	return 0, false
}

// A table set is the routes of one family.
type tableSet [tableCount]*node

// A Snapshot is the network of a namespace at one time. It is immutable: its slices are
// shared with other snapshots and must not be written to. All methods are safe for use by
// many goroutines and allocate nothing unless they return a slice.
type Snapshot struct {
	Links      []Link      // by index
	Addresses  []Address   // by device, address and length
	Neighbours []Neighbour // by device and address
	Rules      []Rule      // only those that are not served, by family and priority
	// OwnRoutes are the routes of VRRP (ProtocolKeepalived) in all tables, with what it
	// takes to know them again and to delete them, in the kernel's order.
	OwnRoutes []RouteSpec
	// Forwarding4 and Forwarding6 are the namespace's sysctls net.ipv4.ip_forward and
	// net.ipv6.conf.all.forwarding.
	Forwarding4, Forwarding6 bool

	routes4, routes6 tableSet
	holders          map[netip.Addr]int // address → first device that has it
	order            []Address          // Addresses in the kernel's order
	versions         [partCount]uint64
}

// NewSnapshot makes a snapshot of a network that no Watcher has seen, for tests and
// previews of what is decided upon it. Order does not matter, except that routes of one
// destination and metric stand in the order of their preference.
func NewSnapshot(links []Link, addresses []Address, neighbours []Neighbour, routes []Route) *Snapshot {
	st := newState()
	for _, l := range links {
		st.apply(linkChanged{l})
	}
	for _, a := range addresses {
		st.apply(addressChanged{a})
	}
	for _, n := range neighbours {
		st.apply(neighbourUpdated{neighbourChange{neighbour: n}})
	}
	for _, r := range routes {
		st.load(r)
	}
	return st.snapshot()
}

// Changed returns the parts in which s differs from an earlier snapshot of the same
// Watcher. A nil earlier snapshot differs in all.
func (s *Snapshot) Changed(earlier *Snapshot) Parts {
	var p Parts
	for i := range s.versions {
		if earlier == nil || s.versions[i] != earlier.versions[i] {
			p |= 1 << i
		}
	}
	return p
}

// LinkByIndex returns a device by its index.
func (s *Snapshot) LinkByIndex(index int) (Link, bool) {
	if l := s.link(index); l != nil {
		return *l, true
	}
	return Link{}, false
}

func (s *Snapshot) link(index int) *Link {
	i, found := slices.BinarySearchFunc(s.Links, index, func(l Link, index int) int {
		return cmp.Compare(l.Index, index)
	})
	if !found {
		return nil
	}
	return &s.Links[i]
}

// LinkByName returns a device by its name.
func (s *Snapshot) LinkByName(name string) (Link, bool) {
	for _, l := range s.Links {
		if l.Name == name {
			return l, true
		}
	}
	return Link{}, false
}

// Neighbour returns the entry for an address on a device.
func (s *Snapshot) Neighbour(link int, addr netip.Addr) (Neighbour, bool) {
	i, found := neighbours(s.Neighbours).find(link, addr)
	if !found {
		return Neighbour{}, false
	}
	return s.Neighbours[i], true
}

// Lookup decides how a packet to dst leaves: by the longest matching prefix in the table
// local, else in main, else in default, else in those of the VRFs, whichever it comes from. Routes whose devices are all set down do not
// count, and a throw route ends the search of its table. A decision may also be to
// deliver locally or to refuse: see the route's Kind. It reports false if no route
// matches. The addresses 192.0.2.1 and ::ffff:192.0.2.1 are the same to it.
func (s *Snapshot) Lookup(dst netip.Addr) (Route, bool) {
	dst = dst.Unmap()
	k := keyOf(dst)
	for _, table := range s.tables(dst) {
		if r := table.find(k, s); r != nil && r.Kind != Throw {
			return *r, true
		}
	}
	return Route{}, false
}

func (s *Snapshot) tables(a netip.Addr) *tableSet {
	if a.Is4() {
		return &s.routes4
	}
	return &s.routes6
}

// alive reports whether the kernel would follow the route: it needs no device, or one of
// its devices is set up.
func (s *Snapshot) alive(r *Route) bool {
	if r.Kind != Unicast {
		return true
	}
	for _, h := range r.Hops {
		if l := s.link(h.Link); l != nil && l.Admin {
			return true
		}
	}
	return false
}

// Routes yields the routes of both families, table by table, in order of address.
func (s *Snapshot) Routes() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		for _, set := range []*tableSet{&s.routes4, &s.routes6} {
			for _, n := range set {
				if !n.walk(yield) {
					return
				}
			}
		}
	}
}

// IsLocal reports whether the host itself is the destination of packets to addr: a device
// has the address, or the table local says so (127.0.0.0/8, `ip route add local …`).
func (s *Snapshot) IsLocal(addr netip.Addr) bool {
	addr = addr.Unmap()
	if _, ok := s.holders[addr]; ok {
		return true
	}
	r := s.tables(addr)[posLocal].find(keyOf(addr), s)
	return r != nil && r.Kind == Local
}

// Holders yields the devices that have addr, in order of index.
func (s *Snapshot) Holders(addr netip.Addr) iter.Seq[Link] {
	addr = addr.Unmap()
	return func(yield func(Link) bool) {
		if _, ok := s.holders[addr]; !ok {
			return
		}
		for _, a := range s.Addresses {
			if a.Prefix.Addr() != addr {
				continue
			}
			if l := s.link(a.Link); l != nil && !yield(*l) {
				return
			}
		}
	}
}

// AddressesOf returns the addresses of a device. Treat the slice as read-only.
func (s *Snapshot) AddressesOf(link int) []Address {
	first, _ := slices.BinarySearchFunc(s.Addresses, link, func(a Address, link int) int {
		return cmp.Compare(a.Link, link)
	})
	last := first
	for last < len(s.Addresses) && s.Addresses[last].Link == link {
		last++
	}
	return s.Addresses[first:last:last]
}

// LocalAddrs returns the addresses of all devices, sorted, each once.
func (s *Snapshot) LocalAddrs() []netip.Addr {
	out := make([]netip.Addr, 0, len(s.holders))
	for a := range s.holders {
		out = append(out, a)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// WithAddresses returns a copy of s in which devices have further addresses: what the
// network will be once they are added. Only Addresses and what derives from it differ,
// not the routes that the kernel will make for them.
func (s *Snapshot) WithAddresses(more ...Address) *Snapshot {
	c := *s
	c.Addresses = slices.Concat(s.Addresses, more)
	slices.SortFunc(c.Addresses, compareAddresses)
	c.Addresses = slices.CompactFunc(c.Addresses, func(a, b Address) bool { return a.key() == b.key() })
	c.holders = holdersOf(c.Addresses)
	c.versions[slot(PartAddresses)]++
	return &c
}

func holdersOf(as []Address) map[netip.Addr]int {
	m := make(map[netip.Addr]int, len(as))
	for _, a := range as {
		if _, ok := m[a.Prefix.Addr()]; !ok {
			m[a.Prefix.Addr()] = a.Link
		}
	}
	return m
}
