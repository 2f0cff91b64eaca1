package daemon

import (
	"net/netip"
	"slices"
	"testing"

	"uvs/forwarding"
	"uvs/internal/hostnet"
)

func ethernet(index int, name string) hostnet.Link {
	return hostnet.Link{Index: index, Name: name, Ethernet: true, Admin: true, Up: true, MTU: 1500, MAC: [6]byte{2, 5: byte(index)}}
}

func TestKeepPoints(t *testing.T) {
	down, port := ethernet(3, "down"), ethernet(4, "port")
	down.Up, down.Admin = false, false
	port.Master, port.MasterKind = 9, "bridge"
	s := hostnet.NewSnapshot([]hostnet.Link{ethernet(2, "eth0"), down, port, ethernet(5, "eth1")}, nil, nil, nil)
	got := keepPoints(s, []int{3, 4, 7, 5}, []int{2, 5})
	if want := []int{2, 3, 5}; !slices.Equal(got, want) {
		t.Errorf("captured %v, want %v: the one that is down stays, a bridge's port and one that is gone do not", got, want)
	}
}

func TestNetworkOf(t *testing.T) {
	gateway := netip.MustParseAddr("192.0.2.1")
	unicast := func(dst string, link int, via netip.Addr) hostnet.Route {
		return hostnet.Route{Dst: netip.MustParsePrefix(dst), Table: hostnet.TableMain, Kind: hostnet.Unicast, Hops: []hostnet.Hop{{Link: link, Gateway: via, Weight: 1}}}
	}
	tunnel := hostnet.Link{Index: 7, Name: "wg0", Admin: true, Up: true}
	s := hostnet.NewSnapshot(
		[]hostnet.Link{ethernet(2, "eth0"), tunnel},
		[]hostnet.Address{{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.2/24")}},
		[]hostnet.Neighbour{
			{Link: 2, Addr: gateway, MAC: [6]byte{1}, State: hostnet.Reachable, Usable: true},
			{Link: 2, Addr: netip.MustParseAddr("192.0.2.9"), MAC: [6]byte{9}, State: hostnet.Stale, Usable: true},
			{Link: 2, Addr: netip.MustParseAddr("192.0.2.8"), State: hostnet.Failed},
		},
		[]hostnet.Route{
			unicast("0.0.0.0/0", 2, gateway),
			unicast("10.9.0.0/16", 7, netip.Addr{}),
			{Dst: netip.MustParsePrefix("203.0.113.0/24"), Table: hostnet.TableMain, Kind: hostnet.Blackhole},
			{Dst: netip.MustParsePrefix("198.51.100.0/24"), Table: hostnet.TableLocal, Kind: hostnet.Local},
		})
	n := networkOf(s)
	if len(n.Links) != 1 || n.Links[0].Index != 2 {
		t.Errorf("links %+v, want only the Ethernet one", n.Links)
	}
	want := []forwarding.Neighbour{{Link: 2, Addr: gateway, MAC: [6]byte{1}}, {Link: 2, Addr: netip.MustParseAddr("192.0.2.9"), MAC: [6]byte{9}, Stale: true}}
	if !slices.Equal(n.Neighbours, want) {
		t.Errorf("neighbours %+v\nwant %+v", n.Neighbours, want)
	}
	locals := []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("198.51.100.0/24")}
	if !slices.Equal(n.Locals, locals) {
		t.Errorf("locals %v, want %v", n.Locals, locals)
	}
	routes := forwarding.NewRoutes(n)
	for addr, found := range map[string]bool{"8.8.8.8": true, "10.9.1.1": false, "203.0.113.4": false} {
		a := netip.MustParseAddr(addr).As4()
		key := [16]byte{a[0], a[1], a[2], a[3]}
		if _, ok := routes.Lookup(&key, false, 0); ok != found {
			t.Errorf("a way to %s: %t, want %t", addr, ok, found)
		}
	}
	if got := sendOnly(s, nil); !slices.Equal(got, []int{2}) {
		t.Errorf("answers may leave by %v, want [2]", got)
	}
}

// TestNetworkOfLink: what a link's frames are judged by.
func TestNetworkOfLink(t *testing.T) {
	vlan := ethernet(3, "eth0.7")
	vlan.Kind, vlan.Parent, vlan.VLAN = "vlan", 2, 7
	address := func(prefix string, flags hostnet.AddressFlags) hostnet.Address {
		return hostnet.Address{Link: 2, Prefix: netip.MustParsePrefix(prefix), Flags: flags}
	}
	s := hostnet.NewSnapshot(
		[]hostnet.Link{ethernet(2, "eth0"), vlan},
		[]hostnet.Address{
			address("192.0.2.3/32", 0), address("192.0.2.4/24", hostnet.FlagSecondary), address("192.0.2.7/24", 0),
			address("2001:db8::1/64", hostnet.FlagDeprecated), address("2001:db8::2/64", 0), address("2001:db8::3/64", hostnet.FlagTentative),
			{Link: 2, Prefix: netip.MustParsePrefix("127.0.0.9/8"), Scope: hostnet.ScopeHost},
		}, nil,
		[]hostnet.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Table: hostnet.TableMain, Kind: hostnet.Unicast, MTU: 1400,
			Source: netip.MustParseAddr("192.0.2.7"), Hops: []hostnet.Hop{{Link: 2, Weight: 1}}}})
	n := networkOf(s)
	if got := n.Links[0]; got.MTU != 1500 || !slices.Equal(got.VLANs, []uint16{7}) {
		t.Errorf("eth0 has MTU %d and VLAN devices %v, want 1500 and [7]", got.MTU, got.VLANs)
	}
	var sources []string
	for _, p := range n.Links[0].Sources {
		sources = append(sources, p.String())
	}
	want := []string{"192.0.2.7/24", "2001:db8::2/64", "192.0.2.3/32", "192.0.2.4/24", "2001:db8::1/64"}
	if !slices.Equal(sources, want) {
		t.Errorf("sources %v, want %v", sources, want)
	}
	if r := n.Routes[0]; r.MTU != 1400 || r.Source != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("the route is %+v, want its MTU and source", r)
	}
}
