package forwarding

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/forwarding/sched"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// A range of services of one address, each with as many servers.
type estate struct {
	*crowd
	services int
}

// newEstate serves the ports from 1 on of the VIP.
func newEstate(tb testing.TB, scheduler string, services, servers, flows int) *estate {
	tb.Helper()
	s := crowdSite(tb, flows)
	n := siteNetwork()
	s.engine.SetRoutes(NewRoutes(n))
	s.update(func(tx *Tx) error {
		for i := range services {
			key := ServiceKey{vip4, uint16(1 + i), wire.ProtoTCP}
			if err := tx.AddService(key, ServiceSpec{Scheduler: scheduler}); err != nil {
				return err
			}
			for k := range servers {
				// Of three addresses, whose MACs are known.
				at := netip.AddrPortFrom(server4(k%len(serverMACs)), uint16(1000+k))
				if err := tx.AddServer(key, at, ServerSpec{Method: Masq, Weight: 1 + k%5}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	e := &estate{crowd: &crowd{s: s}, services: services}
	g := segment{src: endpoint(client4, 1), dst: endpoint(vip4, 1), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
	for i := range e.frame {
		e.frame[i] = g.frame(tb)
	}
	return e
}

// batch has the worker process a packet of each of the clients from first on, and returns the
// time that it took of the thread.
func (e *estate) batch(b *testing.B, work *[batchFrames][]byte, first int, flags uint8) time.Duration {
	for i := range work {
		e.tell(work[i], e.frame[i], first+i, flags)
		// A service in an order that no cache foresees.
		binary.BigEndian.PutUint16(work[i][14+20+2:], uint16(1+uint64(first+i)*2654435761%uint64(e.services)))
		e.s.worker.in[i] = Frame{Data: work[i]}
	}
	began := threadTime(b)
	e.s.worker.Process(e.s.worker.in, e.s.now, &e.s.worker.out)
	took := threadTime(b) - began
	e.s.worker.out.reset(2)
	return took
}

// BenchmarkFlat is what a new connection costs, and a packet of an old one, against the number
// of services, of servers of each, and the scheduler. Connections end as fast as they begin.
func BenchmarkFlat(b *testing.B) {
	type size struct{ services, servers int }
	sizes := []size{{1, 1}, {1, 10}, {1, 100}, {1, 1000}, {100, 10}, {10000, 10}}
	for _, scheduler := range sched.Names() {
		for _, z := range sizes {
			b.Run(fmt.Sprintf("%s/services=%d/servers=%d", scheduler, z.services, z.servers), func(b *testing.B) {
				const alive = 200 * batchFrames
				e := newEstate(b, scheduler, z.services, z.servers, 4*alive)
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				var work [batchFrames][]byte
				for i := range work {
					work[i] = make([]byte, len(e.frame[i]))
				}
				var miss, hit time.Duration
				next := 0
				step := func() {
					miss += e.batch(b, &work, next, wire.TCPSyn)
					hit += e.batch(b, &work, next, wire.TCPAck)
					next += batchFrames
					if old := next - alive; old >= 0 {
						e.batch(b, &work, old, wire.TCPRst)
					}
					e.s.now = e.s.now.Add(100 * time.Millisecond)
					for e.s.engine.flows.Expire(e.s.now, 1<<20) > 0 {
					}
				}
				for range 2 * alive / batchFrames {
					step()
				}
				e.s.engine.flows.Prepare()
				miss, hit = 0, 0
				before := e.s.reasons()[Forwarded]
				b.ReportAllocs()
				for b.Loop() {
					step()
				}
				if got := e.s.reasons()[Forwarded] - before; got != uint64(3*batchFrames*b.N) {
					b.Errorf("%d packets forwarded of %d: %v", got, 3*batchFrames*b.N, e.s.reasons())
				}
				b.ReportMetric(float64(miss.Nanoseconds())/float64(b.N)/batchFrames, "cpu-ns/miss")
				b.ReportMetric(float64(hit.Nanoseconds())/float64(b.N)/batchFrames, "cpu-ns/hit")
			})
		}
	}
}

// BenchmarkTable is what the control plane takes of 10 000 services with two servers each: to
// make them at once, to change one of them, and to list all.
func BenchmarkTable(b *testing.B) {
	const services = 10_000
	key := func(i int) ServiceKey { return ServiceKey{vip4, uint16(1 + i), wire.ProtoTCP} }
	at := func(i int) netip.AddrPort { return netip.AddrPortFrom(server4(i), 80) }
	load := func(b *testing.B) *Engine {
		e, err := New(Config{Workers: 1, Flows: conntrack.Config{MaxFlows: 1000}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { e.Close() }) //nolint:errcheck // the benchmark is over
		err = e.Update(func(tx *Tx) error {
			for i := range services {
				if err := tx.AddService(key(i), ServiceSpec{Scheduler: "wlc"}); err != nil {
					return err
				}
				for k := range 2 {
					if err := tx.AddServer(key(i), at(k), ServerSpec{Method: Masq, Weight: 1}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		return e
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			load(b)
		}
	})
	e := load(b)
	change := func(b *testing.B, change func(tx *Tx, i int) error) {
		for i := 0; b.Loop(); i = (i + 1) % services {
			if err := e.Update(func(tx *Tx) error { return change(tx, i) }); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("edit a server", func(b *testing.B) {
		change(b, func(tx *Tx, i int) error { return tx.EditServer(key(i), at(0), ServerSpec{Method: Masq, Weight: 2}) })
	})
	b.Run("delete and add a service", func(b *testing.B) {
		change(b, func(tx *Tx, i int) error {
			if err := tx.DeleteService(key(i)); err != nil {
				return err
			}
			return tx.AddService(key(i), ServiceSpec{Scheduler: "wlc"})
		})
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			e.Services()
		}
	})
	b.Run("collect", func(b *testing.B) {
		for b.Loop() {
			e.collect(mono.Now())
		}
	})
}
