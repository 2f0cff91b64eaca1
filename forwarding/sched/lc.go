package sched

// newLeastConnection takes the server with the fewest connections, whatever its weight
// (ip_vs_lc.c).
func newLeastConnection() *contest {
	return &contest{name: "lc", of: func(s Server) cost {
		if !available(s) {
			return cost{}
		}
		return cost{overhead(s), 1}
	}}
}
