package sched

// shortestExpectedDelay takes the server where a new connection will have the least share of
// company: the fewest active connections, the new one counted, for its weight (ip_vs_sed.c).
type shortestExpectedDelay struct{ list []Server }

func (s *shortestExpectedDelay) Name() string         { return "sed" }
func (s *shortestExpectedDelay) Update(list []Server) { s.list = list }

func (s *shortestExpectedDelay) Pick(Request) int {
	best, least, weight := none, int64(0), int64(0)
	for i, x := range s.list {
		if !available(x) {
			continue
		}
		load, wt := int64(x.Active())+1, int64(x.Weight())
		if best == none || least*wt > load*weight {
			best, least, weight = i, load, wt
		}
	}
	return best
}
