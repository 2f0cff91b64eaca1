package sched

import "uvs/internal/mono"

// replicatedLeastConnection is lblc with a set of servers for each virtual address: the set
// grows when its least loaded server has too much to do, and loses the most loaded one when it
// has not changed for long (ip_vs_lblcr.c).
type replicatedLeastConnection struct {
	locality
}

func newReplicatedLeastConnection(e Env) *replicatedLeastConnection {
	return &replicatedLeastConnection{newLocality(e.LBLCRExpiration)}
}

func (l *replicatedLeastConnection) Name() string { return "lblcr" }

func (l *replicatedLeastConnection) Pick(r Request) int {
	e := l.cache.find(&r.Virtual)
	if e != nil {
		e.used = r.Now
		at := l.leastOf(e)
		if e.size > 1 && r.Now.After(e.changed.Add(l.expiration())) {
			l.shrink(e, r.Now)
		}
		if at != none && !l.crowded(l.list[at]) {
			return at
		}
	}
	i := l.least.Pick(r)
	if i == none {
		return none
	}
	if e == nil {
		if e = l.cache.insert(&r.Virtual, r.Now, l.expiration()); e == nil {
			return i // too many addresses: this one has no memory
		}
	}
	if !l.cache.has(e, i) {
		l.cache.add(e, l.list[i], r.Now)
	}
	return i
}

// Changed is news to the sets.
func (l *replicatedLeastConnection) Changed(i int) {
	l.locality.Changed(i)
	l.cache.news.add(l.cache.listed[i])
}

// leastOf returns the server of the set with the fewest connections for its weight, the
// latest member of those that are equal (ip_vs_dest_set_min).
func (l *replicatedLeastConnection) leastOf(e *entry) int {
	c := &l.cache
	if e.size >= rankFrom {
		if e.ranking == nil {
			e.ranking = c.rank(e)
		} else {
			c.catchUp(e.ranking)
		}
		if p := e.ranking.bids.winner(); p != none {
			return c.members[e.ranking.member[p]].at
		}
		return none
	}
	best, least := none, cost{}
	for n := e.first; n != 0; n = c.elements.at(n).next {
		m := c.memberOf(n)
		if x := m.cost(); x.less(least) {
			best, least = m.at, x
		}
	}
	return best
}

// shrink takes the server with the most connections for its weight out of the set, be it
// listed or not (ip_vs_dest_set_max).
func (l *replicatedLeastConnection) shrink(e *entry, now mono.Time) {
	worst, most := uint32(0), cost{}
	for n := e.first; n != 0; n = l.cache.elements.at(n).next {
		m := l.cache.memberOf(n)
		c := cost{overhead(m.server), uint64(m.server.Weight())}
		if c.weight > 0 && (worst == 0 || most.less(c)) {
			worst, most = n, c
		}
	}
	if worst != 0 {
		l.cache.drop(e, worst, now)
	}
}
