package conntrack

// hugeBits is the least size of an index, as a power of two of slots, that gets huge pages:
// 32 KiB, in a table of some 200 000 flows.
const hugeBits = 12

// Prepare gets the memory that the flows soon to come will need, in huge pages, so that no
// worker waits for it: getting one took 0.3 to 11 ms in a virtual machine, a small page
// 1.4 µs. It looks ahead as far as the table grew four times over since the last call,
// and does nothing for a table of less than some ten thousand flows. It may block; the
// thing to call it is a goroutine of its own, about ten times per second. Without it the
// table works on small pages.
func (t *Table) Prepare() {
	if l := t.leases.Load(); l != nil {
		l.Prepare()
	}
	t.preparing.Lock()
	defer t.preparing.Unlock()
	t.arena4.prepare()
	t.arena6.prepare()
	for i := range t.shards {
		t.prepareIndex(&t.shards[i])
	}
}

// prepare makes whole huge pages ready that nobody has begun to use.
func (a *arena[T]) prepare() {
	taken := min(uintptr(a.taken.Load())*a.size, a.mem.size)
	grown := taken - a.seen
	a.seen = taken
	if taken < hugePage/2 {
		return
	}
	from := max(a.ready, (taken+hugePage-1)&^(hugePage-1))
	end := min(taken+max(hugePage, 4*grown)+hugePage-1, a.mem.size) &^ (hugePage - 1)
	if from >= end {
		return
	}
	ahead := a.mem.part(from, end-from)
	ahead.adviseHuge()
	ahead.populate()
	a.ready = end
}

// prepareIndex makes a shard's next index ready when the present one is three quarters
// full; at seven eighths it moves.
func (t *Table) prepareIndex(s *shard) {
	s.mu.Lock()
	bits, due := s.index.Load().bits+1, s.live >= s.index.Load().homes()/4*3
	s.mu.Unlock()
	if !due || bits < hugeBits || bits == s.prepared {
		return
	}
	s.prepared = bits
	if all, err := t.indexes.region(bits); err == nil {
		all.adviseHuge()
		t.indexes.part(all, s.number).populate()
	}
}
