package main

import (
	"context"
	"errors"
	"math"
	"time"

	"uvs/bench/load"
	"uvs/bench/outcome"
)

// lossFree is the highest rate at which packets get through: found by binary search, then
// held three times of three.
type lossFree struct{ profile profile }

// holdTries is how many rates are tried for their full length, each lower by a tenth, until
// none is said to be free of loss: a busy machine loses packets at any.
const holdTries = 8

// maxLoss is the part of packets that may be missing.
const maxLoss = 1e-5

func (l lossFree) about() outcome.Load {
	a := outcome.Load{
		Name: "loss-free", Unit: "Mpackets/s",
		About: "The highest rate of UDP packets at which no more than 1 in 100 000 is lost over " + l.hold().String() +
			", three times of three; found by binary search.",
		Cases: []string{usual},
	}
	if l.profile == full {
		a.Cases = append(a.Cases, "64 B, 1000000 flows")
	}
	return a
}

// hold is how long a rate must be held.
func (l lossFree) hold() time.Duration {
	if l.profile == quick {
		return 200 * time.Millisecond
	}
	return 5 * time.Second
}

func (lossFree) demand(variation string) demand { return udpService(variation) }
func (l lossFree) rounds() int                  { return l.profile.few(2) }
func (lossFree) needs() []program               { return pps{}.needs() }

func (l lossFree) takes(c contender, _ string) bool {
	return c.kind != proxy && c.kind != nobody && l.profile != guest && (c.role == asItComes || c.role == mode && c.kind == nat || l.profile == full)
}

func (lossFree) prepare(context.Context, *site) (func() error, error) { return nothing, nil }

func (l lossFree) measure(ctx context.Context, t *turn) (m measurement, err error) {
	sh, err := parseShape(t.variation)
	if err != nil {
		return m, err
	}
	f, err := newFlood(ctx, t, l.demand(t.variation), sh)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	m.command = f.command("rates by binary search")
	if err := f.verify(ctx); err != nil {
		return m, err
	}
	if err := f.introduce(ctx, l.profile.introduction()); err != nil {
		return m, err
	}
	err = t.window(ctx, func() error {
		m.value, m.limit, err = l.search(ctx, f)
		m.value /= 1e6
		return err
	})
	return m, err
}

// search returns the rate, and who keeps it from being higher if it is not the contender.
func (l lossFree) search(ctx context.Context, f *flood) (rate float64, limit string, err error) {
	most, err := f.saturate(ctx, 300*time.Millisecond)
	if err != nil {
		return 0, "", err
	}
	// Spinning, the generator is a little slower than flat out.
	low, high := 0.0, most.offered
	for high-low > 0.03*most.offered {
		middle := (low + high) / 2
		ok, _, err := l.holds(ctx, f, middle, min(l.hold(), 500*time.Millisecond), 1)
		if err != nil {
			return 0, "", err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	rate = low
	for range holdTries {
		ok, reached, err := l.holds(ctx, f, rate, l.hold(), 3)
		if err != nil {
			return 0, "", err
		}
		if !ok {
			rate *= 0.9
			continue
		}
		if rate >= 0.95*most.offered {
			limit = "generator"
		}
		return reached, limit, nil
	}
	return 0, "", nil // on this machine, or at this moment, none is
}

// holds tells whether a rate is free of loss a number of times, and the least rate that was
// really sent.
func (lossFree) holds(ctx context.Context, f *flood, rate float64, length time.Duration, times int) (ok bool, reached float64, err error) {
	reached = math.Inf(1)
	for range times {
		t, err := f.try(ctx, load.Plan{Rate: rate, For: length})
		if err != nil || t.loss() > maxLoss {
			return false, 0, err
		}
		reached = min(reached, t.sent.Rate())
	}
	return true, reached, nil
}
