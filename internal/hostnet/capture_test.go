package hostnet_test

import (
	"net/netip"
	"slices"
	"testing"

	"uvs/internal/hostnet"
)

// of changes a device for a test case.
func of(l hostnet.Link, change func(*hostnet.Link)) hostnet.Link { change(&l); return l }

func under(l hostnet.Link, master int, kind string) hostnet.Link {
	l.Master, l.MasterKind = master, kind
	return l
}

func ofKind(l hostnet.Link, kind string) hostnet.Link { l.Kind = kind; return l }

func vlan(index int, name string, parent int, id uint16) hostnet.Link {
	l := ofKind(eth(index, name), "vlan")
	l.Parent, l.VLAN = parent, id
	return l
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, addr(s))
	}
	return out
}

func TestCapturePoints(t *testing.T) {
	const vip4, vip6 = "198.51.100.80", "2001:db8:1::80"
	twoArm := []hostnet.Link{loopback(), eth(2, "eth0"), eth(3, "eth1")}
	twoArmAddrs := slices.Concat(on(2, "198.51.100.1/24", "2001:db8:1::1/64"), on(3, "192.0.2.1/24"))
	servers := addrs("192.0.2.201")
	toServers := via("192.0.2.0/24", "", 3)
	down := func(l *hostnet.Link) { l.Up = false }

	for _, tc := range []struct {
		name    string
		links   []hostnet.Link
		addrs   []hostnet.Address
		routes  []hostnet.Route
		vips    []netip.Addr
		servers []netip.Addr
		want    []int
	}{
		{"two arms, NAT", twoArm, append(on(2, vip4+"/32"), twoArmAddrs...), []hostnet.Route{toServers}, addrs(vip4), servers, []int{2, 3}},
		{"two arms, direct routing", twoArm, append(on(2, vip4+"/32"), twoArmAddrs...), []hostnet.Route{toServers}, addrs(vip4), nil, []int{2, 3}},
		{"one arm, NAT", twoArm[:2], on(2, vip4+"/32", "198.51.100.1/24"), []hostnet.Route{via("198.51.100.0/24", "", 2)}, addrs(vip4), addrs("198.51.100.201"), []int{2}},
		{"servers behind a gateway", twoArm, append(on(2, vip4+"/32"), twoArmAddrs...), []hostnet.Route{toServers, via("10.0.0.0/8", "192.0.2.254", 3)}, addrs(vip4), addrs("10.1.1.1"), []int{2, 3}},
		{
			"servers by two gateways", append(twoArm, eth(4, "eth2")), append(on(2, vip4+"/32"), twoArmAddrs...),
			[]hostnet.Route{{Dst: prefix("10.0.0.0/8"), Table: hostnet.TableMain, Kind: hostnet.Unicast, Hops: []hostnet.Hop{{Link: 3, Weight: 1}, {Link: 4, Weight: 1}}}},
			addrs(vip4), addrs("10.1.1.1"), []int{2, 3, 4},
		},
		{"server that cannot be reached", twoArm, append(on(2, vip4+"/32"), twoArmAddrs...), []hostnet.Route{kind("10.0.0.0/8", hostnet.TableMain, hostnet.Blackhole)}, addrs(vip4), addrs("10.1.1.1"), []int{2, 3}},
		{"server on this host", twoArm, append(on(2, vip4+"/32"), twoArmAddrs...), []hostnet.Route{kind("192.0.2.1/32", hostnet.TableLocal, hostnet.Local), toServers}, addrs(vip4), addrs("192.0.2.1"), []int{2, 3}},
		{"VIP that nobody has", twoArm, twoArmAddrs, nil, addrs(vip4), nil, nil},
		{"VIP on two devices", twoArm, slices.Concat(on(2, vip4+"/32"), on(3, vip4+"/32")), nil, addrs(vip4), nil, []int{2, 3}},

		{"VIP on lo, IPv4", twoArm, append(on(1, vip4+"/32", "127.0.0.1/8"), twoArmAddrs...), nil, addrs(vip4), nil, []int{2, 3}},
		{"VIP on lo, IPv6", twoArm, append(on(1, vip6+"/128"), twoArmAddrs...), nil, addrs(vip6), nil, []int{2, 3}},
		{"VIP on a dummy", append(twoArm, ofKind(eth(4, "dummy0"), "dummy")), append(on(4, vip4+"/32"), twoArmAddrs...), nil, addrs(vip4), nil, []int{2, 3}},
		{"VIP by a local route", twoArm, twoArmAddrs, []hostnet.Route{kind("198.51.100.80/32", hostnet.TableLocal, hostnet.Local)}, addrs(vip4), nil, []int{2, 3}},

		{
			"bridge has the address", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "bridge"), under(eth(3, "tap0"), 4, "bridge"), ofKind(eth(4, "br0"), "bridge")},
			on(4, vip4+"/32"), nil, addrs(vip4), nil, []int{4},
		},
		{
			"port of a bridge has the address", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "bridge"), ofKind(eth(4, "br0"), "bridge")},
			on(2, vip4+"/32"), nil, addrs(vip4), nil, []int{4},
		},
		{
			"VIP on lo beside a bridge", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "bridge"), ofKind(eth(4, "br0"), "bridge"), eth(5, "eth1")},
			slices.Concat(on(1, vip4+"/32"), on(4, "198.51.100.1/24")), nil, addrs(vip4), nil, []int{4, 5},
		},
		{
			"bond", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "bond"), under(eth(3, "eth1"), 4, "bond"), ofKind(eth(4, "bond0"), "bond")},
			on(4, vip4+"/32", "192.0.2.1/24"), []hostnet.Route{via("192.0.2.0/24", "", 4)}, addrs(vip4), servers, []int{4},
		},
		{
			"bond in a bridge", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "bond"), under(ofKind(eth(4, "bond0"), "bond"), 5, "bridge"), ofKind(eth(5, "br0"), "bridge")},
			on(4, vip4+"/32"), nil, addrs(vip4), nil, []int{5},
		},
		{
			"VLANs on a bond", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "bond"), ofKind(eth(4, "bond0"), "bond"), vlan(5, "bond0.10", 4, 10), vlan(6, "bond0.20", 4, 20)},
			slices.Concat(on(5, vip4+"/32"), on(6, "192.0.2.1/24")), []hostnet.Route{via("192.0.2.0/24", "", 6)}, addrs(vip4), servers, []int{4, 5, 6},
		},
		{
			"VLAN and its parent", []hostnet.Link{loopback(), eth(2, "eth0"), vlan(5, "eth0.10", 2, 10)},
			slices.Concat(on(2, vip4+"/32"), on(5, "192.0.2.1/24")), []hostnet.Route{via("192.0.2.0/24", "", 5)}, addrs(vip4), servers, []int{2, 5},
		},
		{
			"macvlan", []hostnet.Link{loopback(), eth(2, "eth0"), of(ofKind(eth(4, "vrrp.51"), "macvlan"), func(l *hostnet.Link) { l.Parent = 2 })},
			slices.Concat(on(2, "198.51.100.1/24"), on(4, vip4+"/32")), nil, addrs(vip4), nil, []int{2, 4},
		},
		{
			"device in a VRF", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "vrf"), ofKind(eth(4, "red"), "vrf")},
			on(2, vip4+"/32"), nil, addrs(vip4), nil, []int{2},
		},
		{
			"bridge in a VRF", []hostnet.Link{loopback(), under(eth(2, "eth0"), 3, "bridge"), under(ofKind(eth(3, "br0"), "bridge"), 4, "vrf"), ofKind(eth(4, "red"), "vrf")},
			on(3, vip4+"/32"), nil, addrs(vip4), nil, []int{3},
		},
		{
			"VIP on a VRF", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "vrf"), eth(3, "eth1"), ofKind(eth(4, "red"), "vrf")},
			slices.Concat(on(4, vip4+"/32"), on(2, "198.51.100.1/24"), on(3, "192.0.2.1/24")), nil, addrs(vip4), nil, []int{2},
		},
		{
			"VIP on lo beside a VRF", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "vrf"), eth(3, "eth1"), ofKind(eth(4, "red"), "vrf")},
			slices.Concat(on(1, vip4+"/32"), on(2, "198.51.100.1/24"), on(3, "192.0.2.1/24")), nil, addrs(vip4), nil, []int{3},
		},
		{
			"VIP on lo beside a VRF with an address", []hostnet.Link{loopback(), eth(3, "eth1"), ofKind(eth(4, "red"), "vrf")},
			slices.Concat(on(1, vip4+"/32"), on(4, "10.9.9.9/32"), on(3, "192.0.2.1/24")), nil, addrs(vip4), nil, []int{3},
		},

		{
			"device in a VRF beside another", []hostnet.Link{loopback(), under(eth(2, "eth0"), 4, "vrf"), eth(3, "eth1"), ofKind(eth(4, "red"), "vrf"), under(eth(5, "eth2"), 4, "vrf")},
			on(2, vip4+"/32"), nil, addrs(vip4), nil, []int{2, 5},
		},
		{
			"device that is set down", []hostnet.Link{loopback(), eth(2, "eth0"), of(eth(3, "eth1"), func(l *hostnet.Link) { l.Admin, l.Up = false, false })},
			on(2, vip4+"/32"), nil, addrs(vip4), nil, []int{2},
		},
		{
			"device with an address that is set down", []hostnet.Link{loopback(), eth(2, "eth0"), of(eth(3, "eth1"), func(l *hostnet.Link) { l.Admin, l.Up = false, false })},
			slices.Concat(on(2, vip4+"/32"), on(3, "192.0.2.1/24")), nil, addrs(vip4), nil, []int{2, 3},
		},
		{"device without carrier", []hostnet.Link{loopback(), of(eth(2, "eth0"), down)}, on(2, vip4+"/32"), nil, addrs(vip4), nil, []int{2}},
		{"tunnel", []hostnet.Link{loopback(), of(eth(2, "wg0"), func(l *hostnet.Link) { l.Ethernet = false })}, on(2, vip4+"/32"), nil, addrs(vip4), nil, nil},
		{"both families", twoArm, slices.Concat(on(2, vip4+"/32"), on(3, vip6+"/128")), nil, addrs(vip4, vip6), nil, []int{2, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := hostnet.NewSnapshot(tc.links, tc.addrs, nil, tc.routes)
			if got := hostnet.CapturePoints(s, tc.vips, tc.servers); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
