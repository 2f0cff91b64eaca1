package announce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Pace is the least time between two packets: GARP for IPv4, NA for IPv6. 0 is as fast as can
// be.
type Pace struct{ GARP, NA time.Duration }

// A Limit holds announcements to a pace, of however many bursts and links they are
// (garp_interval, gna_interval). It is safe for use by many goroutines.
type Limit struct {
	pace Pace

	mu       sync.Mutex // guards what follows
	garp, na time.Time  // when the next packet may leave
}

// NewLimit returns the limit of a pace.
func NewLimit(p Pace) *Limit { return &Limit{pace: p} }

// reserve takes the next place in the order of packets and returns how long it is until then.
func (l *Limit) reserve(six bool, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, pace := &l.garp, l.pace.GARP
	if six {
		next, pace = &l.na, l.pace.NA
	}
	at := now
	if next.After(now) {
		at = *next
	}
	*next = at.Add(pace)
	return at.Sub(now)
}

// wait waits for the next place. A nil limit has none.
func (l *Limit) wait(ctx context.Context, six bool) {
	if l == nil {
		return
	}
	d := l.reserve(six, time.Now())
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// inTurn sends for the targets in turn, so many rounds.
func (l *Limit) inTurn(ctx context.Context, targets []Target, rounds int, send func(Target) error) error {
	var errs []error
	for round := range rounds {
		for _, t := range targets {
			if l.wait(ctx, t.Addr.Is6()); ctx.Err() != nil {
				return errors.Join(errs...)
			}
			if err := send(t); err != nil && round == 0 {
				errs = append(errs, fmt.Errorf("announce %s on %s: %w", t.Addr, t.Link.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}
