package conntrack

import (
	"fmt"

	"uvs/internal/mono"
)

// maxSameClient bounds the flows of one client address and port. They share a tag, and a
// lookup may have to compare all of them.
const maxSameClient = 64

// A Spec is what a new flow is made from, beside its tuple.
type Spec struct {
	Server ServerID
	Dest   Endpoint // the real server; of the tuple's family
	Flags  Flags    // forwarding method, FlagNoOutput
	MAC    [6]byte  // where the request came from
	Link   int32    // index of the interface where it came in
	// Control is the template that chose the server, if one did; see [Table.Template]. A
	// flow that is inserted takes over what the caller holds of it.
	Control TemplateRef
	// Pool is where the flow gets a local end from, nil if it is to have none. Its family is the
	// tuple's.
	Pool *Pool
	// Helper is that of the flow that controls this one, in the place of Control; see
	// [Flow.HoldHelper]. A flow that is inserted takes over what the caller holds of it.
	Helper HelperRef
}

// InsertResult says what became of an insertion.
type InsertResult uint8

const (
	// Inserted means that the flow is new.
	Inserted InsertResult = iota
	// Existed means that the flow was there already; another worker was faster.
	Existed
	// Full means that the table has no room, or the host no memory.
	Full
	// TooMany means that the client's address and port have maxSameClient flows
	// already. The bound keeps lookups short whatever a client does.
	TooMany
	// NoLocalEnd means that all local ends that were tried are in use towards the server.
	NoLocalEnd
)

var insertNames = [...]string{"inserted", "existed", "full", "too many", "no local end"}

// String returns the result in words.
func (r InsertResult) String() string {
	if int(r) < len(insertNames) {
		return insertNames[r]
	}
	return fmt.Sprintf("InsertResult(%d)", uint8(r))
}

// Insert adds the flow of a packet from its client. The flow is inactive, in state
// [None] or [UDP], and ends after 3 s unless [Flow.Advance] is called for that packet.
// On Inserted and Existed, f is the flow and its shard is locked until f.Unlock; the other
// results change nothing. The caller counts the new flow for its server; Released
// counts it off.
func (t *Table) Insert(tp *Tuple, spec *Spec, now mono.Time, f *Flow) InsertResult {
	s, tag := t.place(tp, &tp.Src, tp.SrcPort)
	s.mu.Lock()
	ref, same := s.scan(tag, tp, Original)
	if ref != 0 {
		f.set(t, s, ref, Original)
		return Existed
	}
	res := TooMany
	if same < maxSameClient {
		ref, res = t.add(s, tag, tp.V6)
	}
	if res != Inserted {
		s.mu.Unlock()
		return res
	}
	h := s.head(ref)
	*h = head{
		deadline: deadline(now, ticksOf(firstTimeout)),
		control:  uint32(spec.Control),
		server:   spec.Server,
		link:     spec.Link,
		mac:      spec.MAC,
		flags:    spec.Flags | FlagInactive,
		proto:    tp.Proto,
	}
	if tp.Proto == protoUDP {
		h.state = UDP
	}
	if spec.Helper != 0 {
		h.control = uint32(spec.Helper) | controlHelper
	}
	s.fill(ref, h, tp, &spec.Dest)
	if spec.Pool != nil {
		lease, res := t.lease(spec.Pool, ref, tp, &spec.Dest, now)
		if res != Inserted {
			s.leave(tag, ref)
			s.release(ref, h)
			t.returnCredit(s)
			s.mu.Unlock()
			return res
		}
		s.setLease(ref, lease)
	}
	s.file(ref, h)
	f.set(t, s, ref, Original)
	return Inserted
}

// add gets an entry, pays for it and puts it into the index.
func (t *Table) add(s *shard, tag uint32, v6 bool) (uint32, InsertResult) {
	if !t.takeCredit(s) {
		return 0, Full
	}
	ref := t.alloc(s, v6)
	if ref == 0 {
		t.returnCredit(s)
		return 0, Full
	}
	if !t.enter(s, tag, ref) {
		s.release(ref, s.head(ref))
		t.returnCredit(s)
		return 0, Full
	}
	return ref, Inserted
}

// remove ends a flow or a template.
func (t *Table) remove(s *shard, ref uint32, h *head) {
	if h.flags&FlagTemplate != 0 {
		t.removeTemplate(s, ref, h)
		return
	}
	// The tag is hashed anew: it is needed only here, and an entry has no room for it.
	client, _, _ := s.endpoints(ref)
	s.leave(uint32(t.hash(h.proto, &client.Addr, client.Port, ref&refV6 != 0)), ref)
	s.unfile(h)
	if lease := s.lease(ref); lease != 0 {
		t.endLease(lease)
	}
	if h.control != 0 {
		t.releaseControl(h)
	}
	if h.flags&FlagData != 0 && t.releasedData != nil {
		_, virtual, dest := s.endpoints(ref)
		t.releasedData(virtual, dest, h.proto, ref&refV6 != 0)
	}
	if h.server.Gen != 0 {
		t.released(h.server, h.flags&FlagInactive == 0)
	}
	s.release(ref, h)
	t.returnCredit(s)
}
