package sched

// overflow takes the server of the greatest weight until it has more active connections than
// its weight, then the next one (ip_vs_ovf.c). For UDP it is fo: its connections are never
// active.
type overflow struct{ list []Server }

func (o *overflow) Name() string         { return "ovf" }
func (o *overflow) Update(list []Server) { o.list = list }

func (o *overflow) Pick(Request) int {
	best, greatest := none, 0
	for i, s := range o.list {
		if w := s.Weight(); w > greatest && !s.Overloaded() && s.Active() <= w {
			best, greatest = i, w
		}
	}
	return best
}
