//go:build netns && guest

package e2e

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// Tests with the tag guest need devices that not every kernel has. scripts/guest.sh runs
// them in a virtual machine with Debian's kernel.

// slowness is by how much longer a program may take in a machine that is emulated.
const slowness = 5

func modprobe(t *testing.T, modules ...string) {
	t.Helper()
	for _, m := range modules {
		if out, err := exec.CommandContext(t.Context(), "modprobe", m).CombinedOutput(); err != nil {
			t.Fatalf("modprobe %s: %v\n%s", m, err, out)
		}
	}
}

// onVLAN puts hosts on VLAN 10 of what eth0 is on.
func onVLAN(t *testing.T, hosts []*netlab.Host) {
	t.Helper()
	for _, h := range hosts {
		labtest.Run(t, h, "ip", "link", "add", "link", "eth0", "name", "eth0.10", "type", "vlan", "id", "10")
		labtest.Run(t, h, "ip", "link", "set", "eth0.10", "up")
		moveAddresses(t, h, "eth0", "eth0.10")
	}
}

// bond gives a director a bond of eth0 and a second interface in the clients' network.
func bond(t *testing.T, top *netlab.Topology) {
	t.Helper()
	h := top.Directors[0]
	if err := top.ClientNet.Attach(h, "eth9"); err != nil {
		t.Fatal(err)
	}
	labtest.Run(t, h, "ip", "link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "100")
	labtest.Run(t, h, "ip", "link", "set", "bond0", "up")
	moveAddresses(t, h, "eth0", "bond0")
	for _, slave := range []string{"eth0", "eth9"} {
		labtest.Run(t, h, "ip", "link", "set", slave, "down")
		labtest.Run(t, h, "ip", "link", "set", slave, "master", "bond0")
	}
}

// TestGuestTopologies: each segment is forwarded exactly once over VLAN devices, bonds and
// VRFs, too.
func TestGuestTopologies(t *testing.T) {
	modprobe(t, "8021q", "bonding", "vrf")
	for _, tc := range []struct {
		name   string
		onTop  string
		client string // the clients' interface
		server string // the servers' interface, if it differs in direct routing
		setUp  func(t *testing.T, top *netlab.Topology, m mode)
	}{
		{"VLAN", "eth0.10", "eth0.10", "eth0.10", func(t *testing.T, top *netlab.Topology, m mode) {
			onVLAN(t, top.Clients)
			onVLAN(t, top.Directors)
			if m.kind == "DR" {
				onVLAN(t, top.Servers)
			}
		}},
		{"bond", "bond0", "eth0", "eth0", func(t *testing.T, top *netlab.Topology, _ mode) { bond(t, top) }},
		{"VLAN on a bond", "bond0.10", "eth0.10", "eth0.10", func(t *testing.T, top *netlab.Topology, m mode) {
			bond(t, top)
			onVLAN(t, top.Clients)
			h := top.Directors[0]
			labtest.Run(t, h, "ip", "link", "add", "link", "bond0", "name", "bond0.10", "type", "vlan", "id", "10")
			labtest.Run(t, h, "ip", "link", "set", "bond0.10", "up")
			moveAddresses(t, h, "bond0", "bond0.10")
			if m.kind == "DR" {
				onVLAN(t, top.Servers)
			}
		}},
		{"VRF", "eth0", "eth0", "eth0", func(t *testing.T, top *netlab.Topology, _ mode) {
			h := top.Directors[0]
			labtest.Run(t, h, "ip", "link", "add", "red", "type", "vrf", "table", "10")
			labtest.Run(t, h, "ip", "link", "set", "red", "up")
			labtest.Run(t, h, "ip", "link", "set", "eth0", "master", "red")
		}},
		{"VRF on both sides", "eth0", "eth0", "eth0", func(t *testing.T, top *netlab.Topology, _ mode) {
			h := top.Directors[0]
			keepIPv6(t, h) // joining a VRF sets a device down
			labtest.Run(t, h, "ip", "link", "add", "red", "type", "vrf", "table", "10")
			for _, ifname := range []string{"red", "eth0", "eth1"} {
				if ifname != "red" {
					labtest.Run(t, h, "ip", "link", "set", ifname, "master", "red")
				}
				labtest.Run(t, h, "ip", "link", "set", ifname, "up")
			}
		}},
	} {
		for _, m := range modes() {
			if m.kind == "DR" && tc.name == "VRF on both sides" {
				continue // there is one side
			}
			t.Run(tc.name+", "+m.name, func(t *testing.T) {
				top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
				config := strings.Replace(m.config(top), "interface eth0", "interface "+tc.onTop, 1)
				tc.setUp(t, top, m)
				for _, h := range top.Servers {
					startWeb(t, h)
				}
				// Checks from the default VRF do not reach servers in another.
				d := startDirector(t, top.Directors[0], uncheck(config), "--workers", "2")
				server := "eth0"
				if m.kind == "DR" {
					server = tc.server
				}
				w := startWiresOn(t, top, tc.client, server)
				for range 4 {
					for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
						if got := curl(t, top.Clients[0], url(vip, 80, "/")); !strings.HasPrefix(got, "server") {
							t.Errorf("%s answers %q", vip, got)
						}
					}
				}
				w.check(16)
				for _, f := range d.status().Host {
					if f.Problem {
						t.Errorf("nothing is wrong here, and yet: %s", f.Text)
					}
				}
				d.stop()
			})
		}
	}
}

// TestGuestSteering: a kernel before 6.6 has no tcx, and clsact takes its place; what steers
// works, survives a crash and goes.
func TestGuestSteering(t *testing.T) {
	modprobe(t, "sch_ingress", "cls_bpf", "nf_tables", "nft_compat", "xt_pkttype", "xt_tcpudp")
	m := modes()[0]
	for _, backend := range []string{"auto", "nft", "iptables"} {
		t.Run(backend, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true, Forward: true})
			host := top.Directors[0]
			for _, h := range top.Servers {
				startWeb(t, h)
			}
			filters := func() string {
				return labtest.Run(t, host, "tc", "qdisc") + labtest.Run(t, host, "nft", "list", "ruleset") +
					labtest.Run(t, host, "tc", "filter", "show", "dev", "eth0", "ingress") + labtest.Run(t, host, "tc", "filter", "show", "dev", "eth1", "ingress")
			}
			before := filters()
			start := func() *director { return startDirector(t, host, m.config(top), "--steer", backend, "--workers", "2") }
			d := start()
			if backend == "auto" {
				passedOver(t, d, "clsact", control.PassedOver{Backend: "tcx", Reason: "needs Linux 6.6 or newer"})
			}
			w := startWires(t, top)
			use := func() {
				for range 4 {
					for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
						if got := curl(t, top.Clients[0], url(vip, 80, "/")); !strings.HasPrefix(got, "server") {
							t.Errorf("%s answers %q", vip, got)
						}
					}
				}
			}
			use()
			w.check(16)
			d.kill()
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				wantSilentPort(t, top, vip, 80, "without a director")
			}
			d = start()
			use()
			d.stop()
			if after := filters(); after != before {
				t.Errorf("filters before:\n%s\nafter SIGTERM:\n%s", before, after)
			}
		})
	}
}

// TestGuestVLANPassesThrough: clients, and servers of direct routing, are in a VLAN that the
// director has no device for: what it forwards keeps the tag, each segment once.
func TestGuestVLANPassesThrough(t *testing.T) {
	modprobe(t, "8021q")
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
			client, server := top.Clients[0], "eth0"
			onVLAN(t, top.Clients)
			mac := macOf(t, top.Directors[0])
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} { // the director answers no ARP there
				labtest.Run(t, client, "ip", "neighbour", "replace", vip.String(), "lladdr", mac, "dev", "eth0.10", "nud", "permanent")
			}
			if m.kind == "DR" {
				server = "eth0.10"
				for _, h := range top.Servers {
					labtest.Run(t, h, "ip", "link", "add", "link", "eth0", "name", server, "type", "vlan", "id", "10")
					labtest.Run(t, h, "ip", "link", "set", server, "up")
					for _, p := range client.Addrs("eth0.10") {
						labtest.Run(t, h, "ip", "route", "add", netip.PrefixFrom(p.Addr(), p.Addr().BitLen()).String(), "dev", server)
					}
				}
			}
			for _, h := range top.Servers {
				startWeb(t, h)
			}
			d := startDirector(t, top.Directors[0], m.config(top), "--workers", "2")
			w := startWiresOn(t, top, "eth0.10", server)
			for range 2 {
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					if got := curl(t, client, url(vip, 80, "/")); !strings.HasPrefix(got, "server") {
						t.Errorf("%s answers %q", vip, got)
					}
				}
			}
			w.check(8)
			d.stop()
		})
	}
}

// TestGuestBondLosesALink: the director's active link fails and it goes on by the other one,
// with the connections it has.
func TestGuestBondLosesALink(t *testing.T) {
	modprobe(t, "bonding")
	nat := modes()[0]
	top := nat.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	bond(t, top)
	startWeb(t, top.Servers[0])
	config := strings.Replace(uncheck(nat.config(top)), "interface eth0", "interface bond0", 1)
	f := startFollowed(t, top, top.Clients[0], config)
	for _, slave := range []string{"eth0", "eth9"} {
		labtest.Run(t, top.Directors[0], "ip", "link", "set", slave, "down")
		f.servedWithin(confirm, "server1", "without "+slave)
		f.sameConnections("without " + slave)
		labtest.Run(t, top.Directors[0], "ip", "link", "set", slave, "up")
	}
}
