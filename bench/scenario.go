package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"uvs/bench/outcome"
)

// A scenario is a load and what is measured of it.
type scenario interface {
	// about describes it; its cases are the variations that each contender is measured with,
	// one after the other.
	about() outcome.Load
	// demand is what contenders serve in a case.
	demand(variation string) demand
	// takes tells whether a contender is measured in a case.
	takes(c contender, variation string) bool
	// rounds is the most rounds that it takes part in.
	rounds() int
	// needs are programs of the load.
	needs() []program
	// prepare starts on a new site what the load needs, until it is undone.
	prepare(ctx context.Context, s *site) (undo func() error, err error)
	// measure puts the load on a session. It calls t.window once.
	measure(ctx context.Context, t *turn) (measurement, error)
}

// A turn is one contender in one case.
type turn struct {
	site      *site
	contender contender
	session   session
	variation string
	// introduced is the number of flows that the contender has seen since it started.
	introduced *int
	warmUp     time.Duration
	length     time.Duration
	gauges     gauges // of the window
	open       func(context.Context) (gauges, error)
	// profile begins a profile of the director's core.
	profile func(context.Context) (stop func() error, err error)
}

// window runs f and reads the machine's and the contender's gauges before and after it.
func (t *turn) window(ctx context.Context, f func() error) error {
	before, err := t.open(ctx)
	if err != nil {
		return err
	}
	if before.cpu, err = readCPU(); err != nil {
		return err
	}
	stop, err := t.profile(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(f(), stop()); err != nil {
		return err
	}
	cpu, err := readCPU()
	if err != nil {
		return err
	}
	after, err := t.open(ctx)
	if err != nil {
		return err
	}
	after.cpu = cpu
	t.gauges = after.since(before)
	return nil
}

// A measurement is what one load gave.
type measurement struct {
	value   float64
	limit   string // who was the limit, if it was not the contender
	metrics map[string]float64
	command string          // that made the load
	output  json.RawMessage // of the command, unchanged; or what a load of ours has to tell
}

// record keeps a value as the load's own output.
func (m *measurement) record(v any) (err error) {
	m.output, err = json.Marshal(v)
	return err
}

// A profile is how much is measured.
type profile string

// The profiles.
const (
	quick    profile = "quick"   // each load once and shortly, for tests
	standing profile = "default" // what fits into 25 minutes
	full     profile = "full"    // every case in every round
	guest    profile = "guest"   // for an emulated machine: few cases at low rates
)

// scenarios lists all of them.
func scenarios(p profile) []scenario {
	return []scenario{
		pps{p}, apart{pps{p}}, lossFree{p}, cost{p}, latency{p}, bulk{p}, connections{p}, requests{p}, syn{p}, scale{p}, memory{p},
	}
}

func scenarioName(s scenario) string { return s.about().Name }

// everyRound is more rounds than there are.
const everyRound = 1 << 30

// A number of rounds that a profile spends on what takes long.
func (p profile) few(n int) int {
	if p == full {
		return everyRound
	}
	return n
}

// pick returns the few cases in the quick profile, and all in others.
func (p profile) pick(few []string, all ...string) []string {
	if p == quick {
		return few
	}
	return all
}

// nothing is what prepare returns if there is nothing to undo.
func nothing() error { return nil }
