package conntrack

import (
	"sync/atomic"
	"time"

	"uvs/internal/mono"
)

// thinShare is which part of the table Thin goes through: one in so many chunks.
const thinShare = 32

// thinIdle is how long a flow must have been without a packet to be thinned out, and
// thinPackets how many of its client it may have had.
const (
	thinIdle    = time.Minute
	thinPackets = 8
)

// A Thinner makes room in a full house: flows of floods, and of those that are idle some
// (drop_entry; ip_vs_random_dropentry in net/netfilter/ipvs/ip_vs_conn.c). The zero value is
// ready. It is owned by one goroutine, which is no worker.
type Thinner struct {
	turn  [thinPackets + 1]int8 // flows of so many packets until the next one goes
	ended []TemplateRef         // that the last flow of a chunk left
}

// Thin goes through a thirty-second of the table, as random says, and ends connections that
// are not established (SYN_RECV, SYNACK; of SCTP INIT1, INIT); of those that are, and of UDP, idle
// for a minute, one of as many as packets came from its client, if these were 1 to 8; and templates
// that no connection proved right, though one could have: those of one-packet scheduling stay.
// What controls others stays. It returns how many ended. random returns a number from 0 to n−1.
func (t *Table) Thin(x *Thinner, now mono.Time, random func(n int) int) (ended int) {
	return thin(t, t.arena4, 0, x, now, random) + thin(t, t.arena6, refV6, x, now, random)
}

func thin[T any](t *Table, a *arena[T], family uint32, x *Thinner, now mono.Time, random func(n int) int) (ended int) {
	chunks := a.inUse()
	for range (chunks + thinShare - 1) / thinShare {
		i := random(chunks)
		if number, ok := a.owner(i); ok {
			ended += t.thinChunk(&t.shards[number], uint32(i*chunk), family, x, now)
		}
	}
	return ended
}

// thinChunk does so in the chunk that begins at index first. A template that is left alone and
// not assured goes with its last flow (ip_vs_conn_expire).
func (t *Table) thinChunk(s *shard, first, family uint32, x *Thinner, now mono.Time) (ended int) {
	x.ended = x.ended[:0]
	s.mu.Lock()
	for ref := (first + 1) | family; ref <= (first+chunk)|family; ref++ {
		h := s.head(ref)
		if h.proto == 0 || t.holds(h) || !t.thins(h, x, now) {
			continue
		}
		if h.flags&FlagTemplate == 0 {
			if template := t.template(h); template != 0 {
				x.ended = append(x.ended, template)
			}
		}
		t.remove(s, ref, h)
		ended++
	}
	s.mu.Unlock()
	for _, ref := range x.ended {
		ended += t.endTemplate(ref)
	}
	return ended
}

// thins reports whether a flow or template is to go.
func (t *Table) thins(h *head, x *Thinner, now mono.Time) bool {
	switch {
	case h.flags&FlagTemplate != 0:
		return !h.assured() && h.flags&FlagOnePacket == 0
	case h.state == SynRecv || h.state == SynAck || h.state == SCTPInit1 || h.state == SCTPInit:
		return true
	case !h.state.established() && h.state != UDP:
		return false
	}
	idle := int64(t.ticks[h.state].Load()) - (int64(h.deadline) - int64(tickOf(now)) - 1)
	if idle < int64(ticksOf(thinIdle)) || h.packets == 0 || h.packets > thinPackets {
		return false
	}
	if x.turn[h.packets]--; x.turn[h.packets] > 0 {
		return false
	}
	x.turn[h.packets] = int8(h.packets)
	return true
}

// endTemplate ends a template that controls no flow and is not assured. Nobody holds it, so it
// may be another one by now: of that the same holds.
func (t *Table) endTemplate(ref TemplateRef) (ended int) {
	s := t.owner(uint32(ref))
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.head(uint32(ref))
	if h.proto == 0 || h.flags&FlagTemplate == 0 || atomic.LoadUint32(&h.packets) != 0 {
		return 0
	}
	t.remove(s, uint32(ref), h)
	return 1
}

// owner returns the shard that an entry belongs to, as long as the table lives.
func (t *Table) owner(ref uint32) *shard {
	i := int(ref&refMask-1) / chunk
	if ref&refV6 != 0 {
		number, _ := t.arena6.owner(i)
		return &t.shards[number]
	}
	number, _ := t.arena4.owner(i)
	return &t.shards[number]
}
