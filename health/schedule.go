package health

import (
	"container/heap"
	"context"
	"time"

	"uvs/internal/mono"
)

// earlyPart is the part of DelayLoop by which a probe comes early at the most: 5 %.
const earlyPart = 20

// idle is how long the loop sleeps when nothing is due: any event wakes it.
const idle = time.Hour

// A probing is a probe about to be done, a result one that was.
type (
	probing struct {
		checker *checker
		step    Step
		ctx     context.Context
	}
	result struct {
		checker    *checker
		outcome    Outcome
		begun, end mono.Time
	}
)

// due takes the checkers whose time has come off the queue, as many as may probe now,
// and returns them with the time until the next one is due. Without room that is until
// an outcome comes.
func (s *Set) due(ctx context.Context, now mono.Time) (start []probing, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		c := s.queue[0]
		if c.next.After(now) {
			return start, s.soonest(c.next.Sub(now), now)
		}
		if s.probing == s.opts.MaxProbes {
			break
		}
		s.queue.remove(c)
		if s.suspended[c.machine.key.Service] {
			s.hear(c)
			s.queue.push(c, now.Add(c.machine.check.delayLoop()))
			continue
		}
		s.probing++
		p := probing{checker: c, step: c.machine.Pending()}
		p.ctx, c.cancel = context.WithCancel(ctx)
		start = append(start, p)
	}
	return start, s.soonest(idle, now)
}

// probe does one probe. It runs in a goroutine of its own.
func (s *Set) probe(p probing) result {
	begun := mono.Now()
	o := s.opts.Prober.Probe(p.ctx, p.step)
	return result{checker: p.checker, outcome: o, begun: begun, end: mono.Now()}
}

// finish takes the outcome of a probe and returns what there is to tell. The time that
// counts is when the probe ended, not when this loop came to look.
func (s *Set) finish(r result) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := r.checker
	s.probing--
	c.cancel()
	c.cancel = nil
	if c.removed {
		return nil
	}
	s.hear(c)
	c.lastEnd, c.lastTook, c.lastText = r.end, r.end.Sub(r.begun), r.outcome.Detail()

	was := c.machine.up
	next, events := c.machine.Step(r.end, r.outcome)
	s.queue.push(c, s.early(next, r))
	return s.guarded(append(events, c.server.follow(c, was, r.outcome.Detail(), r.end)...))
}

// early is the time of the next probe: next, or sooner by a random part if it waits for a whole
// DelayLoop.
func (s *Set) early(next mono.Time, r result) mono.Time {
	loop := r.checker.machine.check.delayLoop()
	most := loop / earlyPart
	if next.Sub(r.begun) < loop || loop-most < MinGap {
		return next
	}
	if sooner := next.Add(-s.opts.Early(most)); sooner.After(r.end.Add(MinGap)) {
		return sooner
	}
	return next
}

// follow brings a server in line with a checker that was up or not, and returns what changed
// of the server. Set.mu is held.
func (s *server) follow(c *checker, was bool, why string, now mono.Time) (events []Event) {
	if w := s.weigh(); w != s.weight {
		s.weight = w
		events = append(events, Event{Kind: ServerWeight, Key: s.Key, Time: now, Weight: w})
	}
	if c.machine.up == was {
		return events
	}
	wasUp := s.up()
	if c.machine.up {
		s.down--
	} else {
		s.down++
	}
	if s.up() == wasUp {
		return events
	}
	s.changed = now
	e := s.event(now)
	if wasUp {
		e.Since, e.Reason = c.machine.since, why
	}
	return append(events, e)
}

// weigh puts together what the checkers make of the server's weight.
func (s *server) weigh() (w Weight) {
	for _, c := range s.checkers {
		if x := c.machine.weight; x.set {
			w.Set, w.Value = true, x.value
		} else {
			w.Add += x.value
		}
	}
	return w
}

// noIndex is the index of a checker that is not in the queue.
const noIndex = -1

// A queue holds the checkers that wait, ordered by time: a heap.
type queue []*checker

func (q *queue) push(c *checker, next mono.Time) {
	c.next = next
	heap.Push((*byTime)(q), c)
}

func (q *queue) remove(c *checker) {
	if c.index != noIndex {
		heap.Remove((*byTime)(q), c.index)
	}
}

// byTime is the queue as container/heap wants it.
type byTime queue

func (q byTime) Len() int           { return len(q) }
func (q byTime) Less(i, j int) bool { return q[i].next.Before(q[j].next) }

func (q byTime) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *byTime) Push(x any) {
	c := x.(*checker)
	c.index = len(*q)
	*q = append(*q, c)
}

func (q *byTime) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	c.index = noIndex
	return c
}
