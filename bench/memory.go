package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"uvs/bench/outcome"
)

// memory is what a connection takes of it.
type memory struct{ profile profile }

func (m memory) about() outcome.Load {
	return outcome.Load{
		Name: "memory", Unit: "bytes/connection", LessIsBetter: true,
		About: "By how much the memory of the contender grew (the resident set of uvs, the kernel's slab for the others), divided by the connections " +
			"that it then had: UDP flows over IPv4. *GC pause* is the longest time that uvs's threads stood still for its garbage collector.",
		Cases:   m.profile.pick([]string{"1 M connections"}, "1 M connections", "10 M connections"),
		Metrics: []outcome.Metric{{Name: "connections", Unit: "M"}, {Name: "GC pause", Unit: "µs"}},
	}
}

// longestPass is how long it may take to send a packet of each flow, in seconds. What a slow machine does
// not take in that time is not missed: the memory is divided by the connections that there are.
const longestPass = 60

// flows of a case.
func (m memory) flows(variation string) int {
	n := 1
	_, _ = fmt.Sscanf(variation, "%d M", &n) // the cases above are all that there are
	if m.profile == quick {
		return 100_000
	}
	return n * 1_000_000
}

func (m memory) demand(variation string) demand {
	d := udpService(variation)
	d.connections = m.flows(variation) * 11 / 10
	return d
}

func (m memory) rounds() int    { return m.profile.few(1) }
func (memory) needs() []program { return pps{}.needs() }

func (m memory) takes(c contender, variation string) bool {
	// The kernel's table takes gigabytes for ten million.
	return c.kind == nat && c.role == asItComes && (!c.inKernel || variation == m.about().Cases[0]) && m.profile != guest
}

func (memory) prepare(context.Context, *site) (func() error, error) { return nothing, nil }

func (m memory) measure(ctx context.Context, t *turn) (got measurement, err error) {
	h, ok := t.session.(holder)
	if !ok {
		return got, fmt.Errorf("%s does not tell what its connections take", t.contender.name)
	}
	flows := m.flows(t.variation)
	f, err := newFlood(ctx, t, m.demand(t.variation), shape{flows: flows, size: 64})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	got.command = f.command("400000/s and less")
	if err := f.verify(ctx); err != nil {
		return got, err
	}
	before, err := h.memory(ctx)
	if err != nil {
		return got, err
	}
	had, err := h.connections(ctx)
	if err != nil {
		return got, err
	}
	var have, after uint64
	err = t.window(ctx, func() error {
		// What was lost on the way makes no connection: another time around, and slower, it does.
		for rate := m.profile.introduction(); float64(flows)/rate < longestPass; rate /= 2 {
			*t.introduced = 0 // all of them, each time
			if err := f.introduce(ctx, rate); err != nil {
				return err
			}
			if have, err = h.connections(ctx); err != nil || float64(have) > 0.999*float64(flows) {
				break
			}
		}
		if err == nil {
			after, err = h.memory(ctx)
		}
		return err
	})
	if err != nil {
		return got, err
	}
	if have < uint64(flows)/2 {
		return got, fmt.Errorf("%d connections of %d: not a measurement", have, flows)
	}
	got.value = float64(int64(after-before)) / float64(have-had)
	got.metrics = map[string]float64{"connections": float64(have) / 1e6}
	if pauses := h.pauses(); len(pauses) > 0 {
		got.metrics["GC pause"] = slices.Max(pauses)
	}
	return got, nil
}
