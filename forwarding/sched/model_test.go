package sched_test

import (
	"slices"
	"time"

	"uvs/forwarding/sched"
	"uvs/internal/mono"
)

// A model is a scheduler as the kernel's source has it, without a thought for what it costs:
// net/netfilter/ipvs/ip_vs_*.c, the functions ip_vs_*_schedule. It answers with a place in the list.
type model interface {
	update(list []*server)
	pick(r sched.Request) int
}

func newModel(name string, flags sched.Flags) model {
	byLoad := func(cost func(*server) int, weighted bool) model {
		return &choice{better: func(a, b *server) bool {
			if weighted {
				return cost(a)*b.weight < cost(b)*a.weight
			}
			return cost(a) < cost(b)
		}}
	}
	switch name {
	case "rr":
		return &turns{}
	case "wrr":
		return &passes{}
	case "lc":
		return byLoad(overhead, false)
	case "wlc":
		return byLoad(overhead, true)
	case "sed":
		return byLoad(delay, true)
	case "nq":
		return &choice{
			at: func(s *server) bool { return s.active == 0 },
			better: func(a, b *server) bool {
				return delay(a)*b.weight < delay(b)*a.weight
			},
		}
	case "fo":
		return &choice{better: func(a, b *server) bool { return a.weight > b.weight }}
	case "ovf":
		return &choice{
			fits:   func(s *server) bool { return s.active <= s.weight },
			better: func(a, b *server) bool { return a.weight > b.weight },
		}
	case "twos":
		return &draws{random: env().Random}
	case "dh":
		return &buckets{}
	case "sh":
		return &buckets{client: true, flags: flags}
	case "lblc":
		return &memory{entries: make(map[[16]byte]*remembered), one: true}
	case "lblcr":
		return &memory{entries: make(map[[16]byte]*remembered)}
	}
	return nil
}

func overhead(s *server) int { return s.active*256 + s.inactive }
func delay(s *server) int    { return s.active + 1 }
func free(s *server) bool    { return s.weight > 0 && !s.overloaded }

// choice takes the first server that no other is better than; at once the first for which at
// is true.
type choice struct {
	list   []*server
	fits   func(*server) bool
	at     func(*server) bool
	better func(a, b *server) bool
}

func (c *choice) update(list []*server) { c.list = list }

func (c *choice) pick(sched.Request) int {
	best := -1
	for i, s := range c.list {
		if !free(s) || c.fits != nil && !c.fits(s) {
			continue
		}
		if c.at != nil && c.at(s) {
			return i
		}
		if best < 0 || c.better(s, c.list[best]) {
			best = i
		}
	}
	return best
}

// turns is ip_vs_rr.c.
type turns struct {
	list []*server
	last *server // nil: the head of the list
}

// update is ip_vs_rr_del_dest for each server that went.
func (t *turns) update(list []*server) {
	old := t.list
	t.list = list
	for t.last != nil && !slices.Contains(list, t.last) {
		if i := slices.Index(old, t.last); i > 0 {
			t.last = old[i-1]
		} else {
			t.last = nil
		}
	}
}

func (t *turns) pick(sched.Request) int {
	start := slices.Index(t.list, t.last) // −1: the head
	for i := range t.list {
		at := (start + 1 + i) % len(t.list)
		if free(t.list[at]) {
			t.last = t.list[at]
			return at
		}
	}
	return -1
}

// passes is ip_vs_wrr.c.
type passes struct {
	list       []*server
	cl         int // −1: the head
	cw, mw, di int
}

func (p *passes) update(list []*server) {
	p.list, p.cl = list, -1
	p.di, p.mw = 0, 0
	for _, s := range list {
		for a, b := p.di, s.weight; ; a, b = b, a%b {
			if b == 0 {
				p.di = a
				break
			}
		}
		p.mw = max(p.mw, s.weight)
	}
	p.di = max(p.di, 1)
	p.mw -= p.di - 1
	if p.cw > p.mw || p.cw == 0 {
		p.cw = p.mw
	} else if p.di > 1 {
		p.cw = p.cw/p.di*p.di + 1
	}
}

func (p *passes) pick(sched.Request) int {
	if p.mw == 0 {
		return -1
	}
	last, stop := p.cl, -2
	lastPass, restarted := false, false
	for at := p.cl; ; at = -1 {
		for at++; at < len(p.list); at++ {
			if !p.list[at].overloaded && p.list[at].weight >= p.cw {
				p.cl = at
				return at
			}
			if at == stop {
				p.cl = at
				return -1
			}
		}
		p.cw -= p.di
		if p.cw <= 0 {
			p.cw = p.mw
			if lastPass || last == -1 {
				p.cl = -1
				return -1
			}
			restarted = true
		}
		lastPass = p.cw <= p.di
		if lastPass && restarted && last != -1 {
			stop = last
		}
	}
}

// draws is ip_vs_twos.c.
type draws struct {
	list   []*server
	random func(uint64) uint64
}

func (d *draws) update(list []*server) { d.list = list }

func (d *draws) pick(sched.Request) int {
	total, choices := 0, [2]int{-1, -1}
	for _, s := range d.list {
		if free(s) {
			total += s.weight
		}
	}
	if total == 0 {
		return -1
	}
	left := [2]int{int(d.random(uint64(total + 1))), int(d.random(uint64(total + 1)))}
	for i, s := range d.list {
		for k := range left {
			if free(s) {
				if left[k] -= s.weight; left[k] <= 0 && choices[k] < 0 {
					choices[k] = i
				}
			}
		}
	}
	a, b := d.list[choices[0]], d.list[choices[1]]
	if b.weight*overhead(a) > a.weight*overhead(b) {
		return choices[1]
	}
	return choices[0]
}

// buckets is ip_vs_dh.c and ip_vs_sh.c.
type buckets struct {
	client bool
	flags  sched.Flags
	list   []*server
	table  [256]int
}

func (b *buckets) update(list []*server) {
	b.list = list
	at, count := 0, 0
	for i := range b.table {
		if len(list) == 0 {
			return
		}
		b.table[i] = at
		if count++; !b.client || count >= list[at].weight {
			at, count = (at+1)%len(list), 0
		}
	}
}

func (b *buckets) pick(r sched.Request) int {
	if len(b.list) == 0 {
		return -1
	}
	key := sched.Fold(&r.Virtual)
	if b.client {
		key = r.Client.Addr
		if b.flags&sched.Port != 0 {
			key += uint32(r.Client.Port)
		}
	}
	h := int(key * 0x61c88647 >> 24)
	if free(b.list[b.table[h]]) {
		return b.table[h]
	}
	for offset := 0; b.flags&sched.Fallback != 0 && offset < 256; offset++ {
		if at := b.table[((offset+h)%256+h)%256]; free(b.list[at]) {
			return at
		}
	}
	return -1
}

// memory is ip_vs_lblc.c (one) and ip_vs_lblcr.c; both forget after expiration.
type memory struct {
	one     bool
	list    []*server
	entries map[[16]byte]*remembered
	rounds  int
	rover   int
}

type remembered struct {
	set           []*server // the latest in front
	used, changed mono.Time
}

func (m *memory) update(list []*server) { m.list = list }

const expiration = 24 * time.Hour

func (m *memory) crowded(s *server) bool {
	return s.active > s.weight && slices.ContainsFunc(m.list, func(o *server) bool { return o.active*2 < o.weight })
}

func (m *memory) pick(r sched.Request) int {
	e := m.entries[r.Virtual]
	if e != nil {
		e.used = r.Now
		if m.one {
			if s := e.set[0]; slices.Contains(m.list, s) && s.weight > 0 && !m.crowded(s) {
				return slices.Index(m.list, s)
			}
		} else if s := m.least(e, r.Now); s != nil && !m.crowded(s) {
			return slices.Index(m.list, s)
		}
	}
	wlc := newModel("wlc", 0)
	wlc.update(m.list)
	i := wlc.pick(r)
	if i < 0 {
		return i
	}
	if e == nil {
		e = &remembered{used: r.Now}
		m.entries[r.Virtual] = e
	}
	switch s := m.list[i]; {
	case m.one:
		e.set = []*server{s}
	case !slices.Contains(e.set, s):
		e.set, e.changed = slices.Insert(e.set, 0, s), r.Now
	}
	return i
}

// least is ip_vs_dest_set_min, and takes the most loaded server out of an old set.
func (m *memory) least(e *remembered, now mono.Time) *server {
	var least, most *server
	for _, s := range e.set {
		if slices.Contains(m.list, s) && free(s) && (least == nil || overhead(s)*least.weight < overhead(least)*s.weight) {
			least = s
		}
		if s.weight > 0 && (most == nil || overhead(s)*most.weight > overhead(most)*s.weight) {
			most = s
		}
	}
	if len(e.set) > 1 && now > e.changed.Add(expiration) && most != nil {
		e.set, e.changed = slices.DeleteFunc(e.set, func(s *server) bool { return s == most }), now
	}
	return least
}

// collect is ip_vs_lblc_check_expire.
func (m *memory) collect(now mono.Time) {
	m.rounds++
	if m.rounds == 30 {
		m.rounds = 0
		m.forget(now, expiration, len(m.entries)+1)
	} else if over := len(m.entries) - 16384; over > 0 {
		m.rounds--
		m.forget(now, 6*time.Minute, min(over*4/3, 8192))
	}
}

func (m *memory) forget(now mono.Time, after time.Duration, goal int) {
	for range 1024 {
		m.rover = (m.rover + 1) % 1024
		for addr, e := range m.entries {
			if int(sched.Fold(&addr)*0x61c88647>>22) == m.rover && e.used.Add(after) <= now {
				delete(m.entries, addr)
				goal--
			}
		}
		if goal <= 0 {
			return
		}
	}
}
