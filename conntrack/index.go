package conntrack

import (
	"errors"
	"sync"
	"sync/atomic"
)

var errIndexSize = errors.New("index at its greatest size")

// A slot of the index is the tag of an entry in its high half and the entry's ref in its
// low half; 0 is an empty one.
type slot uint64

func newSlot(tag, ref uint32) slot { return slot(tag)<<32 | slot(ref) }
func (v slot) tag() uint32         { return uint32(v >> 32) }
func (v slot) ref() uint32         { return uint32(v) }

const (
	minIndexBits = 8
	maxIndexBits = 28
	// spill is the room behind the last home position, in slots: a run that begins near
	// the end goes on there instead of wrapping. The last slot always stays empty.
	spill = 256
	// maxPeek bounds a look without the lock; it is far below spill.
	maxPeek = 24
)

// An index finds entries by tag. It is an open-addressed table with linear probing whose
// slots are sorted by tag: the home position of a tag is its top bits, and gaps lie only
// before home positions. So a search ends at the first larger tag, hit or miss; equal
// tags are neighbours, the newest first; removal shifts back and leaves no tombstones;
// and the table doubles in one pass from end to end.
//
// Only the slots change, and only under the shard's lock; see shard.absent for reading
// without it.
type index struct {
	slots []slot // in mem
	mem   region
	bits  uint8 // log2 of the number of home positions
	shift uint8 // 32 − bits
}

// indexes maps the shards' indexes. As shards grow alike, those of one size lie together,
// dense enough for huge pages. Given up ones keep their addresses until the end, since
// somebody without the lock may still be reading there; their memory is given back.
type indexes struct {
	mu     sync.Mutex // guards bySize; taken inside a shard's lock
	bySize [maxIndexBits + 1]region
	shards int
}

// create returns an empty index for the shard of that number. A shard asks for each size
// once.
func (m *indexes) create(shard int, bits uint8) (*index, error) {
	all, err := m.region(bits)
	if err != nil {
		return nil, err
	}
	mem := m.part(all, shard)
	return &index{slots: view[slot](mem, 1<<bits+spill), mem: mem, bits: bits, shift: 32 - bits}, nil
}

// region returns the region for all indexes of that size.
func (m *indexes) region(bits uint8) (region, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if bits > maxIndexBits {
		return region{}, errIndexSize
	}
	if all := m.bySize[bits]; all.size != 0 {
		return all, nil
	}
	all, err := reserve(pages((1<<bits+spill)*8) * uintptr(m.shards))
	if err != nil {
		return region{}, err
	}
	all.adviseSmall()
	m.bySize[bits] = all
	return all, nil
}

// part returns a shard's share of the region.
func (m *indexes) part(all region, shard int) region {
	size := all.size / uintptr(m.shards)
	return all.part(uintptr(shard)*size, size)
}

func (m *indexes) close() error {
	var errs []error
	for i := range m.bySize {
		errs = append(errs, m.bySize[i].unmap())
	}
	return errors.Join(errs...)
}

// homes returns the number of home positions.
func (x *index) homes() int { return len(x.slots) - spill }

func (x *index) home(tag uint32) int { return int(tag >> x.shift) }

// seek returns the position of the first slot with tag, or where it belongs.
func (x *index) seek(tag uint32) int {
	i := x.home(tag)
	for v := x.slots[i]; v != 0 && v.tag() < tag; v = x.slots[i] {
		i++
	}
	return i
}

// find returns the position of the entry's slot. The entry must be in the index.
func (x *index) find(tag, ref uint32) int {
	for i := x.seek(tag); ; i++ {
		if x.slots[i] == newSlot(tag, ref) {
			return i
		}
		if x.slots[i].tag() != tag {
			panic("conntrack: entry not in its index")
		}
	}
}

// insert puts the entry before others of the same tag. It returns false, and changes
// nothing, if the run has no end within the table.
func (x *index) insert(tag, ref uint32) bool {
	i := x.seek(tag)
	end := i
	for x.slots[end] != 0 {
		end++
	}
	if end == len(x.slots)-1 {
		return false
	}
	copy(x.slots[i+1:end+1], x.slots[i:end])
	x.slots[i] = newSlot(tag, ref)
	return true
}

// remove empties the slot at i and moves back what was pushed past its home by it.
func (x *index) remove(i int) {
	end := i + 1
	for v := x.slots[end]; v != 0 && x.home(v.tag()) < end; v = x.slots[end] {
		end++
	}
	copy(x.slots[i:end-1], x.slots[i+1:end])
	x.slots[end-1] = 0
}

// copyFrom fills an empty index with the entries of one half its size.
func (x *index) copyFrom(y *index) {
	next := 0
	for _, v := range y.slots {
		if v == 0 {
			continue
		}
		at := max(next, x.home(v.tag()))
		x.slots[at] = v
		next = at + 1
	}
}

// load reads a slot without the shard's lock.
func (x *index) load(i int) slot { return slot(atomic.LoadUint64((*uint64)(&x.slots[i]))) }

// peek looks for tag without the shard's lock. What it says counts only if nobody changed
// the index meanwhile; it never reads outside the slots, however they change.
func (x *index) peek(tag uint32) (absent bool) {
	i := x.home(tag)
	for range maxPeek {
		v := x.load(i)
		if v == 0 || v.tag() > tag {
			return true
		}
		if v.tag() == tag {
			return false
		}
		i++
	}
	return false
}
