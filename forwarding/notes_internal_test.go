package forwarding

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"uvs/forwarding/sched"
	"uvs/internal/wire"
)

// watched is a service whose scheduler must hear of changes.
type watched struct {
	*site
	key ServiceKey
	svc *service
	rng *rand.Rand
}

func newWatched(t *testing.T, scheduler string, protocol uint8, servers int, seed uint64) *watched {
	s := newSite(t)
	key := s.serve(vip4, 80, protocol, Masq, 80, 0)
	s.update(func(tx *Tx) error { return tx.EditService(key, ServiceSpec{Scheduler: scheduler}) })
	w := &watched{site: s, key: key, svc: s.engine.services[key], rng: rand.New(rand.NewPCG(seed, 0))}
	for i := range servers {
		w.add(i)
	}
	return w
}

func (w *watched) add(i int) {
	w.update(func(tx *Tx) error { return tx.AddServer(w.key, netip.AddrPortFrom(server4(i), 80), w.spec()) })
}

func (w *watched) spec() ServerSpec {
	spec := ServerSpec{Method: Masq, Weight: w.rng.IntN(5)}
	if w.rng.IntN(3) == 0 {
		spec.UpperThreshold = uint32(1 + w.rng.IntN(6))
	}
	return spec
}

// fresh is what a scheduler picks that sees the servers for the first time.
func (w *watched) fresh() *dest {
	s, _ := sched.New(w.svc.spec.Scheduler, 0, w.engine.schedulerEnv())
	view := make([]sched.Server, len(w.svc.servers))
	for i, d := range w.svc.servers {
		view[i] = d
	}
	s.Update(view)
	if i := s.Pick(sched.Request{}); i >= 0 {
		return w.svc.servers[i]
	}
	return nil
}

// change does something to servers or connections.
func (w *watched) change() {
	server := w.rng.IntN(100)
	at := netip.AddrPortFrom(server4(server), 80)
	there := w.engine.find(w.key, at) != nil
	client, port := netip.AddrFrom4([4]byte{203, 0, 113, byte(w.rng.IntN(4))}), uint16(1000+w.rng.IntN(100))
	flags := []uint8{wire.TCPSyn, wire.TCPSyn, wire.TCPSyn, wire.TCPAck, wire.TCPFin, wire.TCPRst}[w.rng.IntN(6)]
	switch n := w.rng.IntN(20); {
	case n == 0 && there:
		w.update(func(tx *Tx) error { return tx.DeleteServer(w.key, at) })
	case n < 2 && !there:
		w.add(server)
	case n == 2 && there:
		w.update(func(tx *Tx) error { return tx.EditServer(w.key, at, w.spec()) })
	case n == 3:
		w.pass(time.Duration(w.rng.IntN(200)) * time.Second)
	default:
		g := segment{src: netip.AddrPortFrom(client, port), dst: netip.AddrPortFrom(vip4, 80), protocol: w.key.Protocol, flags: flags}
		w.process(outside, g.frame(w.t), nil)
	}
}

// TestSchedulersHearOfChanges: whatever happens to connections and servers, the next pick is that
// of a scheduler which looks at all servers.
func TestSchedulersHearOfChanges(t *testing.T) {
	for _, tt := range []struct {
		scheduler string
		protocol  uint8
	}{
		{"lc", wire.ProtoTCP}, {"wlc", wire.ProtoTCP}, {"sed", wire.ProtoTCP}, {"nq", wire.ProtoTCP}, {"fo", wire.ProtoTCP},
		{"ovf", wire.ProtoTCP}, {"wlc", wire.ProtoUDP},
	} {
		t.Run(tt.scheduler+" "+protocolName(tt.protocol), func(t *testing.T) {
			chosen := make(map[*dest]bool)
			for seed := range uint64(2) {
				w := newWatched(t, tt.scheduler, tt.protocol, 70, seed)
				for step := range 800 {
					w.change()
					got, want := w.svc.pick(sched.Request{}), w.fresh()
					if got != want {
						t.Fatalf("seed %d, step %d: picks %s, want %s", seed, step, nameOf(got), nameOf(want))
					}
					chosen[got] = true
				}
			}
			if len(chosen) < 3 {
				t.Errorf("only %d servers were ever picked", len(chosen))
			}
		})
	}
}

func nameOf(d *dest) string {
	if d == nil {
		return "nobody"
	}
	return fmt.Sprintf("%s (weight %d, %d+%d connections)", d.addr, d.Weight(), d.Active(), d.Inactive())
}

// TestNotesOfManyWorkers: what many goroutines change at once is not lost: when they are done,
// the next pick counts all of it.
func TestNotesOfManyWorkers(t *testing.T) {
	w := newWatched(t, "wlc", wire.ProtoTCP, 70, 1)
	for round := range 50 {
		var wg sync.WaitGroup
		for n := range 3 {
			rng := rand.New(rand.NewPCG(uint64(round), uint64(n)))
			wg.Go(func() {
				for range 200 {
					list := w.svc.roster.Load().list
					d := list[rng.IntN(len(list))]
					d.bound()
					d.moved(1)
					if rng.IntN(2) == 0 {
						d.gone(true)
					}
					if n == 0 {
						w.svc.pick(sched.Request{})
					}
				}
			})
		}
		wg.Wait()
		if got, want := w.svc.pick(sched.Request{}), w.fresh(); got != want {
			t.Fatalf("round %d: picks %s, want %s", round, nameOf(got), nameOf(want))
		}
	}
}

// TestPlaceOfFormerList: a note for a place that the list has no more is none.
func TestPlaceOfFormerList(t *testing.T) {
	for _, servers := range []int{0, 3, 64, 400} {
		var n notes
		n.init(servers)
		told := &told{}
		for place := range 500 {
			n.take(uint32(place))
		}
		n.pass(told)
		if told.count != servers {
			t.Errorf("of %d servers the scheduler was told %d times", servers, told.count)
		}
	}
}

// told is a scheduler that counts what it is told.
type told struct {
	sched.Scheduler
	count int
}

func (s *told) Changed(int) { s.count++ }
