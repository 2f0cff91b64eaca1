package main

import (
	"context"
	"errors"
	"math"
	"time"

	"uvs/bench/load"
)

// A search for the maximum forwarding rate is a number of steps, and its result the best
// window of some of them that follow each other: 0.3 s of 1 s.
const (
	climbSteps  = 20
	windowSteps = 6
	windowText  = "three tenths of a second"
)

// The factors by which what is offered may be more than what arrives. One step up is the
// greatest where nothing is lost. Where there is loss the factor falls to the least, which
// is enough to see that the contender is at its limit: who shares a core with the softirq
// that drops what is too much forwards less, the more is offered.
const (
	greatestGain = 1.5
	leastGain    = 1.01
)

// A climber decides what to offer next. It begins low and multiplies while all arrives, and
// then follows what arrives, up and down.
type climber struct {
	ceiling float64 // frames per second that the generator can send
	peak    float64 // frames per second that arrived; an old one counts for less and less
	gain    float64
}

// newClimber begins with what arrives of a flood, but not too low.
func newClimber(flood delivery) *climber {
	return &climber{ceiling: flood.offered, peak: max(flood.rate, flood.offered/16), gain: greatestGain}
}

// rate returns what to offer, in frames per second.
func (c *climber) rate() float64 { return min(c.ceiling, c.peak*c.gain) }

// saw takes what was really offered and what arrived of it, in frames per second.
func (c *climber) saw(offered, arrived float64) {
	// One step that a busy machine spoilt does not make it begin anew.
	const fade = 0.95
	// What is more than was offered comes out of a ring, at no cost to receive it.
	c.peak = max(min(arrived, offered), fade*c.peak)
	if arrived >= forwarded*offered {
		c.gain = min(greatestGain, 1+2*(c.gain-1))
		return
	}
	c.gain = max(leastGain, 1+(c.gain-1)/3)
}

// A mark is what was counted at the end of a step.
type mark struct {
	at            time.Duration
	sent, arrived uint64
	cpu           cpuTimes
}

// since returns what became of the load from one mark to another.
func (m mark) since(before mark) delivery {
	d := delivery{length: m.at - before.at, cpu: m.cpu.since(before.cpu)}
	d.offered = float64(m.sent-before.sent) / d.length.Seconds()
	d.rate = float64(m.arrived-before.arrived) / d.length.Seconds()
	return d
}

// bestWindow returns the highest rate from any mark to the one a number of steps later; none
// if there are fewer. What was offered before and came out of a ring in that time does not count.
func bestWindow(marks []mark, steps int) (best delivery) {
	for i := steps; i < len(marks); i++ {
		d := marks[i].since(marks[i-steps])
		if d.rate = min(d.rate, d.offered); d.rate > best.rate {
			best = d
		}
	}
	return best
}

// A rung is a step of a climb for the record, in frames per second.
type rung struct {
	Offered float64 `json:"offered"`
	Arrived float64 `json:"arrived"`
}

// rungs returns all steps of a climb.
func rungs(marks []mark) []rung {
	var all []rung
	for i := range max(0, len(marks)-1) {
		d := marks[i+1].since(marks[i])
		all = append(all, rung{math.Round(d.offered), math.Round(d.rate)})
	}
	return all
}

// climb searches for the highest rate that arrives, for a while after the flood is over, and returns a mark at its beginning
// and one after each step. Flood is what arrives of all that the generator can send.
func (f *flood) climb(ctx context.Context, flood delivery, length time.Duration) (marks []mark, err error) {
	// A ring may be full of the flood's frames.
	if _, _, err := f.sink.settled(ctx); err != nil {
		return nil, err
	}
	c := newClimber(flood)
	pace := load.NewPace(c.rate())
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := f.generator.Run(ctx, load.Plan{Pace: pace, For: math.MaxInt64})
		done <- err
	}()
	defer func() {
		stop()
		err = errors.Join(err, <-done)
	}()
	start := time.Now()
	look := func() (m mark, err error) {
		if m.cpu, err = readCPU(); err != nil {
			return m, err
		}
		// Together, for the rates' sake.
		m.arrived, err = received(f.turn.site.server, f.device)
		m.sent, m.at = pace.Sent(), time.Since(start)
		return m, err
	}
	for range climbSteps + 1 {
		if len(marks) > 0 {
			if err := wait(ctx, length/climbSteps); err != nil {
				return marks, err
			}
		}
		m, err := look()
		if err != nil {
			return marks, err
		}
		if len(marks) > 0 {
			step := m.since(marks[len(marks)-1])
			c.saw(step.offered, step.rate)
			pace.Set(c.rate())
		}
		marks = append(marks, m)
	}
	return marks, nil
}

// most measures the maximum forwarding rate into m, and returns what arrives then and what
// arrives of all that the generator can send.
func (f *flood) most(ctx context.Context, m *measurement) (best, flat delivery, err error) {
	t := f.turn
	if flat, err = f.saturate(ctx, t.length/4); err != nil {
		return best, flat, err
	}
	best = flat
	err = t.window(ctx, func() error {
		marks, err := f.climb(ctx, flat, t.warmUp+t.length)
		if got := bestWindow(marks, windowSteps); got.rate > best.rate {
			best = got
		}
		return errors.Join(err, m.record(rungs(marks)))
	})
	m.value = best.rate / 1e6
	if best.rate >= forwarded*flat.offered {
		m.limit = "generator" // it has no more to offer
	}
	return best, flat, err
}
