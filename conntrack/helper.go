package conntrack

import (
	"sync"
	"sync/atomic"

	"uvs/internal/mono"
)

// A Helper is what a flow has beside its entry if its payload tells of other flows: an FTP
// control connection (struct ip_vs_conn's app_data, in_seq, out_seq and n_control). Few flows
// have one. Its fields are guarded by the flow's shard.
type Helper struct {
	// Shift says, for each direction, how sequence numbers are changed because payload was.
	Shift [2]SeqShift
	// Mode, Seq and Port are the user's own, zero at first: what the flow waits for, and the
	// segment that was changed last with the port that was written into it.
	Mode uint8
	Port uint16
	Seq  uint32

	template TemplateRef  // that chose the server of the flow
	users    atomic.Int32 // the flow, as long as it is there, the flows that it controls, and callers
}

// A HelperRef names a Helper. Whoever has one from [Flow.HoldHelper] holds the helper, and
// passes it on in a [Spec] or gives it back by [Table.LetGoHelper]. The zero value names none.
type HelperRef uint32

// controlHelper marks a head.control that names a helper and not a template: of a flow with
// FlagHelped its own one, of others that of the flow that controls them. No ref of an entry
// has that bit.
const controlHelper = 1 << 30

// helperChunk helpers are allocated at a time, and there are never more than helperLimit.
const (
	helperChunk = 256
	helperLimit = 1 << 16
)

// helpers is the slab of a table's helpers. Reading needs no lock.
type helpers struct {
	chunks [helperLimit / helperChunk]atomic.Pointer[[helperChunk]Helper]
	mu     sync.Mutex // guards what follows; taken inside a shard's lock
	free   []HelperRef
	used   uint32 // ever handed out
}

func (p *helpers) get(ref HelperRef) *Helper {
	return &p.chunks[(ref-1)/helperChunk].Load()[(ref-1)%helperChunk]
}

// take returns an unused helper, 0 if there are too many.
func (p *helpers) take() HelperRef {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		ref := p.free[n-1]
		p.free = p.free[:n-1]
		return ref
	}
	if p.used == helperLimit {
		return 0
	}
	if p.used%helperChunk == 0 {
		p.chunks[p.used/helperChunk].Store(new([helperChunk]Helper))
	}
	p.used++
	return HelperRef(p.used)
}

func (p *helpers) release(ref HelperRef) {
	h := p.get(ref)
	h.Shift, h.Mode, h.Port, h.Seq, h.template = [2]SeqShift{}, 0, 0, 0, 0
	p.mu.Lock()
	p.free = append(p.free, ref)
	p.mu.Unlock()
}

// letGo takes one user off a helper.
func (p *helpers) letGo(ref HelperRef) {
	if p.get(ref).users.Add(-1) == 0 {
		p.release(ref)
	}
}

// LetGoHelper gives back what [Flow.HoldHelper] returned and no flow took over.
func (t *Table) LetGoHelper(ref HelperRef) {
	if ref != 0 {
		t.helpers.letGo(ref)
	}
}

// helper returns the helper that a head's control names, 0 if it names none.
func (h *head) helper() HelperRef {
	if h.control&controlHelper != 0 {
		return HelperRef(h.control &^ controlHelper)
	}
	return 0
}

// template returns the template that chose the flow's server, 0 if none did.
func (t *Table) template(h *head) TemplateRef {
	ref := h.helper()
	switch {
	case ref == 0:
		return TemplateRef(h.control)
	case h.flags&FlagHelped != 0:
		return t.helpers.get(ref).template
	}
	return 0
}

// controlled reports whether a template or another flow chose the flow's server.
func (t *Table) controlled(h *head) bool {
	if h.flags&FlagHelped != 0 {
		return t.template(h) != 0
	}
	return h.control != 0
}

// holds reports whether a template or a flow controls flows that are alive.
func (t *Table) holds(h *head) bool {
	switch {
	case h.flags&FlagTemplate != 0:
		return h.holders() > 0
	case h.flags&FlagHelped != 0:
		ref := h.helper()
		return ref != 0 && t.helpers.get(ref).users.Load() > 1
	}
	return false
}

// releaseControl lets go of who controls a flow that ends, and of its own helper.
func (t *Table) releaseControl(h *head) {
	if template := t.template(h); template != 0 {
		t.letGo(template)
	}
	if ref := h.helper(); ref != 0 {
		t.helpers.letGo(ref)
	}
}

// Help returns the flow's helper, which it gets at the first call; nil if the flow has no
// [FlagHelped] or if there are too many helpers. It is valid until Unlock.
func (f *Flow) Help() *Helper {
	if f.h.flags&FlagHelped == 0 {
		return nil
	}
	ref := f.h.helper()
	if ref == 0 {
		if ref = f.t.helpers.take(); ref == 0 {
			return nil
		}
		x := f.t.helpers.get(ref)
		x.template = TemplateRef(f.h.control)
		x.users.Store(1)
		f.h.control = uint32(ref) | controlHelper
	}
	return f.t.helpers.get(ref)
}

// Helper is Help for flows that need none yet: it returns nil instead of a new one.
func (f *Flow) Helper() *Helper {
	if ref := f.h.helper(); ref != 0 && f.h.flags&FlagHelped != 0 {
		return f.t.helpers.get(ref)
	}
	return nil
}

// HoldHelper returns the helper that the flow controls others by, or is controlled by; 0 if it
// has none. The caller holds it.
func (f *Flow) HoldHelper() HelperRef {
	ref := f.h.helper()
	if ref != 0 {
		f.t.helpers.get(ref).users.Add(1)
	}
	return ref
}

// Listen makes the flow wait for its first packet, as long as [Listen] has
// (ip_vs_tcp_conn_listen). What it returns is as for [Flow.Advance].
func (f *Flow) Listen(now mono.Time) (change int) {
	h := f.h
	if h.flags&FlagInactive == 0 {
		h.flags |= FlagInactive
		change = -1
	}
	h.state, h.deadline = Listen, deadline(now, f.t.ticks[Listen].Load())
	f.s.unfile(h)
	f.s.file(f.ref, h)
	return change
}

// FindExpected looks for a flow that waits for a client of whatever port: one that was
// inserted with client port 0 and [FlagNoClientPort] (ip_vs_conn_in_get). On true, f is that
// flow, in the direction [Original], and its shard is locked until f.Unlock.
func (t *Table) FindExpected(tp *Tuple, f *Flow) bool {
	waiting := *tp
	waiting.SrcPort = 0
	return t.find(&waiting, Original, f) && f.expected()
}

// expected reports whether the flow waits for a client's port. If not it is let go of.
func (f *Flow) expected() bool {
	if f.h.flags&FlagNoClientPort != 0 {
		return true
	}
	f.Unlock()
	return false
}
