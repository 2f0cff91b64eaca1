package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"uvs/bench/load"
	"uvs/bench/outcome"
)

// udpService is what packet loads go to.
func udpService(string) demand { return demand{protocol: "UDP", port: 9000} }

// usual is the case that most figures are about.
const usual = "64 B, 1000 flows"

// introduction is at which rate flows are new, in packets per second: one that the slowest
// contender takes.
func (p profile) introduction() float64 {
	if p == guest {
		return 4_000
	}
	return 400_000
}

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
	l.Cases = p.profile.pick([]string{usual}, "64 B, 1 flow", usual, "64 B, 100000 flows", "64 B, 1000000 flows",
		"1400 B, 1 flow", "1400 B, 1000 flows", "1400 B, 100000 flows", "1400 B, 1000000 flows")
	if p.profile == guest {
		l.Cases = []string{usual, "64 B, 100000 flows"}
	}
	return l
}

func (pps) demand(variation string) demand { return udpService(variation) }
func (pps) rounds() int                    { return everyRound }
func (pps) needs() []program               { return []program{{"nft", "nftables"}, {"taskset", "util-linux"}} }

func (pps) takes(c contender, variation string) bool {
	switch c.role {
	case waiting:
		return false
	case fallback:
		return c.kind == nat && variation == usual
	case mode:
		return strings.HasPrefix(variation, "64 B")
	}
	if c.kind == nobody { // flows make no difference without a director
		return strings.HasSuffix(variation, " 1000 flows")
	}
	return c.kind != proxy
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
	if err := f.introduce(ctx, p.introduction()); err != nil {
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
