package conntrack

import (
	"net/netip"
	"time"

	"uvs/internal/mono"
)

// An Entry is a copy of a flow for people and tools to read.
type Entry struct {
	Proto                 uint8
	State                 State
	Flags                 Flags
	Client, Virtual, Dest netip.AddrPort
	Server                ServerID
	Remaining             time.Duration // until the flow ends if no packet comes; 0 if that is due
	Packets               uint32        // from the client, modulo 2^32
	MAC                   [6]byte
	Link                  int32
}

// eachChunk is how many entries Each copies under one lock.
const eachChunk = 512

// Each calls fn for every flow until fn returns false, IPv4 before IPv6 within a shard. It
// copies a few hundred flows at a time and calls fn with nothing locked. A flow that
// lives during the whole call is seen once; one that comes or goes may be missed. The
// Entry is fn's only during that call.
func (t *Table) Each(now mono.Time, fn func(*Entry) bool) {
	buf := make([]Entry, 0, eachChunk)
	for i := range t.shards {
		s := &t.shards[i]
		for _, family := range [2]uint32{0, refV6} {
			for at, end := 0, 1; at < end; at += eachChunk {
				buf, end = s.copyEntries(buf[:0], family, at, now)
				for j := range buf {
					if !fn(&buf[j]) {
						return
					}
				}
			}
		}
	}
}

// copyEntries appends the flows among a chunk of the family's slab, from index at on,
// and returns how far the slab is in use.
func (s *shard) copyEntries(buf []Entry, family uint32, at int, now mono.Time) ([]Entry, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.v4.used
	if family != 0 {
		used = s.v6.used
	}
	for i := at; i < min(used, at+eachChunk); i++ {
		ref := uint32(i+1) | family
		if s.head(ref).proto != 0 {
			buf = append(buf, s.entry(ref, now))
		}
	}
	return buf, used
}

func (s *shard) entry(ref uint32, now mono.Time) Entry {
	h := s.head(ref)
	e := Entry{
		Proto: h.proto, State: h.state, Flags: h.flags, Server: h.server,
		Packets: h.packets, MAC: h.mac, Link: h.link,
	}
	if left := int64(h.deadline) - int64(tickOf(now)) - 1; left > 0 {
		e.Remaining = time.Duration(left) * tick
	}
	v6 := ref&refV6 != 0
	client, virtual, dest := s.endpoints(ref)
	e.Client, e.Virtual, e.Dest = client.addrPort(v6), virtual.addrPort(v6), dest.addrPort(v6)
	return e
}

func (e *Endpoint) addrPort(v6 bool) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(netip.AddrFrom16(e.Addr), e.Port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(e.Addr[:4])), e.Port)
}
