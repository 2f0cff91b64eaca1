package sched

import "slices"

// roundRobin takes the servers in turn (ip_vs_rr.c).
type roundRobin struct {
	weights
	last int // chosen last; none before the first choice
}

func (r *roundRobin) Name() string { return "rr" }

// Update keeps the place in the list. If the server chosen last is gone, that place is
// the nearest server before it which is still there.
func (r *roundRobin) Update(list []Server) {
	at := none
	for ; r.last != none; r.last-- {
		if at = slices.Index(list, r.list[r.last]); at != none {
			break
		}
	}
	r.last = at
	r.weights.Update(list)
}

func (r *roundRobin) Pick(Request) int {
	at := r.next(r.last+1, 1)
	if at == none {
		if at = r.next(0, 1); at == none {
			return none
		}
	}
	r.last = at
	return at
}
