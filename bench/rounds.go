package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"uvs/bench/outcome"
)

// A contest is all that is measured.
type contest struct {
	parameters outcome.Parameters
	loads      []scenario
	field      []contender
	profiler   profiler
	record     func(outcome.Run) error
}

// run goes through all rounds. It ends at the first error: a contender that does not
// forward is not a result.
func (c *contest) run(ctx context.Context) error {
	for round := 1; round <= c.parameters.Rounds; round++ {
		if err := c.round(ctx, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

func (c *contest) round(ctx context.Context, round int) (err error) {
	s, err := newSite(c.parameters.Softirq)
	if err != nil {
		return err
	}
	defer func() {
		// A namespace with millions of flows takes a while to go.
		err = errors.Join(err, s.Close(), calm(ctx))
	}()
	offloads, err := s.offloads(ctx)
	if err != nil {
		return err
	}
	for i, load := range c.loads {
		if round > load.rounds() {
			continue
		}
		if err := c.scenario(ctx, s, load, round, i, offloads); err != nil {
			return fmt.Errorf("%s: %w", load.about().Name, err)
		}
	}
	return nil
}

func (c *contest) scenario(ctx context.Context, s *site, load scenario, round, number int, offloads map[string]string) (err error) {
	undo, err := load.prepare(ctx, s)
	if undo != nil {
		defer func() { err = errors.Join(err, undo()) }()
	}
	if err != nil {
		return err
	}
	for _, i := range order(c.parameters.Seed+uint64(number), round, len(c.field)) {
		b := bout{contest: c, site: s, load: load, contender: c.field[i], round: round, offloads: offloads}
		if err := b.run(ctx); err != nil {
			return fmt.Errorf("with %s: %w", c.field[i].name, err)
		}
	}
	return nil
}

// order draws the order of n contenders in a round.
func order(seed uint64, round, n int) []int {
	return rand.New(rand.NewPCG(seed, uint64(round))).Perm(n)
}

// calm waits until the machine has nothing to do, or for some seconds.
func calm(ctx context.Context) error {
	const look, longest, least = 100 * time.Millisecond, 10 * time.Second, 0.2
	for end := time.Now().Add(longest); time.Now().Before(end); {
		before, err := readCPU()
		if err != nil {
			return err
		}
		if err := wait(ctx, look); err != nil {
			return err
		}
		after, err := readCPU()
		if err != nil {
			return err
		}
		if busy, _ := after.since(before).part(); busy < least {
			break
		}
	}
	return nil
}

// A bout is one contender's turns in a scenario and a round. It starts anew when a case
// demands something else than the one before.
type bout struct {
	contest   *contest
	site      *site
	load      scenario
	contender contender
	round     int
	offloads  map[string]string // that all contenders of the round must have, but for what one changes itself
	have      map[string]string // offloads during the turn
}

func (b *bout) run(ctx context.Context) error {
	var cases []string
	for _, variation := range b.load.about().Cases {
		if b.load.takes(b.contender, variation) {
			cases = append(cases, variation)
		}
	}
	for len(cases) > 0 {
		d := b.load.demand(cases[0])
		n := slices.IndexFunc(cases, func(v string) bool { return b.load.demand(v) != d })
		if n < 0 {
			n = len(cases)
		}
		if err := b.serve(ctx, d, cases[:n]); err != nil {
			return err
		}
		cases = cases[n:]
	}
	return nil
}

// serve starts the contender for a demand and measures the cases.
func (b *bout) serve(ctx context.Context, d demand, cases []string) (err error) {
	session, err := b.contender.start(ctx, b.site, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.stop()) }()
	offloads, err := b.site.offloads(ctx)
	if err != nil {
		return err
	}
	for _, change := range offloadChanges(b.offloads, offloads) {
		if !slices.Contains(b.contender.offloads, change) {
			return fmt.Errorf("an offload is not what it was for the others, %s: not a comparison", change)
		}
	}
	b.have = offloads
	introduced := 0
	for _, variation := range cases {
		r, err := b.measure(ctx, session, variation, &introduced)
		if err != nil && ctx.Err() == nil {
			// One hiccup of a busy machine in twenty minutes is not the contender's.
			first := err
			if r, err = b.measure(ctx, session, variation, &introduced); err != nil {
				err = errors.Join(first, err)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", variation, err)
		}
		if err := b.contest.record(r); err != nil {
			return err
		}
	}
	return nil
}

// read returns what counts for the window of a turn.
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

func (b *bout) measure(ctx context.Context, c session, variation string, introduced *int) (outcome.Run, error) {
	p := b.contest.parameters
	t := &turn{
		site: b.site, contender: b.contender, session: c, variation: variation, introduced: introduced,
		warmUp: seconds(p.WarmUp), length: seconds(p.Seconds),
		open: func(ctx context.Context) (gauges, error) { return b.read(ctx, c) },
	}
	about := b.load.about()
	t.profile = func(ctx context.Context) (func() error, error) {
		return b.contest.profiler.start(ctx, fmt.Sprintf("%s-%s-%s", about.Name, variation, b.contender.name))
	}
	r := outcome.Run{
		Round: b.round, Scenario: about.Name, Case: variation, Contender: b.contender.name,
		Unit: about.Unit, Time: time.Now().UTC().Truncate(time.Second), Load: loadAverage(), Offloads: b.have,
	}
	m, err := b.load.measure(ctx, t)
	if err != nil {
		return r, err
	}
	r.Value, r.Limit, r.Metrics, r.Command, r.Output = m.value, m.limit, m.metrics, m.command, m.output
	r.CPU, r.Steal = t.gauges.cpu.part()
	r.Retransmits = t.gauges.retransmitted
	r.Counters = t.gauges.own
	return r, b.verify(r, t.gauges.kernel)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// verify makes sure that the contender did the work, and nobody else.
func (b *bout) verify(r outcome.Run, kernel uint64) error {
	if r.Counters["forwarded"] == 0 {
		return errors.New("there was traffic that the contender did not forward")
	}
	if !b.contender.inKernel && kernel > 0 {
		return fmt.Errorf("the kernel forwarded %d datagrams beside the contender", kernel)
	}
	return nil
}
