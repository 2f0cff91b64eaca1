package preflight

import (
	"net/netip"
	"slices"
	"testing"

	"uvs/internal/hostnet"
)

func TestLinksOf(t *testing.T) {
	link := func(index int, name string) hostnet.Link {
		return hostnet.Link{Index: index, Name: name, Admin: true, Up: true, Ethernet: true}
	}
	lo := hostnet.Link{Index: 1, Name: "lo", Admin: true, Up: true, Loopback: true}
	down, quiet := link(5, "eth3"), link(6, "eth4")
	down.Up, quiet.NoARP = false, true
	on := func(index int, prefix string) hostnet.Address {
		return hostnet.Address{Link: index, Prefix: netip.MustParsePrefix(prefix)}
	}
	route := func(index int, dst, gateway string) hostnet.Route {
		hop := hostnet.Hop{Link: index, Weight: 1}
		if gateway != "" {
			hop.Gateway = netip.MustParseAddr(gateway)
		}
		return hostnet.Route{Dst: netip.MustParsePrefix(dst), Table: hostnet.TableMain, Kind: hostnet.Unicast, Hops: []hostnet.Hop{hop}}
	}
	n := hostnet.NewSnapshot(
		[]hostnet.Link{lo, link(2, "eth0"), link(3, "eth1"), link(4, "eth2"), down, quiet},
		[]hostnet.Address{
			on(1, "192.0.2.10/32"), on(1, "198.51.100.9/32"), on(2, "192.0.2.1/24"), on(3, "10.0.0.1/24"),
			on(4, "203.0.113.5/32"), on(5, "203.0.113.6/32"), on(6, "203.0.113.7/32"),
		},
		nil,
		[]hostnet.Route{route(2, "192.0.2.0/24", ""), route(3, "10.0.0.0/24", ""), route(3, "0.0.0.0/0", ""), route(4, "198.51.100.0/24", "203.0.113.1")})
	for _, c := range []struct {
		name, vip string
		want      []string
	}{
		{"on lo, and a network on eth0", "192.0.2.10", []string{"eth0"}},
		{"on lo, and routed here by others", "198.51.100.9", nil},
		{"on eth2 itself", "203.0.113.5", []string{"eth2"}},
		{"on a link that is down", "203.0.113.6", nil},
		{"on a link without ARP", "203.0.113.7", nil},
		{"nowhere yet, in a network on eth1", "10.0.0.9", []string{"eth1"}},
	} {
		var got []string
		for _, l := range linksOf(n, netip.MustParseAddr(c.vip)) {
			got = append(got, l.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: asked on %v, want %v", c.name, got, c.want)
		}
	}
}
