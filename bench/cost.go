package main

import (
	"context"
	"errors"
	"fmt"

	"uvs/bench/load"
	"uvs/bench/outcome"
)

// cost is what a packet costs the whole machine, at a rate that all contenders can take.
type cost struct{ profile profile }

func (c cost) rate() float64 {
	if c.profile == guest {
		return 2_000
	}
	return 200_000
}

func (c cost) about() outcome.Load {
	return outcome.Load{
		Name: "cpu", Unit: "ns/packet", LessIsBetter: true,
		About: fmt.Sprintf("CPU time of the whole machine per packet (/proc/stat) at %.0f packets/s in bursts of 32, generator and sink included. "+
			"What is more than with the contender direct is the director's part.", c.rate()),
		Cases:   c.profile.pick([]string{usual}, usual, "64 B, 100000 flows"),
		Metrics: []outcome.Metric{{Name: "director", Unit: "ns"}, {Name: "lost", Unit: "%"}},
	}
}

func (cost) demand(variation string) demand { return udpService(variation) }
func (cost) rounds() int                    { return everyRound }
func (cost) needs() []program               { return pps{}.needs() }

func (cost) takes(c contender, _ string) bool {
	return c.kind != proxy && (c.role == asItComes || c.role == mode) && (c.kind != dr || c.role == asItComes)
}

func (cost) prepare(context.Context, *site) (func() error, error) { return nothing, nil }

func (c cost) measure(ctx context.Context, t *turn) (m measurement, err error) {
	sh, err := parseShape(t.variation)
	if err != nil {
		return m, err
	}
	f, err := newFlood(ctx, t, c.demand(t.variation), sh)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	m.command = f.command(fmt.Sprintf("%.0f/s", c.rate()))
	if err := f.verify(ctx); err != nil {
		return m, err
	}
	if err := f.introduce(ctx, min(c.profile.introduction(), 2*c.rate())); err != nil {
		return m, err
	}
	length := 3 * t.length / 2
	if c.profile == guest {
		length *= 2 // few packets need more time
	}
	var got trial
	var used cpuTimes
	err = t.window(ctx, func() error {
		before, err := readCPU()
		if err != nil {
			return err
		}
		if got, err = f.try(ctx, load.Plan{Rate: c.rate(), For: length, Sleep: true}); err != nil {
			return err
		}
		after, err := readCPU()
		used = after.since(before)
		return err
	})
	if err != nil {
		return m, err
	}
	packets := float64(max(1, got.arrived))
	m.value = float64(used.used()) / packets
	m.metrics = map[string]float64{
		"director": float64(used.usedBy(t.site.cores.director)) / packets,
		"lost":     100 * got.loss(), // of a rate that is too high the cost says little
	}
	return m, nil
}
