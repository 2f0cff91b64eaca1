package conntrack

import (
	"net/netip"
	"time"

	"uvs/internal/mono"
)

// An Entry is a copy of a flow or a template for people and tools to read.
type Entry struct {
	Proto                 uint8 // 0 of a template that holds for every protocol
	State                 State
	Flags                 Flags
	Client, Virtual, Dest netip.AddrPort
	Server                ServerID
	Remaining             time.Duration // until the flow ends if no packet comes; 0 if that is due
	Packets               uint32        // from the client, modulo 2^32
	MAC                   [6]byte
	Link                  int32

	// Template marks a persistence template: its client has port 0 and the address that all
	// clients have under the mask, its state is None or Assured. One that is superseded has 65535
	// as virtual and server port, as in IPVS.
	Template bool
	// Local is the end from which the server sees the flow come; invalid if that is the client's.
	Local netip.AddrPort

	// Controlled says that a template or another flow chose the flow's server.
	Controlled bool
	// Data is what a persistence engine made the template from, "" if none did.
	Data string
	// Controls is how many flows a template controls.
	Controls uint32
}

// Each calls fn for every flow and every template until fn returns false, those of IPv4
// first. It copies one chunk of entries at a time and calls fn with nothing locked. An entry
// that lives during the whole call is seen once; one that comes or goes may be missed. The
// Entry is fn's only during that call.
func (t *Table) Each(now mono.Time, fn func(*Entry) bool) {
	if each(t, t.arena4, 0, now, fn) {
		each(t, t.arena6, refV6, now, fn)
	}
}

func each[T any](t *Table, a *arena[T], family uint32, now mono.Time, fn func(*Entry) bool) bool {
	buf := make([]Entry, 0, chunk)
	for i := range a.inUse() {
		number, ok := a.owner(i)
		if !ok {
			continue
		}
		buf = t.copyChunk(&t.shards[number], buf[:0], uint32(i*chunk), family, now)
		for j := range buf {
			if !fn(&buf[j]) {
				return false
			}
		}
	}
	return true
}

// copyChunk appends the flows of the chunk that begins at index first.
func (t *Table) copyChunk(s *shard, buf []Entry, first, family uint32, now mono.Time) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref := (first + 1) | family; len(buf) < chunk && ref <= (first+chunk)|family; ref++ {
		if s.head(ref).proto != 0 {
			buf = append(buf, t.entry(s, ref, now))
		}
	}
	return buf
}

func (t *Table) entry(s *shard, ref uint32, now mono.Time) Entry {
	h := s.head(ref)
	e := Entry{
		Proto: h.proto, State: h.state, Flags: h.flags, Server: h.server,
		MAC: h.mac, Link: h.link,
	}
	if h.flags&FlagTemplate != 0 {
		e.Template, e.Controls, e.State, e.Data = true, h.holders(), None, string(s.names[ref])
		if h.proto == AnyProtocol {
			e.Proto = 0
		}
		if h.assured() {
			e.State = Assured
		}
	} else {
		e.Packets, e.Controlled = h.packets, t.controlled(h)
	}
	if left := int64(h.deadline) - int64(tickOf(now)) - 1; left > 0 {
		e.Remaining = time.Duration(left) * tick
	}
	v6 := ref&refV6 != 0
	client, virtual, dest := s.endpoints(ref)
	if local, ok := t.localEnd(s, ref); ok {
		e.Local = local.addrPort(v6)
	}
	e.Client, e.Virtual, e.Dest = client.addrPort(v6), virtual.addrPort(v6), dest.addrPort(v6)
	return e
}

func (e *Endpoint) addrPort(v6 bool) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(netip.AddrFrom16(e.Addr), e.Port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(e.Addr[:4])), e.Port)
}
