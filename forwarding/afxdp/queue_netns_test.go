//go:build netns

package afxdp_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/forwarding/afxdp"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// A wireBetween is a veth pair between two hosts.
type wireBetween struct {
	t    *testing.T
	a, b *netlab.Host
	to   *afpacket.Port // of b
}

func newWire(t *testing.T) *wireBetween {
	t.Helper()
	site := labtest.New(t)
	w := &wireBetween{t: t, a: labtest.Host(t, site, "a"), b: labtest.Host(t, site, "b")}
	if err := site.Connect(w.a, "eth0", w.b, "eth0"); err != nil {
		t.Fatal(err)
	}
	shape := afpacket.Shape{Receive: afpacket.TPacketV3}
	g := w.group(w.b, afpacket.Config{Workers: 1, Shape: shape, Memory: shape.Most()})
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	w.to = g.Ports()[0]
	return w
}

func (w *wireBetween) group(h *netlab.Host, c afpacket.Config) (g *afpacket.Group) {
	w.t.Helper()
	if err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c.Link, c.MAC = ifi.Index, wire.MAC(ifi.HardwareAddr)
		g, err = afpacket.Open(c)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(g.Close)
	return g
}

// open takes the queue of a, shared by some senders, with few chunks.
func (w *wireBetween) open(senders int) (q *afxdp.Queue, err error) {
	w.t.Helper()
	err = w.a.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c := afxdp.DefaultConfig(ifi.Index, 0, 1500)
		c.Chunks, c.Senders = 64, senders
		q, err = afxdp.Open(c)
		return err
	})
	return q, err
}

// ports are ports of a that send by a queue.
func (w *wireBetween) ports(q *afxdp.Queue, n int) (ports []*afxdp.Port) {
	for i, p := range w.group(w.a, afpacket.Config{Workers: n}).Ports() {
		x := q.Sender(i).Port(p)
		w.t.Cleanup(func() { x.Close() })
		ports = append(ports, x)
	}
	return ports
}

// batch makes frames from a sender to b, with numbers from first on.
func (w *wireBetween) batch(sender byte, first, n int) []forwarding.Frame {
	w.t.Helper()
	mac, err := w.b.MAC("eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	fs := make([]forwarding.Frame, n)
	for i := range fs {
		f := make([]byte, 64)
		copy(f, mac)
		f[6], f[11] = 2, sender
		binary.BigEndian.PutUint16(f[12:], wire.EtherTypeIPv4)
		binary.BigEndian.PutUint32(f[60:], uint32(first+i))
		fs[i].Data = f
	}
	return fs
}

// take receives until every sender's frames have come in order, and nothing else has.
func (w *wireBetween) take(senders, each int) {
	w.t.Helper()
	next := make([]int, senders)
	got := 0
	fs := make([]forwarding.Frame, 64)
	labtest.Eventually(w.t, labtest.Hang, func() error {
		n, err := w.to.Recv(fs)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range fs[:n] {
			s, i := int(f.Data[11]), int(binary.BigEndian.Uint32(f.Data[60:]))
			if i != next[s] {
				w.t.Fatalf("sender %d: frame %d came, want %d; the ring had no room for %d", s, i, next[s], w.to.Stats().RingDrops)
			}
			next[s]++
		}
		w.to.Release(fs[:n])
		if got += n; got < senders*each {
			return fmt.Errorf("%d frames came, want %d; the ring had no room for %d", got, senders*each, w.to.Stats().RingDrops)
		}
		return nil
	})
}

// TestSharedQueue: several workers send by one queue at the same time, each many times what
// its chunks hold; all frames come, those of each in their order.
func TestSharedQueue(t *testing.T) {
	const senders, each, size = 3, 6000, 60
	w := newWire(t)
	q, err := w.open(senders)
	if err != nil {
		t.Fatal(err)
	}
	ports := w.ports(q, senders)
	var wg sync.WaitGroup
	for s, p := range ports {
		wg.Go(func() {
			for first := 0; first < each; first += size {
				fs := w.batch(byte(s), first, size)
				for len(fs) > 0 { // another sender may have the chunks
					n, err := p.Send(fs)
					if err != nil && !errors.Is(err, unix.EAGAIN) {
						t.Errorf("sender %d: %v", s, err)
						return
					}
					fs = fs[n:]
				}
			}
		})
	}
	wg.Wait()
	w.take(senders, each)
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

// TestQueueHasOneOwner: while a port uses a queue it cannot be taken; when all are closed it
// can, and nothing stays open.
func TestQueueHasOneOwner(t *testing.T) {
	w := newWire(t)
	before := descriptors(t)
	q, err := w.open(2)
	if err != nil {
		t.Fatal(err)
	}
	ports := w.ports(q, 2)
	if err := errors.Join(q.Close(), ports[0].Close(), ports[0].Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.open(1); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "another AF_XDP socket has queue 0") {
		t.Errorf("opened while in use: %v", err)
	}
	if n, err := ports[1].Send(w.batch(0, 0, 3)); n != 3 || err != nil {
		t.Errorf("sent %d of 3 frames: %v", n, err)
	}
	if err := ports[1].Close(); err != nil {
		t.Error(err)
	}
	if q, err = w.open(1); err != nil {
		t.Fatalf("opened again: %v", err)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

// descriptors counts the process's own, but for the packet sockets that tests close later.
func descriptors(t *testing.T) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestOutage: frames that find the interface down or without carrier are refused and counted,
// much longer than chunks would last; with the link they go again.
func TestOutage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w *wireBetween, up bool) error
		want   error
	}{
		{"down", func(w *wireBetween, up bool) error { return set(w.a, up) }, unix.ENETDOWN},
		{"no carrier", func(w *wireBetween, up bool) error { return set(w.b, up) }, unix.EBUSY},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t)
			q, err := w.open(1)
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			p := w.ports(q, 1)[0]
			for round := range 3 {
				if err := tt.change(w, false); err != nil {
					t.Fatal(err)
				}
				for range 20 {
					fs := w.batch(1, 0, 50)
					if n, err := p.Send(fs); n != 0 || !errors.Is(err, tt.want) || !fs[0].Refused || !fs[49].Refused {
						t.Fatalf("sent %d, %v; want 0, %v and all refused", n, err, tt.want)
					}
				}
				if err := tt.change(w, true); err != nil {
					t.Fatal(err)
				}
				w.to.Err() //nolint:errcheck // it went down as well
				sent := 0
				labtest.Eventually(t, labtest.Hang, func() error { // carrier takes a moment
					n, err := p.Send(w.batch(0, sent, 50)[:50-sent])
					sent += n
					return err
				})
				if s := p.Stats(); s.Sent != uint64(50*(round+1)) || s.SendErrors < 1000 || s.SendError == nil {
					t.Errorf("round %d: %+v", round, s)
				}
				w.take(1, 50)
			}
		})
	}
}

func set(h *netlab.Host, up bool) error {
	if up {
		return h.SetUp("eth0")
	}
	return h.SetDown("eth0")
}
