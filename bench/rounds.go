package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"
)

// measureAll runs all rounds and hands each measurement to record. It ends at the first
// error: a contender that does not forward is not a result.
func measureAll(ctx context.Context, p Parameters, loads []scenario, field []contender, record func(Run) error) error {
	for round := 1; round <= p.Rounds; round++ {
		if err := measureRound(ctx, p, round, loads, field, record); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

func measureRound(ctx context.Context, p Parameters, round int, loads []scenario, field []contender, record func(Run) error) (err error) {
	s, err := newSite()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	offloads, err := s.offloads(ctx)
	if err != nil {
		return err
	}
	for _, load := range loads {
		if err := load.prepare(s); err != nil {
			return fmt.Errorf("%s: %w", load.name(), err)
		}
		for _, i := range order(p.Seed, round, len(field)) {
			b := bout{site: s, load: load, contender: field[i], parameters: p, round: round, offloads: offloads, record: record}
			if err := b.run(ctx); err != nil {
				return fmt.Errorf("%s with %s: %w", load.name(), field[i].name, err)
			}
		}
	}
	return nil
}

// order draws the order of n contenders in a round.
func order(seed uint64, round, n int) []int {
	return rand.New(rand.NewPCG(seed, uint64(round))).Perm(n)
}

// A bout is one contender's turn in a round: it starts, all cases of a scenario are
// measured, it stops.
type bout struct {
	site       *site
	load       scenario
	contender  contender
	parameters Parameters
	round      int
	offloads   map[string]string // that all contenders of the round must have
	record     func(Run) error
}

func (b *bout) run(ctx context.Context) (err error) {
	contender, err := b.contender.start(ctx, b.site, b.load.port())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, contender.stop()) }()
	offloads, err := b.site.offloads(ctx)
	if err != nil {
		return err
	}
	if !maps.Equal(offloads, b.offloads) {
		return fmt.Errorf("offloads changed from %v to %v: not a comparison", b.offloads, offloads)
	}
	for _, variation := range b.load.cases() {
		if _, err := b.load.measure(ctx, b.site, variation, contender.target(), b.parameters.WarmUp); err != nil {
			return fmt.Errorf("%s, warm-up: %w", variation, err)
		}
		r, err := b.measure(ctx, contender, variation)
		if err != nil {
			return fmt.Errorf("%s: %w", variation, err)
		}
		if err := b.record(r); err != nil {
			return err
		}
	}
	return nil
}

// gauges are what is read before and after a measurement.
type gauges struct {
	own           counters // the contender's
	kernel        uint64   // datagrams that the kernel forwarded
	retransmitted uint64
	cpu           cpuTimes // read last before and first after
}

func (b *bout) read(ctx context.Context, c session) (g gauges, err error) {
	if g.own, err = c.counters(ctx); err != nil {
		return g, err
	}
	if g.kernel, err = b.site.kernelForwarded(); err != nil {
		return g, err
	}
	g.retransmitted, err = b.site.retransmitted()
	return g, err
}

func (b *bout) measure(ctx context.Context, c session, variation string) (Run, error) {
	r := Run{
		Round: b.round, Scenario: b.load.name(), Case: variation, Contender: b.contender.name,
		Unit: b.load.unit(), Time: time.Now().UTC().Truncate(time.Second), Load: loadAverage(), Offloads: b.offloads,
	}
	before, err := b.read(ctx, c)
	if err != nil {
		return r, err
	}
	if before.cpu, err = readCPU(); err != nil {
		return r, err
	}
	m, err := b.load.measure(ctx, b.site, variation, c.target(), b.parameters.Seconds)
	if err != nil {
		return r, err
	}
	cpu, err := readCPU()
	if err != nil {
		return r, err
	}
	after, err := b.read(ctx, c)
	if err != nil {
		return r, err
	}
	r.Value, r.Command, r.Output = m.value, m.command, m.output
	r.CPU, r.Steal = cpu.since(before.cpu)
	r.Retransmits = after.retransmitted - before.retransmitted
	r.Counters = after.own.since(before.own)
	return r, b.verify(r, after.kernel-before.kernel)
}

// verify makes sure that the contender did the work, and nobody else.
func (b *bout) verify(r Run, kernel uint64) error {
	if r.Counters["forwarded"] == 0 {
		return errors.New("there was traffic that the contender did not forward")
	}
	if b.contender.name != reference && kernel > 0 {
		return fmt.Errorf("the kernel forwarded %d datagrams beside the contender", kernel)
	}
	return nil
}
