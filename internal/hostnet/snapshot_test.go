package hostnet_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"uvs/internal/hostnet"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// eth is an Ethernet device that is up.
func eth(index int, name string) hostnet.Link {
	return hostnet.Link{Index: index, Name: name, Admin: true, Up: true, Ethernet: true, MTU: 1500}
}

func loopback() hostnet.Link {
	return hostnet.Link{Index: 1, Name: "lo", Admin: true, Up: true, Loopback: true}
}

func on(link int, prefixes ...string) []hostnet.Address {
	var out []hostnet.Address
	for _, p := range prefixes {
		out = append(out, hostnet.Address{Link: link, Prefix: prefix(p)})
	}
	return out
}

// via is a route in the table main; an empty gateway is on-link.
func via(dst, gateway string, link int) hostnet.Route {
	h := hostnet.Hop{Link: link, Weight: 1}
	if gateway != "" {
		h.Gateway = addr(gateway)
	}
	return hostnet.Route{Dst: prefix(dst), Table: hostnet.TableMain, Kind: hostnet.Unicast, Hops: []hostnet.Hop{h}}
}

func kind(dst string, table int, k hostnet.RouteKind) hostnet.Route {
	return hostnet.Route{Dst: prefix(dst), Table: table, Kind: k}
}

func withMetric(r hostnet.Route, m uint32) hostnet.Route { r.Metric = m; return r }

func TestLookup(t *testing.T) {
	down := eth(4, "eth2")
	down.Admin, down.Up = false, false
	noCarrier := eth(5, "eth3")
	noCarrier.Up = false
	s := hostnet.NewSnapshot(
		[]hostnet.Link{loopback(), eth(2, "eth0"), eth(3, "eth1"), down, noCarrier},
		slices.Concat(on(2, "198.51.100.1/24", "fe80::1/64"), on(3, "192.0.2.1/24")),
		nil,
		[]hostnet.Route{
			kind("192.0.2.1/32", hostnet.TableLocal, hostnet.Local),
			kind("127.0.0.0/8", hostnet.TableLocal, hostnet.Local),
			kind("10.99.0.0/16", hostnet.TableLocal, hostnet.Throw),
			via("0.0.0.0/0", "198.51.100.254", 2),
			withMetric(via("0.0.0.0/0", "192.0.2.254", 3), 100),
			via("192.0.2.0/24", "", 3),
			via("198.51.100.0/24", "", 2),
			via("10.0.0.0/8", "192.0.2.9", 3),
			via("10.1.0.0/16", "198.51.100.9", 4), // down: the /8 takes its place
			via("10.2.0.0/16", "198.51.100.9", 5), // without carrier, as in the kernel
			kind("10.3.0.0/16", hostnet.TableMain, hostnet.Blackhole),
			kind("10.4.0.0/16", hostnet.TableMain, hostnet.Throw),
			withMetric(via("10.5.0.0/16", "192.0.2.20", 3), 20),
			withMetric(via("10.5.0.0/16", "192.0.2.10", 3), 10),
			via("10.99.0.0/16", "192.0.2.99", 3),
			{Dst: prefix("0.0.0.0/0"), Table: hostnet.TableDefault, Kind: hostnet.Unreachable},
			via("::/0", "fe80::254", 2),
			via("2001:db8:2::/64", "", 3),
			via("2001:db8:2::/65", "", 2),
			{Dst: prefix("203.0.113.0/24"), Table: 100, Kind: hostnet.Blackhole}, // not followed
		},
	)
	for _, tc := range []struct{ name, dst, want string }{
		{"longest prefix", "192.0.2.7", "unicast 192.0.2.0/24 table 254 metric 0 dev 3"},
		{"local before main", "192.0.2.1", "local 192.0.2.1/32 table 255 metric 0"},
		{"loopback", "127.1.2.3", "local 127.0.0.0/8 table 255 metric 0"},
		{"default", "203.0.113.5", "unicast 0.0.0.0/0 table 254 metric 0 via 198.51.100.254 dev 2"},
		{"device down", "10.1.0.1", "unicast 10.0.0.0/8 table 254 metric 0 via 192.0.2.9 dev 3"},
		{"no carrier", "10.2.0.1", "unicast 10.2.0.0/16 table 254 metric 0 via 198.51.100.9 dev 5"},
		{"blackhole", "10.3.0.1", "blackhole 10.3.0.0/16 table 254 metric 0"},
		{"throw leads to the next table", "10.4.0.1", "unreachable 0.0.0.0/0 table 253 metric 0"},
		{"throw in local leads to main", "10.99.0.1", "unicast 10.99.0.0/16 table 254 metric 0 via 192.0.2.99 dev 3"},
		{"lowest metric", "10.5.0.1", "unicast 10.5.0.0/16 table 254 metric 10 via 192.0.2.10 dev 3"},
		{"IPv4-mapped", "::ffff:192.0.2.7", "unicast 192.0.2.0/24 table 254 metric 0 dev 3"},
		{"IPv6 by link-local gateway", "2001:db8:7::1", "unicast ::/0 table 254 metric 0 via fe80::254 dev 2"},
		{"IPv6 beyond bit 64", "2001:db8:2::1", "unicast 2001:db8:2::/65 table 254 metric 0 dev 2"},
		{"IPv6 other half", "2001:db8:2:0:8000::1", "unicast 2001:db8:2::/64 table 254 metric 0 dev 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, ok := s.Lookup(addr(tc.dst))
			if !ok || r.String() != tc.want {
				t.Errorf("%s: got %q, %v; want %q", tc.dst, r, ok, tc.want)
			}
		})
	}
	if r, ok := hostnet.NewSnapshot(nil, nil, nil, nil).Lookup(addr("192.0.2.1")); ok {
		t.Errorf("route %v in an empty network", r)
	}
}

// TestLookupInVRF: what a VRF's table says is followed, behind the tables of everybody.
func TestLookupInVRF(t *testing.T) {
	red := ofKind(eth(4, "red"), "vrf")
	red.Table = 10
	inRed := func(r hostnet.Route) hostnet.Route { r.Table = 10; return r }
	s := hostnet.NewSnapshot(
		[]hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "vrf"), eth(3, "eth1"), red}, nil, nil,
		[]hostnet.Route{
			inRed(via("198.51.100.0/24", "", 2)), inRed(via("192.0.2.0/24", "", 2)), via("192.0.2.0/24", "", 3),
			{Dst: prefix("203.0.113.0/24"), Table: 11, Kind: hostnet.Unicast, Hops: []hostnet.Hop{{Link: 2, Weight: 1}}},
		})
	for dst, want := range map[string]int{"198.51.100.7": 2, "192.0.2.7": 3, "203.0.113.7": 0} {
		r, ok := s.Lookup(addr(dst))
		if got := r.Hop(0).Link; got != want || ok != (want != 0) {
			t.Errorf("%s leaves by device %d (%t), want %d", dst, got, ok, want)
		}
	}
}

func TestHopFollowsTheWeights(t *testing.T) {
	r := hostnet.Route{Hops: []hostnet.Hop{{Link: 2, Weight: 1}, {Link: 3, Weight: 3}}}
	rng := rand.New(rand.NewPCG(1, 2))
	count := map[int]int{}
	for range 40000 {
		count[r.Hop(rng.Uint32()).Link]++
	}
	if count[2] < 9500 || count[2] > 10500 || count[2]+count[3] != 40000 {
		t.Errorf("shares %v, want about 10000 and 30000", count)
	}
	if r.Hop(0) != r.Hops[0] || r.Hop(^uint32(0)) != r.Hops[1] {
		t.Error("the ends of the hash's range miss the ends of the hops")
	}
	if (hostnet.Route{}).Hop(7) != (hostnet.Hop{}) {
		t.Error("a route without hops has one")
	}
}

func TestLocal(t *testing.T) {
	s := hostnet.NewSnapshot(
		[]hostnet.Link{loopback(), eth(2, "eth0"), eth(3, "eth1")},
		slices.Concat(on(1, "198.51.100.80/32"), on(3, "198.51.100.80/32"), on(2, "198.51.100.1/24", "2001:db8::1/64")),
		nil,
		[]hostnet.Route{kind("203.0.113.0/24", hostnet.TableLocal, hostnet.Local), kind("198.51.100.255/32", hostnet.TableLocal, hostnet.Broadcast)},
	)
	for a, want := range map[string]bool{
		"198.51.100.1": true, "::ffff:198.51.100.1": true, "2001:db8::1": true, "203.0.113.9": true,
		"198.51.100.2": false, "198.51.100.255": false, "2001:db8::2": false,
	} {
		if got := s.IsLocal(addr(a)); got != want {
			t.Errorf("IsLocal(%s) = %v, want %v", a, got, want)
		}
	}
	var holders []string
	for l := range s.Holders(addr("198.51.100.80")) {
		holders = append(holders, l.Name)
	}
	if want := []string{"lo", "eth1"}; !slices.Equal(holders, want) {
		t.Errorf("holders %v, want %v", holders, want)
	}
	want := []netip.Addr{addr("198.51.100.1"), addr("198.51.100.80"), addr("2001:db8::1")}
	if got := s.LocalAddrs(); !slices.Equal(got, want) {
		t.Errorf("LocalAddrs() = %v, want %v", got, want)
	}
	if got := s.AddressesOf(2); len(got) != 2 || got[0].Prefix != prefix("198.51.100.1/24") {
		t.Errorf("AddressesOf(2) = %v", got)
	}
}

func TestWithAddressesLeavesTheOriginal(t *testing.T) {
	s := hostnet.NewSnapshot([]hostnet.Link{eth(2, "eth0")}, on(2, "198.51.100.1/24"), nil, nil)
	vip := addr("198.51.100.80")
	more := s.WithAddresses(on(2, "198.51.100.80/32", "198.51.100.1/24")...)
	if !more.IsLocal(vip) || s.IsLocal(vip) {
		t.Errorf("IsLocal: preview %v, original %v; want true, false", more.IsLocal(vip), s.IsLocal(vip))
	}
	if len(more.Addresses) != 2 {
		t.Errorf("addresses %v, want 2", more.Addresses)
	}
	if got := more.Changed(s); got != hostnet.PartAddresses {
		t.Errorf("changed parts %b, want %b", got, hostnet.PartAddresses)
	}
}

func TestLinksAndNeighboursByName(t *testing.T) {
	n := hostnet.Neighbour{Link: 2, Addr: addr("192.0.2.9"), MAC: [6]byte{2, 0, 0, 0, 0, 9}, State: hostnet.Stale, Usable: true}
	s := hostnet.NewSnapshot([]hostnet.Link{eth(7, "eth1"), eth(2, "eth0")}, nil, []hostnet.Neighbour{
		{Link: 7, Addr: addr("192.0.2.9")}, n, {Link: 2, Addr: addr("fe80::9")}, {Link: 2, Addr: addr("192.0.2.8")},
	}, nil)
	if got, ok := s.Neighbour(2, n.Addr); !ok || got != n {
		t.Errorf("got %+v, %v; want %+v", got, ok, n)
	}
	if _, ok := s.Neighbour(3, n.Addr); ok {
		t.Error("a neighbour on a device that has none")
	}
	if l, ok := s.LinkByIndex(7); !ok || l.Name != "eth1" {
		t.Errorf("LinkByIndex(7) = %+v, %v", l, ok)
	}
	if l, ok := s.LinkByName("eth0"); !ok || l.Index != 2 {
		t.Errorf("LinkByName(eth0) = %+v, %v", l, ok)
	}
	if _, ok := s.LinkByName("eth9"); ok {
		t.Error("found a device that is not there")
	}
}

func TestRuleString(t *testing.T) {
	for want, r := range map[string]hostnet.Rule{
		"1000: from all lookup [l3mdev-table]":                        {Priority: 1000, Action: 1, L3MDev: true},
		"90: not from 10.0.0.0/8 to 192.0.2.0/24 iif eth1 lookup 100": {Priority: 90, Action: 1, Table: 100, Inverted: true, Src: prefix("10.0.0.0/8"), Dst: prefix("192.0.2.0/24"), In: "eth1"},
		"80: from all fwmark 0x1/0xff oif eth0 lookup 254":            {Priority: 80, Action: 1, Table: 254, Mark: 1, Mask: 0xff, Out: "eth0"},
		"70: from all action 6":                                       {Priority: 70, Action: 6},
	} {
		if diff := cmp.Diff(want, r.String()); diff != "" {
			t.Error(diff)
		}
	}
}

// TestLookupAgainstALinearSearch compares with the slow obvious way on random tables.
func TestLookupAgainstALinearSearch(t *testing.T) {
	const seed = 20240607
	rng := rand.New(rand.NewPCG(seed, 0))
	randomAddr := func() netip.Addr {
		if rng.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(rng.IntN(4)), byte(rng.IntN(4) * 64), byte(rng.IntN(256))})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 7: byte(rng.IntN(4)), 8: byte(rng.IntN(4) * 64), 15: byte(rng.IntN(256))})
	}
	for range 200 {
		var routes []hostnet.Route
		seen := map[netip.Prefix]bool{}
		for i := range rng.IntN(60) {
			a := randomAddr()
			p, _ := a.Prefix(rng.IntN(a.BitLen() + 1))
			if !seen[p] {
				seen[p] = true
				routes = append(routes, hostnet.Route{Dst: p, Table: hostnet.TableMain, Kind: hostnet.Blackhole, MTU: i})
			}
		}
		s := hostnet.NewSnapshot(nil, nil, nil, routes)
		for range 200 {
			dst := randomAddr()
			best, found := hostnet.Route{}, false
			for _, r := range routes {
				if r.Dst.Contains(dst) && (!found || r.Dst.Bits() > best.Dst.Bits()) {
					best, found = r, true
				}
			}
			if got, ok := s.Lookup(dst); ok != found || !cmp.Equal(got, best, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })) {
				t.Fatalf("seed %d: %s: got %v, %v; want %v, %v", seed, dst, got, ok, best, found)
			}
		}
		var walked []netip.Prefix
		for r := range s.Routes() {
			walked = append(walked, r.Dst)
		}
		if len(walked) != len(routes) {
			t.Fatalf("seed %d: Routes yields %d of %d", seed, len(walked), len(routes))
		}
	}
}
