//go:build netns

package afpacket_test

import (
	"bytes"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
)

// TestCollectorDoesNotWaitForSend: while a worker passes long batches to the kernel, the collector
// stops the program without waiting for them to be sent.
func TestCollectorDoesNotWaitForSend(t *testing.T) {
	const cycles = 50
	w := newWire(t, way{Shape: afpacket.Shape{Receive: afpacket.TPacketV2}})
	batch := make([]forwarding.Frame, 64)
	for i := range batch {
		batch[i] = forwarding.Frame{Data: bytes.Clone(tcpFrame(w.src, w.dst, 60000)), Vnet: gsoHeader()}
	}
	var over atomic.Bool
	var busy sync.WaitGroup
	var calls int
	began := time.Now()
	busy.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for ; !over.Load(); calls++ {
			if _, err := w.from.Send(batch); err != nil {
				t.Error(err)
				return
			}
		}
	})
	before := slices.Clone(stops().Counts)
	for range cycles {
		runtime.GC()
	}
	after := stops()
	over.Store(true)
	busy.Wait()
	if calls == 0 {
		t.Fatal("nothing was sent meanwhile")
	}
	call := time.Since(began) / time.Duration(calls)

	total, seen := uint64(0), uint64(0)
	for i, n := range after.Counts {
		total += n - before[i]
	}
	for i, n := range after.Counts {
		if seen += n - before[i]; seen > total/2 {
			median := time.Duration(after.Buckets[i+1] * 1e9)
			t.Logf("%d calls of %v; the median of %d stops is %v", calls, call, total, median)
			if median > call/4 {
				t.Errorf("the program is stopped within %v, a call takes %v", median, call)
			}
			return
		}
	}
}

// stops are the times that it took until all goroutines had stopped for the collector.
func stops() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64Histogram()
}
