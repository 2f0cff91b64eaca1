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
	servers uint32 // how many there are
	summary uint32 // words of marks that sum up the others
	// marks has a bit for each word that follows the summary and is not 0, then one for each
	// server by its index in the list.
	marks []atomic.Uint64
	few   [7]atomic.Uint64 // marks of up to 384 servers: beside the rest in the cache
}

// init makes room for the servers of a list.
func (n *notes) init(servers int) {
	words := (servers + 63) / 64
	n.servers, n.summary = uint32(servers), uint32(max(1, (words+63)/64))
	if all := int(n.summary) + words; all <= len(n.few) {
		n.marks = n.few[:all]
	} else {
		n.marks = make([]atomic.Uint64, all)
	}
}

// take notes the server at a place. Whoever has a place of a former list may have one that is none
// here.
func (n *notes) take(place uint32) {
	if place >= n.servers {
		return
	}
	word := place / 64
	if m, bit := &n.marks[n.summary+word], uint64(1)<<(place%64); m.Load()&bit == 0 {
		m.Or(bit)
		n.marks[word/64].Or(1 << (word % 64))
	}
}

// watch has d's changes noted at a place of n, if a scheduler watches that much. What changes once it
// has returned is noted there. A worker that finds only one of the two new notes something else,
// which does no harm; its change came before both, and so before the scheduler looks next.
func (d *dest) watch(what sched.Watch, n *notes, place int) {
	d.place.Store(uint32(place))
	d.notes.Store(n)
	d.watched.Store(uint32(what))
}

// note takes a note that something that a scheduler may watch has changed: it has been changed
// already.
func (d *dest) note(what sched.Watch) {
	if d.watched.Load() < uint32(what) {
		return
	}
	d.notes.Load().take(d.place.Load())
}

// pass tells the scheduler of all servers that have changed. Bits are cleared before the
// scheduler looks, so that what changes afterwards is noted anew.
func (n *notes) pass(to sched.Scheduler) {
	dirty := n.marks[n.summary:]
	for s := range n.summary {
		if n.marks[s].Load() == 0 {
			continue
		}
		for words := n.marks[s].Swap(0); words != 0; words &= words - 1 {
			at := int(s)*64 + bits.TrailingZeros64(words)
			for servers := dirty[at].Swap(0); servers != 0; servers &= servers - 1 {
				to.Changed(at*64 + bits.TrailingZeros64(servers))
			}
		}
	}
}
