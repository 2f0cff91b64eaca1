//go:build netns

package tap_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"uvs/forwarding"
	"uvs/forwarding/tap"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// TestPort: a datagram that a port sends reaches a socket of the host, what the host routes to the
// device is received, neither allocates, and the device goes with the last port.
func TestPort(t *testing.T) {
	site := labtest.New(t)
	h := labtest.Host(t, site, "host")
	labtest.Run(t, h, "ip", "address", "add", "192.0.2.1/32", "dev", "lo")
	var g *tap.Group
	err := h.Do(func() (err error) {
		g, err = tap.Open("uvs%d", 2, 1280)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if g.Name() != "uvs0" || len(g.Ports()) != 2 {
		t.Fatalf("device %s with %d ports", g.Name(), len(g.Ports()))
	}
	labtest.Run(t, h, "ip", "route", "add", "203.0.113.5/32", "dev", "uvs0")
	c, err := h.ListenPacket(t.Context(), "udp", "192.0.2.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over

	_, mac := g.Link()
	port := g.Ports()[1]
	frames := []forwarding.Frame{{Data: datagram(mac, netip.MustParseAddrPort("203.0.113.5:40000"), netip.MustParseAddrPort("192.0.2.1:53"), "ask")}}
	if n, err := port.Send(frames); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	buf := make([]byte, 100)
	if err := c.SetReadDeadline(time.Now().Add(labtest.Hang)); err != nil {
		t.Fatal(err)
	}
	n, from, err := c.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "ask" || from.String() != "203.0.113.5:40000" {
		t.Fatalf("%q from %v: %v", buf[:n], from, err)
	}
	if _, err := c.WriteTo([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	var got []forwarding.Frame
	labtest.Eventually(t, labtest.Hang, func() error {
		for _, p := range g.Ports() { // a flow's answers come to the queue that it was sent by
			in := make([]forwarding.Frame, 64)
			n, err := p.Recv(in)
			if err != nil {
				return err
			}
			for _, f := range in[:n] {
				if bytes.HasSuffix(f.Data, []byte("answer")) {
					got = append(got, f)
				}
			}
		}
		if len(got) != 1 {
			return fmt.Errorf("%d answers", len(got))
		}
		return nil
	})
	h4 := wire.IPv4(got[0].Data[wire.EthernetLen:])
	if netip.AddrFrom4([4]byte(h4.Source())).String() != "192.0.2.1" || len(got[0].Vnet) != forwarding.VnetLen {
		t.Errorf("it comes from %v", h4.Source())
	}
	in := make([]forwarding.Frame, 64)
	if n := testing.AllocsPerRun(100, func() {
		port.Send(frames) //nolint:errcheck // the socket's buffer may be full
		port.Recv(in)     //nolint:errcheck // nothing is there
	}); n != 0 {
		t.Errorf("%v allocations for a Send and a Recv", n)
	}
	if s := port.Stats(); s.Sent < 100 || s.SendErrors != 0 {
		t.Errorf("statistics: %+v", s)
	}
	g.Close()
	if _, err := port.Recv(in); err == nil {
		t.Error("a closed port receives")
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		if out := labtest.Run(t, h, "ip", "-o", "link"); bytes.Contains([]byte(out), []byte("uvs0")) {
			return fmt.Errorf("the device outlives its ports:\n%s", out)
		}
		return nil
	})
}

func datagram(mac wire.MAC, src, dst netip.AddrPort, payload string) []byte {
	b := make([]byte, wire.EthernetLen+wire.IPv4Len+wire.UDPLen+len(payload))
	copy(b, mac[:])
	copy(b[6:], mac[:])
	b[12], b[13] = 0x08, 0x00
	h := wire.IPv4(b[wire.EthernetLen:][:wire.IPv4Len])
	h.Init(0, 64, wire.ProtoUDP, 1, false, wire.UDPLen+len(payload))
	copy(h.Source(), src.Addr().AsSlice())
	copy(h.Destination(), dst.Addr().AsSlice())
	h.SetChecksum(wire.Checksum(h))
	u := b[wire.EthernetLen+wire.IPv4Len:]
	u[0], u[1] = byte(src.Port()>>8), byte(src.Port())
	u[2], u[3] = byte(dst.Port()>>8), byte(dst.Port())
	u[5] = byte(wire.UDPLen + len(payload))
	copy(u[wire.UDPLen:], payload)
	return b
}
