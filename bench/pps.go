package main

import (
	"context"
	"errors"
	"fmt"

	"uvs/bench/load"
	"uvs/bench/outcome"
)

// udpService is what packet loads go to.
func udpService(string) demand { return demand{protocol: "UDP", port: 9000} }

// introduction is at which rate flows are new, in packets per second: what the slowest
// contender makes of it.
const introduction = 300_000

// parseShape reads a case such as "64 B, 1000 flows".
func parseShape(variation string) (sh shape, err error) {
	_, err = fmt.Sscanf(variation, "%d B, %d flow", &sh.size, &sh.flows)
	return sh, err
}

// pps is as many UDP packets as the generator makes. Its value is what arrives.
type pps struct{ profile profile }

func (p pps) about() outcome.Load {
	l := outcome.Load{
		Name: "pps", Unit: "Mpackets/s",
		About: "UDP as fast as the generator sends; what arrives at the server. *Director ns* is the time of the director's core per packet, " +
			"receive softirq and sink included; *machine ns* that of all cores.",
		Metrics: []outcome.Metric{{Name: "offered", Unit: "Mpackets/s"}, {Name: "director", Unit: "ns"}, {Name: "machine", Unit: "ns"}},
	}
	l.Cases = p.profile.only(1, "64 B, 1000 flows", "64 B, 1 flow", "64 B, 100000 flows", "64 B, 1000000 flows",
		"1400 B, 1000 flows", "1400 B, 1 flow", "1400 B, 100000 flows", "1400 B, 1000000 flows")
	if p.profile == guest {
		l.Cases = []string{"64 B, 1000 flows", "64 B, 100000 flows"}
	}
	return l
}

func (pps) demand(variation string) demand { return udpService(variation) }
func (pps) rounds() int                    { return everyRound }
func (pps) needs() []program               { return []program{{"nft", "nftables"}, {"taskset", "util-linux"}} }

func (p pps) takes(c contender, variation string) bool {
	return c.kind != proxy && (c.role != fallback || c.kind == nat && variation == p.about().Cases[0])
}

func (pps) prepare(context.Context, *site) (func() error, error) { return nothing, nil }

func (p pps) measure(ctx context.Context, t *turn) (m measurement, err error) {
	sh, err := parseShape(t.variation)
	if err != nil {
		return m, err
	}
	return measureSaturated(ctx, t, p.demand(t.variation), sh, p.profile)
}

// measureSaturated floods a session with packets of a shape whose flows exist.
func measureSaturated(ctx context.Context, t *turn, d demand, sh shape, p profile) (m measurement, err error) {
	f, err := newFlood(ctx, t, d, sh)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	m.command = f.command("flat out")
	if err := f.verify(ctx); err != nil {
		return m, err
	}
	rate := float64(introduction)
	if p == guest {
		rate = 20_000
	}
	if err := f.introduce(ctx, rate); err != nil {
		return m, err
	}
	if _, err := f.generator.Run(ctx, load.Plan{For: t.warmUp}); err != nil {
		return m, err
	}
	var got delivery
	err = t.window(ctx, func() error {
		got, err = f.saturate(ctx, t.length)
		return err
	})
	m.value, m.limit = got.rate/1e6, got.limited()
	m.metrics = map[string]float64{
		"offered":  got.offered / 1e6,
		"director": perPacket(got.cpu.usedBy(t.site.cores.director), got.rate, t.length),
		"machine":  perPacket(got.cpu.used(), got.rate, t.length),
	}
	return m, err
}
