//go:build netns

package e2e

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// moveAddresses gives the addresses of an interface to another one.
func moveAddresses(t *testing.T, h *netlab.Host, from, to string) {
	t.Helper()
	for _, p := range h.Addrs(from) {
		if err := h.DelAddr(from, p); err != nil {
			t.Fatal(err)
		}
		if err := h.AddAddr(to, p); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTopologies: whatever devices a director has its addresses on, each segment is
// forwarded exactly once.
func TestTopologies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		onTop string // the device that has the virtual addresses
		base  string // the device of VRRP, if it is another: one with an address
		setUp func(t *testing.T, director *netlab.Host)
	}{
		{"bridge", "br0", "", func(t *testing.T, h *netlab.Host) {
			labtest.Run(t, h, "ip", "link", "add", "br0", "type", "bridge")
			labtest.Run(t, h, "ip", "link", "set", "br0", "up")
			labtest.Run(t, h, "ip", "link", "set", "eth0", "master", "br0")
			moveAddresses(t, h, "eth0", "br0")
		}},
		{"macvlan", "mv0", "", func(t *testing.T, h *netlab.Host) {
			labtest.Run(t, h, "ip", "link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
			labtest.Run(t, h, "ip", "link", "set", "mv0", "up")
			moveAddresses(t, h, "eth0", "mv0")
		}},
		{"macvlan beside its parent", "mv0", "eth0", func(t *testing.T, h *netlab.Host) {
			labtest.Run(t, h, "ip", "link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
			labtest.Run(t, h, "ip", "link", "set", "mv0", "up")
		}},
	} {
		for _, m := range modes() {
			t.Run(tc.name+", "+m.name, func(t *testing.T) {
				top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
				tc.setUp(t, top.Directors[0])
				for _, h := range top.Servers {
					startWeb(t, h)
				}
				config := strings.Replace(m.config(top), "interface eth0", "interface "+cmp.Or(tc.base, tc.onTop), 1)
				for _, vip := range []string{top.VIP4.String() + "/24", top.VIP6.String() + "/64"} {
					config = strings.Replace(config, vip, vip+" dev "+tc.onTop, 1)
				}
				d := startDirector(t, top.Directors[0], config, "--workers", "2")
				forwardedOnce(t, top, top.Clients[0])
				d.stop()
			})
		}
	}
}

// TestBridgeBetween: the director is the bridge between clients and servers of one network. It
// takes what is for itself, each segment once, and bridges the rest.
func TestBridgeBetween(t *testing.T) {
	t.Parallel()
	dr := modes()[1]
	top := dr.site(t, netlab.Plan{Servers: 2, NoVIP: true})
	director, client := top.Directors[0], top.Clients[0]
	front, err := top.AddBridge("front")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		host   *netlab.Host
		ifname string
	}{{client, "eth1"}, {director, "eth9"}} {
		if err := front.Attach(x.host, x.ifname); err != nil {
			t.Fatal(err)
		}
	}
	moveAddresses(t, client, "eth0", "eth1")
	if err := client.SetDown("eth0"); err != nil {
		t.Fatal(err)
	}
	outer, err := director.MAC("eth9") // so that frames are for the host at the port, too
	if err != nil {
		t.Fatal(err)
	}
	labtest.Run(t, director, "ip", "link", "add", "br0", "address", outer.String(), "type", "bridge")
	labtest.Run(t, director, "ip", "link", "set", "br0", "up")
	for _, port := range []string{"eth0", "eth9"} {
		labtest.Run(t, director, "ip", "link", "set", port, "master", "br0")
	}
	moveAddresses(t, director, "eth0", "br0")
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	d := startDirector(t, director, strings.Replace(dr.config(top), "interface eth0", "interface br0", 1), "--workers", "2")
	w := startWiresOn(t, top, "eth1", "eth0")
	for range 4 {
		for _, to := range []netip.Addr{top.VIP4, top.VIP6, top.Servers[0].Addr4("eth0"), top.Servers[1].Addr6("eth0")} {
			if got := curl(t, client, url(to, 80, "/")); !strings.HasPrefix(got, "server") {
				t.Errorf("%s answers %q", to, got)
			}
		}
	}
	w.check(32)
	if n := d.status().Flows.Created; n != 8 {
		t.Errorf("%d flows were made for 8 connections to the virtual addresses", n)
	}
	d.stop()
}

// forwardedOnce makes connections of both families, with a body longer than a segment, and
// compares what the two sides saw.
func forwardedOnce(t *testing.T, top *netlab.Topology, client *netlab.Host, args ...string) {
	t.Helper()
	w := startWires(t, top)
	for range 4 {
		for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			if got := curl(t, client, append(args, url(vip, 80, "/"))...); !strings.HasPrefix(got, "server") {
				t.Errorf("%s answers %q", vip, got)
			}
		}
	}
	w.check(16)
}

// TestOneArmNAT: clients from another network, the director and the servers share one
// Ethernet; the servers' way back leads over the director.
func TestOneArmNAT(t *testing.T) {
	t.Parallel()
	top := labtest.OneArm(t, netlab.Plan{Servers: 2, ClientAddrs: 1, NoVIP: true})
	director, client := top.Directors[0], top.Clients[0]
	for _, h := range top.Servers {
		for _, r := range []struct {
			prefix string
			via    netip.Addr
		}{{"203.0.113.0/24", director.Addr4("eth0")}, {"2001:db8:3::/64", director.Addr6("eth0")}} {
			labtest.Run(t, h, "ip", "route", "replace", r.prefix, "via", r.via.String(), "dev", "eth0")
		}
		startWeb(t, h)
	}
	nat := modes()[0]
	d := startDirector(t, director, nat.config(top), "--workers", "2")
	w := startWires(t, top)
	for range 4 {
		for i, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			source := []string{"203.0.113.1", "2001:db8:3::1"}[i]
			if got := curl(t, client, "--interface", source, url(vip, 80, "/")); !strings.HasPrefix(got, "server") {
				t.Errorf("%s answers %q", vip, got)
			}
		}
	}
	w.check(16)
	d.stop()
}

// TestManyClients: five thousand clients of each family on the link, which the kernel's
// neighbour table does not hold, are answered.
func TestManyClients(t *testing.T) {
	t.Parallel()
	const clients = 5000
	nat := modes()[0]
	top := nat.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director, client := top.Directors[0], top.Clients[0]
	config := strings.ReplaceAll(nat.config(top), "protocol TCP", "protocol UDP")
	d := startDirector(t, director, uncheck(config), "--workers", "2")
	if err := client.Sysctl("net.ipv6.ip_nonlocal_bind", "1"); err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		vip  netip.Addr
		net  string
		from func(i int) netip.Addr
	}{
		{top.VIP4, "10.64.0.0/16", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 64, byte(i >> 8), byte(i)}) }},
		{top.VIP6, "2001:db8:64::/64", func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x64, 14: byte(i >> 8), 15: byte(i)})
		}},
	} {
		echoUDP(t, top.Servers[0], nat, f.vip)
		if err := director.AddRoute(netip.MustParsePrefix(f.net), netip.Addr{}, "eth0"); err != nil {
			t.Fatal(err)
		}
		labtest.Run(t, client, "ip", "route", "add", "local", f.net, "dev", "lo")
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(f.vip, 80))
		for i := range clients {
			source := f.from(1 + i)
			c, err := client.ListenPacket(t.Context(), "udp", netip.AddrPortFrom(source, 40000).String())
			if err != nil {
				t.Fatal(err)
			}
			answer, err := exchangeUDP(c, to, fmt.Append(nil, source))
			c.Close() //nolint:errcheck // this client is done
			if err != nil || answer != "server1 "+source.String() {
				t.Fatalf("client %d of %d, %s: answer %q, %v", i+1, clients, source, answer, err)
			}
		}
	}
	if s := d.status(); s.Flows.Current != 2*clients {
		t.Errorf("%d flows, want %d", s.Flows.Current, 2*clients)
	}
}
