package main

import (
	"context"
	"net/netip"
)

// A contender is a way to bring a client's connections to a server.
type contender struct {
	name  string
	about string    // for the report
	needs []program // that must be installed
	// start makes the site's director forward connections for the given port to the
	// server's same port, and returns when it does.
	start func(ctx context.Context, s *site, port uint16) (session, error)
}

// A session is a contender at work on a site.
type session interface {
	// target is what the client connects to.
	target() netip.AddrPort
	// counters returns totals of the contender's own. The one named "forwarded" is always
	// there and grows with the load; the others are kept with the raw data.
	counters(ctx context.Context) (counters, error)
	// stop undoes start.
	stop() error
}

// counters are totals by name.
type counters map[string]uint64

// since returns by how much each counter has grown.
func (c counters) since(before counters) counters {
	grown := make(counters, len(c))
	for name, n := range c {
		grown[name] = n - before[name]
	}
	return grown
}

func contenderName(c contender) string { return c.name }

// reference is the contender that all others are compared with.
const reference = "kernel"

// contenders lists all of them, the reference first.
func contenders(builds []build) []contender {
	all := []contender{kernelForwarding()}
	for _, b := range builds {
		all = append(all, uvsNAT(b))
	}
	return append(all, haproxyTCP())
}
