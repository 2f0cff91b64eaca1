package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"uvs/bench/load"
	"uvs/bench/outcome"
)

// latency is the round trip of UDP datagrams to an echo, one at a time.
type latency struct{ profile profile }

// The cases of latency.
const (
	idle     = "idle"
	halfLoad = "half load"
)

// echoPort is where the echo listens; the load beside it goes to the port after it.
const echoPort = 7000

// pingEvery is the time between an answer and the next ping.
const pingEvery = 200 * time.Microsecond

func (l latency) about() outcome.Load {
	return outcome.Load{
		Name: "latency", Unit: "µs", LessIsBetter: true,
		About: "Round trips of single UDP datagrams between threads of real-time priority on the ends' core: the median; beside it p99. A lost one counts as 200 ms. " +
			"Half load is UDP of 1 000 flows at half of the rate that the same contender just delivered at the most.",
		Cases:   []string{idle, halfLoad},
		Metrics: []outcome.Metric{{Name: "p99", Unit: "µs"}, {Name: "lost", Unit: "pings"}, {Name: "load", Unit: "Mpackets/s"}},
	}
}

func (latency) demand(string) demand { return demand{protocol: "UDP", port: echoPort, services: 2} }
func (latency) rounds() int          { return everyRound }
func (latency) needs() []program     { return pps{}.needs() }

// takes who sends answers back, and of UVS each way of waiting.
func (l latency) takes(c contender, _ string) bool {
	return c.kind != proxy && c.kind != dr && c.role != fallback && l.profile != guest
}

func (l latency) prepare(_ context.Context, s *site) (undo func() error, err error) {
	var e *load.Echo
	if err := s.server.Do(func() error {
		e, err = load.NewEcho(echoPort, s.cores.ends)
		return err
	}); err != nil {
		return nil, err
	}
	return e.Close, nil
}

func (l latency) measure(ctx context.Context, t *turn) (m measurement, err error) {
	way := t.session.path()
	// As for a flood, so that both cases are alike.
	if err := t.site.place(t.site.cores.director); err != nil {
		return m, err
	}
	rate := 0.0
	if t.variation == halfLoad {
		var stop func() error
		if stop, rate, err = l.background(ctx, t); err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	ping := func(length time.Duration) (p load.Pings, err error) {
		err = t.site.client.Do(func() error {
			p, err = load.PingPong(ctx, netip.AddrPortFrom(way.target.Addr(), echoPort), t.site.cores.ends, length, pingEvery)
			return err
		})
		return p, err
	}
	if _, err := ping(t.warmUp); err != nil {
		return m, err
	}
	var p load.Pings
	if err := t.window(ctx, func() error {
		p, err = ping(t.length)
		return err
	}); err != nil {
		return m, err
	}
	// A lost one took as long as it was waited for, and more.
	for range p.Lost {
		p.Times = append(p.Times, load.AnswerWait)
	}
	slices.Sort(p.Times)
	at := func(part float64) float64 { return float64(p.Times[int(part*float64(len(p.Times)-1))]) / 1e3 }
	m.value = at(0.5)
	m.metrics = map[string]float64{"p99": at(0.99), "lost": float64(p.Lost), "load": rate / 1e6}
	m.command = fmt.Sprintf("UDP ping-pong on CPU %d, %v between, %d pings", t.site.cores.ends, pingEvery, len(p.Times))
	return m, m.record(map[string]float64{
		"min": at(0), "p10": at(0.1), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": at(1),
	})
}

// background starts half of the load that the contender delivers.
func (l latency) background(ctx context.Context, t *turn) (stop func() error, rate float64, err error) {
	d := demand{protocol: "UDP", port: echoPort + 1}
	f, err := newFlood(ctx, t, d, shape{flows: 1000, size: 64})
	if err != nil {
		return nil, 0, err
	}
	flat, err := f.saturate(ctx, 100*time.Millisecond)
	if err != nil {
		return nil, 0, errors.Join(err, f.stop())
	}
	marks, err := f.climb(ctx, flat, time.Second)
	if err != nil {
		return nil, 0, errors.Join(err, f.stop())
	}
	rate = max(flat.rate, bestWindow(marks, windowSteps).rate) / 2
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := f.generator.Run(ctx, load.Plan{Rate: rate, For: time.Minute, Sleep: true})
		done <- err
	}()
	return func() error {
		cancel()
		return errors.Join(<-done, f.stop())
	}, rate, nil
}
