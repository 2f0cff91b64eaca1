package hostnet

import (
	"net/netip"
	"testing"
)

// large is a state with 5 000 neighbours and 1 000 routes.
func large(tb testing.TB) *state {
	tb.Helper()
	st := newState()
	st.apply(linkChanged{testLink(2)})
	st.apply(linkChanged{testLink(3)})
	for i := range 5000 {
		st.apply(newNeighbour(Neighbour{Link: 2 + i%2, Addr: nth(i), MAC: [6]byte{2, 4: byte(i >> 8), 5: byte(i)}, State: Reachable, Usable: true}))
	}
	for i := range 1000 {
		r := Route{Table: TableMain, Kind: Unicast, Hops: []Hop{{Link: 2, Weight: 1}}}
		r.Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 2), byte(i << 6)}), 26)
		st.apply(routeAdded{r, false})
	}
	st.apply(routeAdded{testRoute("0.0.0.0/0", 0, 2), false})
	st.apply(addressChanged{testAddress(2, "192.0.2.1/24")})
	st.snapshot()
	return st
}

func nth(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 7}) }

// BenchmarkNeighbourUpdate is what one change costs among 5 000 neighbours, the new
// snapshot included. A storm costs it at most 20 times a second.
func BenchmarkNeighbourUpdate(b *testing.B) {
	st := large(b)
	states := [2]NeighbourState{Stale, Reachable}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := st.last.Neighbours[i%5000]
		n.State = states[i&1]
		if n.State == st.last.Neighbours[i%5000].State {
			n.State = states[1-i&1]
		}
		st.apply(newNeighbour(n))
		st.snapshot()
	}
}

// BenchmarkNeighbourEvent is the share of one event in a storm, without the snapshot.
func BenchmarkNeighbourEvent(b *testing.B) {
	st := large(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := st.last.Neighbours[i%5000]
		n.State = NeighbourState(1 << (i / 5000 % 4))
		st.apply(newNeighbour(n))
	}
}

// BenchmarkRouteUpdate is a change among 1 000 routes, the new snapshot included.
func BenchmarkRouteUpdate(b *testing.B) {
	st := large(b)
	r := testRoute("172.16.0.0/12", 0, 3)
	b.ReportAllocs()
	for b.Loop() {
		st.apply(routeAdded{r, false})
		st.snapshot()
		st.apply(routeGone{r})
		st.snapshot()
	}
}

func BenchmarkLookup(b *testing.B) {
	s := large(b).last
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, ok := s.Lookup(nth(i & 0xff)); !ok {
			b.Fatal("no route")
		}
	}
}

func BenchmarkNeighbour(b *testing.B) {
	s := large(b).last
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, ok := s.Neighbour(2+i%2, nth(i%5000)); !ok {
			b.Fatal("no neighbour")
		}
	}
}

func BenchmarkIsLocal(b *testing.B) {
	s := large(b).last
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if s.IsLocal(nth(i & 0xff)) {
			b.Fatal("local")
		}
	}
}
