package forwarding

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// A crowd makes and repeats the packets of many clients of one service, each of its own
// address and port.
type crowd struct {
	s     *site
	v6    bool
	frame [batchFrames][]byte // templates, of which tell changes the client
}

// clientsPerAddress is how many ports of an address a crowd uses.
const clientsPerAddress = 50_000

// newCrowd serves the VIP of a family by NAT with three servers.
func newCrowd(tb testing.TB, s *site, v6 bool) *crowd {
	tb.Helper()
	c := &crowd{s: s, v6: v6}
	g := segment{src: endpoint(client4, 1), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
	if v6 {
		g.src, g.dst = endpoint(client6, 1), endpoint(vip6, 80)
	}
	s.serve(g.dst.Addr(), 80, wire.ProtoTCP, Masq, 80, 3)
	for i := range c.frame {
		c.frame[i] = g.frame(tb)
	}
	return c
}

// tell puts the i-th client into a copy of the template: its address and port, and flags of
// TCP. The checksum of TCP is left as it is: nothing here looks at it.
func (c *crowd) tell(frame, template []byte, i int, flags uint8) {
	copy(frame, template)
	port := uint16(1024 + i%clientsPerAddress)
	if c.v6 {
		binary.BigEndian.PutUint32(frame[14+8+12:], uint32(1+i/clientsPerAddress))
		binary.BigEndian.PutUint16(frame[14+40:], port)
		frame[14+40+13] = flags
		return
	}
	binary.BigEndian.PutUint32(frame[14+12:], 0xcb007100+uint32(i/clientsPerAddress))
	frame[14+10], frame[14+11] = 0, 0
	binary.BigEndian.PutUint16(frame[14+10:], ^wire.Sum(frame[14:14+20], 0))
	binary.BigEndian.PutUint16(frame[14+20:], port)
	frame[14+20+13] = flags
}

// send has the worker process the packets of clients from first on, n of them, in batches,
// and returns how many were forwarded.
func (c *crowd) send(first, n int, flags uint8) (forwarded int) {
	var work [batchFrames][]byte
	for i := range work {
		work[i] = make([]byte, len(c.frame[i]))
	}
	before := c.s.worker.reasons.total[Forwarded].Load()
	for n > 0 {
		m := min(n, batchFrames)
		for i := range m {
			c.tell(work[i], c.frame[i], first+i, flags)
			c.s.worker.in[i] = Frame{Data: work[i]}
		}
		c.s.worker.Process(c.s.worker.in[:m], c.s.now, &c.s.worker.out)
		c.s.worker.out.reset(2)
		first, n = first+m, n-m
	}
	return int(c.s.worker.reasons.total[Forwarded].Load() - before)
}

// fill makes n connections, established as far as the client's side goes. Memory is prepared
// as in a running director.
func (c *crowd) fill(tb testing.TB, n int) {
	tb.Helper()
	const step = 20_000
	for first := 0; first < n; first += step {
		m := min(step, n-first)
		if got := c.send(first, m, wire.TCPSyn) + c.send(first, m, wire.TCPAck); got != 2*m {
			tb.Fatalf("%d of %d packets were forwarded after %d clients", got, 2*m, first)
		}
		c.s.engine.flows.Prepare()
	}
}

// crowdSite is a site whose table holds n flows.
func crowdSite(tb testing.TB, n int) *site {
	tb.Helper()
	e, err := New(Config{Workers: 1, Flows: conntrack.Config{MaxFlows: n}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { e.Close() }) //nolint:errcheck // the test is over
	s := &site{t: tb, engine: e, worker: e.Workers()[0], now: mono.Now()}
	s.worker.SetPorts([]Port{nullPort{link: outside, mac: outsideMAC}, nullPort{link: inside, mac: insideMAC}})
	e.SetRoutes(NewRoutes(siteNetwork()))
	return s
}

// TestFullTable: when the table is full a new connection gets nothing, under its own reason,
// existing ones go on in both directions, and room that one leaves is the next one's.
func TestFullTable(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "ipv4", true: "ipv6"}[v6], func(t *testing.T) {
			const clients = 1000
			s := crowdSite(t, clients)
			c := newCrowd(t, s, v6)
			c.fill(t, clients)

			before := s.reasons()
			if got := c.send(clients, 10, wire.TCPSyn); got != 0 {
				t.Errorf("%d new connections were forwarded by a full table", got)
			}
			if n := s.reasons()[DropTableFull] - before[DropTableFull]; n != 10 {
				t.Errorf("%d of 10 packets are counted as %s", n, DropTableFull)
			}
			for _, list := range s.worker.out.ports {
				if len(list) != 0 {
					t.Error("a full table answered")
				}
			}
			if got := c.send(0, clients, wire.TCPAck); got != clients {
				t.Errorf("%d of %d existing connections go on", got, clients)
			}
			answer := segment{src: endpoint(server4(0), 80), dst: endpoint(client4, 1), protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck}
			if v6 {
				answer.src, answer.dst = endpoint(server6(0), 80), endpoint(client6, 1)
			}
			s.engine.flows.Each(s.now, func(e *conntrack.Entry) bool { // of any client
				answer.src, answer.dst = e.Dest, e.Client
				return false
			})
			if _, _, reason := s.process(inside, answer.frame(t), nil); reason != Forwarded {
				t.Errorf("an answer on an existing connection ends as %s", reason)
			}
			if got := s.engine.flows.Len(); got != clients {
				t.Errorf("%d flows in a table for %d", got, clients)
			}

			// One connection is closed and forgotten; there is room for one.
			c.send(0, 1, wire.TCPRst)
			s.now = s.now.Add(time.Minute)
			s.engine.flows.Expire(s.now, 1<<20)
			if got := c.send(clients, 10, wire.TCPSyn); got != 1 {
				t.Errorf("%d of 10 new connections have the room that one left", got)
			}
		})
	}
}

// BenchmarkLookup is what a packet of one of n connections costs from Recv to Send, clients in
// an order that no cache foresees. cpu-ns/frame is the thread's own time, which others that
// use the machine meanwhile change less.
func BenchmarkLookup(b *testing.B) {
	for _, family := range []struct {
		name  string
		v6    bool
		sizes []int
	}{{"ipv4", false, []int{1_000, 100_000, 1_000_000}}, {"ipv6", true, []int{1_000, 100_000}}} {
		for _, n := range family.sizes {
			b.Run(fmt.Sprintf("%s/%d", family.name, n), func(b *testing.B) {
				s := crowdSite(b, n)
				c := newCrowd(b, s, family.v6)
				c.fill(b, n)
				// Frames are made beforehand: a ring's are in memory as well.
				const batches = 256
				frames := make([][]byte, batches*batchFrames)
				for i := range frames {
					frames[i] = make([]byte, len(c.frame[0]))
				}
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				b.ReportAllocs()
				var spent, began time.Duration
				for i := 0; b.Loop(); i++ {
					if i%batches == 0 {
						b.StopTimer()
						if i > 0 {
							spent += threadTime(b) - began
						}
						for k := range frames {
							at := uint64(i/batches)*batches*batchFrames + uint64(k)
							c.tell(frames[k], c.frame[0], int(at*2654435761%uint64(n)), wire.TCPAck)
						}
						began = threadTime(b)
						b.StartTimer()
					}
					batch := frames[i%batches*batchFrames:]
					for k := range batchFrames {
						s.worker.in[k] = Frame{Data: batch[k]}
					}
					s.worker.Process(s.worker.in, s.now, &s.worker.out)
					s.worker.out.reset(2)
				}
				spent += threadTime(b) - began
				b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/batchFrames, "cpu-ns/frame")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchFrames, "ns/frame")
				if got := s.reasons(); got[Forwarded] != uint64(2*n+b.N*batchFrames) {
					b.Errorf("%d packets forwarded, want all: %v", got[Forwarded], got)
				}
			})
		}
	}
}

// threadTime returns the processor time that the calling thread has had.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkMillion makes 1 000 000 connections of IPv4 and 100 000 of IPv6 through Process,
// and reports what each takes of the whole process's resident memory (there are no rings
// here), what a frame of a new one costs, and what the collector stops the program for while
// they are there: the median of its pauses and the longest.
func BenchmarkMillion(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for b.Loop() {
		const n4, n6, first = 1_000_000, 100_000, 1_000
		s := crowdSite(b, n4+n6)
		four, six := newCrowd(b, s, false), newCrowd(b, s, true)
		four.fill(b, first) // what a worker takes once is no connection's
		six.fill(b, first)
		start, began := resident(b), threadTime(b)
		four.fill(b, n4)
		took, mid := threadTime(b)-began, resident(b)
		six.fill(b, n6)
		end := resident(b)
		if got := s.engine.flows.Len(); got != n4+n6 {
			b.Fatalf("%d connections, want %d", got, n4+n6)
		}
		median, longest := pauses("/sched/pauses/total/gc:seconds", 100)
		b.ReportMetric(float64(mid-start)/(n4-first), "B/flow4")
		b.ReportMetric(float64(end-mid)/(n6-first), "B/flow6")
		b.ReportMetric(float64(end-start)/(n4+n6-2*first), "B/flow")
		b.ReportMetric(float64(took.Nanoseconds())/(2*n4), "cpu-ns/new-frame") // a SYN and an ACK each
		b.ReportMetric(float64(median.Nanoseconds())/1000, "gc-pause-us")
		b.ReportMetric(float64(longest.Nanoseconds())/1000, "gc-longest-us")
		b.ReportMetric(0, "ns/op")
	}
}

// Benchmark10Million makes 10 000 000 connections of IPv4 and reports what each takes of the
// whole process's resident memory, and the pauses that the collector makes while a worker
// forwards packets of theirs: the median and the longest, and of the longest how long it took until
// everybody had stopped. A pause is measured by the wall clock: on a machine with more to do
// than it has processors, it is as long as a thread waits for one.
func Benchmark10Million(b *testing.B) {
	for b.Loop() {
		const n, first = 10_000_000, 10_000
		s := crowdSite(b, n)
		c := newCrowd(b, s, false)
		c.fill(b, first)
		start := resident(b)
		c.fill(b, n)
		end := resident(b)
		if got := s.engine.flows.Len(); got != n {
			b.Fatalf("%d connections, want %d", got, n)
		}
		var over atomic.Bool
		var busy sync.WaitGroup
		forwarded := 0
		busy.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for at := 0; !over.Load(); at = (at + 7_654_321) % (n - 64*batchFrames) {
				forwarded += c.send(at, 64*batchFrames, wire.TCPAck)
			}
		})
		allocated := heapAllocs()
		median, longest := pauses("/sched/pauses/total/gc:seconds", 100)
		_, stopping := pauses("/sched/pauses/stopping/gc:seconds", 100)
		over.Store(true)
		busy.Wait()
		if forwarded == 0 {
			b.Fatal("nothing was forwarded meanwhile")
		}
		b.ReportMetric(float64(heapAllocs()-allocated), "allocs")
		b.ReportMetric(float64(end-start)/(n-first), "B/flow4")
		b.ReportMetric(float64(forwarded), "frames")
		b.ReportMetric(float64(median.Nanoseconds())/1000, "gc-pause-us")
		b.ReportMetric(float64(longest.Nanoseconds())/1000, "gc-longest-us")
		b.ReportMetric(float64(stopping.Nanoseconds())/1000, "gc-stopping-us")
		b.ReportMetric(0, "ns/op")
	}
}

// heapAllocs returns how many objects the program has allocated.
func heapAllocs() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// pauses runs the collector and returns the median and the longest of the pauses of a kind that
// all goroutines had, to the upper bounds of the runtime's histogram. A cycle has two of them.
func pauses(kind string, cycles int) (median, longest time.Duration) {
	read := func() *metrics.Float64Histogram {
		sample := []metrics.Sample{{Name: kind}}
		metrics.Read(sample)
		return sample[0].Value.Float64Histogram()
	}
	before := slices.Clone(read().Counts)
	for range cycles {
		runtime.GC()
	}
	after, seen := read(), uint64(0)
	total := uint64(0)
	for i, n := range after.Counts {
		total += n - before[i]
	}
	for i, n := range after.Counts {
		n -= before[i]
		bound := time.Duration(after.Buckets[i+1] * 1e9)
		if seen <= total/2 && seen+n > total/2 {
			median = bound
		}
		if n > 0 {
			longest = bound
		}
		seen += n
	}
	return median, longest
}

// resident returns the resident bytes of the whole process after a collection.
func resident(b *testing.B) int {
	b.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Rss:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				b.Fatal(err)
			}
			return n << 10
		}
	}
	b.Fatal("/proc/self/smaps_rollup has no Rss")
	return 0
}
