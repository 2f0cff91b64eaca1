package conntrack

// Evict ends every flow whose server's id gone reports, and then every template with such
// a server that controls no flow any more, and returns how many ended
// (ip_vs_expire_nodest_conn_flush). It goes through the whole table, a chunk of entries
// at a time; gone is called with a shard locked and must be short. It is for a goroutine
// that is no worker.
func (t *Table) Evict(gone func(ServerID) bool) (ended int) {
	for _, templates := range []bool{false, true} {
		ended += evict(t, t.arena4, 0, templates, gone)
		ended += evict(t, t.arena6, refV6, templates, gone)
	}
	return ended
}

func evict[T any](t *Table, a *arena[T], family uint32, templates bool, gone func(ServerID) bool) (ended int) {
	for i := range a.inUse() {
		if number, ok := a.owner(i); ok && t.templateShard(number) == templates {
			ended += t.evictChunk(&t.shards[number], uint32(i*chunk), family, gone)
		}
	}
	return ended
}

// evictChunk does so in the chunk that begins at index first.
func (t *Table) evictChunk(s *shard, first, family uint32, gone func(ServerID) bool) (ended int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref := (first + 1) | family; ref <= (first+chunk)|family; ref++ {
		h := s.head(ref)
		free := h.proto == 0 || h.server.Gen == 0
		if free || t.holds(h) || !gone(h.server) {
			continue
		}
		t.remove(s, ref, h)
		ended++
	}
	return ended
}
