package conntrack

import "uvs/internal/mono"

// A Flow is a view of one flow whose shard is locked. It is valid from the successful
// [Table.Find] or [Table.Insert] that set it until Unlock; the zero Flow is there to be
// set. It is owned by one goroutine, which reuses it from packet to packet.
type Flow struct {
	t   *Table
	s   *shard
	h   *head
	ref uint32
	dir Dir
}

func (f *Flow) set(t *Table, s *shard, ref uint32, d Dir) {
	f.t, f.s, f.h, f.ref, f.dir = t, s, s.head(ref), ref, d
}

// Unlock lets go of the flow.
func (f *Flow) Unlock() {
	s := f.s
	f.s, f.h = nil, nil
	s.mu.Unlock()
}

// Dir returns the direction in which the packet goes that found the flow.
func (f *Flow) Dir() Dir { return f.dir }

// Server returns the id of the real server.
func (f *Flow) Server() ServerID { return f.h.server }

// State returns the protocol state.
func (f *Flow) State() State { return f.h.state }

// Flags returns the flags.
func (f *Flow) Flags() Flags { return f.h.flags }

// SetFlags sets all flags but [FlagInactive] and [FlagTemplate], which stay as they are.
func (f *Flow) SetFlags(fl Flags) {
	const ours = FlagInactive | FlagTemplate
	f.h.flags = fl&^ours | f.h.flags&ours
}

// Client returns the client's end.
func (f *Flow) Client() Endpoint {
	c, _, _ := f.s.endpoints(f.ref)
	return c
}

// Virtual returns the virtual service's end.
func (f *Flow) Virtual() Endpoint {
	_, v, _ := f.s.endpoints(f.ref)
	return v
}

// Dest returns the real server's end.
func (f *Flow) Dest() Endpoint {
	_, _, d := f.s.endpoints(f.ref)
	return d
}

// MAC returns the link-layer address that the client's packets come from.
func (f *Flow) MAC() [6]byte { return f.h.mac }

// SetMAC replaces that address.
func (f *Flow) SetMAC(mac [6]byte) { f.h.mac = mac }

// Link returns the index of the interface where the client's packets come in.
func (f *Flow) Link() int32 { return f.h.link }

// SetLink replaces that index.
func (f *Flow) SetLink(link int32) { f.h.link = link }

// Packets returns how many packets of the client [Flow.Advance] has seen, modulo 2^32.
func (f *Flow) Packets() uint32 { return f.h.packets }

// Advance takes note of the packet that found the flow: state, timeout, count. It returns +1
// if the flow became active, −1 if it became inactive, 0 otherwise, for the server's counts
// (set_tcp_state, udp_state_transition, set_sctp_state).
func (f *Flow) Advance(seg Signal, now mono.Time) (change int) {
	h := f.h
	proved := h.state == UDP && f.dir == Reply // as what its template promised
	if h.proto == protoTCP || h.proto == protoSCTP {
		before := h.state
		if h.proto == protoTCP {
			h.state, h.flags = nextTCP(f.t.secure.Load(), h.state, h.flags, f.dir, seg)
		} else {
			h.state, h.flags = nextSCTP(h.state, h.flags, f.dir, seg)
		}
		proved = h.state.established() && !before.established()
		was, is := h.flags&FlagInactive == 0, h.state.Active()
		switch {
		case is && !was:
			h.flags &^= FlagInactive
			change = 1
		case was && !is:
			h.flags |= FlagInactive
			change = -1
		}
	}
	if proved && h.control != 0 {
		if template := f.t.template(h); template != 0 {
			f.t.headOf(template).assure()
		}
	}
	first := h.packets == 0
	if f.dir == Original {
		h.packets++
	}
	d := deadline(now, f.t.ticks[h.state].Load())
	// A deadline that comes nearer needs the entry moved. So does, for speed, the first
	// packet's: its neighbours are in the cache now, and will not be when the 3 s end.
	sooner := d < h.deadline
	h.deadline = d
	if (sooner || first) && f.s.number != outside {
		f.s.unfile(h)
		f.s.file(f.ref, h)
	}
	return change
}

// Controlled reports whether a template or another flow chose the flow's server.
func (f *Flow) Controlled() bool { return f.t.controlled(f.h) }

// Expire ends the flow at once, with the call of Released. Of f, only Unlock may be
// called then.
func (f *Flow) Expire() {
	f.t.remove(f.s, f.ref, f.h)
	f.h = nil
}
