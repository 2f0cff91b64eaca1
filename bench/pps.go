package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"uvs/bench/outcome"
)

// udpService is what packet loads go to.
func udpService(string) demand { return demand{protocol: "UDP", port: 9000} }

// usual is the case that most figures are about.
const usual = "64 B, 1000 flows"

// judgedByRate are the cases that targets are about.
func judgedByRate(variation string) bool {
	return variation == usual || variation == "64 B, 1000000 flows"
}

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

// pps is the maximum forwarding rate (RFC 2285, section 3.6.2) of UDP packets: the most that
// arrives, over all loads that are offered.
type pps struct{ profile profile }

func (p pps) about() outcome.Load {
	l := outcome.Load{
		Name: "pps", Unit: "Mpackets/s",
		About: "The maximum forwarding rate (RFC 2285) of UDP packets: the most that arrives at the server in " + windowText + ", while what is offered " +
			"climbs and then follows what arrives. *Offered* is what was sent in that time, *flood* what arrives of all that the generator can " +
			"send. *Director ns* is the time of the director's core per packet, receive softirq and sink included; *machine ns* that of " +
			"all cores, with the generator, which spins.",
		Metrics: []outcome.Metric{
			{Name: "offered", Unit: "Mpackets/s"}, {Name: "flood", Unit: "Mpackets/s"}, {Name: "director", Unit: "ns"}, {Name: "machine", Unit: "ns"},
		},
	}
	const many, most, long = "64 B, 100000 flows", "64 B, 1000000 flows", "1400 B, 1000 flows"
	switch p.profile {
	case quick:
		l.Cases = []string{usual}
	case guest:
		l.Cases = []string{usual, many}
	case full:
		l.Cases = []string{"64 B, 1 flow", usual, many, most, "1400 B, 1 flow", long, "1400 B, 100000 flows", "1400 B, 1000000 flows"}
	default:
		l.Cases = []string{"64 B, 1 flow", usual, many, most, long}
	}
	return l
}

func (pps) demand(variation string) demand { return udpService(variation) }
func (pps) rounds() int                    { return everyRound }
func (pps) needs() []program               { return []program{{"nft", "nftables"}, {"taskset", "util-linux"}} }

func (p pps) takes(c contender, variation string) bool {
	// Only the full profile has all others with everyone.
	judged := judgedByRate(variation) || p.profile == full || p.profile == guest
	switch {
	case c.role == waiting:
		return false
	case c.role == fallback:
		return c.kind == nat && variation == usual
	case c.role == mode:
		return strings.HasPrefix(variation, "64 B") && judged
	case c.kind == dr && !judged:
		return false
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
	f, err := newFlood(ctx, t, p.demand(t.variation), sh)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	m.command = f.command("flat out, then at the rate that gets most through")
	if err := f.verify(ctx); err != nil {
		return m, err
	}
	if err := f.introduce(ctx, p.profile.introduction()); err != nil {
		return m, err
	}
	best, flat, err := f.most(ctx, &m)
	if err != nil {
		return m, err
	}
	m.metrics = map[string]float64{
		"offered":  best.offered / 1e6,
		"flood":    flat.rate / 1e6,
		"director": perPacket(best.cpu.usedBy(t.site.cores.director), best.rate, best.length),
		"machine":  perPacket(best.cpu.used(), best.rate, best.length),
	}
	return m, err
}
