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
			n.Routes = append(n.Routes, RouteSpec{Prefix: randomPrefix(r), Hops: []HopSpec{{Link: 1 + r.IntN(2), Gateway: randomAddr(r, true)}}})
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
		Routes: []RouteSpec{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Hops: []HopSpec{{1, gateways[0], 1}, {1, gateways[1], 3}}}},
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
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Hops: []HopSpec{{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1")}}},
			{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Hops: nil},
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
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Hops: []HopSpec{{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1")}}},
			{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Hops: []HopSpec{{Link: 7}}}, // a tunnel, say
		},
	})
	to := wireAddr(netip.MustParseAddr("10.9.0.5"))
	if hop, ok := routes.Lookup(&to, false, 0); ok {
		t.Errorf("a route over a device that is no link leads to %+v", hop)
	}
}

// TestSource: errors that we send come from the address that the kernel would choose.
func TestSource(t *testing.T) {
	gateway4, gateway6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1")
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, p := range list {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	routes := NewRoutes(Network{
		Links: []Link{
			{Index: 1, Sources: prefixes("198.51.100.2/24", "192.0.2.2/24", "fe80::2/64", "2001:db8::2/64", "2001:db8:7::2/64")},
			{Index: 2, Sources: prefixes("fe80::3/64")},
		},
		Routes: []RouteSpec{
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Hops: []HopSpec{{Link: 1, Gateway: gateway4}}},
			{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Hops: []HopSpec{{Link: 1, Gateway: gateway4}}, Source: netip.MustParseAddr("192.0.2.99")},
			{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Hops: []HopSpec{{Link: 2}}},
			{Prefix: netip.MustParsePrefix("::/0"), Hops: []HopSpec{{Link: 1, Gateway: gateway6}}},
			{Prefix: netip.MustParsePrefix("2001:db8:7::/64"), Hops: []HopSpec{{Link: 1}}},
			{Prefix: netip.MustParsePrefix("2001:db8:8::/64"), Hops: []HopSpec{{Link: 2}}},
			{Prefix: netip.MustParsePrefix("fe80::/64"), Hops: []HopSpec{{Link: 2}}},
		},
	})
	for to, want := range map[string]string{
		"203.0.113.5":   "192.0.2.2",     // shares the gateway's subnet
		"10.1.2.3":      "192.0.2.99",    // the route says so
		"10.2.0.1":      "198.51.100.2",  // of another link: this one has none
		"2001:db8:1::1": "2001:db8::2",   // not the gateway's link-local
		"2001:db8:7::9": "2001:db8:7::2", // on the same link
		"2001:db8:8::9": "2001:db8::2",   // of another link
		"fe80::77":      "fe80::3",       // link-local to link-local
	} {
		a := netip.MustParseAddr(to)
		key := wireAddr(a)
		hop, ok := routes.Lookup(&key, a.Is6(), 0)
		if got := routes.source(&key, a.Is6(), &hop, nil); !ok || got != netip.MustParseAddr(want) {
			t.Errorf("to %s from %s, want %s", to, got, want)
		}
	}
}

// TestRouteMTU: the smaller one of link and route counts.
func TestRouteMTU(t *testing.T) {
	routes := NewRoutes(Network{
		Links: []Link{{Index: 1, MTU: 1500}, {Index: 2}},
		Routes: []RouteSpec{
			{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Hops: []HopSpec{{Link: 1}}},
			{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Hops: []HopSpec{{Link: 1}}, MTU: 1400},
			{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Hops: []HopSpec{{Link: 1}}, MTU: 9000},
			{Prefix: netip.MustParsePrefix("10.4.0.0/16"), Hops: []HopSpec{{Link: 2}}, MTU: 1300},
		},
	})
	for to, want := range map[string]int{"10.1.0.1": 1500, "10.2.0.1": 1400, "10.3.0.1": 1500, "10.4.0.1": 1300} {
		key := wireAddr(netip.MustParseAddr(to))
		if hop, _ := routes.Lookup(&key, false, 0); hop.MTU != want {
			t.Errorf("MTU to %s is %d, want %d", to, hop.MTU, want)
		}
	}
}
