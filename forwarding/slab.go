package forwarding

import (
	"sync/atomic"

	"uvs/conntrack"
)

const (
	slabChunk  = 1024
	slabChunks = 1024
)

// A destSlab maps server ids to servers: an id is a place plus a generation, so that a
// flow that outlived its server never finds another one. Reading needs no lock; add and
// remove are serialised by the caller.
type destSlab struct {
	chunks      [slabChunks]atomic.Pointer[[slabChunk]slabSlot]
	free        []uint32
	used        uint32       // slots ever handed out
	live        atomic.Int32 // servers
	generations []uint32     // by slot, of the last server there
}

type slabSlot struct{ dest atomic.Pointer[dest] }

// get returns the server with the given id, nil if it is gone.
func (s *destSlab) get(id conntrack.ServerID) *dest {
	if id.Slot >= slabChunk*slabChunks {
		return nil
	}
	chunk := s.chunks[id.Slot/slabChunk].Load()
	if chunk == nil {
		return nil
	}
	if d := chunk[id.Slot%slabChunk].dest.Load(); d != nil && d.id.Gen == id.Gen {
		return d
	}
	return nil
}

// add gives d an id. It reports false when there are too many servers.
func (s *destSlab) add(d *dest) bool {
	var slot uint32
	switch n := len(s.free); {
	case n > 0:
		slot, s.free = s.free[n-1], s.free[:n-1]
	case s.used == slabChunk*slabChunks:
		return false
	default:
		slot = s.used
		s.used++
		s.generations = append(s.generations, 0)
	}
	s.generations[slot]++
	if s.generations[slot] == 0 { // 0 means "no server"
		s.generations[slot] = 1
	}
	d.id = conntrack.ServerID{Slot: slot, Gen: s.generations[slot]}
	chunk := s.chunks[slot/slabChunk].Load()
	if chunk == nil {
		chunk = new([slabChunk]slabSlot)
		s.chunks[slot/slabChunk].Store(chunk)
	}
	chunk[slot%slabChunk].dest.Store(d)
	s.live.Add(1)
	return true
}

// remove frees d's id for another server.
func (s *destSlab) remove(d *dest) {
	s.chunks[d.id.Slot/slabChunk].Load()[d.id.Slot%slabChunk].dest.Store(nil)
	s.free = append(s.free, d.id.Slot)
	s.live.Add(-1)
}
