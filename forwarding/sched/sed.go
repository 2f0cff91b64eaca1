package sched

// newShortestExpectedDelay takes the server where a new connection will have the least
// company: the fewest active connections, the new one counted, for its weight (ip_vs_sed.c).
func newShortestExpectedDelay() *contest { return &contest{name: "sed", of: expectedDelay} }

func expectedDelay(s Server) cost {
	if !available(s) {
		return cost{}
	}
	return cost{active(s) + 1, uint64(s.Weight())}
}
