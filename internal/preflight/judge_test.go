package preflight_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"uvs/internal/hostnet"
	"uvs/internal/preflight"
)

var (
	vip    = netip.MustParseAddr("192.0.2.10")
	vip6   = netip.MustParseAddr("2001:db8::10")
	server = netip.MustParseAddr("10.0.0.11")
	remote = netip.MustParseAddr("10.9.0.11")
)

// machine has eth0 in front and eth1 behind, which 10.0.0.0/24 is on.
func machine(change func(front, back *hostnet.Link, routes *[]hostnet.Route)) *hostnet.Snapshot {
	front := hostnet.Link{Index: 1, Name: "eth0", MTU: 1500, Admin: true, Up: true, Ethernet: true}
	back := hostnet.Link{Index: 2, Name: "eth1", MTU: 1500, Admin: true, Up: true, Ethernet: true}
	routes := []hostnet.Route{
		{Dst: netip.MustParsePrefix("10.0.0.0/24"), Table: hostnet.TableMain, Kind: hostnet.Unicast, Hops: []hostnet.Hop{{Link: 2, Weight: 1}}},
		{Dst: netip.MustParsePrefix("10.9.0.0/24"), Table: hostnet.TableMain, Kind: hostnet.Unicast,
			Hops: []hostnet.Hop{{Link: 2, Gateway: netip.MustParseAddr("10.0.0.1"), Weight: 1}}},
	}
	if change != nil {
		change(&front, &back, &routes)
	}
	s := hostnet.NewSnapshot([]hostnet.Link{front, back},
		[]hostnet.Address{
			{Link: 1, Prefix: netip.MustParsePrefix("192.0.2.10/24")},
			{Link: 2, Prefix: netip.MustParsePrefix("10.0.0.254/24")},
		},
		[]hostnet.Neighbour{{Link: 2, Addr: server, MAC: [6]byte{2, 0, 0, 0, 0, 11}, Usable: true}}, routes)
	s.Forwarding4 = true
	return s
}

// own is the machine with a route of type local, as the kernel has for each of its addresses.
func own(a string) *hostnet.Snapshot {
	return machine(func(_, _ *hostnet.Link, routes *[]hostnet.Route) {
		*routes = append(*routes, hostnet.Route{Dst: netip.MustParsePrefix(a + "/32"), Table: hostnet.TableLocal, Kind: hostnet.Local, Hops: []hostnet.Hop{{Link: 2, Weight: 1}}})
	})
}

func withRules(rules ...hostnet.Rule) *hostnet.Snapshot {
	s := machine(nil)
	s.Rules = rules
	return s
}

// twoLinks has eth1 and eth2 on 10.0.0.0/24, and the given ways there.
func twoLinks(hops ...hostnet.Hop) *hostnet.Snapshot {
	link := func(index int, name string) hostnet.Link {
		return hostnet.Link{Index: index, Name: name, MTU: 1500, Admin: true, Up: true, Ethernet: true}
	}
	return hostnet.NewSnapshot([]hostnet.Link{link(1, "eth0"), link(2, "eth1"), link(3, "eth2")},
		[]hostnet.Address{
			{Link: 1, Prefix: netip.MustParsePrefix("192.0.2.10/24")},
			{Link: 2, Prefix: netip.MustParsePrefix("10.0.0.254/24")},
			{Link: 3, Prefix: netip.MustParsePrefix("10.0.0.253/24")},
		}, nil,
		[]hostnet.Route{{Dst: netip.MustParsePrefix("10.0.0.0/24"), Table: hostnet.TableMain, Kind: hostnet.Unicast, Hops: hops}})
}

func TestJudge(t *testing.T) {
	site := func(nat bool, servers ...netip.Addr) preflight.Site {
		s := preflight.Service{Addr: vip}
		for _, a := range servers {
			s.Servers = append(s.Servers, preflight.Server{Addr: a, NAT: nat})
		}
		return preflight.Site{Services: []preflight.Service{s}}
	}
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 11}
	for _, c := range []struct {
		name  string
		site  preflight.Site
		facts preflight.Facts
		want  []string // "problem: " or "note: " and what the text must hold
	}{
		{"all is well", site(true, server), preflight.Facts{Network: machine(nil)}, nil},
		{
			"a cloud's machine", site(true, server), preflight.Facts{Network: machine(nil), Cloud: "Amazon EC2"},
			[]string{"note: this machine is of Amazon EC2: addresses move only when the cloud is told (notify_master), and its source/destination check of this machine has to be off"},
		},
		{
			"adverts one by one", preflight.Site{Unicast: true}, preflight.Facts{Network: machine(nil)},
			[]string{"note: VRRP goes to its peers one by one, as in a cloud's network. If this is one: addresses move only when"},
		},
		{
			"a DR server answers ARP", site(false, server),
			preflight.Facts{Network: machine(nil), Claims: []preflight.Claim{{VIP: vip, Interface: "eth0", MAC: mac, Server: server}}},
			[]string{"problem: real server 10.0.0.11 (02:00:00:00:00:0b) answers for the virtual address 192.0.2.10 on eth0, so clients go past the director; " +
				"set net.ipv4.conf.all.arp_ignore=1 and arp_announce=2 there"},
		},
		{
			"a stranger answers ARP for a NAT service", site(true, server),
			preflight.Facts{Network: machine(nil), Claims: []preflight.Claim{{VIP: vip, Interface: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 99}}}},
			[]string{"problem: 02:00:00:00:00:63 answers for the virtual address 192.0.2.10 on eth0, so two hosts have it"},
		},
		{
			"another host has the address of a backup",
			preflight.Site{Services: []preflight.Service{{Addr: vip, Floating: true, Servers: []preflight.Server{{Addr: server}}}}},
			preflight.Facts{Network: machine(nil), Claims: []preflight.Claim{{VIP: vip, Interface: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 99}}}},
			[]string{"note: 02:00:00:00:00:63 answers for the virtual address 192.0.2.10 on eth0, which this machine does not have now: fine if that is the master"},
		},
		{
			"a DR server answers while a backup waits",
			preflight.Site{Services: []preflight.Service{{Addr: vip, Floating: true, Servers: []preflight.Server{{Addr: server}}}}},
			preflight.Facts{Network: machine(nil), Claims: []preflight.Claim{{VIP: vip, Interface: "eth0", MAC: mac, Server: server}}},
			[]string{"problem: real server 10.0.0.11 (02:00:00:00:00:0b) answers for the virtual address 192.0.2.10 on eth0, so clients go past the director"},
		},
		{
			"a NAT server with another gateway", site(true, server),
			preflight.Facts{Network: machine(nil), Gateways: []preflight.Gateway{{
				Server: server, From: vip, Beside: netip.MustParseAddr("10.0.0.254"), Way: preflight.Elsewhere, Interface: "eth0"}}},
			[]string{"problem: real server 10.0.0.11 (NAT) sends what is for other networks past this machine: its answer to 192.0.2.10 came in by eth0 over a router; " +
				"make 10.0.0.254 its default gateway"},
		},
		{
			"a NAT server without a gateway", site(true, server),
			preflight.Facts{Network: machine(nil), Gateways: []preflight.Gateway{{
				Server: server, From: vip, Beside: netip.MustParseAddr("10.0.0.254"), Way: preflight.Nowhere}}},
			[]string{"problem: real server 10.0.0.11 (NAT) answers 10.0.0.254 but not 192.0.2.10"},
		},
		{
			"a NAT server that answers straight", site(true, server),
			preflight.Facts{Network: machine(nil), Gateways: []preflight.Gateway{{Server: server, Way: preflight.Straight}}}, nil,
		},
		{"a NAT server behind a router", site(true, remote), preflight.Facts{Network: machine(nil)}, []string{"note: real server 10.9.0.11 (NAT) is behind the router 10.0.0.1"}},
		{"a DR server behind a router", site(false, remote), preflight.Facts{Network: machine(nil)}, []string{"problem: real server 10.9.0.11 (DR) is behind the router 10.0.0.1"}},
		{
			"a server with FULLNAT, or by a tunnel, behind a router",
			preflight.Site{Services: []preflight.Service{{Addr: vip, Servers: []preflight.Server{{Addr: remote, NAT: true, Anywhere: true}}},
				{Addr: vip, Servers: []preflight.Server{{Addr: remote, Anywhere: true}}}}},
			preflight.Facts{Network: machine(nil)}, nil,
		},
		{
			"a NAT server that is the machine itself, and a strict reverse path filter", site(true, netip.MustParseAddr("10.0.0.254")),
			preflight.Facts{StrictReversePath: []string{"eth0"}, Network: own("10.0.0.254")},
			[]string{"note: real server 10.0.0.254 (NAT) is this machine itself, and net.ipv4.conf.eth0.rp_filter is 1"},
		},
		{"a DR server that is the machine itself", site(false, netip.MustParseAddr("10.0.0.254")), preflight.Facts{Network: own("10.0.0.254")}, nil},
		{
			"no route", site(false, netip.MustParseAddr("172.16.0.1")), preflight.Facts{Network: machine(nil)},
			[]string{"problem: there is no route to real server 172.16.0.1"},
		},
		{
			"no forwarding", site(true, server), preflight.Facts{Network: func() *hostnet.Snapshot { s := machine(nil); s.Forwarding4 = false; return s }()},
			[]string{"note: net.ipv4.ip_forward is 0"},
		},
		{"no forwarding and direct routing", site(false, server), preflight.Facts{Network: func() *hostnet.Snapshot { s := machine(nil); s.Forwarding4 = false; return s }()}, nil},
		{
			"strict reverse path filter and two links on a network", site(false, server),
			preflight.Facts{StrictReversePath: []string{"eth1", "eth2"}, Network: twoLinks(hostnet.Hop{Link: 2, Weight: 1})},
			[]string{"note: net.ipv4.conf.eth2.rp_filter is 1, and real server 10.0.0.11 is on the network of eth2 although the way to it is eth1"},
		},
		{
			"loose reverse path filter and two links on a network", site(false, server),
			preflight.Facts{StrictReversePath: []string{"eth1"}, Network: twoLinks(hostnet.Hop{Link: 2, Weight: 1})}, nil,
		},
		{
			"strict reverse path filter and two equal ways", site(false, server),
			preflight.Facts{StrictReversePath: []string{"eth1", "eth2"}, Network: twoLinks(hostnet.Hop{Link: 2, Weight: 1}, hostnet.Hop{Link: 3, Weight: 1})}, nil,
		},
		{
			"policy rules", site(false, server), preflight.Facts{Network: withRules(
				hostnet.Rule{Priority: 100, Src: netip.MustParsePrefix("192.0.2.10/32"), Table: 100, Action: 1}, hostnet.Rule{Priority: 1000, L3MDev: true, Action: 1},
				hostnet.Rule{Priority: 100, IPv6: true, Table: 100, Action: 1})},
			[]string{"note: policy rules (100: from 192.0.2.10/32 lookup 100) are not obeyed"},
		},
		{"rules of VRFs", site(false, server), preflight.Facts{Network: withRules(hostnet.Rule{Priority: 1000, L3MDev: true, Action: 1})}, nil},
		{"large receive offload", site(false, server), preflight.Facts{Network: machine(nil), LargeReceive: []string{"eth0"}}, []string{"problem: eth0 has large-receive-offload on"}},
		{
			"a smaller MTU behind", site(false, server), preflight.Facts{Network: machine(func(_, back *hostnet.Link, _ *[]hostnet.Route) { back.MTU = 1400 })},
			[]string{"note: packets for 192.0.2.10 may have 1500 bytes on eth0 but only 1400 on eth1 towards real server 10.0.0.11"},
		},
		{
			"a route with a smaller MTU", site(false, server), preflight.Facts{Network: machine(func(_, _ *hostnet.Link, routes *[]hostnet.Route) { (*routes)[0].MTU = 1300 })},
			[]string{"note: packets for 192.0.2.10 may have 1500 bytes on eth0 but only 1300 on eth1"},
		},
		{
			"firewall rules", site(false, server), preflight.Facts{Network: machine(nil), Rules: []preflight.FirewallRule{
				{VIP: vip, Place: "a"}, {VIP: vip, Place: "a"}, {VIP: vip, Place: "b"}, {VIP: vip, Place: "c"}, {VIP: vip, Place: "d"}, {VIP: vip6, Place: "e"},
			}},
			[]string{"note: firewall rules mention the virtual address 192.0.2.10 (a; b; c and 1 more)"},
		},
		{
			"problems come first", site(true, server, netip.MustParseAddr("172.16.0.1")),
			preflight.Facts{Network: machine(func(_, back *hostnet.Link, _ *[]hostnet.Route) { back.MTU = 1400 }), LargeReceive: []string{"eth1"}},
			[]string{"problem: there is no route", "problem: eth1 has large", "note: packets for"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := preflight.Judge(c.site, c.facts)
			if len(got) != len(c.want) {
				t.Fatalf("got %d findings, want %d: %v", len(got), len(c.want), got)
			}
			for i, f := range got {
				kind := "note: "
				if f.Problem {
					kind = "problem: "
				}
				if !strings.HasPrefix(kind+f.Text, c.want[i]) {
					t.Errorf("finding %d\n got %s\nwant %s…", i, kind+f.Text, c.want[i])
				}
			}
		})
	}
}

func TestJudgeWithoutFacts(t *testing.T) {
	site := preflight.Site{Services: []preflight.Service{{Addr: vip, Servers: []preflight.Server{{Addr: server, NAT: true}}}}}
	if got := preflight.Judge(site, preflight.Facts{}); len(got) != 0 {
		t.Errorf("nothing is known and yet found: %v", slices.Collect(slices.Values(got)))
	}
}
