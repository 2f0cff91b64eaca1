//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// A mode is a forwarding method and what belongs to it.
type mode struct {
	name string
	kind string // lb_kind
	port int    // of the real servers
	site func(testing.TB, netlab.Plan) *netlab.Topology
}

func modes() []mode {
	return []mode{
		{"nat", "NAT", 8080, labtest.TwoArm},
		{"dr", "DR", 80, labtest.OneArm},
	}
}

// config is a keepalived.conf for both families of a site.
func (m mode) config(top *netlab.Topology) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vrrp_instance VIPS {\n interface eth0\n virtual_router_id 5\n version 3\n advert_int 0.1\n priority 255\n virtual_ipaddress {\n %s/24\n }\n virtual_ipaddress_excluded {\n %s/64\n }\n}\n", top.VIP4, top.VIP6)
	for _, family := range []struct {
		vip    netip.Addr
		server func(*netlab.Host) netip.Addr
	}{
		{top.VIP4, func(h *netlab.Host) netip.Addr { return h.Addr4("eth0") }},
		{top.VIP6, func(h *netlab.Host) netip.Addr { return h.Addr6("eth0") }},
	} {
		fmt.Fprintf(&b, "virtual_server %s 80 {\n delay_loop 1\n lb_algo rr\n lb_kind %s\n protocol TCP\n", family.vip, m.kind)
		for _, s := range top.Servers {
			fmt.Fprintf(&b, " real_server %s %d {\n  TCP_CHECK {\n   connect_timeout 2\n  }\n }\n", family.server(s), m.port)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// TestRoundRobin: twelve requests from clients that the fanout spreads over two workers
// are answered in the kernel's order, and the servers see the clients' addresses.
func TestRoundRobin(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 3, ClientAddrs: 6, NoVIP: true})
			var servers []*webServer
			for _, h := range top.Servers {
				servers = append(servers, startWeb(t, h))
			}
			d := startDirector(t, top.Directors[0], m.config(top), "--workers", "2")
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				t.Run(family(vip), func(t *testing.T) { roundRobin(t, top, vip, servers) })
			}
			checkWorkers(t, d)
			checkTable(t, d, top, m)
		})
	}
}

func roundRobin(t *testing.T, top *netlab.Topology, vip netip.Addr, servers []*webServer) {
	client := top.Clients[0]
	var sources []netip.Addr
	for _, p := range client.Addrs("eth0") {
		if p.Addr().Is4() == vip.Is4() && !p.Addr().IsLinkLocalUnicast() {
			sources = append(sources, p.Addr())
		}
	}
	before := make(map[string]int)
	for _, s := range servers {
		for _, line := range s.accessLog() {
			before[line]++
		}
	}
	var got []string
	asked := make(map[netip.Addr]int)
	for i := range 12 {
		source := sources[i%len(sources)]
		asked[source]++
		got = append(got, strings.TrimSpace(curl(t, client, "--interface", source.String(), url(vip, 80, "/"))))
	}
	// IPVS adds each server at the head of its list, and rr begins there.
	want := slices.Repeat([]string{"server3", "server2", "server1"}, 4)
	if !slices.Equal(got, want) {
		t.Errorf("answers came from %v\nwant %v", got, want)
	}
	// nginx logs a request after it has answered.
	labtest.Eventually(t, labtest.Hang, func() error {
		now := make(map[string]int)
		for _, s := range servers {
			for _, line := range s.accessLog() {
				now[line]++
			}
		}
		for source, n := range asked {
			line := source.String() + " /"
			if seen := now[line] - before[line]; seen != n {
				return fmt.Errorf("the servers' logs have %s %d times, want %d", source, seen, n)
			}
		}
		return nil
	})
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// checkWorkers wants both workers to have had traffic.
func checkWorkers(t *testing.T, d *director) {
	t.Helper()
	workers := d.status().Workers
	if len(workers) != 2 {
		t.Errorf("%d workers, want 2", len(workers))
	}
	for _, w := range workers {
		if w.Packets == 0 {
			t.Errorf("worker %d had no packets: clients are not spread", w.ID)
		}
	}
}

// checkTable compares `ipvsadm -Ln` with what the configuration asks for.
func checkTable(t *testing.T, d *director, top *netlab.Topology, m mode) {
	t.Helper()
	out := d.uvs("ipvsadm", "-L", "-n")
	word := map[string]string{"NAT": "Masq", "DR": "Route"}[m.kind]
	for _, want := range []string{
		"IP Virtual Server version 1.2.1 (size=4096)\n",
		fmt.Sprintf("TCP  %s:80 rr\n", top.VIP4),
		fmt.Sprintf("TCP  [%s]:80 rr\n", top.VIP6),
		fmt.Sprintf("  -> %-28s %-7s %-6d %-10d ", fmt.Sprintf("%s:%d", top.Servers[0].Addr4("eth0"), m.port), word, 1, 0),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("ipvsadm -L -n lacks %q:\n%s", want, out)
		}
	}
}
