package conntrack

// A Once has room for one flow that is in no table: that of a packet of a service with
// one-packet scheduling. It belongs to one goroutine.
type Once struct{ shard shard }

// outside is the number of a shard that is no table's: nothing in it waits for its end.
const outside = -1

// NewOnce returns an empty Once.
func NewOnce() *Once {
	return &Once{shard{number: outside, v4: make([]entry4, 1), v6: make([]entry6, 1)}}
}

// Once makes the flow of one packet from its client, in the place of o's last one. No packet
// finds it and no list has it, and it counts for nobody (IP_VS_CONN_F_ONE_PACKET; ip_vs_conn_hash).
// f is that flow until f.Unlock. It has no local end, and holds no template: the caller lets
// go of that.
func (t *Table) Once(o *Once, tp *Tuple, spec *Spec, f *Flow) {
	s, ref := &o.shard, uint32(1)
	if tp.V6 {
		ref |= refV6
	}
	s.mu.Lock()
	h := s.head(ref)
	*h = head{
		server: spec.Server,
		link:   spec.Link,
		mac:    spec.MAC,
		flags:  spec.Flags | FlagInactive | FlagOnePacket,
		proto:  tp.Proto,
	}
	if tp.Proto == protoUDP {
		h.state = UDP
	}
	s.fill(ref, h, tp, &spec.Dest)
	f.set(t, s, ref, Original)
}
