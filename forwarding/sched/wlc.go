package sched

// weightedLeastConnection takes the server with the fewest connections for its weight
// (ip_vs_wlc.c).
type weightedLeastConnection struct{ list []Server }

func (w *weightedLeastConnection) Name() string         { return "wlc" }
func (w *weightedLeastConnection) Update(list []Server) { w.list = list }

func (w *weightedLeastConnection) Pick(Request) int {
	best, least, weight := none, int64(0), int64(0)
	for i, s := range w.list {
		if !available(s) {
			continue
		}
		// least/weight > load/wt, without division.
		load, wt := overhead(s), int64(s.Weight())
		if best == none || least*wt > load*weight {
			best, least, weight = i, load, wt
		}
	}
	return best
}
