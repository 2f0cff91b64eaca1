//go:build netns

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestLargeDatagrams: UDP that does not fit the link is echoed whole, by NAT and DR, over both
// families, from clients that the fanout spreads over two workers.
func TestLargeDatagrams(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
			for _, h := range top.Servers {
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					echoLarge(t, h, m, vip)
				}
			}
			d := startDirector(t, top.Directors[0], m.udpConfig(top), "--workers", "2")
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				for _, size := range []int{1400, 1473, 4000, 9001, 30000, 60000} {
					for port := range 4 {
						echoed(t, top.Clients[0], vip, 41000+port, size)
					}
				}
			}
			s := d.status()
			if s.Made["fragment"] == 0 {
				t.Error("the director made no fragments")
			}
			for reason, n := range s.Drops {
				if n > 0 {
					t.Errorf("%d frames dropped as %s", n, reason)
				}
			}
			t.Logf("made %v, passed %v", s.Made, s.Passed)
		})
	}
}

// TestLargeDatagramsOverASmallLink: what comes in fragments is cut smaller where it has to be.
func TestLargeDatagramsOverASmallLink(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	d := top.Directors[0]
	for _, v6 := range []bool{false, true} {
		narrow(t, d, netOf(d, "eth1", v6), "eth1", 1300)
	}
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		echoLarge(t, top.Servers[0], m, vip)
	}
	startDirector(t, d, m.udpConfig(top))
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		echoed(t, top.Clients[0], vip, 41000, 8000)
	}
}

// echoLarge echoes datagrams of any size.
func echoLarge(t *testing.T, h *netlab.Host, m mode, vip netip.Addr) {
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
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				c.WriteTo(buf[:n], from) //nolint:errcheck // the client notices
			}
		}
	}()
	t.Cleanup(func() {
		c.Close() //nolint:errcheck // it ends the loop
		<-done
	})
}

// echoed sends a datagram, at most three times, and wants it back as it was. The first may be
// lost: IPv6 tells a sender only then that a link is smaller.
func echoed(t *testing.T, from *netlab.Host, vip netip.Addr, port, size int) {
	t.Helper()
	local := from.Addr4("eth0")
	if vip.Is6() {
		local = from.Addr6("eth0")
	}
	c, err := from.ListenPacket(t.Context(), "udp", netip.AddrPortFrom(local, uint16(port)).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	payload, buf := make([]byte, size), make([]byte, 1<<16)
	rand.NewChaCha8([32]byte{byte(size), byte(port)}).Read(payload) //nolint:errcheck // never fails
	try := func() error {
		if _, err := c.WriteTo(payload, net.UDPAddrFromAddrPort(netip.AddrPortFrom(vip, 80))); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		n, _, err := c.ReadFrom(buf)
		if err == nil && !bytes.Equal(buf[:n], payload) {
			err = fmt.Errorf("%d bytes came back, and not those sent", n)
		}
		return err
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		if err := try(); err != nil {
			return fmt.Errorf("%s: %d bytes from port %d: %w", family(vip), size, port, err)
		}
		return nil
	})
}
