package sched

// failOver takes the server of the greatest weight, as long as it is available (ip_vs_fo.c).
type failOver struct{ list []Server }

func (f *failOver) Name() string         { return "fo" }
func (f *failOver) Update(list []Server) { f.list = list }

func (f *failOver) Pick(Request) int {
	best, greatest := none, 0
	for i, s := range f.list {
		if w := s.Weight(); w > greatest && !s.Overloaded() {
			best, greatest = i, w
		}
	}
	return best
}
