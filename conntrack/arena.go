package conntrack

import (
	"errors"
	"math"
	"sync/atomic"
)

var errAddressSpace = errors.New("more than this machine can address")

// chunk is how many entries a shard takes from an arena at once: 4 KiB of IPv4.
const chunk = 64

// An arena holds the entries of one family. Shards take chunks of it, from low indexes
// on, and keep them; so the memory above the highest chunk ever taken stays untouched,
// and that below is dense enough for huge pages, however many shards there are.
type arena[T any] struct {
	entries []T // in mem
	mem     region
	size    uintptr         // of an entry
	taken   atomic.Int64    // entries in chunks that shards have
	owners  []atomic.Uint32 // by chunk: number of its shard + 1; 0 until it is known

	// Prepare's alone.
	seen, ready uintptr // bytes taken at its last call, and made ready
}

// newArena maps an arena for at least n entries of size bytes.
func newArena[T any](n int, size uintptr) (*arena[T], error) {
	chunks := (n + chunk - 1) / chunk
	n = chunks * chunk
	if uint64(n)*uint64(size) > math.MaxInt {
		return nil, errAddressSpace
	}
	mem, err := reserve(uintptr(n) * size)
	if err != nil {
		return nil, err
	}
	mem.adviseSmall()
	return &arena[T]{
		entries: view[T](mem, n),
		mem:     mem,
		size:    size,
		owners:  make([]atomic.Uint32, chunks),
	}, nil
}

// take gives the shard of that number a chunk and returns its first index.
func (a *arena[T]) take(shard int) (first int, ok bool) {
	// Looked at first, so that requests in vain do not make taken overflow.
	if a.taken.Load() >= int64(len(a.entries)) {
		return 0, false
	}
	end := int(a.taken.Add(chunk))
	first = end - chunk
	if end > len(a.entries) {
		return 0, false
	}
	a.owners[first/chunk].Store(uint32(shard) + 1)
	return first, true
}

// inUse returns the number of chunks that shards have taken.
func (a *arena[T]) inUse() int {
	return min(int(a.taken.Load())/chunk, len(a.owners))
}

// owner returns the number of the shard that has the i-th chunk, if that is known yet.
func (a *arena[T]) owner(i int) (shard int, ok bool) {
	n := a.owners[i].Load()
	return int(n) - 1, n != 0
}

func (a *arena[T]) close() error {
	if a == nil {
		return nil
	}
	a.entries = nil
	return a.mem.unmap()
}

// pool is what a shard has of an arena. It is guarded by the shard's lock.
type pool struct {
	free       uint32 // ref of the first free entry; linked by head.next
	fresh, end uint32 // indexes of the last chunk's entries that were never used
}

// alloc returns the ref of a free entry, or 0 if the family's arena is used up.
func (t *Table) alloc(s *shard, v6 bool) uint32 {
	p, family := &s.pool4, uint32(0)
	if v6 {
		p, family = &s.pool6, refV6
	}
	if ref := p.free; ref != 0 {
		p.free = s.head(ref).next
		return ref
	}
	if p.fresh == p.end {
		var first int
		var ok bool
		if v6 {
			first, ok = t.arena6.take(s.number)
		} else {
			first, ok = t.arena4.take(s.number)
		}
		if !ok {
			return 0
		}
		p.fresh, p.end = uint32(first), uint32(first+chunk)
	}
	p.fresh++
	return p.fresh | family
}

// release takes an entry back.
func (s *shard) release(ref uint32, h *head) {
	p := &s.pool4
	if ref&refV6 != 0 {
		p = &s.pool6
	}
	h.proto = 0
	h.next, p.free = p.free, ref
}
