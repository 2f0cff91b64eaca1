package forwarding

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// countedPort notes that it was closed.
type countedPort struct {
	nullPort
	name   string
	closed *[]string
}

func (p *countedPort) Close() error {
	*p.closed = append(*p.closed, p.name)
	return nil
}

// TestSetPortsClosesWhatNobodyHas: ports of a list that another one replaced before the
// worker took it up are closed as well, those that stay are not.
func TestSetPortsClosesWhatNobodyHas(t *testing.T) {
	e, err := New(Config{Workers: 1, Flows: conntrack.Config{MaxFlows: 10}})
	if err != nil {
		t.Fatal(err)
	}
	var closed []string
	port := func(name string, link int) *countedPort {
		return &countedPort{nullPort{link: link, mac: wire.MAC{2}}, name, &closed}
	}
	first, second, third, fourth := port("first", 1), port("second", 2), port("third", 3), port("fourth", 4)
	w := e.Workers()[0]
	w.SetPorts([]Port{first, second})
	w.usePorts()
	w.SetPorts([]Port{first, third}) // never taken up
	w.SetPorts([]Port{first, fourth})
	w.usePorts()
	slices.Sort(closed)
	if want := []string{"second", "third"}; !slices.Equal(closed, want) {
		t.Errorf("closed %v, want %v", closed, want)
	}
	closed = nil
	w.SetPorts([]Port{second}) // the engine never runs again
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(closed)
	if want := []string{"first", "fourth", "second"}; !slices.Equal(closed, want) {
		t.Errorf("after Close %v are closed, want %v", closed, want)
	}
}

// fussyPort hands out frames once and refuses every second frame that it is to send.
type fussyPort struct {
	nullPort
	in   []Frame
	sent int
}

func (p *fussyPort) Recv(fs []Frame) (int, error) {
	n := copy(fs, p.in)
	p.in = nil
	return n, nil
}

func (p *fussyPort) Release([]Frame) {}

func (p *fussyPort) Send(fs []Frame) (sent int, err error) {
	for i := range fs {
		if i%2 == 1 {
			fs[i].Refused, err = true, errors.New("message too long")
			continue
		}
		sent++
	}
	p.sent += sent
	return sent, err
}

// TestRefusedFramesAreDrops: a frame that the kernel does not take counts as dropped and
// never as forwarded, received or held before.
func TestRefusedFramesAreDrops(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	in, out := &fussyPort{nullPort: nullPort{link: outside, mac: outsideMAC}}, &fussyPort{nullPort: nullPort{link: inside, mac: insideMAC}}
	s.worker.SetPorts([]Port{in, out})
	s.worker.usePorts()
	round := func(n int) {
		for i := range n {
			g := segment{src: netip.AddrPortFrom(client4, uint16(40000+i)), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
			in.in = append(in.in, Frame{Data: g.frame(t)})
		}
		s.worker.round(s.now)
	}
	check := func(step string, forwarded, refused uint64) {
		t.Helper()
		if got := s.reasons(); got[Forwarded] != forwarded || got[DropRefused] != refused || out.sent != int(forwarded) {
			t.Errorf("%s: %d forwarded, %d refused, %d sent; want %d, %d, %d", step,
				got[Forwarded], got[DropRefused], out.sent, forwarded, refused, forwarded)
		}
	}
	round(5)
	check("received", 3, 2)

	full := siteNetwork()
	bare := full
	bare.Neighbours = full.Neighbours[:2]
	s.engine.SetRoutes(NewRoutes(bare))
	round(4)
	check("held", 3, 2)
	s.engine.SetRoutes(NewRoutes(full))
	round(0)
	check("held before", 5, 4)
}

// TestPortsThatGoAreDrained: frames that wait in a port when another takes its place are
// forwarded, by the ports that were there.
func TestPortsThatGoAreDrained(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	in, out := &fussyPort{nullPort: nullPort{link: outside, mac: outsideMAC}}, &fussyPort{nullPort: nullPort{link: inside, mac: insideMAC}}
	s.worker.SetPorts([]Port{in, out})
	s.worker.usePorts()
	g := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
	in.in = []Frame{{Data: g.frame(t)}}
	s.worker.SetPorts([]Port{nullPort{link: outside, mac: outsideMAC}, out})
	s.worker.usePorts()
	if out.sent != 1 || s.reasons()[Forwarded] != 1 {
		t.Errorf("%d frames were sent, %d counted; want the one that waited", out.sent, s.reasons()[Forwarded])
	}
}

// TestBusyPoll: after a frame a worker goes on looking for the time that it is told to, and
// then sleeps between its looks.
func TestBusyPoll(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spin   time.Duration
		looks  int           // so many
		within time.Duration // at the most; 0: no bound
		beyond time.Duration // at the least
	}{
		{"not at all", 0, 5, 0, 2 * idleWait},
		{"long", time.Hour, 1000, 1000 * idleWait / 10, 0},
		{"short", time.Millisecond, 1 << 15, 0, idleWait},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := New(Config{Workers: 1, BusyPoll: tt.spin, Flows: conntrack.Config{MaxFlows: 10}})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			port := &lookedAt{nullPort: nullPort{link: outside, mac: outsideMAC}, looks: make(chan time.Time, 1<<16)}
			e.Workers()[0].SetPorts([]Port{port})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- e.Run(ctx) }()
			first := <-port.looks
			took, looks := time.Duration(0), 0
			for ; looks < tt.looks && (looks < 5 || tt.beyond == 0 || took < tt.beyond); looks++ {
				took = (<-port.looks).Sub(first)
			}
			if took < tt.beyond || tt.within > 0 && took > tt.within {
				t.Errorf("%d looks in %v, want %v or more, and %v or less if not 0", looks, took, tt.beyond, tt.within)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// lookedAt hands out one frame, and tells when it is asked for more, as long as anybody
// listens.
type lookedAt struct {
	nullPort
	gave  bool
	looks chan time.Time
}

func (p *lookedAt) Recv(fs []Frame) (int, error) {
	select {
	case p.looks <- time.Now():
	default:
	}
	if p.gave {
		return 0, nil
	}
	p.gave = true
	fs[0] = Frame{Data: make([]byte, wire.EthernetLen)}
	return 1, nil
}

func (p *lookedAt) Release([]Frame) {}
func (p *lookedAt) FD() int         { return -1 }
func (p *lookedAt) Close() error    { return nil }
