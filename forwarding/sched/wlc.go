package sched

// newWeightedLeastConnection takes the server with the fewest connections for its weight
// (ip_vs_wlc.c).
func newWeightedLeastConnection() *contest {
	return &contest{name: "wlc", of: func(s Server) cost {
		if !available(s) {
			return cost{}
		}
		return cost{overhead(s), uint64(s.Weight())}
	}}
}
