//go:build netns

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"uvs/internal/netlab"
	"uvs/internal/netlab/capture"
	"uvs/internal/netlab/labtest"
)

// TestCoexistence: whatever a director machine does beside the services goes on: ARP and
// neighbour discovery, ping, other ports of a VIP, its own connections to the servers'
// service port, other people's filters, and routing to the servers if it is a router.
func TestCoexistence(t *testing.T) {
	t.Parallel()
	forEachSteering(t, coexistence)
}

func coexistence(t *testing.T, backend string, m mode, forward bool) {
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true, Forward: forward})
	director, server := top.Directors[0], top.Servers[0]
	web := startWeb(t, server)
	if err := os.WriteFile(filepath.Join(web.dir, "www", "page"), make([]byte, pageBytes), 0o644); err != nil {
		t.Fatal(err)
	}
	addForeignFilters(t, director)
	before := dump(t, director)
	config := m.config(top)
	if m.kind == "NAT" {
		config += ownPortConfig(top)
	}
	d := startDirector(t, director, config, "--steer", backend, "--workers", "2")
	stillThere(t, director, before)

	for _, f := range []struct {
		vip, director, server netip.Addr
	}{
		{top.VIP4, director.Addr4("eth0"), server.Addr4("eth0")},
		{top.VIP6, director.Addr6("eth0"), server.Addr6("eth0")},
	} {
		t.Run(family(f.vip), func(t *testing.T) {
			neighboursAndPing(t, top, f.vip, f.director)
			otherPort(t, top, f.vip)
			page(t, director, url(f.server, m.port, "/page"))
			page(t, top.Clients[0], url(f.vip, 80, "/page"))
			if m.kind == "NAT" {
				direct(t, top, f.server, forward)
				page(t, top.Clients[0], url(f.vip, 80, "/page"))
			}
		})
	}
	stillThere(t, director, before)
	d.stop()
	wantDump(t, director, before, "after SIGTERM")
}

// ownPort is the port of a service that no server listens on: a server may use it itself.
const ownPort = 9100

func ownPortConfig(top *netlab.Topology) string {
	var b strings.Builder
	server := top.Servers[0]
	for _, f := range [][2]netip.Addr{{top.VIP4, server.Addr4("eth0")}, {top.VIP6, server.Addr6("eth0")}} {
		fmt.Fprintf(&b, "virtual_server %s %d {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server %s %d {\n }\n}\n", f[0], ownPort, f[1], ownPort)
	}
	return b.String()
}

// addForeignFilters gives a host tables, a filter and programs of somebody else, which let
// everything pass.
func addForeignFilters(t *testing.T, h *netlab.Host) {
	t.Helper()
	labtest.Run(t, h, "nft", `
		table inet filter {
			chain input {
				type filter hook input priority 0; policy accept
				tcp dport 9999 drop
			}
			chain forward {
				type filter hook forward priority 0; policy accept
			}
		}
		table netdev other {
			chain c { type filter hook ingress device "eth0" priority 0; }
		}`)
	for _, program := range []string{"iptables", "ip6tables"} {
		labtest.Run(t, h, program, "-t", "raw", "-A", "PREROUTING", "-p", "tcp", "--dport", "9999", "-j", "ACCEPT")
	}
	const next = -1 // TCX_NEXT and TC_ACT_UNSPEC
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "someone", Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXIngress, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, next), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	err = h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		err = netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: ifi.Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}})
		if err != nil {
			return err
		}
		const all = 3 // ETH_P_ALL
		err = netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: ifi.Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 1, Protocol: all},
			Fd:          p.FD(), Name: "someone", DirectAction: true,
		})
		if err != nil {
			return err
		}
		return link.RawAttachProgram(link.RawAttachProgramOptions{Target: ifi.Index, Program: p, Attach: ebpf.AttachTCXIngress})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stillThere wants every line of the dump from before, but for that of the programs, where
// another one may stand beside.
func stillThere(t *testing.T, h *netlab.Host, before string) {
	t.Helper()
	is := strings.Split(dump(t, h), "\n")
	for _, line := range strings.Split(before, "\n") {
		if program, ok := strings.CutPrefix(line, "tcx eth0 ingress: "); ok {
			ours := slices.ContainsFunc(is, func(l string) bool {
				return strings.HasPrefix(l, "tcx eth0 ingress: ") && strings.HasSuffix(l, program)
			})
			if !ours {
				t.Errorf("while uvs runs the program %q is gone", program)
			}
			continue
		}
		if !slices.Contains(is, line) {
			t.Errorf("while uvs runs this is gone: %s", line)
		}
	}
}

// neighboursAndPing lets both sides forget each other and asks for echoes.
func neighboursAndPing(t *testing.T, top *netlab.Topology, vip, director netip.Addr) {
	t.Helper()
	client := top.Clients[0]
	source := client.Addr4("eth0")
	if vip.Is6() {
		source = client.Addr6("eth0")
	}
	for _, h := range []*netlab.Host{client, top.Directors[0]} {
		labtest.Run(t, h, "ip", "neighbour", "flush", "all")
	}
	for _, to := range []netip.Addr{vip, director} {
		labtest.Run(t, client, "ping", "-n", "-c", "2", "-i", "0.01", "-W", "2", to.String())
	}
	labtest.Run(t, top.Directors[0], "ping", "-n", "-c", "2", "-i", "0.01", "-W", "2", source.String())
	mac, err := top.Directors[0].MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if out := labtest.Run(t, client, "ip", "neighbour", "show", vip.String()); !strings.Contains(out, mac.String()) {
		t.Errorf("the client knows the VIP as %q, want %s", out, mac)
	}
}

// otherPort talks to a program on the director by a port of the VIP that is no service, and
// wants the stack's refusal at one where nobody listens.
func otherPort(t *testing.T, top *netlab.Topology, vip netip.Addr) {
	t.Helper()
	const open, closed = 7000, 7001
	l, err := top.Directors[0].Listen(t.Context(), "tcp", netip.AddrPortFrom(vip, open).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() { done <- sendOne(l, pageBytes) }()
	c, err := dialFor(t, top.Clients[0], netip.AddrPortFrom(vip, open), labtest.Hang)
	if err != nil {
		t.Fatalf("another port of the VIP: %v", err)
	}
	defer c.Close()
	if n, err := io.Copy(io.Discard, c); n != pageBytes || err != nil {
		t.Errorf("another port of the VIP: %d bytes, %v; want %d", n, err, pageBytes)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := dialFor(t, top.Clients[0], netip.AddrPortFrom(vip, closed), labtest.Hang); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a port of the VIP where nobody listens: %v, want refused", err)
	}
}

// sendOne takes one connection and sends it a number of bytes.
func sendOne(l net.Listener, n int) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = c.Write(make([]byte, n))
	return errors.Join(err, c.Close())
}

// dialFor connects from a host within a time.
func dialFor(t *testing.T, from *netlab.Host, to netip.AddrPort, limit time.Duration) (net.Conn, error) {
	t.Helper()
	return dialFrom(t, from, 0, to, limit)
}

// dialFrom is dialFor from a port of the host; 0 is any.
func dialFrom(t *testing.T, from *netlab.Host, port uint16, to netip.AddrPort, limit time.Duration) (c net.Conn, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := from.Do(func() error {
		c, err = (&net.Dialer{LocalAddr: &net.TCPAddr{Port: int(port)}}).DialContext(ctx, "tcp", to.String())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return c, err
}

// page fetches a page and sends one.
func page(t *testing.T, from *netlab.Host, url string) {
	t.Helper()
	if got := curl(t, from, url); len(got) != pageBytes {
		t.Errorf("%s from %s: %d bytes, want %d", url, from.Name(), len(got), pageBytes)
	}
	curl(t, from, "-F", "page=@/bin/true", strings.TrimSuffix(url, "page")+"up")
}

// direct lets a client use a server past the service, and the server a client, through the
// director as a router: that works, or, if it is none, nothing of it comes through.
func direct(t *testing.T, top *netlab.Topology, server netip.Addr, forward bool) {
	t.Helper()
	client, source := top.Clients[0], top.Clients[0].Addr4("eth0")
	if server.Is6() {
		source = client.Addr6("eth0")
	}
	const port = 9000
	l, err := client.Listen(t.Context(), "tcp", netip.AddrPortFrom(source, port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !forward {
		atServer := labtest.Capture(t, top.Servers[0], "eth0", "src host "+source.String())
		atClient := labtest.Capture(t, client, "eth0", fmt.Sprintf("src host %s and not icmp6", server))
		for _, x := range []struct {
			from *netlab.Host
			port uint16
			to   netip.AddrPort
		}{
			{client, 0, netip.AddrPortFrom(server, 8080)},
			{top.Servers[0], 0, netip.AddrPortFrom(source, port)},
			{top.Servers[0], ownPort, netip.AddrPortFrom(source, port)},
		} {
			if _, err := dialFrom(t, x.from, x.port, x.to, 200*time.Millisecond); err == nil {
				t.Errorf("%s reached %s through a host that does not forward", x.from.Name(), x.to)
			}
		}
		wantNothing(t, "server", atServer)
		wantNothing(t, "client", atClient)
		return
	}
	w := startWires(t, top)
	page(t, client, url(server, 8080, "/page"))
	for _, from := range []uint16{0, ownPort} {
		done := make(chan error, 1)
		go func() { done <- sendOne(l, pageBytes) }()
		c, err := dialFrom(t, top.Servers[0], from, netip.AddrPortFrom(source, port), labtest.Hang)
		if err != nil {
			t.Fatalf("from port %d of a server to a client: %v", from, err)
		}
		if n, err := io.Copy(io.Discard, c); n != pageBytes || err != nil {
			t.Errorf("from port %d of a server to a client: %d bytes, %v; want %d", from, n, err, pageBytes)
		}
		if err := errors.Join(<-done, c.Close()); err != nil {
			t.Error(err)
		}
	}
	w.check(10)
}

// wantNothing ends a capture that must have seen nothing.
func wantNothing(t *testing.T, where string, c *capture.Capture) {
	t.Helper()
	packets, err := c.Stop()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		t.Errorf("came through to the %s: %s", where, p)
	}
}
