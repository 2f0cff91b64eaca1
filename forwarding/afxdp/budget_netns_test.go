//go:build netns

package afxdp

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// TestBatchBeyondTheBudget: a sender that may not wait sends whole batches, although kernels before
// 6.17 take no more than 32 frames in one call and do not tell then that they took any.
func TestBatchBeyondTheBudget(t *testing.T) {
	site := labtest.New(t)
	a, b := labtest.Host(t, site, "a"), labtest.Host(t, site, "b")
	if err := site.Connect(a, "eth0", b, "eth0"); err != nil {
		t.Fatal(err)
	}
	shape := afpacket.Shape{Receive: afpacket.TPacketV3}
	from := openPort(t, a, afpacket.Config{Workers: 1})
	to := openPort(t, b, afpacket.Config{Workers: 1, Shape: shape, Memory: shape.Most()})
	var q *Queue
	if err := a.Do(func() (err error) {
		link, _ := from.Link()
		q, err = Open(DefaultConfig(link, 0, 1500))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // nothing is left to tell
	p := q.Sender(0).Port(from)
	defer p.Close() //nolint:errcheck // nothing is left to tell
	_, mac := to.Link()
	got := make([]forwarding.Frame, sendFrames)
	for batch, next := 0, uint32(0); batch < 20; batch++ {
		fs := make([]forwarding.Frame, sendFrames)
		for i := range fs {
			fs[i].Data = make([]byte, 64)
			wire.Ethernet(fs[i].Data).SetAddresses(mac, wire.MAC{2, 0, 0, 0, 0, 1})
			wire.Ethernet(fs[i].Data).SetEtherType(wire.EtherTypeIPv4)
			binary.BigEndian.PutUint32(fs[i].Data[60:], uint32(batch*sendFrames+i))
		}
		p.sender.crowded = true
		if n, err := p.Send(fs); n != sendFrames || err != nil {
			t.Fatalf("batch %d: sent %d of %d, %v", batch, n, sendFrames, err)
		}
		labtest.Eventually(t, labtest.Hang, func() error {
			n, err := to.Recv(got)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got[:n] {
				if f := got[i].Data; f[6] != 2 || f[11] != 1 {
					continue // not ours
				}
				if x := binary.BigEndian.Uint32(got[i].Data[60:]); x != next {
					t.Fatalf("frame %d came, want %d", x, next)
				}
				next++
			}
			to.Release(got[:n])
			if want := uint32(batch+1) * sendFrames; next != want {
				return fmt.Errorf("%d frames came, want %d", next, want)
			}
			return nil
		})
	}
}

// openPort opens the one port of a group on a host's interface.
func openPort(t *testing.T, h *netlab.Host, c afpacket.Config) forwarding.Port {
	t.Helper()
	var g *afpacket.Group
	if err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c.Link, c.MAC = ifi.Index, wire.MAC(ifi.HardwareAddr)
		g, err = afpacket.Open(c)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	return g.Ports()[0]
}
