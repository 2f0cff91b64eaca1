//go:build netns

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/internal/netlab"
	"uvs/internal/netlab/capture"
	"uvs/internal/netlab/labtest"
)

// udpConfig is a mode's configuration with UDP services and no checks.
func (m mode) udpConfig(top *netlab.Topology) string {
	return strings.ReplaceAll(uncheck(m.config(top)), "protocol TCP", "protocol UDP")
}

// TestClosedPortReachesTheClient: a NAT server's kernel refuses a datagram, and the client's
// socket learns of it as if the service had refused.
func TestClosedPortReachesTheClient(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	startDirector(t, top.Directors[0], m.udpConfig(top), "--workers", "2")
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		wantRefused(t, top.Clients[0], "udp", vip)
	}
}

// TestNoServerIsUnreachable: without a server, clients are told so and need not wait.
func TestNoServerIsUnreachable(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			weightless := strings.ReplaceAll(uncheck(m.config(top)), fmt.Sprintf(" %d {\n", m.port), fmt.Sprintf(" %d {\n  weight 0\n", m.port))
			_, services, _ := strings.Cut(weightless, "virtual_server")
			both := weightless + "virtual_server" + strings.ReplaceAll(services, "protocol TCP", "protocol UDP")
			d := startDirector(t, top.Directors[0], both)
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				for _, network := range []string{"udp", "tcp"} {
					wantRefused(t, top.Clients[0], network, vip)
				}
			}
			if n := d.status().Made["icmp_unreachable"]; n < 4 {
				t.Errorf("%d errors were counted, want at least 4", n)
			}
		})
	}
}

// wantRefused wants a connection, or a datagram, to port 80 of an address to be refused.
func wantRefused(t *testing.T, from *netlab.Host, network string, vip netip.Addr) {
	t.Helper()
	since := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := from.DialContext(ctx, network, netip.AddrPortFrom(vip, 80).String())
	if network == "udp" && err == nil {
		defer c.Close() //nolint:errcheck // the test is over
		err = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if err == nil {
			_, err = c.Write([]byte("anybody?"))
		}
		if err == nil {
			_, err = c.Read(make([]byte, 100))
		}
	}
	if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(since) > 2*time.Second {
		t.Errorf("%s over %s: %v after %v, want it refused at once", family(vip), network, err, time.Since(since))
	}
}

// An icmpError is an ICMP error as a host saw it.
type icmpError struct {
	from, to   netip.Addr
	kind, code uint8
	inside     string // addresses of the packet inside
	ttl        uint8
}

func (e icmpError) String() string {
	return fmt.Sprintf("%s > %s type %d code %d about %s", e.from, e.to, e.kind, e.code, e.inside)
}

// icmpErrors decodes the ICMP errors of a capture.
func icmpErrors(packets []gopacket.Packet) (list []icmpError) {
	for _, p := range packets {
		if p.NetworkLayer() == nil {
			continue
		}
		src, dst := p.NetworkLayer().NetworkFlow().Endpoints()
		e := icmpError{}
		e.from, _ = netip.AddrFromSlice(src.Raw())
		e.to, _ = netip.AddrFromSlice(dst.Raw())
		var inside []byte
		if icmp, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
			e.kind, e.code, inside = icmp.TypeCode.Type(), icmp.TypeCode.Code(), icmp.Payload
			e.ttl = p.NetworkLayer().(*layers.IPv4).TTL
			if (e.kind != 3 && e.kind != 11) || len(inside) < 20 {
				continue
			}
			e.inside = netip.AddrFrom4([4]byte(inside[12:])).String() + " > " + netip.AddrFrom4([4]byte(inside[16:])).String()
		} else if icmp, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
			e.kind, e.code = icmp.TypeCode.Type(), icmp.TypeCode.Code()
			e.ttl = p.NetworkLayer().(*layers.IPv6).HopLimit
			if e.kind >= 128 || len(icmp.Payload) < 44 {
				continue
			}
			inside = icmp.Payload[4:]
			e.inside = netip.AddrFrom16([16]byte(inside[8:])).String() + " > " + netip.AddrFrom16([16]byte(inside[24:])).String()
		} else {
			continue
		}
		list = append(list, e)
	}
	return list
}

// waitError waits for an ICMP error in a capture.
func waitError(t *testing.T, c *capture.Capture, want string) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		packets, err := c.Packets()
		if err != nil {
			return err
		}
		list := icmpErrors(packets)
		for _, e := range list {
			if e.String() == want {
				return nil
			}
		}
		return fmt.Errorf("no error %s; there are %v", want, list)
	})
}

// TestTraceroute: a packet whose hop limit ends at the director tells its sender so: the
// client from the virtual address, a server from the director's address on its side.
func TestTraceroute(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	client, server, d := top.Clients[0], top.Servers[0], top.Directors[0]
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		echoUDP(t, server, m, vip)
	}
	startDirector(t, d, m.udpConfig(top))
	const filter = "icmp or icmp6"
	atClient, atServer := labtest.Capture(t, client, "eth0", filter), labtest.Capture(t, server, "eth0", filter)
	for _, f := range []struct {
		vip, client, server, inner netip.Addr
		kind                       uint8
		ttl                        string // sysctl of a packet's first hop limit
	}{
		{top.VIP4, client.Addr4("eth0"), server.Addr4("eth0"), d.Addr4("eth1"), 11, "net.ipv4.ip_default_ttl"},
		{top.VIP6, client.Addr6("eth0"), server.Addr6("eth0"), d.Addr6("eth1"), 3, "net.ipv6.conf.eth0.hop_limit"},
	} {
		send := func() {
			c, err := client.DialContext(t.Context(), "udp", netip.AddrPortFrom(f.vip, 80).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()             //nolint:errcheck // nothing is lost
			c.Write([]byte("how far?")) //nolint:errcheck // the capture tells
		}
		short := func(h *netlab.Host, hops string) {
			if err := h.Sysctl(f.ttl, hops); err != nil {
				t.Fatal(err)
			}
		}
		short(client, "1")
		send()
		waitError(t, atClient, icmpError{from: f.vip, to: f.client, kind: f.kind, inside: fmt.Sprintf("%s > %s", f.client, f.vip)}.String())
		short(client, "64")
		short(server, "1")
		send()
		waitError(t, atServer, icmpError{from: f.inner, to: f.server, kind: f.kind, inside: fmt.Sprintf("%s > %s", f.server, f.client)}.String())
		short(server, "64")
	}
	// The virtual address is the kernel's to ping all the same.
	labtest.Run(t, client, "ping", "-c", "1", "-W", "5", top.VIP4.String())
	labtest.Run(t, client, "ping", "-c", "1", "-W", "5", top.VIP6.String())
}
