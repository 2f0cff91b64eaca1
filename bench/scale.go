package main

import (
	"context"
	"fmt"
	"strings"

	"uvs/bench/outcome"
)

// scale is what new connections cost with many services and with many servers.
type scale struct{ profile profile }

func (s scale) about() outcome.Load {
	return outcome.Load{
		Name: "scale", Unit: "Mconnections/s",
		About: "The SYNs of syn, with one to 10 000 services of one server each, to whose ports connections go in turn, " +
			"and with one service of one to 1 000 servers.",
		Cases: s.profile.pick([]string{"1 service", "10000 services"}, "1 service", "100 services", "10000 services",
			"1 server, rr", "30 servers, rr", "1000 servers, rr", "1 server, wlc", "30 servers, wlc", "1000 servers, wlc"),
		Metrics: []outcome.Metric{{Name: "offered", Unit: "M/s"}, {Name: "director", Unit: "ns"}},
	}
}

func (scale) demand(variation string) demand {
	d := demand{protocol: "TCP", port: 10000}
	count, what, _ := strings.Cut(variation, " ")
	n := 1
	_, _ = fmt.Sscanf(count, "%d", &n) // the cases above are all that there are
	if strings.HasPrefix(what, "service") {
		d.services = n
		return d
	}
	_, d.scheduler, _ = strings.Cut(what, ", ")
	d.servers = n
	return d
}

func (s scale) rounds() int    { return s.profile.few(2) }
func (scale) needs() []program { return pps{}.needs() }
func (s scale) takes(c contender, _ string) bool {
	return strings.HasPrefix(c.name, "uvs-nat") && c.role == asItComes
}
func (scale) prepare(context.Context, *site) (func() error, error) { return nothing, nil }

func (s scale) measure(ctx context.Context, t *turn) (measurement, error) {
	return measureNew(ctx, t, s.demand(t.variation))
}
