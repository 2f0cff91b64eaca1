package conntrack

import (
	"math/bits"
	"sync/atomic"
)

// The wheel's levels, in powers of two of ticks: 256 lists of one tick (32 s together), 64
// of 32 s (34 min), 64 of 34 min (36 h), 64 of 36 h (97 days).
const (
	baseBits   = 8
	levelBits  = 6
	levels     = 3 // above the base
	baseLists  = 1 << baseBits
	levelLists = 1 << levelBits
	numLists   = baseLists + levels*levelLists
	span       = 1 << (baseBits + levels*levelBits) // ticks
)

// A wheel is a shard's hierarchical timing wheel: lists of entries by the tick at which to
// look at them. The invariant is that an entry is looked at no later than its deadline. A
// packet that puts the deadline off does not move the entry: the wheel files it anew
// when it comes to it. Only a deadline that comes nearer moves it at once.
type wheel struct {
	next  atomic.Uint32    // the first tick not yet worked off; written under the shard's lock
	lists [numLists]uint32 // refs of the lists' first entries
	busy  [baseLists / 64]uint64
}

// list returns where an entry with that deadline belongs while tick now is the first not
// worked off. A list above the base is emptied when its span begins, and no deadline
// seen from then on leads to it before it comes round again.
func list(deadline, now uint32) uint32 {
	left := uint32(0)
	if deadline > now {
		left = deadline - now
	}
	if left < baseLists {
		return (now + left) % baseLists
	}
	if left >= span {
		left = span - 1
	}
	at := now + left
	shift, first := uint32(baseBits), uint32(baseLists)
	for left >= 1<<(shift+levelBits) {
		shift += levelBits
		first += levelLists
	}
	return first + at>>shift%levelLists
}

// file puts the entry into the list of its deadline.
func (s *shard) file(ref uint32, h *head) {
	w := &s.wheel
	l := list(h.deadline, w.next.Load())
	first := w.lists[l]
	h.next, h.prev = first, refList|l
	if first != 0 {
		s.head(first).prev = ref
	}
	w.lists[l] = ref
	if l < baseLists {
		w.busy[l/64] |= 1 << (l % 64)
	}
}

// unfile takes the entry out of its list.
func (s *shard) unfile(h *head) {
	w := &s.wheel
	if h.next != 0 {
		s.head(h.next).prev = h.prev
	}
	if h.prev&refList == 0 {
		s.head(h.prev).next = h.next
		return
	}
	l := h.prev &^ refList
	w.lists[l] = h.next
	if h.next == 0 && l < baseLists {
		w.busy[l/64] &^= 1 << (l % 64)
	}
}

// listAt returns the list of the level that must be empty when tick now is over, if one
// of its spans begins at now.
func listAt(now uint32, level int) (l uint32, ok bool) {
	if level == 0 {
		return now % baseLists, true
	}
	shift := baseBits + (level-1)*levelBits
	if now&(1<<shift-1) != 0 {
		return 0, false
	}
	return uint32(baseLists+(level-1)*levelLists) + now>>shift%levelLists, true
}

// skip returns the first tick from now on at which there is something to do, at most end.
func (w *wheel) skip(now, end uint32) uint32 {
	for now < end && now%baseLists != 0 {
		if word := w.busy[now%baseLists/64] >> (now % 64); word != 0 {
			return min(end, now+uint32(bits.TrailingZeros64(word)))
		}
		now = (now | 63) + 1
	}
	return min(end, now)
}
