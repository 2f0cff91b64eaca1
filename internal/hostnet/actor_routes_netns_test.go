//go:build netns

package hostnet_test

import (
	"net/netip"
	"strings"
	"testing"

	"uvs/internal/hostnet"
	"uvs/internal/netlab/labtest"
)

// route is a unicast route of VRRP in the table main.
func route(dst string, hops ...hostnet.HopSpec) hostnet.RouteSpec {
	return hostnet.RouteSpec{Kind: hostnet.Unicast, Dst: netip.MustParsePrefix(dst), Table: hostnet.TableMain, Protocol: hostnet.ProtocolKeepalived, Hops: hops}
}

func with(r hostnet.RouteSpec, fill func(*hostnet.RouteSpec)) hostnet.RouteSpec {
	fill(&r)
	return r
}

func TestActorRoutes(t *testing.T) {
	b := newBench(t)
	addr := netip.MustParseAddr
	via := hostnet.HopSpec{Link: b.eth0, Gateway: addr("192.0.2.9")}
	dev := hostnet.HopSpec{Link: b.eth0}
	dev6 := dev
	none := func(kind hostnet.RouteKind, dst string) hostnet.RouteSpec {
		return with(route(dst), func(r *hostnet.RouteSpec) { r.Kind = kind })
	}
	for _, tc := range []struct {
		name  string
		route hostnet.RouteSpec
		want  string
	}{
		{"by a gateway", route("10.0.0.0/24", via), "unicast 10.0.0.0/24 via 192.0.2.9 dev eth0 table main proto keepalived scope global"},
		{"gateway without device", route("10.0.1.0/24", hostnet.HopSpec{Gateway: addr("192.0.2.9")}),
			"unicast 10.0.1.0/24 via 192.0.2.9 dev eth0 table main proto keepalived scope global"},
		{"default", route("0.0.0.0/0", via), "unicast default via 192.0.2.9 dev eth0 table main proto keepalived scope global"},
		{"table, metric, scope, tos, source", with(route("10.0.2.0/24", dev), func(r *hostnet.RouteSpec) {
			r.Table, r.Metric, r.Scope, r.TOS, r.Source = 1000, 7, hostnet.ScopeLink, 0x10, addr("192.0.2.1")
		}), "unicast 10.0.2.0/24 tos 0x10 dev eth0 table 1000 proto keepalived scope link src 192.0.2.1 metric 7"},
		{"gateway that no route leads to", route("10.0.3.0/24", hostnet.HopSpec{Link: b.eth0, Gateway: addr("172.16.0.1"), OnLink: true}),
			"unicast 10.0.3.0/24 via 172.16.0.1 dev eth0 table main proto keepalived scope global onlink"},
		{"metrics", with(route("10.0.4.0/24", via), func(r *hostnet.RouteSpec) {
			r.Metrics = []hostnet.RouteMetric{{Attribute: 2, Value: 1300, Locked: true}, {Attribute: 3, Value: 5}, {Attribute: 10, Value: 4}, {Attribute: 15, Value: 1}}
			r.CongestionControl, r.CongestionLocked, r.Realms = "reno", true, 1<<16|2
		}), "unicast 10.0.4.0/24 via 192.0.2.9 dev eth0 table main proto keepalived scope global realms 1/2 mtu lock 1300 window 5 hoplimit 4 quickack 1 congctl lock reno"},
		{"tunnel", route("10.0.5.0/24", hostnet.HopSpec{Link: b.eth0, Encap: &hostnet.Encap{
			Kind: hostnet.EncapIP, ID: 5, HasID: true, Dest: addr("10.1.0.9"), Source: addr("10.1.0.8"), TTL: 7, TOS: 4}}),
			"unicast 10.0.5.0/24 encap ip id 5 src 10.1.0.8 dst 10.1.0.9 ttl 7 tos 4 dev eth0 table main proto keepalived scope global"},
		{"tunnel of IPv6", route("2001:db8:5::/64", hostnet.HopSpec{Link: b.eth0, Gateway: addr("2001:db8::9"), Encap: &hostnet.Encap{
			Kind: hostnet.EncapIP6, ID: 5, HasID: true, Dest: addr("2001:db8::7"), TTL: 9, TOS: 3}}),
			"unicast 2001:db8:5::/64 encap ip6 id 5 src :: dst 2001:db8::7 hoplimit 9 tc 3 via 2001:db8::9 dev eth0 table main proto keepalived scope global metric 1024 pref medium"},
		{"source prefix and preference", with(route("2001:db8:6::/64", dev6), func(r *hostnet.RouteSpec) {
			r.From, r.Preference, r.HasPreference, r.Metric = netip.MustParsePrefix("2001:db8:9::/64"), 1, true, 9
		}), "unicast 2001:db8:6::/64 from 2001:db8:9::/64 dev eth0 table main proto keepalived scope global metric 9 pref high"},
		{"blackhole", none(hostnet.Blackhole, "10.0.6.0/24"), "blackhole 10.0.6.0/24 table main proto keepalived scope global"},
		{"unreachable", none(hostnet.Unreachable, "10.0.6.0/24"), "unreachable 10.0.6.0/24 table main proto keepalived scope global"},
		{"prohibit of IPv6", none(hostnet.Prohibit, "2001:db8:7::/64"), "prohibit 2001:db8:7::/64 dev lo table main proto keepalived scope global metric 1024 pref medium"},
		{"throw", with(none(hostnet.Throw, "10.0.6.0/24"), func(r *hostnet.RouteSpec) { r.Table = 100 }), "throw 10.0.6.0/24 table 100 proto keepalived scope global"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			show := []string{"-d", "route", "show", "table", "all"}
			if tc.route.Dst.Addr().Is6() {
				show = append([]string{"-6"}, show...)
			}
			b.do(t, hostnet.AddRoute{RouteSpec: tc.route})
			b.mustShow(t, tc.want, show...)
			s := b.until(t, "the route is there", func(s *hostnet.Snapshot) bool { return s.HasRoute(tc.route) })
			if len(s.OwnRoutes) != 1 {
				t.Errorf("routes of ours: %v", s.OwnRoutes)
			}
			again := tc.route
			again.Place = hostnet.Exclusive
			b.fails(t, hostnet.ErrExists, hostnet.AddRoute{RouteSpec: again})
			// What a snapshot knows is enough to delete it: the next run may have no more.
			b.do(t, hostnet.DeleteRoute{RouteSpec: s.OwnRoutes[0]})
			b.mustNotShow(t, tc.want, show...)
			b.until(t, "the route is gone", func(s *hostnet.Snapshot) bool { return !s.HasRoute(tc.route) && len(s.OwnRoutes) == 0 })
			b.fails(t, hostnet.ErrNoRoute, hostnet.DeleteRoute{RouteSpec: tc.route})
			b.do(t, hostnet.AddRoute{RouteSpec: tc.route}, hostnet.DeleteRoute{RouteSpec: tc.route})
		})
	}
	b.do(t, hostnet.AddRoute{RouteSpec: with(route("2001:db8:8::/64", dev6), func(r *hostnet.RouteSpec) { r.Expires, r.HasExpires = 200, true })})
	if out := labtest.Run(t, b.host, "ip", "-6", "route", "show", "proto", "18"); !strings.Contains(out, "expires 200sec") && !strings.Contains(out, "expires 199sec") {
		t.Errorf("no route that expires in 200 s:\n%s", out)
	}
}

func TestActorMultipath(t *testing.T) {
	b := newBench(t)
	hops := func(gateways ...string) (list []hostnet.HopSpec) {
		for i, g := range gateways {
			list = append(list, hostnet.HopSpec{Link: b.eth0, Gateway: netip.MustParseAddr(g), Weight: i + 1})
		}
		return list
	}
	four := route("10.0.0.0/24", hops("192.0.2.8", "192.0.2.9")...)
	four.Hops[1].Realms = 7
	six := route("2001:db8:5::/64", hops("2001:db8::8", "2001:db8::9")...)
	b.do(t, hostnet.AddRoute{RouteSpec: four}, hostnet.AddRoute{RouteSpec: six})
	b.mustShow(t, "nexthop via 192.0.2.8 dev eth0 weight 1", "route", "show", "proto", "18")
	b.mustShow(t, "nexthop via 192.0.2.9 realm 7 dev eth0 weight 2", "route", "show", "proto", "18")
	b.mustShow(t, "nexthop via 2001:db8::8 dev eth0 weight 1", "-6", "route", "show", "proto", "18")
	b.mustShow(t, "nexthop via 2001:db8::9 dev eth0 weight 2", "-6", "route", "show", "proto", "18")
	both := func(s *hostnet.Snapshot) bool { return s.HasRoute(four) && s.HasRoute(six) }
	b.until(t, "both routes are there", both)
	b.ip(t, "-6", "route", "del", "2001:db8:5::/64", "via", "2001:db8::9", "dev", "eth0")
	b.until(t, "a way of the IPv6 route is gone", func(s *hostnet.Snapshot) bool { return !s.HasRoute(six) })
	b.do(t, hostnet.DeleteRoute{RouteSpec: four})
	b.mustNotShow(t, "10.0.0.0/24 proto keepalived", "route")
}

// TestActorPlaces puts routes beside others of the same destination.
func TestActorPlaces(t *testing.T) {
	b := newBench(t)
	at := func(gateway string, place hostnet.RoutePlace) hostnet.AddRoute {
		r := route("10.0.0.0/24", hostnet.HopSpec{Link: b.eth0, Gateway: netip.MustParseAddr(gateway)})
		r.Place = place
		return hostnet.AddRoute{RouteSpec: r}
	}
	order := func(want ...string) {
		t.Helper()
		var got []string
		for _, line := range strings.Split(labtest.Run(t, b.host, "ip", "route", "show", "10.0.0.0/24"), "\n") {
			if f := strings.Fields(line); len(f) > 2 {
				got = append(got, f[2])
			}
		}
		if g, w := strings.Join(got, " "), strings.Join(want, " "); g != w {
			t.Errorf("gateways %s, want %s", g, w)
		}
	}
	b.do(t, at("192.0.2.5", hostnet.Exclusive), at("192.0.2.6", hostnet.Append), at("192.0.2.4", hostnet.Prepend))
	order("192.0.2.4", "192.0.2.5", "192.0.2.6")
	b.fails(t, hostnet.ErrExists, at("192.0.2.7", hostnet.Exclusive))
	b.do(t, at("192.0.2.7", hostnet.Replace))
	order("192.0.2.7", "192.0.2.5", "192.0.2.6")
	b.do(t, hostnet.DeleteRoute{RouteSpec: at("192.0.2.5", 0).RouteSpec})
	order("192.0.2.7", "192.0.2.6")
}

func TestActorRules(t *testing.T) {
	b := newBench(t)
	p := netip.MustParsePrefix
	for _, tc := range []struct {
		rule hostnet.Rule
		want string
	}{
		{hostnet.Rule{Priority: 500, Src: p("10.0.0.0/8"), Dst: p("10.9.0.0/16"), In: "eth0", Mark: 5, Mask: 0xff, TOS: 0x10, Realms: 1<<16 | 2, Action: 1, Table: 100},
			"500: from 10.0.0.0/8 to 10.9.0.0/16 tos 0x10 fwmark 0x5/0xff iif eth0 lookup 100 realms 1/2 proto keepalived"},
		{hostnet.Rule{Priority: 501, Inverted: true, Src: p("10.0.0.0/8"), Action: 2, Goto: 2000}, "501: not from 10.0.0.0/8 goto 2000 [unresolved] proto keepalived"},
		{hostnet.Rule{Priority: 502, IPv6: true, Dst: p("2001:db8::/32"), Out: "eth0", Action: 1, Table: 3000, SuppressLength: 3, SuppressesLength: true, SuppressGroup: 5, SuppressesGroup: true},
			"502: from all to 2001:db8::/32 oif eth0 lookup 3000 suppress_prefixlength 3 suppress_ifgroup 5 proto keepalived"},
		{hostnet.Rule{Priority: 503, L3MDev: true, Action: 1}, "503: from all lookup [l3mdev-table] proto keepalived"},
		{hostnet.Rule{Priority: 504, IPv6: true, UIDs: hostnet.RuleRange{Set: true, First: 5, Last: 9}, IPProtocol: 6, SourcePorts: hostnet.RuleRange{Set: true, First: 1, Last: 9},
			DestPorts: hostnet.RuleRange{Set: true, First: 80, Last: 80}, TunnelID: 5, Action: 1, Table: hostnet.TableMain},
			"504: from all uidrange 5-9 ipproto tcp sport 1-9 dport 80 tun_id 5 lookup main proto keepalived"},
		{hostnet.Rule{Priority: 505, Src: p("10.3.0.7/16"), Action: 6}, "505: from 10.3.0.0/16 blackhole proto keepalived"},
		{hostnet.Rule{Priority: 506, Src: p("10.3.0.0/16"), Action: 7}, "506: from 10.3.0.0/16 unreachable proto keepalived"},
		{hostnet.Rule{Priority: 507, Src: p("0.0.0.0/0"), Action: 8}, "507: from all prohibit proto keepalived"},
		{hostnet.Rule{Priority: 508, Mask: 0xff, Action: 3}, "508: from all fwmark 0/0xff nop proto keepalived"},
	} {
		t.Run(tc.want, func(t *testing.T) {
			tc.rule.Protocol = hostnet.ProtocolKeepalived
			family := "-4"
			if tc.rule.IPv6 {
				family = "-6"
			}
			b.do(t, hostnet.AddRule{Rule: tc.rule})
			b.mustShow(t, tc.want, family, "rule")
			s := b.until(t, "the rule is there", func(s *hostnet.Snapshot) bool { return s.HasRule(tc.rule) })
			var own []hostnet.Rule
			for r := range s.OwnRules() {
				own = append(own, r)
			}
			if len(own) != 1 {
				t.Fatalf("rules of ours: %v", own)
			}
			b.fails(t, hostnet.ErrExists, hostnet.AddRule{Rule: tc.rule})
			b.do(t, hostnet.DeleteRule{Rule: own[0]})
			b.mustNotShow(t, tc.want, family, "rule")
			b.until(t, "the rule is gone", func(s *hostnet.Snapshot) bool { return !s.HasRule(tc.rule) })
			b.fails(t, hostnet.ErrNoRule, hostnet.DeleteRule{Rule: tc.rule})
		})
	}
}

// TestWatcherSeesWhatVanishes takes away what VRRP has made, in the ways in which that
// happens.
func TestWatcherSeesWhatVanishes(t *testing.T) {
	b := newBench(t)
	b.do(t, hostnet.AddAddress{Address: hostnet.Address{Link: b.eth1, Prefix: netip.MustParsePrefix("198.51.100.1/24")}})
	in100 := with(route("10.0.0.0/24", hostnet.HopSpec{Link: b.eth1, Gateway: netip.MustParseAddr("198.51.100.9")}), func(r *hostnet.RouteSpec) { r.Table = 100 })
	bySource := with(route("10.0.1.0/24", hostnet.HopSpec{Link: b.eth0}), func(r *hostnet.RouteSpec) { r.Source = netip.MustParseAddr("192.0.2.77") })
	six := route("2001:db8:7::/64", hostnet.HopSpec{Link: b.eth1})
	vip := hostnet.Address{Link: b.eth0, Prefix: netip.MustParsePrefix("192.0.2.77/24")}
	b.do(t, hostnet.AddAddress{Address: vip}, hostnet.AddRoute{RouteSpec: in100}, hostnet.AddRoute{RouteSpec: bySource}, hostnet.AddRoute{RouteSpec: six})
	b.until(t, "all is there", func(s *hostnet.Snapshot) bool {
		return s.HasAddress(vip) && s.HasRoute(in100) && s.HasRoute(bySource) && s.HasRoute(six)
	})
	b.ip(t, "addr", "del", "192.0.2.77/24", "dev", "eth0")
	b.until(t, "the address took its route along", func(s *hostnet.Snapshot) bool { return !s.HasAddress(vip) && !s.HasRoute(bySource) })
	b.ip(t, "route", "del", "10.0.0.0/24", "table", "100")
	b.until(t, "the route of table 100 is gone", func(s *hostnet.Snapshot) bool { return !s.HasRoute(in100) && s.HasRoute(six) })
	b.do(t, hostnet.AddRoute{RouteSpec: in100})
	b.until(t, "it is there again", func(s *hostnet.Snapshot) bool { return s.HasRoute(in100) })
	b.ip(t, "link", "set", "eth1", "down")
	s := b.until(t, "the device took all along", func(s *hostnet.Snapshot) bool { return !s.HasRoute(in100) && !s.HasRoute(six) })
	if l, _ := s.LinkByName("eth1"); l.Admin || l.Running || l.LowerUp {
		t.Errorf("eth1 is down: %+v", l)
	}
}

// TestSourceInTheKernelsOrder asks for the address that adverts start from while addresses
// come and go.
func TestSourceInTheKernelsOrder(t *testing.T) {
	b := newBench(t)
	is := func(what, want string, ipv6 bool) {
		t.Helper()
		b.until(t, what, func(s *hostnet.Snapshot) bool {
			a, _ := s.SourceOf(b.eth1, ipv6, func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.1") })
			return a.IsValid() && a.String() == want || !a.IsValid() && want == ""
		})
	}
	b.ip(t, "addr", "flush", "dev", "eth1")
	is("none is left", "", false)
	is("no link-local one is left", "", true)
	b.ip(t, "addr", "add", "203.0.113.5/24", "dev", "eth1")
	b.ip(t, "addr", "add", "203.0.113.4/24", "dev", "eth1")
	b.ip(t, "addr", "add", "10.0.0.1/24", "dev", "eth1")
	is("the older is first", "203.0.113.5", false)
	b.ip(t, "addr", "add", "192.0.2.201/24", "dev", "eth1", "scope", "link")
	is("of the smaller scope is first", "192.0.2.201", false)
	b.ip(t, "addr", "del", "192.0.2.201/24", "dev", "eth1")
	b.ip(t, "addr", "add", "172.16.0.1/24", "dev", "eth1")
	if err := b.host.Sysctl("net.ipv4.conf.eth1.promote_secondaries", "1"); err != nil {
		t.Fatal(err)
	}
	b.ip(t, "addr", "del", "203.0.113.5/24", "dev", "eth1")
	want := ""
	for _, line := range strings.Split(labtest.Run(t, b.host, "ip", "-4", "-o", "addr", "show", "dev", "eth1"), "\n") {
		if f := strings.Fields(line); want == "" && len(f) > 3 && f[3] != "10.0.0.1/24" {
			want, _, _ = strings.Cut(f[3], "/")
		}
	}
	is("the kernel's order after a promotion", want, false)
	b.ip(t, "addr", "add", "2001:db8:3::1/64", "dev", "eth1", "nodad")
	b.ip(t, "addr", "add", "fe80::77/64", "dev", "eth1", "nodad")
	is("the link-local one", "fe80::77", true)
	b.ip(t, "link", "set", "eth1", "mtu", "1400", "address", "02:00:00:00:00:77")
	b.until(t, "MTU and MAC have changed", func(s *hostnet.Snapshot) bool {
		l, _ := s.LinkByName("eth1")
		return l.MTU == 1400 && l.MAC == [6]byte{2, 5: 0x77} && l.Running && l.LowerUp
	})
}
