package sched

// newNeverQueue takes the first server without an active connection, whatever its weight, else
// the one of the shortest expected delay (ip_vs_nq.c).
func newNeverQueue() *contest {
	return &contest{name: "nq", of: func(s Server) cost {
		if available(s) && active(s) == 0 {
			return cost{0, 1}
		}
		return expectedDelay(s)
	}}
}
