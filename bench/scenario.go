package main

import (
	"context"
	"encoding/json"
	"net/netip"
)

// A scenario is a load and what is measured of it.
type scenario interface {
	name() string
	// unit is that of the measured value, of which more is better.
	unit() string
	// cases are the variations that each contender is measured with, one after the other.
	cases() []string
	// goals are the ratios to the reference that we want of contenders.
	goals() []goal
	needs() []program
	// port is the one that contenders forward.
	port() uint16
	// prepare starts on a new site what the load needs on the server.
	prepare(s *site) error
	// measure puts the load on target for some seconds.
	measure(ctx context.Context, s *site, variation string, target netip.AddrPort, seconds int) (measurement, error)
}

// A measurement is what one load gave.
type measurement struct {
	value   float64
	command string          // that made the load
	output  json.RawMessage // of the command, unchanged
}

// A goal is the least ratio to the reference that we want of a contender.
type goal struct {
	contender string
	ratio     float64
}

// scenarios lists all of them.
func scenarios() []scenario { return []scenario{bulk{}} }
