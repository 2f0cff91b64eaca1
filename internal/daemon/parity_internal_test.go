package daemon

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"uvs/conntrack"
	"uvs/control"
	"uvs/control/ipvsadm/ipvsadmtest"
	"uvs/forwarding"
	"uvs/forwarding/porttest"
	"uvs/internal/hostnet"
	"uvs/internal/mono"
	"uvs/internal/parity"
	"uvs/internal/table"
)

// A bubble is the engine with the daemon's table in front, between two ports in memory, in the
// virtual time of synctest. It has no stack of its own.
type bubble struct {
	*desk
	worker *forwarding.Worker
	mtu    [2]int
	seen   []parity.Frame
	left   int
	stop   func()
}

var _ parity.World = (*bubble)(nil)

func (b *bubble) Reset(t *testing.T) {
	b.close()
	e, err := forwarding.New(forwarding.Config{Workers: 1, FTPPorts: []uint16{21}, Flows: conntrack.Config{MaxFlows: 10000}})
	if err != nil {
		t.Fatal(err)
	}
	b.desk = &desk{t: t, table: table.New(), engine: e}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		b.engine.Housekeep(ctx)
		close(ended)
	}()
	b.stop = func() {
		cancel()
		<-ended
		e.Close() //nolint:errcheck // the case is over
	}
	b.worker = b.engine.Workers()[0]
	var ports []forwarding.Port
	for _, s := range []parity.Side{parity.Clients, parity.Servers} {
		p, err := porttest.New(link(s), s.MAC())
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, p)
	}
	b.worker.SetPorts(ports)
	b.mtu = [2]int{1500, 1500}
	b.seen, b.left = nil, 0
	b.route()
	b.expire() // while it is empty a table gets to the present in no time
}

// close ends what Reset began.
func (b *bubble) close() {
	if b.stop != nil {
		b.stop()
	}
}

// link is the index of the director's interface on a side.
func link(s parity.Side) int { return int(s) + 1 }

// route tells the engine the site's network.
func (b *bubble) route() {
	n := forwarding.Network{Forwarding4: true, Forwarding6: true}
	for _, s := range []parity.Side{parity.Clients, parity.Servers} {
		n.Links = append(n.Links, forwarding.Link{Index: link(s), MAC: s.MAC(), MTU: b.mtu[s], Sources: s.Prefixes()})
		for _, p := range s.Prefixes() {
			n.Locals = append(n.Locals, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
			n.Routes = append(n.Routes, forwarding.RouteSpec{Prefix: p.Masked(), Hops: []forwarding.HopSpec{{Link: link(s)}}})
		}
	}
	for _, a := range parity.VIPs() {
		n.Locals = append(n.Locals, netip.PrefixFrom(a, a.BitLen()))
	}
	for _, x := range parity.Neighbours() {
		for _, a := range x.Addrs {
			n.Neighbours = append(n.Neighbours, forwarding.Neighbour{Link: link(x.Side), Addr: a, MAC: x.MAC})
		}
	}
	for _, gateway := range parity.Router().Addrs {
		everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gateway.Is6() {
			everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		n.Routes = append(n.Routes, forwarding.RouteSpec{Prefix: everywhere, Hops: []forwarding.HopSpec{{Link: link(parity.Clients), Gateway: gateway}}})
	}
	b.engine.SetRoutes(forwarding.NewRoutes(n))
}

func (b *bubble) Sysctl(t *testing.T, name, value string) {
	t.Helper()
	s := b.engine.Sysctls()
	if err := s.Set(name, value); err != nil {
		t.Fatal(err)
	}
	b.engine.SetSysctls(s)
}

func (b *bubble) MTU(_ *testing.T, s parity.Side, n int) {
	b.mtu[s] = n
	b.route()
}

// Ipvsadm implements parity.World. A command takes its time: what is left of a timeout when it is
// listed is never the whole of it.
func (b *bubble) Ipvsadm(t *testing.T, args []string) (stdout, stderr string, status int) {
	t.Helper()
	b.Wait(t, 250*time.Millisecond)
	a := ipvsadmtest.Run(t, b, args, "")
	return a.Stdout, a.Stderr, a.Status
}

// Edit does what the director's Edit does but for steering.
func (b *bubble) Edit(ctx context.Context, edits []control.Edit) error {
	if err := b.desk.Edit(ctx, edits); err != nil {
		return err
	}
	goal := effectiveOf(b.table.Services(), nil).goal.with(goal{services: matches(b.engine.LeavingServices()), servers: matches(b.engine.Lingering())})
	b.engine.SetAnswering(answering(goal.servers))
	return nil
}

// Services lists the table as the director does, whose devices have no names here.
func (b *bubble) Services(context.Context) (control.ServiceList, error) {
	return listed(b.table.Services(), b.engine, &hostnet.Snapshot{}), nil
}

// Connections lists them as the director does.
func (b *bubble) Connections(ctx context.Context, yield func(control.Connection) error) error {
	return (&director{engine: b.engine}).Connections(ctx, yield)
}

func (b *bubble) Send(t *testing.T, f parity.Frame) {
	t.Helper()
	before := b.worker.Info().Reasons
	var out forwarding.Batch
	b.worker.Process([]forwarding.Frame{{Data: f.Data, Port: int(f.Side)}}, mono.Now(), &out)
	for port := range out.Ports() {
		for _, x := range out.Frames(port) {
			b.seen = append(b.seen, parity.Frame{Side: parity.Side(port), Data: slices.Clone(x.Data)})
		}
	}
	after := b.worker.Info().Reasons
	for r, n := range after {
		if r.Pass() {
			b.left += int(n - before[r])
		}
	}
	t.Logf("%s: %v", f.Side.Device(), counted(before, after))
}

// counted returns the reasons that a frame was counted under.
func counted(before, after map[forwarding.Reason]uint64) (list []forwarding.Reason) {
	for _, r := range forwarding.Reasons() {
		if after[r] != before[r] {
			list = append(list, r)
		}
	}
	return list
}

func (b *bubble) Seen(*testing.T) (seen []parity.Frame, left int) {
	seen, left = b.seen, b.left
	b.seen, b.left = nil, 0
	return seen, left
}

// Wait lets the time go by in steps, after each of which it does what a worker does then.
func (b *bubble) Wait(_ *testing.T, d time.Duration) {
	const step = 125 * time.Millisecond
	for ; d > 0; d -= step {
		time.Sleep(min(d, step))
		b.expire()
	}
}

func (b *bubble) expire() {
	const budget = 1 << 20 // more flows than there are
	b.engine.Flows().Expire(mono.Now(), budget)
}

// TestAnswersAsKernel plays scripts of commands and packets and wants what the kernel's IPVS
// made of them: the same packets, the same listings, the same connections. With -update what
// ours answers where a script says that it differs is written into it.
func TestAnswersAsKernel(t *testing.T) {
	files, err := filepath.Glob("../parity/testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s := parity.Read(t, file)
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Second - time.Duration(mono.Now())) // a bubble begins before mono's time does
				b := &bubble{}
				defer b.close()
				s.Play(t, b, func(e *parity.Entry, got []string) {
					if *update && e.Differs != "" {
						e.Ours = got
					}
					e.Compare(t, file, got)
				})
			})
			if *update {
				if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
