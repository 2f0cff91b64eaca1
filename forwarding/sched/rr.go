package sched

import "slices"

// roundRobin takes the servers in turn (ip_vs_rr.c).
type roundRobin struct {
	list []Server
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
	r.list, r.last = list, at
}

func (r *roundRobin) Pick(Request) int {
	for i := range r.list {
		at := r.last + 1 + i
		if at >= len(r.list) {
			at -= len(r.list)
		}
		if available(r.list[at]) {
			r.last = at
			return at
		}
	}
	return none
}
