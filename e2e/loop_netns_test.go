//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestDirectorsAreEachOthersServers: two directors run with the same servers, themselves
// among them, and both have the virtual addresses. Each connection is served by the third
// server, or by the director that it came to itself, or refused at once, and no packet is forwarded twice. A server that is a client is
// served as any.
func TestDirectorsAreEachOthersServers(t *testing.T) {
	top := labtest.OneArm(t, netlab.Plan{Directors: 2, Servers: 2, NoVIP: true})
	client, quiet := top.Clients[0], top.Servers[1]
	if err := netlab.HideVIP(top.Directors[1], top.VIP4, top.VIP6); err != nil {
		t.Fatal(err)
	}
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} { // this server is a client
		if err := quiet.DelAddr("lo", netip.PrefixFrom(vip, vip.BitLen())); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range append(top.Directors, top.Servers...) {
		startWeb(t, h)
	}
	config := circleConfig(top)
	addresses := strings.Index(config, "virtual_server")
	first := startDirector(t, top.Directors[0], config, "--workers", "2")
	second := startDirector(t, top.Directors[1], config[addresses:], "--workers", "2")

	seen := labtest.Capture(t, top.Directors[1], "eth0", "tcp or udp or icmp or icmp6")
	served, own, refused := 0, 0, 0
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		for range 6 {
			start := time.Now()
			got, err := tryCurl(t, client, url(vip, 80, "/"))
			switch {
			case err == nil && strings.TrimSpace(got) == "server1":
				served++
			case err == nil && strings.TrimSpace(got) == "director1":
				own++
			case err != nil && strings.Contains(err.Error(), "curl: (7)") && time.Since(start) < 3*time.Second: // who refuses may have to ask for the client first
				refused++
			default:
				t.Errorf("%s: %q, %v; want server1's or director1's answer or a refusal", family(vip), got, err)
			}
		}
		if got := curl(t, quiet, url(vip, 80, "/")); strings.TrimSpace(got) != "server1" {
			// The next in turn is the second director.
			t.Errorf("%s: a server that is a client was answered %q", family(vip), got)
		}
	}
	packets, err := seen.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if hops := leastHops(packets, top); hops < 63 {
		t.Errorf("a client's packet was seen with a hop limit of %d, want 63 at least: forwarded once", hops)
	}
	drops := second.status().Drops["drop_loop"]
	if served == 0 || own == 0 || refused == 0 || drops < uint64(refused) || len(packets) > 200 {
		t.Errorf("%d served, %d by the director itself, %d refused, %d packets dropped as loop, %d seen; want some of each, refusals counted, and no storm",
			served, own, refused, drops, len(packets))
	}
	t.Logf("%d served, %d by the director itself, %d refused, %d packets dropped as loop, %d seen", served, own, refused, drops, len(packets))
	second.stop()
	first.stop()
}

// circleConfig names both directors and the servers as real servers; the last one gets no
// connections.
func circleConfig(top *netlab.Topology) string {
	m := modes()[1]
	var b strings.Builder
	b.WriteString(uncheck(m.config(top)))
	config := b.String()
	for _, a := range []func(*netlab.Host) netip.Addr{
		func(h *netlab.Host) netip.Addr { return h.Addr4("eth0") },
		func(h *netlab.Host) netip.Addr { return h.Addr6("eth0") },
	} {
		server := fmt.Sprintf(" real_server %s 80 {\n", a(top.Servers[0]))
		rows := ""
		for _, d := range top.Directors {
			rows += fmt.Sprintf(" real_server %s 80 {\n }\n", a(d))
		}
		config = strings.Replace(config, server, rows+server, 1)
		quiet := fmt.Sprintf(" real_server %s 80 {\n", a(top.Servers[1]))
		config = strings.Replace(config, quiet, quiet+"  weight 0\n", 1)
	}
	return config
}

// leastHops is the lowest hop limit of packets for the virtual addresses.
func leastHops(packets []gopacket.Packet, top *netlab.Topology) int {
	least := 255
	for _, p := range packets {
		switch ip := p.NetworkLayer().(type) {
		case *layers.IPv4:
			if ip.DstIP.Equal(top.VIP4.AsSlice()) {
				least = min(least, int(ip.TTL))
			}
		case *layers.IPv6:
			if ip.DstIP.Equal(top.VIP6.AsSlice()) && p.Layer(layers.LayerTypeTCP) != nil {
				least = min(least, int(ip.HopLimit))
			}
		}
	}
	return least
}
