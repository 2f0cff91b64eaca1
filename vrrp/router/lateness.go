package router

import (
	"math/bits"
	"sync"
	"time"

	"uvs/internal/mono"
)

// lateness measures the thread. It is written by the thread alone.
type lateness struct {
	mu sync.Mutex // guards what follows
	Lateness
	minute [2]time.Duration // the worst of this minute and of the one before
	began  mono.Time        // this minute
}

// firstBucket is the bound of the first bucket.
const firstBucket = 16 * time.Microsecond

// add notes how late a deadline was served.
func (l *lateness) add(now mono.Time, late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(now)
	l.Deadlines++
	l.Sum += late
	l.minute[0] = max(l.minute[0], late)
	if late > l.Worst {
		l.Worst, l.WorstAt = late, now
	}
	n := bits.Len64(uint64(late / firstBucket))
	l.Buckets[min(n, LatenessBuckets-1)]++
}

func (l *lateness) roll(now mono.Time) {
	switch age := now.Sub(l.began); {
	case age >= 2*time.Minute:
		l.minute = [2]time.Duration{}
		l.began = now
	case age >= time.Minute:
		l.minute = [2]time.Duration{0, l.minute[0]}
		l.began = l.began.Add(time.Minute)
	}
}

func (l *lateness) get() Lateness {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(mono.Now())
	l.Recent = max(l.minute[0], l.minute[1])
	return l.Lateness
}
