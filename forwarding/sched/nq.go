package sched

// neverQueue takes the first server without an active connection, else the one of the
// shortest expected delay (ip_vs_nq.c).
type neverQueue struct{ shortestExpectedDelay }

func (n *neverQueue) Name() string { return "nq" }

func (n *neverQueue) Pick(r Request) int {
	for i, s := range n.list {
		if available(s) && s.Active() == 0 {
			return i
		}
	}
	return n.shortestExpectedDelay.Pick(r)
}
