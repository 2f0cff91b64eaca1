package sched

// leastConnection takes the server with the fewest connections, whatever its weight
// (ip_vs_lc.c).
type leastConnection struct{ list []Server }

func (l *leastConnection) Name() string         { return "lc" }
func (l *leastConnection) Update(list []Server) { l.list = list }

func (l *leastConnection) Pick(Request) int {
	best, least := none, int64(0)
	for i, s := range l.list {
		if !available(s) {
			continue
		}
		if load := overhead(s); best == none || load < least {
			best, least = i, load
		}
	}
	return best
}
