package forwarding

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// workersSite is a number of views of one engine, each with a worker of its own.
func workersSite(tb testing.TB, workers, flows int) []*site {
	tb.Helper()
	e, err := New(Config{Workers: workers, Flows: conntrack.Config{MaxFlows: flows}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { e.Close() }) //nolint:errcheck // the test is over
	var all []*site
	for _, w := range e.Workers() {
		s := &site{t: tb, engine: e, worker: w, now: mono.Now()}
		w.SetPorts([]Port{nullPort{link: outside, mac: outsideMAC}, nullPort{link: inside, mac: insideMAC}})
		all = append(all, s)
	}
	e.SetRoutes(NewRoutes(siteNetwork()))
	return all
}

// BenchmarkWorkers is what a packet costs, of a connection that is known and of a new one, when other workers are busy with
// others of the same service and the same servers. What workers write in common would show:
// cpu-ns/frame is a worker's own processor time, and a line that another core has written costs about 100 ns. What the
// cores share beside that shows with an engine for each.
func BenchmarkWorkers(b *testing.B) {
	for _, fresh := range []bool{false, true} {
		for _, engines := range [][]int{{1}, {1, 1}, {2}} { // workers of each
			b.Run(fmt.Sprintf("%s/workers=%v", map[bool]string{false: "known", true: "new"}[fresh], engines), func(b *testing.B) {
				const known = 64 * batchFrames
				each := known // clients of a worker
				if fresh {
					each = b.N * batchFrames
				}
				var crowds []*crowd
				for _, workers := range engines {
					sites := workersSite(b, workers, 2*each+known)
					first := newCrowd(b, sites[0], false)
					if !fresh {
						first.fill(b, 2*each)
					}
					sites[0].engine.flows.Prepare()
					for _, s := range sites {
						crowds = append(crowds, &crowd{s: s, frame: first.frame})
					}
				}
				workers := len(crowds)
				spent := make([]time.Duration, workers)
				var all sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for i, c := range crowds {
					all.Go(func() {
						runtime.LockOSThread()
						defer runtime.UnlockOSThread()
						spent[i] = c.work(b, i, each, map[bool]uint8{false: wire.TCPAck, true: wire.TCPSyn}[fresh])
					})
				}
				all.Wait()
				var sum time.Duration
				for i, c := range crowds {
					sum += spent[i]
					if got := c.s.reasons()[Forwarded]; got < uint64(b.N*batchFrames) {
						b.Fatalf("worker %d has forwarded %d of %d packets", i, got, b.N*batchFrames)
					}
				}
				b.ReportMetric(float64(sum.Nanoseconds())/float64(workers*b.N*batchFrames), "cpu-ns/frame")
			})
		}
	}
}

// work has a worker process b.N batches, of so many clients in turn that fanout gives to it of two, and returns the processor time
// that it took.
func (c *crowd) work(b *testing.B, worker, clients int, flags uint8) (spent time.Duration) {
	var frames [batchFrames][]byte
	for i := range frames {
		frames[i] = make([]byte, len(c.frame[0]))
	}
	client := 0
	for range b.N {
		for i := range frames {
			for {
				c.tell(frames[i], c.frame[0], client, flags)
				client = (client + 1) % (2 * clients)
				if c.worker(frames[i]) == worker {
					break
				}
			}
			c.s.worker.in[i] = Frame{Data: frames[i]}
		}
		began := threadTime(b)
		c.s.worker.Process(c.s.worker.in, c.s.now, &c.s.worker.out)
		c.s.worker.out.reset(2)
		spent += threadTime(b) - began
	}
	return spent
}

// worker returns which of two workers gets a frame of IPv4 from a client.
func (c *crowd) worker(frame []byte) int {
	var addr [16]byte
	copy(addr[:4], frame[14+12:])
	return int(conntrack.Spread(&addr, binary.BigEndian.Uint16(frame[14+20:]), false) % 2)
}
