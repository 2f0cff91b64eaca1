//go:build netns

package netlab_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// pings fails the test unless each pair answers within a second.
func pings(t *testing.T, from *netlab.Host, to ...netip.Addr) {
	t.Helper()
	for _, a := range to {
		labtest.Run(t, from, "ping", "-n", "-c", "1", "-W", "1", a.String())
	}
}

func TestTwoArmConnectsNeighboursOnly(t *testing.T) {
	netlab.Require(t)
	top := labtest.TwoArm(t, netlab.Plan{Clients: 2, Servers: 2, ClientAddrs: 3})
	director := top.Directors[0]
	for _, c := range top.Clients {
		pings(t, c, director.Addr4("eth0"), director.Addr6("eth0"), top.VIP4, top.VIP6)
	}
	for _, s := range top.Servers {
		pings(t, s, director.Addr4("eth1"), director.Addr6("eth1"), director.Addr4("eth0"), director.Addr6("eth0"))
	}
	for _, c := range top.Clients {
		for _, p := range c.Addrs("eth0") {
			pings(t, director, p.Addr())
		}
	}
	out, err := top.Clients[0].Run(t.Context(), "ping", "-n", "-c", "1", "-W", "0.3", top.Servers[0].Addr4("eth0").String())
	if err == nil {
		t.Errorf("client reaches server past a director that does not forward:\n%s", out)
	}
}

func TestTwoArmForwards(t *testing.T) {
	netlab.Require(t)
	top := labtest.TwoArm(t, netlab.Plan{Servers: 1, Forward: true})
	s := top.Servers[0]
	pings(t, top.Clients[0], s.Addr4("eth0"), s.Addr6("eth0"))
}

func TestOneArmHidesVIPOfServers(t *testing.T) {
	netlab.Require(t)
	top := labtest.OneArm(t, netlab.Plan{Servers: 3, ClientAddrs: 1})
	client, director := top.Clients[0], top.Directors[0]
	for _, s := range top.Servers {
		pings(t, client, s.Addr4("eth0"), s.Addr6("eth0"))
		for _, p := range client.Addrs("eth0") {
			pings(t, s, p.Addr())
		}
	}
	pings(t, client, top.VIP4, top.VIP6)
	mac, err := director.MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	neighbours := labtest.Run(t, client, "ip", "neighbour")
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		want := fmt.Sprintf("%s dev eth0 lladdr %s", vip, mac)
		if !strings.Contains(neighbours, want) {
			t.Errorf("client's neighbours lack %q:\n%s", want, neighbours)
		}
	}
}

func TestPlanWhenTooLarge(t *testing.T) {
	netlab.Require(t)
	for _, p := range []netlab.Plan{{Clients: 100}, {Directors: 10}, {Servers: 51}, {Servers: -1}, {Clients: 2, ClientAddrs: 128}} {
		if top, err := netlab.TwoArm(p); err == nil {
			_ = top.Close()
			t.Errorf("TwoArm(%+v) built a site", p)
		}
	}
}
