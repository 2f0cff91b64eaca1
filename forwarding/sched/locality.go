package sched

// locality is what lblc and lblcr have in common.
type locality struct {
	list  []Server
	least weightedLeastConnection
	cache cache
}

func (l *locality) Update(list []Server) {
	l.list = list
	l.least.Update(list)
	l.cache.update(list)
}

// crowded reports whether a server has more active connections than its weight while another
// one has less than half of its own (is_overloaded in ip_vs_lblc.c).
func (l *locality) crowded(s Server) bool {
	if s.Active() <= s.Weight() {
		return false
	}
	for _, o := range l.list {
		if 2*o.Active() < o.Weight() {
			return true
		}
	}
	return false
}
