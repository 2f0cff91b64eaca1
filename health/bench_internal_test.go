package health

import (
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"

	"uvs/internal/mono"
)

// manyServers returns n servers with a TCP checker each.
func manyServers(n int) []Server {
	servers := make([]Server, n)
	for i := range servers {
		name := "[10.0.0.1]:tcp:" + strconv.Itoa(i)
		servers[i] = Server{Key{"[192.0.2.1]:tcp:80", name}, []Check{{
			Target: netip.MustParseAddrPort("10.0.0.1:80"), Retry: 1, Warmup: 10 * time.Second,
			DelayBeforeRetry: time.Second, DelayLoop: 10 * time.Second,
		}}}
	}
	return servers
}

// BenchmarkStep is one outcome for one healthy checker.
func BenchmarkStep(b *testing.B) {
	for _, kind := range []Kind{TCP, HTTP} {
		b.Run(kind.String(), func(b *testing.B) {
			m := NewMachine(Key{"vs", "rs"}, &Check{Kind: kind, URLs: make([]URL, 2)})
			now := mono.Time(1)
			b.ReportAllocs()
			for b.Loop() {
				now, _ = m.Step(now, Outcome{Verdict: Success})
			}
		})
	}
}

// BenchmarkSchedule is all that the Set's loop does for one probe, among 10 000 checkers.
func BenchmarkSchedule(b *testing.B) {
	s := NewSet(Options{})
	s.Apply(manyServers(10000))
	now := mono.Time(time.Second)
	s.takeUp(now)
	b.ReportAllocs()
	for b.Loop() {
		start, wait := s.due(b.Context(), now)
		for len(start) == 0 {
			now = now.Add(wait)
			start, wait = s.due(b.Context(), now)
		}
		for _, p := range start {
			s.finish(result{checker: p.checker, outcome: Outcome{Verdict: Success}, begun: now, end: now})
		}
	}
}

// BenchmarkApply takes up a list of 10 000 servers in which one has changed, and reports
// the memory that a checker takes, its description left out.
func BenchmarkApply(b *testing.B) {
	lists := [2][]Server{manyServers(10000), manyServers(10000)}
	lists[1][5000].Checks[0].Retry = 2
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s := NewSet(Options{})
	s.Apply(lists[0])
	s.takeUp(1)
	size := float64(heap()-before) / 10000
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		s.Apply(lists[i%2])
		s.takeUp(1)
	}
	b.ReportMetric(size, "B/checker")
	runtime.KeepAlive(lists)
}

func TestNoAllocs(t *testing.T) {
	for _, kind := range []Kind{TCP, HTTP} {
		m := NewMachine(Key{"vs", "rs"}, &Check{Kind: kind})
		now, _ := m.Step(1, Outcome{Verdict: Success})
		if n := testing.AllocsPerRun(100, func() {
			now, _ = m.Step(now, Outcome{Verdict: Success})
		}); n != 0 {
			t.Errorf("%v: %v allocations per healthy step, want 0", kind, n)
		}
	}
}
