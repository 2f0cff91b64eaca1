package forwarding

import (
	"math/bits"
	"sync/atomic"

	"uvs/forwarding/sched"
)

// notes say which servers of a service are not what its scheduler was told of them. Workers take
// a note where they change a count, without a lock; whoever picks next, under the service's
// lock, passes them on. A server that changes many times in between is told of once.
//
// So a pick counts every change that was complete when the pick began: with one worker it is
// the kernel's choice. With several, a change may go on while another worker picks, and is told
// at the next pick, as the kernel's list walk may or may not see it.
type notes struct {
	// dirty has a bit for each server by its index in the list, and words a bit for each word of
	// dirty that is not 0.
	dirty, words []atomic.Uint64
	few          [2]atomic.Uint64 // both, for up to 64 servers: beside each other in the cache
}

// A place is where a server's notes are taken.
type place struct {
	dirty, words *atomic.Uint64
	bit, word    uint64 // to set there
}

func newNotes(servers int) *notes {
	n := &notes{}
	if words := (servers + 63) / 64; words > 1 {
		n.dirty, n.words = make([]atomic.Uint64, words), make([]atomic.Uint64, (words+63)/64)
	} else {
		n.dirty, n.words = n.few[:1], n.few[1:]
	}
	return n
}

// place returns the place of the server at an index of the list.
func (n *notes) place(i int) *place {
	return &place{
		dirty: &n.dirty[i/64], bit: 1 << (i % 64),
		words: &n.words[i/4096], word: 1 << (i / 64 % 64),
	}
}

// watch has d's changes noted at p, if a scheduler watches that much. What changes once it has
// returned is noted there.
func (d *dest) watch(what sched.Watch, p *place) {
	d.place.Store(p)
	d.watched.Store(uint32(what))
}

// note takes a note that something that a scheduler may watch has changed: it has been changed
// already.
func (d *dest) note(what sched.Watch) {
	if d.watched.Load() < uint32(what) {
		return
	}
	if p := d.place.Load(); p.dirty.Load()&p.bit == 0 {
		p.dirty.Or(p.bit)
		p.words.Or(p.word)
	}
}

// pass tells the scheduler of all servers that have changed. Bits are cleared before the
// scheduler looks, so that what changes afterwards is noted anew.
func (n *notes) pass(to sched.Scheduler) {
	for w := range n.words {
		if n.words[w].Load() == 0 {
			continue
		}
		for words := n.words[w].Swap(0); words != 0; words &= words - 1 {
			at := w*64 + bits.TrailingZeros64(words)
			for dirty := n.dirty[at].Swap(0); dirty != 0; dirty &= dirty - 1 {
				to.Changed(at*64 + bits.TrailingZeros64(dirty))
			}
		}
	}
}
