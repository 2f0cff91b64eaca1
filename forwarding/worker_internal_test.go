package forwarding

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

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
