package sched

import "math"

// newOverflow takes the server of the greatest weight until it has more active connections
// than its weight, then the next one (ip_vs_ovf.c). For UDP, whose connections are never
// active, it is fo.
func newOverflow() *contest {
	return &contest{name: "ovf", of: func(s Server) cost {
		if !available(s) || active(s) > uint64(s.Weight()) {
			return cost{}
		}
		return cost{math.MaxInt32 - uint64(s.Weight()), 1}
	}}
}
