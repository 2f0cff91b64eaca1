package conntrack

import (
	"sync"
	"sync/atomic"
)

const (
	protoTCP  = 6
	protoUDP  = 17
	protoSCTP = 132
)

// A shard is a part of the table with a lock of its own. No code holds two of one table; a
// flow's is taken before that of its lease (lease.go).
type shard struct {
	// Read by workers without the lock, written at insertions and removals only.
	index atomic.Pointer[index]
	seq   atomic.Uint64 // odd while the index changes
	spare atomic.Int64  // credits for flows to come; other shards may take them
	_     [104]byte

	mu           sync.Mutex // guards all below, and writing to the slots of index
	number       int
	live         int // flows, or templates, that are in the index
	superseded   int // templates that are not
	v4           []entry4
	v6           []entry6
	pool4, pool6 pool
	wheel        wheel
	names        map[uint32][]byte // of templates: data of a persistence engine, by ref
	prepared     uint8             // bits of the index that Prepare made ready; Prepare's alone
	_            [64]byte
}

// absent reports that no flow with the tag is in the shard. It takes no lock and writes
// nothing, so workers that look in vain do not slow each other down: the replies of one
// server all look into the same shard first. False means only that there may be one.
func (s *shard) absent(tag uint32) bool {
	seq := s.seq.Load()
	return seq&1 == 0 && s.index.Load().peek(tag) && s.seq.Load() == seq
}

// beginChange and endChange enclose changes of the index, which absent then distrusts.
// The load keeps later stores from being seen before seq is odd.
func (s *shard) beginChange() {
	s.seq.Add(1)
	s.seq.Load()
}

func (s *shard) endChange() { s.seq.Add(1) }

// lookup returns the ref of the flow that a packet of tp in direction d belongs to, or 0.
func (s *shard) lookup(tag uint32, tp *Tuple, d Dir) uint32 {
	ref, _ := s.scan(tag, tp, d)
	return ref
}

// scan is lookup; if it finds nothing it returns how many flows share the tag.
func (s *shard) scan(tag uint32, tp *Tuple, d Dir) (ref uint32, same int) {
	x := s.index.Load()
	for i := x.seek(tag); x.slots[i].tag() == tag && x.slots[i] != 0; i++ {
		if s.matches(x.slots[i].ref(), tp, d) {
			return x.slots[i].ref(), 0
		}
		same++
	}
	return 0, same
}

// enter puts an entry into the index, which it enlarges beyond seven eighths. False: no
// memory for that, or no place.
func (t *Table) enter(s *shard, tag, ref uint32) bool {
	x := s.index.Load()
	if s.live >= x.homes()/8*7 {
		x = t.enlarge(s, x)
	}
	s.beginChange()
	ok := x.insert(tag, ref)
	s.endChange()
	if !ok {
		return false
	}
	s.live++
	return true
}

// enlarge doubles the index. If the host has no memory, the old one has to do.
func (t *Table) enlarge(s *shard, x *index) *index {
	y, err := t.indexes.create(s.number, x.bits+1)
	if err != nil {
		return x
	}
	y.copyFrom(x)
	s.beginChange()
	s.index.Store(y)
	s.endChange()
	x.mem.discard()
	return y
}

// leave takes an entry out of the index.
func (s *shard) leave(tag, ref uint32) {
	x := s.index.Load()
	i := x.find(tag, ref)
	s.beginChange()
	x.remove(i)
	s.endChange()
	s.live--
}
