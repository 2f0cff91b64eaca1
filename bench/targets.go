package main

import (
	"slices"

	"uvs/bench/outcome"
)

// besideIPVS is the number of the targets that the guest is for. No other is judged there.
const besideIPVS = 6

// targetsOf are those that a profile judges.
func targetsOf(p profile) []outcome.Target {
	return slices.DeleteFunc(targets(), func(t outcome.Target) bool { return p == guest && t.Number != besideIPVS })
}

// targets are what we want to reach, by number as in README.md.
func targets() []outcome.Target {
	var all []outcome.Target
	add := func(t outcome.Target) { all = append(all, t) }
	ratio := func(number int, scenario, variation, contender, against string, bound float64) {
		add(outcome.Target{Number: number, Scenario: scenario, Case: variation, Contender: contender,
			Relation: outcome.Ratio, Against: against, Bound: bound})
	}
	// With real TCP the ends may be the limit.
	ofEnds := func(number int, scenario, variation, against string, bound float64) {
		add(outcome.Target{Number: number, Scenario: scenario, Case: variation, Contender: "uvs-nat",
			Relation: outcome.Ratio, Against: against, Bound: bound, Ceiling: withoutDirector})
	}
	for _, c := range []struct {
		name       string
		some, many float64 // at 1 000 and at 1 000 000 flows
	}{{"uvs-nat", 0.80, 0.70}, {"uvs-dr", 0.80, 0.70}, {"uvs-nat-v3", 0.95, 0.80}, {"uvs-dr-v3", 0.95, 0.80}} {
		for _, scenario := range []string{"pps", "pps-apart", "loss-free"} {
			ratio(1, scenario, usual, c.name, reference, c.some)
			ratio(1, scenario, "64 B, 1000000 flows", c.name, reference, c.many)
		}
	}
	for _, direction := range []string{oneToServer, oneToClient} {
		ofEnds(2, "bulk", direction, reference, 1.0)
		ofEnds(2, "bulk", direction, "haproxy", 2)
	}
	ofEnds(3, "connections", "32 clients", "haproxy", 3)
	ofEnds(3, "connections", "32 clients", "nft-dnat", 0.9)
	ratio(3, "syn", "1 service", "uvs-nat", "nft-dnat", 0.9)
	for _, variation := range []string{idle, halfLoad} {
		for _, c := range []struct {
			name  string
			bound float64
		}{{"uvs-nat", 150}, {"uvs-nat-busy", 60}} {
			add(outcome.Target{Number: 3, Scenario: "latency", Case: variation, Contender: c.name, Relation: outcome.Difference,
				Against: reference, Bound: c.bound, AtMost: true, Unit: "µs"})
		}
	}
	add(outcome.Target{Number: 4, Scenario: "memory", Case: "10 M connections", Contender: "uvs-nat", Relation: outcome.Value,
		Bound: 96, AtMost: true, Unit: "bytes"})
	add(outcome.Target{Number: 4, Scenario: "memory", Case: "10 M connections", Contender: "uvs-nat", Metric: "GC pause", Relation: outcome.Value,
		Bound: 1000, AtMost: true, Unit: "µs"})
	// A cost within 25 % is a rate of 0.8 and more.
	for _, c := range []struct{ variation, of string }{
		{"10000 services", "1 service"}, {"1000 servers, rr", "1 server, rr"}, {"1000 servers, wlc", "1 server, wlc"},
	} {
		add(outcome.Target{Number: 5, Scenario: "scale", Case: c.variation, Contender: "uvs-nat", Relation: outcome.Ratio, AgainstCase: c.of, Bound: 0.8})
	}
	for _, c := range []struct{ ours, theirs string }{{"uvs-nat", "ipvs-nat"}, {"uvs-dr", "ipvs-dr"}} {
		for _, variation := range []string{"64 B, 1000 flows", "64 B, 100000 flows"} {
			for _, metric := range []string{"", "director"} {
				add(outcome.Target{Number: besideIPVS, Scenario: "cpu", Case: variation, Contender: c.ours, Metric: metric, Relation: outcome.Ratio,
					Against: c.theirs, Open: true})
			}
		}
	}
	return all
}
