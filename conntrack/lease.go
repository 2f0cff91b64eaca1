package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"uvs/internal/mono"
)

// FULLNAT: a flow may get a local end, an address of this host and a port, from which its server
// sees it come. Answers then name neither client nor virtual address, so they are found by
// a second table of the same make: its "client" is the local end, its "virtual" end the
// server, and its "server" the flow's client. That tells the flow's shard; the entry's number
// stands where other flows have a link. An entry of that table, a lease, lives exactly as
// long as its flow: it is made and removed under the lock of the flow's shard, with the
// lease's shard locked inside. So a local end serves one flow to one server at a time, and is
// free again when that flow is gone, TIME_WAIT included.

// leaseTries bounds the ends that are tried for one flow while its shard is locked: some 20 µs.
// The next flow goes on behind them, so that a few attempts see all of a pool that is nearly used
// up.
const leaseTries = 256

// A Pool is a set of local ends that flows may get; see [Table.NewPool]. It is immutable but for
// where it goes on, and safe for use by many goroutines.
type Pool struct {
	addrs [][16]byte
	v6    bool
	first uint16
	ports uint64
	turn  atomic.Uint64
}

// NewPool returns a pool of all ports from first to last of some addresses of one family.
// Several pools may have an address in common.
func (t *Table) NewPool(addrs []netip.Addr, first, last uint16) (*Pool, error) {
	switch {
	case len(addrs) == 0:
		return nil, errors.New("a pool needs an address")
	case first == 0 || last < first:
		return nil, fmt.Errorf("%d-%d is no range of ports from 1 to 65535", first, last)
	}
	p := &Pool{v6: addrs[0].Is6(), first: first, ports: uint64(last-first) + 1}
	for _, a := range addrs {
		if !a.IsValid() || a.Is4In6() || a.Is6() != p.v6 {
			return nil, fmt.Errorf("%s is not of the pool's family", a)
		}
		var b [16]byte
		copy(b[:], a.AsSlice())
		p.addrs = append(p.addrs, b)
	}
	return p, t.makeLeases()
}

// makeLeases makes the table of leases unless there is one.
func (t *Table) makeLeases() error {
	t.preparing.Lock()
	defer t.preparing.Unlock()
	if t.leases.Load() != nil {
		return nil
	}
	l, err := New(Config{MaxFlows: t.maxFlows, Shards: len(t.shards) / 2, Secret: t.secret})
	if err != nil {
		return err
	}
	t.leases.Store(l)
	return nil
}

// end returns the local end of a turn for flows to a server that hashes so. Turn by turn the
// addresses alternate, and each goes through its ports from a place that depends on the server
// (RFC 6056, Section 3.3.3): an end that was given back stays unused for as long as can be.
func (p *Pool) end(turn, server uint64) (e Endpoint) {
	n := uint64(len(p.addrs))
	e.Addr = p.addrs[turn%n]
	e.Port = p.first + uint16((turn/n+server%p.ports)%p.ports)
	return e
}

// lease gives the flow of entry ref a local end towards its server and returns the lease. The
// flow's shard is locked. NoLocalEnd: none of those tried is free.
func (t *Table) lease(p *Pool, ref uint32, tp *Tuple, dest *Endpoint, now mono.Time) (uint32, InsertResult) {
	l := t.leases.Load()
	client := Spec{Dest: Endpoint{tp.Src, tp.SrcPort}, Link: int32(ref)}
	local := Tuple{Dst: dest.Addr, DstPort: dest.Port, Proto: tp.Proto, V6: tp.V6}
	server := t.hash(tp.Proto, &dest.Addr, dest.Port, tp.V6)
	tries := min(leaseTries, uint64(len(p.addrs))*p.ports)
	turn := p.turn.Add(1) - 1
	for i := range tries {
		e := p.end(turn+i, server)
		local.Src, local.SrcPort = e.Addr, e.Port
		var f Flow
		switch l.Insert(&local, &client, now, &f) {
		case Inserted:
			p.turn.Add(i)
			lease := f.ref
			f.Unlock()
			return lease, Inserted
		case Existed:
			f.Unlock()
		case Full:
			return 0, Full
		}
	}
	p.turn.Add(tries)
	return 0, NoLocalEnd
}

// endLease gives back a flow's local end. The flow's shard is locked.
func (t *Table) endLease(lease uint32) {
	l := t.leases.Load()
	e, _, _ := l.shards[0].endpoints(lease)
	h := l.shards[0].head(lease)
	s, _ := l.place(&Tuple{Proto: h.proto, V6: lease&refV6 != 0}, &e.Addr, e.Port)
	s.mu.Lock()
	l.remove(s, lease, h)
	s.mu.Unlock()
}

// findLeased looks for the flow of an answer to a local end.
func (t *Table) findLeased(l *Table, tp *Tuple, f *Flow) bool {
	local := Tuple{Src: tp.Dst, SrcPort: tp.DstPort, Dst: tp.Src, DstPort: tp.SrcPort, Proto: tp.Proto, V6: tp.V6}
	var lease Flow
	if !l.find(&local, Original, &lease) {
		return false
	}
	client, ref, number := lease.Dest(), uint32(lease.Link()), lease.ref
	lease.Unlock()
	s, _ := t.place(tp, &client.Addr, client.Port)
	s.mu.Lock()
	// Meanwhile the flow may have gone, and both entries may serve others.
	if s.head(ref).proto != 0 && s.lease(ref) == number && l.shards[0].matches(number, &local, Original) {
		f.set(t, s, ref, Reply)
		return true
	}
	s.mu.Unlock()
	return false
}

// lease returns the lease of an entry, 0 if it has none.
func (s *shard) lease(ref uint32) uint32 {
	if ref&refV6 != 0 {
		return s.v6[ref&refMask-1].lease
	}
	return s.v4[ref-1].lease
}

func (s *shard) setLease(ref, lease uint32) {
	if ref&refV6 != 0 {
		s.v6[ref&refMask-1].lease = lease
	} else {
		s.v4[ref-1].lease = lease
	}
}

// localEnd returns the local end of an entry whose shard is locked; ok is false if it has none.
func (t *Table) localEnd(s *shard, ref uint32) (e Endpoint, ok bool) {
	lease := s.lease(ref)
	if lease == 0 {
		return e, false
	}
	e, _, _ = t.leases.Load().shards[0].endpoints(lease)
	return e, true
}

// Local returns the flow's local end, from which its server sees it come; ok is false if it
// has none, and the server sees the client.
func (f *Flow) Local() (e Endpoint, ok bool) { return f.t.localEnd(f.s, f.ref) }
