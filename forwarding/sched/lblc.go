package sched

// localityLeastConnection keeps a virtual address with its server, so that caches see the
// same addresses again, and chooses as wlc does for new ones and for those whose server is
// gone or has too much to do (ip_vs_lblc.c).
type localityLeastConnection struct {
	locality
}

func newLocalityLeastConnection(e Env) *localityLeastConnection {
	return &localityLeastConnection{newLocality(e.LBLCExpiration)}
}

func (l *localityLeastConnection) Name() string { return "lblc" }

// Pick asks of the address's server neither its threshold nor anything else that would keep it
// from new ones: only weight 0 and company do, as in the kernel.
func (l *localityLeastConnection) Pick(r Request) int {
	e := l.cache.find(&r.Virtual)
	if e != nil {
		e.used = r.Now
		m := l.cache.memberOf(e.first)
		if m.at != none && m.server.Weight() > 0 && !l.crowded(m.server) {
			return m.at
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
	l.cache.clear(e)
	l.cache.add(e, l.list[i], r.Now)
	return i
}
