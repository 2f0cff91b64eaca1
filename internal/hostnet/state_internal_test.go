package hostnet

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func testLink(index int) Link {
	return Link{Index: index, Name: fmt.Sprintf("eth%d", index), Admin: true, Up: true, Ethernet: true}
}

func testAddress(link int, p string) Address {
	return Address{Link: link, Prefix: netip.MustParsePrefix(p)}
}

func testNeighbour(link int, a string, state NeighbourState) Neighbour {
	return Neighbour{Link: link, Addr: netip.MustParseAddr(a), MAC: [6]byte{2, 5: 9}, State: state, Usable: state&valid != 0}
}

func testRoute(dst string, metric uint32, hops ...int) Route {
	r := Route{Dst: netip.MustParsePrefix(dst), Table: TableMain, Kind: Unicast, Metric: metric}
	for _, h := range hops {
		r.Hops = append(r.Hops, Hop{Link: h, Weight: 1})
	}
	return r
}

func newNeighbour(n Neighbour) event { return neighbourUpdated{neighbourChange{n, false}} }

// started is a state with a small network in it, already published.
func started(t *testing.T) *state {
	t.Helper()
	st := newState()
	for _, ev := range []event{
		linkChanged{testLink(2)},
		linkChanged{testLink(3)},
		addressChanged{testAddress(2, "198.51.100.1/24")},
		newNeighbour(testNeighbour(2, "198.51.100.9", Reachable)),
		newNeighbour(testNeighbour(3, "192.0.2.9", Stale)),
		routeAdded{testRoute("0.0.0.0/0", 0, 2), false},
		routeAdded{testRoute("10.0.0.0/8", 0, 2), false},
		routeAdded{testRoute("10.0.0.0/8", 5, 3), false},
		routeAdded{testRoute("2001:db8::/32", 1024, 2), false},
		forwardingChanged{false, true},
	} {
		st.apply(ev)
	}
	st.snapshot()
	st.stale &^= PartAddresses // a new address wants its place among the others dumped
	if st.dirty != 0 || st.stale != 0 {
		t.Fatalf("dirty %b, stale %b after the start", st.dirty, st.stale)
	}
	return st
}

func TestApply(t *testing.T) {
	noCarrier := testLink(2)
	noCarrier.Up = false
	renamed := testLink(2)
	renamed.Name = "wan"
	deprecated := testAddress(2, "198.51.100.1/24")
	deprecated.Flags = FlagDeprecated
	other := testRoute("10.0.0.0/8", 0, 3)
	longer := testRoute("10.0.0.0/8", 0, 2)
	longer.MTU = 1400
	foreign := testRoute("10.0.0.0/8", 7, 3)
	foreign.Table = 100
	const routes = PartRoutes4 | PartRoutes6 | PartOwnRoutes

	for _, tc := range []struct {
		name         string
		ev           event
		dirty, stale Parts
		silent       bool
	}{
		{"same link again", linkChanged{testLink(2)}, 0, 0, false},
		{"link renamed", linkChanged{renamed}, PartLinks, 0, false},
		{"link new", linkChanged{testLink(4)}, PartLinks, 0, false},
		{"carrier lost", linkChanged{noCarrier}, PartLinks, routes, true},
		{"link gone takes its addresses and neighbours along", linkGone{2}, PartLinks | PartAddresses | PartNeighbours, routes, true},
		{"unknown link gone", linkGone{9}, 0, 0, false},

		{"same address again", addressChanged{testAddress(2, "198.51.100.1/24")}, 0, 0, false},
		{"address with another length: its place is not told", addressChanged{testAddress(2, "198.51.100.1/32")}, PartAddresses, PartAddresses, false},
		{"address deprecated", addressChanged{deprecated}, PartAddresses, PartAddresses, false},
		{"address gone", addressGone{testAddress(2, "198.51.100.1/24").key()}, PartAddresses, routes, true},
		{"unknown address gone", addressGone{testAddress(3, "198.51.100.1/24").key()}, 0, 0, false},

		{"same neighbour again", newNeighbour(testNeighbour(2, "198.51.100.9", Reachable)), 0, 0, false},
		{"neighbour stale", newNeighbour(testNeighbour(2, "198.51.100.9", Stale)), PartNeighbours, 0, false},
		{"neighbour gone", neighbourUpdated{neighbourChange{testNeighbour(2, "198.51.100.9", Failed), true}}, PartNeighbours, 0, false},
		{"unknown neighbour gone", neighbourUpdated{neighbourChange{testNeighbour(2, "198.51.100.7", Failed), true}}, 0, 0, false},

		{"same route again", routeAdded{testRoute("0.0.0.0/0", 0, 2), false}, 0, 0, false},
		{"route new", routeAdded{testRoute("192.0.2.0/24", 0, 3), false}, PartRoutes4, 0, false},
		{"route new, IPv6", routeAdded{testRoute("2001:db8:1::/48", 1024, 3), false}, PartRoutes6, 0, false},
		{"route with another metric", routeAdded{testRoute("0.0.0.0/0", 9, 3), false}, PartRoutes4, 0, false},
		{"route replaced", routeAdded{other, true}, PartRoutes4, 0, false},
		{"route replaced, IPv6: which hop is not told", routeAdded{testRoute("2001:db8::/32", 1024, 3), true}, 0, PartRoutes6, false},
		{"route appended: its place is not told", routeAdded{longer, false}, 0, PartRoutes4, false},
		{"route gone", routeGone{testRoute("10.0.0.0/8", 5, 3)}, PartRoutes4, 0, false},
		{"unknown route gone", routeGone{testRoute("10.0.0.0/8", 6, 3)}, 0, 0, false},
		{"another route of that metric gone", routeGone{other}, 0, PartRoutes4, false},
		{"route of a table that is not followed", routeAdded{foreign, false}, 0, 0, false},
		{"gone from a table that is not followed", routeGone{foreign}, 0, 0, false},

		{"rule", rulesTouched{}, 0, PartRules, false},
		{"route of VRRP", ownRoutesTouched{}, 0, PartOwnRoutes, false},
		{"forwarding as before", forwardingChanged{false, true}, 0, 0, false},
		{"forwarding off", forwardingChanged{false, false}, PartForwarding, 0, false},
		{"forwarding on, IPv6", forwardingChanged{true, true}, PartForwarding, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := started(t)
			before := st.last
			st.apply(tc.ev)
			if st.dirty != tc.dirty || st.stale != tc.stale || st.silent != tc.silent {
				t.Errorf("dirty %b, stale %b, silent %v; want %b, %b, %v", st.dirty, st.stale, st.silent, tc.dirty, tc.stale, tc.silent)
			}
			if after := st.snapshot(); after.Changed(before) != tc.dirty || (after == before) != (tc.dirty == 0) {
				t.Errorf("the snapshot changed in %b, want %b", after.Changed(before), tc.dirty)
			}
		})
	}
}

func TestLinkGoneTakesAll(t *testing.T) {
	st := started(t)
	st.apply(newNeighbour(testNeighbour(2, "198.51.100.10", Reachable))) // not yet published
	st.apply(linkGone{2})
	s := st.snapshot()
	if len(s.Links) != 1 || len(s.Addresses) != 0 || len(s.Neighbours) != 1 || s.Neighbours[0].Link != 3 {
		t.Errorf("left: %+v %+v %+v", s.Links, s.Addresses, s.Neighbours)
	}
	if r, ok := s.Lookup(netip.MustParseAddr("10.1.1.1")); !ok || r.Metric != 5 {
		t.Errorf("route %v, %v; want the one of the device that is left", r, ok)
	}
}

// TestSnapshotsAreImmutable keeps an old snapshot while much changes.
func TestSnapshotsAreImmutable(t *testing.T) {
	st := started(t)
	old := st.last
	routes := slices.Collect(old.Routes())
	links, addresses, neighbours := slices.Clone(old.Links), slices.Clone(old.Addresses), slices.Clone(old.Neighbours)
	for i := range 50 {
		st.apply(linkChanged{testLink(i + 2)})
		st.apply(addressChanged{testAddress(i+2, fmt.Sprintf("10.0.%d.1/24", i))})
		st.apply(newNeighbour(testNeighbour(2, fmt.Sprintf("198.51.100.%d", i), Stale)))
		st.apply(routeAdded{testRoute(fmt.Sprintf("10.%d.0.0/16", i), 0, 2), false})
		st.apply(routeGone{testRoute("10.0.0.0/8", 0, 2)})
		st.snapshot()
	}
	if !slices.Equal(old.Links, links) || !slices.Equal(old.Addresses, addresses) || !slices.Equal(old.Neighbours, neighbours) ||
		!slices.EqualFunc(slices.Collect(old.Routes()), routes, Route.equal) {
		t.Error("an old snapshot changed")
	}
	if len(st.last.Neighbours) <= len(neighbours) || len(slices.Collect(st.last.Routes())) <= len(routes) {
		t.Error("the new snapshot lacks what was added")
	}
}

func TestNeighbourChangeSharesTheRest(t *testing.T) {
	st := started(t)
	old := st.last
	st.apply(newNeighbour(testNeighbour(2, "198.51.100.9", Stale)))
	s := st.snapshot()
	if &s.Links[0] != &old.Links[0] || &s.Addresses[0] != &old.Addresses[0] || s.routes4 != old.routes4 || s.routes6 != old.routes6 {
		t.Error("a neighbour's change copied other parts")
	}
}

func TestReplace(t *testing.T) {
	dump := []event{
		linkChanged{testLink(2)}, linkChanged{testLink(3)},
		addressChanged{testAddress(2, "198.51.100.1/24")},
		newNeighbour(testNeighbour(2, "198.51.100.9", Reachable)),
		newNeighbour(testNeighbour(3, "192.0.2.9", Stale)),
		routeAdded{testRoute("0.0.0.0/0", 0, 2), false},
		routeAdded{testRoute("10.0.0.0/8", 0, 2), false},
		routeAdded{testRoute("10.0.0.0/8", 5, 3), false},
		routeAdded{testRoute("2001:db8::/32", 1024, 2), false},
		forwardingChanged{false, true},
	}
	const everything Parts = 1<<partCount - 1

	st := started(t)
	st.stale = everything
	st.replace(everything, dump, nil)
	if st.dirty != 0 || st.stale != 0 {
		t.Errorf("the same again: dirty %b, stale %b", st.dirty, st.stale)
	}

	// Two routes of one metric keep the dump's order.
	st.replace(PartRoutes4, []event{
		routeAdded{testRoute("0.0.0.0/0", 0, 3), false}, routeAdded{testRoute("0.0.0.0/0", 0, 2), false},
	}, nil)
	if st.dirty != PartRoutes4 {
		t.Errorf("other routes: dirty %b, want %b", st.dirty, PartRoutes4)
	}
	if r, ok := st.snapshot().Lookup(netip.MustParseAddr("10.1.1.1")); !ok || r.Hops[0].Link != 3 {
		t.Errorf("route %v, %v; want the first of the dump", r, ok)
	}

	st.apply(newNeighbour(testNeighbour(2, "198.51.100.10", Reachable))) // reported, not in the dump
	st.replace(everything, nil, []Rule{{Priority: 7}})
	s := st.snapshot()
	if len(s.Links)+len(s.Addresses)+len(s.Neighbours)+len(slices.Collect(s.Routes())) != 0 || s.Forwarding4 || len(s.Rules) != 1 {
		t.Errorf("an empty dump leaves %+v", s)
	}
}

// TestReplaceKeepsTheKernelsOrder puts the same addresses in another order.
func TestReplaceKeepsTheKernelsOrder(t *testing.T) {
	st := started(t)
	first, second := testAddress(2, "198.51.100.1/24"), testAddress(2, "192.0.2.1/24")
	st.apply(addressChanged{second})
	source := func() netip.Addr { a, _ := st.snapshot().SourceOf(2, false, nil); return a }
	if got := source(); got != first.Prefix.Addr() {
		t.Errorf("source %s, want %s: the new one is behind the others until a dump says otherwise", got, first.Prefix.Addr())
	}
	st.replace(PartAddresses, []event{addressChanged{second}, addressChanged{first}}, nil)
	if st.dirty != PartAddresses || st.stale&PartAddresses != 0 {
		t.Errorf("dirty %b, stale %b after a dump in another order", st.dirty, st.stale)
	}
	if got := source(); got != second.Prefix.Addr() {
		t.Errorf("source %s, want %s, the first of the dump", got, second.Prefix.Addr())
	}
	st.apply(addressGone{second.key()})
	if got := source(); got != first.Prefix.Addr() {
		t.Errorf("source %s, want %s, which is left", got, first.Prefix.Addr())
	}
	st.apply(linkGone{2})
	if got := source(); got.IsValid() {
		t.Errorf("source %s of a device that is gone", got)
	}
}

// TestReplaceOwnRoutes tells routes of VRRP by what makes them what they are.
func TestReplaceOwnRoutes(t *testing.T) {
	st := started(t)
	a := RouteSpec{Kind: Unicast, Protocol: ProtocolKeepalived, Table: 100, Dst: netip.MustParsePrefix("10.1.0.0/16"), Hops: []HopSpec{{Link: 2}}}
	st.replace(PartOwnRoutes, []event{ownRoute{a}}, nil)
	if s := st.snapshot(); !s.HasRoute(a) || s.Changed(&Snapshot{})&PartOwnRoutes == 0 {
		t.Errorf("%v is not there", a)
	}
	st.replace(PartOwnRoutes, []event{ownRoute{a}}, nil)
	if st.dirty != 0 {
		t.Errorf("the same again: dirty %b", st.dirty)
	}
	st.replace(PartOwnRoutes, nil, nil)
	if s := st.snapshot(); s.HasRoute(a) {
		t.Errorf("%v is still there", a)
	}
}

// TestNeighboursMerge compares the merge with a map on random changes.
func TestNeighboursMerge(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	st, want := newState(), map[neighbourKey]Neighbour{}
	states := []NeighbourState{Reachable, Stale, Failed}
	for round := range 300 {
		for range rng.IntN(20) {
			n := testNeighbour(rng.IntN(3)+1, fmt.Sprintf("192.0.2.%d", rng.IntN(40)), states[rng.IntN(3)])
			gone := rng.IntN(3) == 0
			st.apply(neighbourUpdated{neighbourChange{n, gone}})
			if gone {
				delete(want, n.key())
			} else {
				want[n.key()] = n
			}
		}
		s := st.snapshot()
		sorted := slices.SortedFunc(maps.Values(want), func(a, b Neighbour) int { return a.key().compare(b.key()) })
		if !slices.Equal(s.Neighbours, sorted) {
			t.Fatalf("seed %d, round %d:\ngot  %v\nwant %v", seed, round, s.Neighbours, sorted)
		}
	}
}

// TestTrieIsTheSetOfItsPrefixes adds and removes prefixes at random and holds the trie
// against a map, including its shape: the same set always makes the same trie.
func TestTrieIsTheSetOfItsPrefixes(t *testing.T) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, 0))
	var trie *node
	set := map[netip.Prefix]Route{}
	for step := range 3000 {
		a := netip.AddrFrom16([16]byte{0x20, 1: byte(rng.IntN(2)), 7: byte(rng.IntN(4)), 8: byte(rng.IntN(4) * 64), 15: byte(rng.IntN(4))})
		p, _ := a.Prefix(rng.IntN(129))
		if rng.IntN(2) == 0 {
			trie = trie.with(p, nil)
			delete(set, p)
		} else {
			r := Route{Dst: p, MTU: step}
			trie = trie.with(p, []Route{r})
			set[p] = r
		}
		if got := trie.at(p); len(got) > 0 != (set[p].Dst == p) || len(got) > 0 && !got[0].equal(set[p]) {
			t.Fatalf("seed %d, step %d: at(%s) = %v", seed, step, p, got)
		}
		if step%100 != 0 {
			continue
		}
		var fresh *node
		for p, r := range set {
			fresh = fresh.with(p, []Route{r})
		}
		if !trie.equal(fresh) {
			t.Fatalf("seed %d, step %d: the trie depends on its history", seed, step)
		}
	}
	for p := range set {
		trie = trie.with(p, nil)
	}
	if trie != nil {
		trie.walk(func(r Route) bool { t.Errorf("left after removing all: %v", r); return true })
	}
}
