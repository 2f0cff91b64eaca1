package conntrack

// A ref names an entry of the table: index + 1 in the low 30 bits, the family in bit 31.
// Zero is no entry. Bit 30 is set only in head.prev, where it tells that the low bits are
// the number of a wheel list.
const (
	refV6   = 1 << 31
	refList = 1 << 30
	refMask = refList - 1
)

// head is what entries of both families begin with: 48 bytes.
type head struct {
	deadline uint32 // tick at which the flow is over
	next     uint32 // ref of the next in the wheel list, or in the free list
	prev     uint32 // ref of the one before, or refList | list
	control  uint32 // ref of the template that chose the server, 0 if none did, or a helper; of a superseded template 1
	server   ServerID
	packets  uint32 // from the client; wraps. Of a template: see template.go
	link     int32
	mac      [6]byte
	flags    Flags
	proto    uint8 // 0: the entry is free
	state    State

	clientPort, virtualPort, destPort uint16
}

// Sizes of the entries, in bytes.
const (
	size4 = 64
	size6 = 100
)

// entry4 is an IPv4 flow: 64 bytes, one cache line.
type entry4 struct {
	head
	client, virtual, dest [4]byte
	lease                 uint32 // of the local end, in Table.leases; 0 if there is none
}

// entry6 is an IPv6 flow: 100 bytes.
type entry6 struct {
	head
	client, virtual, dest [16]byte
	lease                 uint32
}

// head returns an entry's head. The ref must be one that alloc returned.
func (s *shard) head(ref uint32) *head {
	if ref&refV6 != 0 {
		return &s.v6[ref&refMask-1].head
	}
	return &s.v4[ref-1].head
}

// fill writes a new entry's addresses and ports.
func (s *shard) fill(ref uint32, h *head, tp *Tuple, dest *Endpoint) {
	h.clientPort, h.virtualPort, h.destPort = tp.SrcPort, tp.DstPort, dest.Port
	if ref&refV6 != 0 {
		e := &s.v6[ref&refMask-1]
		e.client, e.virtual, e.dest, e.lease = tp.Src, tp.Dst, dest.Addr, 0
		return
	}
	e := &s.v4[ref-1]
	e.client, e.virtual, e.dest, e.lease = [4]byte(tp.Src[:4]), [4]byte(tp.Dst[:4]), [4]byte(dest.Addr[:4]), 0
}

// matches reports whether a packet of tp going in direction d belongs to the entry. A
// reply comes from the server's address if the method is Masq; otherwise the server
// answers in the name of the virtual address (ip_vs_conn_out_get). It comes to the client's
// end, so that an entry with a local end is not found here.
func (s *shard) matches(ref uint32, tp *Tuple, d Dir) bool {
	if (ref&refV6 != 0) != tp.V6 {
		return false
	}
	h := s.head(ref)
	client, clientPort, other, otherPort := tp.ends(d)
	toDest := d == Reply && h.flags.Method() == Masq
	port := h.virtualPort
	if toDest {
		port = h.destPort
	}
	if h.proto != tp.Proto || h.clientPort != clientPort || port != otherPort || toDest && s.lease(ref) != 0 {
		return false
	}
	if ref&refV6 != 0 {
		e := &s.v6[ref&refMask-1]
		if toDest {
			return e.client == *client && e.dest == *other
		}
		return e.client == *client && e.virtual == *other
	}
	e := &s.v4[ref-1]
	if toDest {
		return e.client == [4]byte(client[:4]) && e.dest == [4]byte(other[:4])
	}
	return e.client == [4]byte(client[:4]) && e.virtual == [4]byte(other[:4])
}

// endpoints returns the entry's three ends.
func (s *shard) endpoints(ref uint32) (client, virtual, dest Endpoint) {
	h := s.head(ref)
	client.Port, virtual.Port, dest.Port = h.clientPort, h.virtualPort, h.destPort
	if ref&refV6 != 0 {
		e := &s.v6[ref&refMask-1]
		client.Addr, virtual.Addr, dest.Addr = e.client, e.virtual, e.dest
		return client, virtual, dest
	}
	e := &s.v4[ref-1]
	copy(client.Addr[:], e.client[:])
	copy(virtual.Addr[:], e.virtual[:])
	copy(dest.Addr[:], e.dest[:])
	return client, virtual, dest
}
