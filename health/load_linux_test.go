package health_test

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"uvs/health"
)

// Benchmark5000 is what 5 000 TCP checks every 6 s cost over real sockets, to a listener in the same process on the
// loopback interface, once their first probes are done: one operation is 6 s of them. cpu-s/s is the processor
// time of the process for each second, the listener's included, and B/checker all memory for each checker.
func Benchmark5000(b *testing.B) {
	const n, loop = 5000, 6 * time.Second
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the benchmark is over
	var accepting sync.WaitGroup
	defer accepting.Wait()
	defer l.Close() //nolint:errcheck // as above, before the wait
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close() //nolint:errcheck // the probe is done
		}
	})
	to := netip.MustParseAddrPort(l.Addr().String())
	before := heap()
	servers := make([]health.Server, n)
	for i := range servers {
		servers[i] = server(strconv.Itoa(i), health.Check{Target: to, ConnectTimeout: 5 * s, Retry: 3, DelayBeforeRetry: s, DelayLoop: loop, Prompt: true})
	}
	set := health.NewSet(health.Options{})
	set.Apply(servers)
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = set.Run(ctx) }) // returns nil
	defer running.Wait()
	defer cancel()
	<-set.FirstVerdicts()
	size := float64(heap()-before) / n
	cpu, begun := processorTime(b), time.Now()
	for b.Loop() {
		<-time.After(loop)
	}
	b.ReportMetric((processorTime(b)-cpu).Seconds()/time.Since(begun).Seconds(), "cpu-s/s")
	b.ReportMetric(size, "B/checker")
	for _, st := range set.Snapshot() {
		if !st.Up || !st.Checks[0].Ran {
			b.Fatalf("%s is down: %s", st.Server, st.Checks[0].LastError)
		}
	}
}

// heap is the memory in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
