package forwarding

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestRoutesAgainstSlowLookup compares longest-prefix lookups with a linear search, over
// random tables of both families.
func TestRoutesAgainstSlowLookup(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		n := Network{Links: []Link{{Index: 1, MTU: 1500}, {Index: 2, MTU: 1400}}}
		for range r.IntN(40) {
			n.Routes = append(n.Routes, RouteSpec{randomPrefix(r), []HopSpec{{Link: 1 + r.IntN(2), Gateway: randomAddr(r, true)}}})
		}
		routes := NewRoutes(n)
		for range 200 {
			a := randomAddr(r, r.IntN(2) == 0)
			wire := wireAddr(a)
			got, ok := routes.Lookup(&wire, a.Is6(), 0)
			want := slowLookup(n, a)
			if ok != (want != nil) {
				t.Fatalf("%s: found %t, want %t", a, ok, want != nil)
			}
			if ok && (got.Link != want.Hops[0].Link || got.Addr != want.Hops[0].Gateway) {
				t.Fatalf("%s goes to %s on %d, want %s on %d", a, got.Addr, got.Link, want.Hops[0].Gateway, want.Hops[0].Link)
			}
		}
	}
}

func slowLookup(n Network, a netip.Addr) *RouteSpec {
	var best *RouteSpec
	for i := range n.Routes {
		if p := n.Routes[i].Prefix; p.Contains(a) && (best == nil || p.Bits() > best.Prefix.Bits()) {
			best = &n.Routes[i]
		}
	}
	return best
}

// randomAddr draws from a small space, so that prefixes and addresses meet.
func randomAddr(r *rand.Rand, v4 bool) netip.Addr {
	if v4 {
		return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)), byte(r.Uint32())})
	}
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 5: byte(r.IntN(2)), 14: byte(r.IntN(4)), 15: byte(r.Uint32())})
}

func randomPrefix(r *rand.Rand) netip.Prefix {
	a := randomAddr(r, r.IntN(2) == 0)
	return netip.PrefixFrom(a, r.IntN(a.BitLen()+1)).Masked()
}

func TestEqualCostRoutesShareFlowsByWeight(t *testing.T) {
	gateways := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	routes := NewRoutes(Network{
		Links:  []Link{{Index: 1}},
		Routes: []RouteSpec{{netip.MustParsePrefix("0.0.0.0/0"), []HopSpec{{1, gateways[0], 1}, {1, gateways[1], 3}}}},
	})
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[netip.Addr]int{}
	for range 4000 {
		to := wireAddr(randomAddr(r, true))
		hop, _ := routes.Lookup(&to, false, r.Uint32())
		seen[hop.Addr]++
	}
	if seen[gateways[0]] < 850 || seen[gateways[0]] > 1150 || seen[gateways[1]] < 2850 {
		t.Errorf("4000 flows over weights 1 and 3: %v", seen)
	}
}

func TestRefusingRouteLeadsNowhere(t *testing.T) {
	routes := NewRoutes(Network{
		Links: []Link{{Index: 1}},
		Routes: []RouteSpec{
			{netip.MustParsePrefix("0.0.0.0/0"), []HopSpec{{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1")}}},
			{netip.MustParsePrefix("203.0.113.0/24"), nil},
		},
	})
	to := wireAddr(netip.MustParseAddr("203.0.113.5"))
	if hop, ok := routes.Lookup(&to, false, 0); ok {
		t.Errorf("an unreachable route leads to %+v", hop)
	}
}

// TestRouteOverAnotherKindOfDevice: it must not fall through to a shorter prefix and leak by
// the default gateway.
func TestRouteOverAnotherKindOfDevice(t *testing.T) {
	routes := NewRoutes(Network{
		Links: []Link{{Index: 1}},
		Routes: []RouteSpec{
			{netip.MustParsePrefix("0.0.0.0/0"), []HopSpec{{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1")}}},
			{netip.MustParsePrefix("10.9.0.0/16"), []HopSpec{{Link: 7}}}, // a tunnel, say
		},
	})
	to := wireAddr(netip.MustParseAddr("10.9.0.5"))
	if hop, ok := routes.Lookup(&to, false, 0); ok {
		t.Errorf("a route over a device that is no link leads to %+v", hop)
	}
}
