package main

import (
	"context"
	"errors"

	"uvs/bench/load"
	"uvs/bench/outcome"
)

// syn is the maximum rate of SYNs that each begin a new connection: the data path's part of
// new connections, without anyone's TCP.
type syn struct{ profile profile }

func (s syn) about() outcome.Load {
	return outcome.Load{
		Name: "syn", Unit: "Mconnections/s",
		About:   "TCP SYNs, each from another client's address and port; the most that arrives at the server in " + windowText + ", over all loads that are offered.",
		Cases:   []string{"1 service"},
		Metrics: []outcome.Metric{{Name: "offered", Unit: "M/s"}, {Name: "director", Unit: "ns"}},
	}
}

func (syn) demand(string) demand { return demand{protocol: "TCP", port: 9000} }
func (s syn) rounds() int        { return everyRound }
func (syn) needs() []program     { return pps{}.needs() }

func (s syn) takes(c contender, _ string) bool { return c.kind != proxy && c.role == asItComes }

func (syn) prepare(context.Context, *site) (func() error, error) { return nothing, nil }

func (s syn) measure(ctx context.Context, t *turn) (measurement, error) {
	return measureNew(ctx, t, s.demand(t.variation))
}

// measureNew finds how many SYNs a second get through at the most.
func measureNew(ctx context.Context, t *turn, d demand) (m measurement, err error) {
	f, err := newFlood(ctx, t, d, shape{flows: load.MaxFlows, size: 64, syn: true})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	m.command = f.command("flat out, then at the rate that gets most through")
	if err := f.verify(ctx); err != nil {
		return m, err
	}
	best, _, err := f.most(ctx, &m)
	if err != nil {
		return m, err
	}
	m.metrics = map[string]float64{
		"offered":  best.offered / 1e6,
		"director": perPacket(best.cpu.usedBy(t.site.cores.director), best.rate, best.length),
	}
	return m, nil
}
