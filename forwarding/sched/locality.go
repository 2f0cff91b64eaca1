package sched

import (
	"time"

	"uvs/internal/mono"
)

// locality is what lblc and lblcr have in common.
type locality struct {
	list  []Server
	least *contest // wlc
	cache cache
	quiet []bool // by index: has less than half the active connections of its weight
	some  int    // how many of them have

	expiration func() time.Duration // of what is not asked for
}

func newLocality(expiration func() time.Duration) locality {
	return locality{least: newWeightedLeastConnection(), expiration: expiration}
}

// Collect implements Collector.
func (l *locality) Collect(now mono.Time) { l.cache.collect(now, l.expiration()) }

func (l *locality) Watches() Watch { return WatchCounts }

func (l *locality) Update(list []Server) {
	l.list = list
	l.least.Update(list)
	l.cache.update(list)
	l.quiet, l.some = make([]bool, len(list)), 0
	for i := range list {
		l.count(i)
	}
}

func (l *locality) Changed(i int) {
	l.least.Changed(i)
	l.count(i)
}

// count notes whether the server has little to do; available it need not be.
func (l *locality) count(i int) {
	s := l.list[i]
	was, is := l.quiet[i], 2*s.Active() < s.Weight()
	l.quiet[i] = is
	switch {
	case is && !was:
		l.some++
	case was && !is:
		l.some--
	}
}

// crowded reports whether a server has more active connections than its weight while another
// one has less than half of its own (is_overloaded in ip_vs_lblc.c).
func (l *locality) crowded(s Server) bool { return l.some > 0 && s.Active() > s.Weight() }
