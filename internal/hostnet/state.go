package hostnet

import (
	"cmp"
	"maps"
	"slices"
)

// An event is one thing that the kernel reported, by notification or in a dump.
type event interface{ isEvent() }

type (
	linkChanged      struct{ link Link }
	linkGone         struct{ index int }
	addressChanged   struct{ address Address }
	addressGone      struct{ key addressKey }
	neighbourUpdated struct{ neighbourChange }
	// routeAdded with replace set takes the place of a route with the same destination and
	// metric.
	routeAdded struct {
		route   Route
		replace bool
	}
	routeGone struct{ route Route }
	// rulesTouched says only that some rule came or went, ownRoutesTouched that a route of
	// VRRP did.
	rulesTouched      struct{}
	ownRoutesTouched  struct{}
	ownRoute          struct{ route RouteSpec } // in dumps only
	forwardingChanged struct{ ipv6, on bool }
)

func (linkChanged) isEvent()       {}
func (linkGone) isEvent()          {}
func (addressChanged) isEvent()    {}
func (addressGone) isEvent()       {}
func (neighbourUpdated) isEvent()  {}
func (routeAdded) isEvent()        {}
func (routeGone) isEvent()         {}
func (rulesTouched) isEvent()      {}
func (ownRoutesTouched) isEvent()  {}
func (ownRoute) isEvent()          {}
func (forwardingChanged) isEvent() {}

// A state is the network as far as events have told it, in a form that is cheap to
// change. It is owned by one goroutine.
//
// Not every notification tells the whole truth: IPv4 routes vanish silently when their
// device goes down, and adding to or deleting from several routes of one destination is
// reported in more than one way. In such cases the state marks the part as stale, and its
// owner is expected to dump that part again and call [state.replace].
type state struct {
	links      map[int]Link
	vrfs       map[int]bool // routing tables of VRFs among the links
	addresses  map[addressKey]Address
	order      []addressKey                     // of addresses, as the kernel has them
	neighbours map[neighbourKey]neighbourChange // since the last snapshot
	routes4    tableSet
	routes6    tableSet
	rules      []Rule
	own        []RouteSpec // routes of VRRP
	forwarding [2]bool     // IPv4, IPv6

	dirty Parts // differs from last
	stale Parts // wants a dump
	// silent says that routes may have vanished, or may be about to, without a word: a
	// dump that is taken right now can still be too early.
	silent bool

	last *Snapshot
}

func newState() *state {
	return &state{
		links:      make(map[int]Link),
		vrfs:       make(map[int]bool),
		addresses:  make(map[addressKey]Address),
		neighbours: make(map[neighbourKey]neighbourChange),
		last:       &Snapshot{},
	}
}

// apply takes in one event. Events that change nothing leave nothing dirty.
func (st *state) apply(ev event) {
	switch ev := ev.(type) {
	case linkChanged:
		st.setLink(ev.link)
	case linkGone:
		st.dropLink(ev.index)
	case addressChanged:
		st.setAddress(ev.address)
	case addressGone:
		st.dropAddress(ev.key)
	case neighbourUpdated:
		st.setNeighbour(ev.neighbourChange)
	case routeAdded:
		st.addRoute(ev.route, ev.replace)
	case routeGone:
		st.dropRoute(ev.route)
	case rulesTouched:
		st.stale |= PartRules
	case ownRoutesTouched:
		st.stale |= PartOwnRoutes
	case ownRoute:
		st.own = append(st.own, ev.route)
	case forwardingChanged:
		i := 0
		if ev.ipv6 {
			i = 1
		}
		if st.forwarding[i] != ev.on {
			st.forwarding[i] = ev.on
			st.dirty |= PartForwarding
		}
	}
}

func (st *state) setLink(l Link) {
	old, known := st.links[l.Index]
	if known && old == l {
		return
	}
	st.links[l.Index] = l
	st.dirty |= PartLinks
	if old.Table != l.Table {
		st.setVRFs()
	}
	if known && (old.Admin != l.Admin || old.Up != l.Up) {
		st.routesVanish()
	}
}

// setVRFs finds the routing tables of VRFs. Their routes may have been passed over before.
func (st *state) setVRFs() {
	clear(st.vrfs)
	for _, l := range st.links {
		if l.Table != 0 {
			st.vrfs[l.Table] = true
		}
	}
	st.stale |= PartRoutes4 | PartRoutes6
}

// routesVanish notes that the kernel drops or revives routes without telling.
func (st *state) routesVanish() {
	st.stale |= PartRoutes4 | PartRoutes6 | PartOwnRoutes
	st.silent = true
}

func (st *state) dropLink(index int) {
	if _, known := st.links[index]; !known {
		return
	}
	vrf := st.links[index].Table != 0
	delete(st.links, index)
	st.dirty |= PartLinks
	if vrf {
		st.setVRFs()
	}
	st.routesVanish()
	for k := range st.addresses {
		if k.link == index {
			st.forget(k)
		}
	}
	for _, n := range st.last.Neighbours {
		if n.Link == index {
			st.setNeighbour(neighbourChange{n, true})
		}
	}
	for k, c := range st.neighbours {
		if k.link == index {
			st.setNeighbour(neighbourChange{c.neighbour, true})
		}
	}
}

func (st *state) setAddress(a Address) {
	old, known := st.addresses[a.key()]
	if known && old == a {
		return
	}
	st.addresses[a.key()] = a
	st.dirty |= PartAddresses
	if !known {
		st.order = append(st.order, a.key())
	}
	// Where among the others the kernel puts a new address, or one that became primary,
	// it does not tell.
	st.stale |= PartAddresses
}

// forget takes an address out.
func (st *state) forget(k addressKey) {
	delete(st.addresses, k)
	st.order = slices.DeleteFunc(st.order, func(o addressKey) bool { return o == k })
	st.dirty |= PartAddresses
}

func (st *state) dropAddress(k addressKey) {
	if _, known := st.addresses[k]; !known {
		return
	}
	st.forget(k)
	st.routesVanish() // those that preferred it as their source
}

func (st *state) setNeighbour(c neighbourChange) {
	k := c.neighbour.key()
	old, known := st.last.Neighbour(k.link, k.addr)
	if pending, ok := st.neighbours[k]; ok {
		old, known = pending.neighbour, !pending.gone
	}
	if known == !c.gone && (c.gone || old == c.neighbour) {
		return
	}
	st.neighbours[k] = c
	st.dirty |= PartNeighbours
}

// routes returns the table that a route belongs to and the part it is in, or nil for
// tables that are not followed.
func (st *state) routes(r Route) (*(*node), Parts) {
	i, followed := tableIndex(r.Table)
	switch {
	case followed:
	case st.vrfs[r.Table]:
		i = posVRF
	default:
		return nil, 0
	}
	if r.Dst.Addr().Is4() {
		return &st.routes4[i], PartRoutes4
	}
	return &st.routes6[i], PartRoutes6
}

func (st *state) addRoute(r Route, replace bool) {
	table, part := st.routes(r)
	if table == nil {
		return
	}
	old := (*table).at(r.Dst)
	same := sameMetric(old, r.Metric)
	switch {
	case len(same) == 0:
		*table = (*table).with(r.Dst, inserted(old, r))
	case len(same) == 1 && same[0].equal(r):
		return
	case len(same) == 1 && replace && part == PartRoutes4:
		*table = (*table).with(r.Dst, inserted(without(old, r.Metric), r))
	default:
		// A further route, or a further hop of the same one, before or after the others.
		st.stale |= part
		return
	}
	st.dirty |= part
}

func (st *state) dropRoute(r Route) {
	table, part := st.routes(r)
	if table == nil {
		return
	}
	old := (*table).at(r.Dst)
	same := sameMetric(old, r.Metric)
	switch {
	case len(same) == 0:
		return
	case len(same) == 1 && same[0].Kind == r.Kind && slices.Equal(same[0].Hops, r.Hops):
		*table = (*table).with(r.Dst, without(old, r.Metric))
		st.dirty |= part
	default:
		st.stale |= part
	}
}

// replace takes in the dump of whole parts: what the dump does not contain is gone.
// Only the parts named are replaced; events of others are ignored.
func (st *state) replace(parts Parts, dump []event, rules []Rule) {
	known := maps.Clone(st.vrfs)
	fresh := newState()
	fresh.vrfs = maps.Clone(st.vrfs)
	for _, ev := range dump {
		if r, ok := ev.(routeAdded); ok {
			fresh.load(r.route)
			continue
		}
		fresh.apply(ev)
	}
	if parts&PartLinks != 0 && !maps.Equal(st.links, fresh.links) {
		st.links, st.dirty = fresh.links, st.dirty|PartLinks
		st.setVRFs()
	}
	if parts&PartAddresses != 0 && (!maps.Equal(st.addresses, fresh.addresses) || !slices.Equal(st.order, fresh.order)) {
		st.addresses, st.order, st.dirty = fresh.addresses, fresh.order, st.dirty|PartAddresses
	}
	if parts&PartNeighbours != 0 {
		st.replaceNeighbours(fresh.neighbours)
	}
	if parts&PartRoutes4 != 0 && !st.routes4.equal(&fresh.routes4) {
		st.routes4, st.dirty = fresh.routes4, st.dirty|PartRoutes4
	}
	if parts&PartRoutes6 != 0 && !st.routes6.equal(&fresh.routes6) {
		st.routes6, st.dirty = fresh.routes6, st.dirty|PartRoutes6
	}
	if parts&PartRules != 0 && !slices.Equal(st.rules, rules) {
		st.rules, st.dirty = rules, st.dirty|PartRules
	}
	if parts&PartOwnRoutes != 0 && !slices.EqualFunc(st.own, fresh.own, RouteSpec.equal) {
		st.own, st.dirty = fresh.own, st.dirty|PartOwnRoutes
	}
	if parts&PartForwarding != 0 && st.forwarding != fresh.forwarding {
		st.forwarding, st.dirty = fresh.forwarding, st.dirty|PartForwarding
	}
	st.stale &^= parts
	if !maps.Equal(st.vrfs, known) {
		st.stale |= PartRoutes4 | PartRoutes6 // the dump was read without the new tables
	}
}

func (st *state) replaceNeighbours(fresh map[neighbourKey]neighbourChange) {
	for _, n := range st.last.Neighbours {
		if _, still := fresh[n.key()]; !still {
			st.setNeighbour(neighbourChange{n, true})
		}
	}
	for k, c := range st.neighbours {
		if _, still := fresh[k]; !still {
			st.setNeighbour(neighbourChange{c.neighbour, true})
		}
	}
	for _, c := range fresh {
		st.setNeighbour(c)
	}
}

// load takes in a route of a dump, where routes of one destination and metric follow each
// other in the order of their preference.
func (st *state) load(r Route) {
	if table, part := st.routes(r); table != nil {
		*table = (*table).with(r.Dst, inserted((*table).at(r.Dst), r))
		st.dirty |= part
	}
}

// snapshot publishes the state: parts that are not dirty are shared with the last
// snapshot. It returns the last one if nothing is dirty.
func (st *state) snapshot() *Snapshot {
	if st.dirty == 0 {
		return st.last
	}
	s := *st.last
	if st.dirty&PartLinks != 0 {
		s.Links = slices.SortedFunc(maps.Values(st.links), func(a, b Link) int { return cmp.Compare(a.Index, b.Index) })
	}
	if st.dirty&PartAddresses != 0 {
		s.Addresses = slices.SortedFunc(maps.Values(st.addresses), compareAddresses)
		s.holders = holdersOf(s.Addresses)
		s.order = make([]Address, len(st.order))
		for i, k := range st.order {
			s.order[i] = st.addresses[k]
		}
	}
	if st.dirty&PartNeighbours != 0 {
		s.Neighbours = neighbours(s.Neighbours).merged(st.neighbours)
		clear(st.neighbours)
	}
	s.routes4, s.routes6 = st.routes4, st.routes6
	s.Rules, s.OwnRoutes = st.rules, st.own
	s.Forwarding4, s.Forwarding6 = st.forwarding[0], st.forwarding[1]
	for i := range s.versions {
		if st.dirty&(1<<i) != 0 {
			s.versions[i]++
		}
	}
	st.dirty = 0
	st.last = &s
	return st.last
}

// sameMetric returns the run of routes with one metric; routes are sorted by it.
func sameMetric(routes []Route, metric uint32) []Route {
	first, found := slices.BinarySearchFunc(routes, metric, func(r Route, m uint32) int { return cmp.Compare(r.Metric, m) })
	if !found {
		return nil
	}
	last := first
	for last < len(routes) && routes[last].Metric == metric {
		last++
	}
	return routes[first:last]
}

// inserted returns a copy of routes with r behind those of lower or equal metric.
func inserted(routes []Route, r Route) []Route {
	i := len(routes)
	for i > 0 && routes[i-1].Metric > r.Metric {
		i--
	}
	out := make([]Route, 0, len(routes)+1)
	out = append(out, routes[:i]...)
	out = append(out, r)
	return append(out, routes[i:]...)
}

// without returns a copy of routes that lacks those of one metric.
func without(routes []Route, metric uint32) []Route {
	return slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return r.Metric == metric })
}

// equal reports whether two sets hold the same routes.
func (t *tableSet) equal(o *tableSet) bool {
	for i := range t {
		if !t[i].equal(o[i]) {
			return false
		}
	}
	return true
}

// equal compares node by node: a set of prefixes has one trie only.
func (n *node) equal(o *node) bool {
	if n == o {
		return true
	}
	if n == nil || o == nil || n.key != o.key || n.len != o.len {
		return false
	}
	return slices.EqualFunc(n.routes, o.routes, Route.equal) &&
		n.child[0].equal(o.child[0]) && n.child[1].equal(o.child[1])
}
