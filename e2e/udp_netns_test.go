//go:build netns

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestUDP: datagrams of several sizes are echoed through the director by NAT and DR, over
// both families, and a client keeps its server.
func TestUDP(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
			for _, h := range top.Servers {
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					echoUDP(t, h, m, vip)
				}
			}
			config := strings.ReplaceAll(m.config(top), "protocol TCP", "protocol UDP")
			d := startDirector(t, top.Directors[0], uncheck(config), "--workers", "2")
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				first := askUDP(t, top.Clients[0], vip, 40000)
				if again := askUDP(t, top.Clients[0], vip, 40000); again != first {
					t.Errorf("%s: the same client port met %s, then %s", family(vip), first, again)
				}
				if other := askUDP(t, top.Clients[0], vip, 40001); other == first {
					t.Errorf("%s: rr sent two clients to %s", family(vip), first)
				}
			}
			if out := d.uvs("ipvsadm", "-L", "-n", "-c"); strings.Count(out, "\nUDP 04:5")+strings.Count(out, "\nUDP 05:00 ") != 4 {
				t.Errorf("ipvsadm -Lnc should list 4 UDP flows with nearly 5 minutes left:\n%s", out)
			}
		})
	}
}

// TestOnePacketScheduling: each datagram from one port of a client meets the next server, is
// counted as a connection, and leaves none.
func TestOnePacketScheduling(t *testing.T) {
	m := modes()[1] // by NAT nothing would translate the answers, as in IPVS
	top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
	for _, h := range top.Servers {
		for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			echoUDP(t, h, m, vip)
		}
	}
	config := strings.ReplaceAll(m.config(top), "protocol TCP", "protocol UDP\n ops")
	d := startDirector(t, top.Directors[0], uncheck(config), "--workers", "2")
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		c, err := top.Clients[0].ListenPacket(t.Context(), "udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(labtest.Hang)); err != nil {
			t.Fatal(err)
		}
		var got []string
		buf := make([]byte, 100)
		for range 6 {
			if _, err := c.WriteTo([]byte("?"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(vip, 80))); err != nil {
				t.Fatal(err)
			}
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				t.Fatalf("%s after %v: %v", family(vip), got, err)
			}
			got = append(got, strings.Fields(string(buf[:n]))[0])
		}
		if want := "[server2 server1 server2 server1 server2 server1]"; fmt.Sprint(got) != want {
			t.Errorf("%s: datagrams went to %v, want %s", family(vip), got, want)
		}
	}
	if list := d.uvs("ipvsadm", "-L", "-n", "-c"); strings.Contains(list, "UDP") {
		t.Errorf("connections are listed:\n%s", list)
	}
	for _, s := range d.status().Services {
		if s.Counters.Conns != 6 || !s.OnePacket {
			t.Errorf("%s: %d connections are counted, want 6; one-packet scheduling: %t", s.Address, s.Counters.Conns, s.OnePacket)
		}
	}
	if list := d.uvs("ipvsadm", "-L", "-n"); !strings.Contains(list, ":80 rr ops\n") {
		t.Errorf("ipvsadm -Ln does not say ops:\n%s", list)
	}
	d.stop()
}

// uncheck takes the checkers out of a configuration.
func uncheck(config string) string {
	return strings.ReplaceAll(config, "  TCP_CHECK {\n   connect_timeout 2\n  }\n", "")
}

// echoUDP answers each datagram with the host's name and the datagram. A DR server answers
// from the VIP, a NAT server from its own address.
func echoUDP(t *testing.T, h *netlab.Host, m mode, vip netip.Addr) {
	t.Helper()
	addr := vip
	if m.kind == "NAT" {
		if addr = h.Addr4("eth0"); vip.Is6() {
			addr = h.Addr6("eth0")
		}
	}
	c, err := h.ListenPacket(t.Context(), "udp", netip.AddrPortFrom(addr, uint16(m.port)).String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte(h.Name()+" "), buf[:n]...), from) //nolint:errcheck // the client notices
		}
	}()
	t.Cleanup(func() {
		c.Close() //nolint:errcheck // it ends the loop
		<-done
	})
}

// askUDP sends datagrams from one port and returns the name of the server that echoed all.
func askUDP(t *testing.T, from *netlab.Host, vip netip.Addr, port int) (server string) {
	t.Helper()
	local := netip.AddrPortFrom(from.Addr4("eth0"), uint16(port))
	if vip.Is6() {
		local = netip.AddrPortFrom(from.Addr6("eth0"), uint16(port))
	}
	c, err := from.ListenPacket(t.Context(), "udp", local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(vip, 80))
	for _, size := range []int{0, 1, 2, 100, 1400} {
		payload := bytes.Repeat([]byte{'x'}, size)
		answer, err := exchangeUDP(c, to, payload)
		if err != nil {
			t.Fatalf("%s: %d bytes: %v", family(vip), size, err)
		}
		name, rest, _ := strings.Cut(answer, " ")
		if rest != string(payload) || server != "" && name != server {
			t.Fatalf("%s: %d bytes came back from %s as %q (before: %s)", family(vip), size, name, rest, server)
		}
		server = name
	}
	return server
}

// exchangeUDP sends a datagram until it is answered: the network may lose one.
func exchangeUDP(c net.PacketConn, to net.Addr, payload []byte) (string, error) {
	buf := make([]byte, 4096)
	for range 3 {
		if _, err := c.WriteTo(payload, to); err != nil {
			return "", err
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return "", err
		}
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			continue
		}
		if from.String() != to.String() {
			return "", fmt.Errorf("answer came from %s, want %s", from, to)
		}
		return string(buf[:n]), nil
	}
	return "", fmt.Errorf("no answer to 3 datagrams")
}

// TestWeightedRoundRobin: requests follow wrr's order in the kernel for weights 1, 2 and 3.
func TestWeightedRoundRobin(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 3, NoVIP: true})
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	config := strings.ReplaceAll(m.config(top), "lb_algo rr", "lb_algo wrr")
	for i, h := range top.Servers {
		row := fmt.Sprintf(" real_server %s 8080 {\n", h.Addr4("eth0"))
		config = strings.ReplaceAll(config, row, row+fmt.Sprintf("  weight %d\n", i+1))
	}
	startDirector(t, top.Directors[0], config)
	var got []string
	for range 12 {
		got = append(got, strings.TrimPrefix(strings.TrimSpace(curl(t, top.Clients[0], url(top.VIP4, 80, "/"))), "server"))
	}
	// List 3 2 1 with weights 3 2 1: at cw 3 server3; at cw 2 server3, server2; at cw 1 all.
	if want := "3 3 2 3 2 1 3 3 2 3 2 1"; strings.Join(got, " ") != want {
		t.Errorf("answers came from %s, want %s", strings.Join(got, " "), want)
	}
}
