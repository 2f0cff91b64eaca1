//go:build netns

package steer_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/steer"
)

// Ports of the tests. Nobody listens on the VIP.
const (
	steeredPort = 80
	otherPort   = 81
)

// site is a director between a client and a server, with the rules of a NAT service.
type site struct {
	*netlab.Topology
	client, director, server *netlab.Host
	rules                    steer.Rules
}

// newSite builds the site. The server listens on the service's port and on the other.
func newSite(t *testing.T, forward bool) *site {
	t.Helper()
	s := &site{Topology: labtest.TwoArm(t, netlab.Plan{Servers: 1, Forward: forward})}
	s.client, s.director, s.server = s.Clients[0], s.Directors[0], s.Servers[0]
	s.rules.Links = []int{index(t, s.director, "eth0"), index(t, s.director, "eth1")}
	for _, f := range s.families() {
		for _, proto := range []uint8{tcp, udp} {
			s.rules.Services = append(s.rules.Services, steer.Match{Addr: f.vip, Port: steeredPort, Proto: proto})
			s.rules.Servers = append(s.rules.Servers, steer.Match{Addr: f.server, Port: steeredPort, Proto: proto})
		}
		s.rules.Locals = append(append(s.rules.Locals, f.vip), f.local...)
		for _, port := range []uint16{steeredPort, otherPort} {
			accept(t, s.server, netip.AddrPortFrom(f.server, port))
		}
	}
	return s
}

// family is the addresses of a site in one address family.
type family struct {
	vip, server netip.Addr
	local       []netip.Addr // the director's own
}

func (s *site) families() []family {
	return []family{
		{s.VIP4, s.server.Addr4("eth0"), []netip.Addr{s.director.Addr4("eth0"), s.director.Addr4("eth1")}},
		{s.VIP6, s.server.Addr6("eth0"), []netip.Addr{s.director.Addr6("eth0"), s.director.Addr6("eth1")}},
	}
}

// accept listens on the host until the test ends.
func accept(t *testing.T, h *netlab.Host, at netip.AddrPort) {
	t.Helper()
	l, err := h.Listen(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// dials connects from a host and checks how that ends: "connected", "refused" by the stack
// of the other side, or "silence".
func dials(t *testing.T, what string, h *netlab.Host, addr netip.Addr, port uint16, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait(want))
	defer cancel()
	c, err := h.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
	if err == nil {
		c.Close()
	}
	expect(t, what, err, want)
}

// asksUDP sends a datagram from a host and checks how that ends, in the words of dials.
func asksUDP(t *testing.T, what string, h *netlab.Host, addr netip.Addr, port uint16, want string) {
	t.Helper()
	c, err := h.DialContext(t.Context(), "udp", netip.AddrPortFrom(addr, port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(wait(want))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 10))
	expect(t, what, err, want)
}

// wait is how long to wait for an end that is wanted: silence has none.
func wait(want string) time.Duration {
	if want == "silence" {
		return patience
	}
	return labtest.Hang
}

// expect checks how an exchange has ended.
func expect(t *testing.T, what string, err error, want string) {
	t.Helper()
	got := fmt.Sprint(err)
	switch {
	case err == nil:
		got = "connected"
	case isRefused(err):
		got = "refused"
	case isTimeout(err):
		got = "silence"
	}
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// ping fails the test unless the address answers.
func ping(t *testing.T, h *netlab.Host, addr netip.Addr) {
	t.Helper()
	labtest.Run(t, h, "ping", "-n", "-c", "1", "-W", "2", addr.String())
}

// TestStackIsKeptOut follows a service through its life, as its client and servers see it.
func TestStackIsKeptOut(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		s := newSite(t, false)
		before := dump(t, s.director)
		steerer := open(t, s.director, b)
		for _, f := range s.families() {
			dials(t, "service before Apply", s.client, f.vip, steeredPort, "refused")
			asksUDP(t, "UDP service before Apply", s.client, f.vip, steeredPort, "refused")
		}

		apply(t, s.director, steerer, s.rules)
		for _, f := range s.families() {
			dials(t, "service", s.client, f.vip, steeredPort, "silence")
			asksUDP(t, "UDP service", s.client, f.vip, steeredPort, "silence")
			dials(t, "other port of the VIP", s.client, f.vip, otherPort, "refused")
			asksUDP(t, "other UDP port of the VIP", s.client, f.vip, otherPort, "refused")
			dials(t, "director to a steered server", s.director, f.server, steeredPort, "connected")
			ping(t, s.client, f.vip)
			ping(t, s.server, f.local[1])
		}
		// Address resolution from nothing, both ways.
		for _, h := range []*netlab.Host{s.client, s.director, s.server} {
			labtest.Run(t, h, "ip", "neigh", "flush", "all")
		}
		for _, f := range s.families() {
			ping(t, s.client, f.vip)
			ping(t, s.director, f.server)
		}

		moved := s.rules
		moved.Services = nil
		for _, m := range s.rules.Services {
			m.Port = otherPort
			moved.Services = append(moved.Services, m)
		}
		apply(t, s.director, steerer, moved)
		for _, f := range s.families() {
			dials(t, "service after its change", s.client, f.vip, otherPort, "silence")
			dials(t, "old port after the change", s.client, f.vip, steeredPort, "refused")
		}

		inside(t, s.director, steerer.Remove)
		for _, f := range s.families() {
			dials(t, "service after Remove", s.client, f.vip, otherPort, "refused")
		}
		if after := dump(t, s.director); after != before {
			t.Errorf("filters before:\n%s\nafter Remove:\n%s", before, after)
		}
	})
}

// TestForwardingIsKeptOut has the kernel forward everything but what is steered.
func TestForwardingIsKeptOut(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		s := newSite(t, true)
		apply(t, s.director, open(t, s.director, b), s.rules)
		for _, f := range s.families() {
			dials(t, "service", s.client, f.vip, steeredPort, "silence")
			dials(t, "other port of a server through the director", s.client, f.server, otherPort, "connected")
			dials(t, "director to a steered server", s.director, f.server, steeredPort, "connected")
			// The server answers; the kernel must not forward what the director translates.
			dials(t, "steered port of a server through the director", s.client, f.server, steeredPort, "silence")
			ping(t, s.client, f.server)
		}
	})
}

// TestServerReturnsNeedLocals shows that it is the local addresses which let the
// director's own connections through.
func TestServerReturnsNeedLocals(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		s := newSite(t, false)
		steerer := open(t, s.director, b)
		without := s.rules
		without.Locals = nil
		apply(t, s.director, steerer, without)
		for _, f := range s.families() {
			dials(t, "director to a server without locals", s.director, f.server, steeredPort, "silence")
		}
		apply(t, s.director, steerer, s.rules)
		for _, f := range s.families() {
			dials(t, "director to a server with locals", s.director, f.server, steeredPort, "connected")
		}
	})
}

// TestTapsSeeSteeredFrames shows what makes steering possible at all.
func TestTapsSeeSteeredFrames(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		director, peer := hostWithPeer(t)
		link := device(t, director, "eth0")
		apply(t, director, open(t, director, b), testRules(link.Index))
		tap := listen(t, director)
		in := listen(t, peer)
		f := flow{to: link.HardwareAddr, src: addrPort("203.0.113.9:5000"), dst: addrPort("198.51.100.80:80"), proto: tcp}
		want := f.frame(t)
		if _, err := in.WriteTo(want, in.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if err := tap.SetReadDeadline(time.Now().Add(labtest.Hang)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 2000)
		for {
			n, _, err := tap.ReadFrom(got)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(got[:n], want) {
				return
			}
		}
	})
}
