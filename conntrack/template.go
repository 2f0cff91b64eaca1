package conntrack

import (
	"sync/atomic"
	"time"

	"uvs/internal/mono"
)

// controlledTimeout is by how much the end of a template is put off while flows that it
// chose the server for are alive (ip_vs_conn_expire).
const controlledTimeout = time.Minute

// supersededPort is the virtual port of a template that is not to be found any more, as
// in ip_vs_check_template.
const supersededPort = 0xffff

// A TemplateRef names a persistence template: the memory of which server a client, or the
// clients of a network, were sent to. Whoever has one from [Table.Template] or
// [Table.InsertTemplate] holds the template, which does not go meanwhile, and passes it on
// in a [Spec] or gives it back by [Table.LetGo]. The zero value names none.
type TemplateRef uint32

// In a template, head.packets counts who holds it (flows and callers) in the low bits, and
// its highest bit says that it is assured. Flows let go of a template under the lock of
// their own shard, not the template's, so it is only used atomically.
const (
	assuredBit = 1 << 31
	holderMask = assuredBit - 1
)

func (h *head) holders() uint32 { return atomic.LoadUint32(&h.packets) & holderMask }

func (h *head) assured() bool { return atomic.LoadUint32(&h.packets)&assuredBit != 0 }

// assure notes that a connection came about; it writes only once.
func (h *head) assure() {
	if !h.assured() {
		atomic.OrUint32(&h.packets, assuredBit)
	}
}

// headOf returns a template's entry. The caller holds the template.
func (t *Table) headOf(ref TemplateRef) *head { return t.shards[0].head(uint32(ref)) }

func (t *Table) letGo(ref TemplateRef) { atomic.AddUint32(&t.headOf(ref).packets, ^uint32(0)) }

// LetGo gives back what [Table.Template] or [Table.InsertTemplate] returned and no flow took
// over.
func (t *Table) LetGo(ref TemplateRef) {
	if ref != 0 {
		t.templates.letGo(ref)
	}
}

// A Template is a copy of what a persistence template says.
type Template struct {
	Ref    TemplateRef
	Server ServerID
	Dest   Endpoint
	Flags  Flags // the forwarding method and [FlagTemplate]
}

// Template looks for a template: tp has the client's address after its mask and port 0 as
// source, the virtual address and the service's port as destination. It restarts the
// template's time, timeout from now, as each new connection does. It returns false, and
// holds nothing, if there is none or usable refuses it: then the template is superseded,
// that is not found any more, and goes when its time is over and its flows have ended
// (ip_vs_check_template). usable is called with the template's shard locked.
func (t *Table) Template(tp *Tuple, timeout time.Duration, now mono.Time, usable func(ServerID) bool) (Template, bool) {
	var f Flow
	if !t.templates.find(tp, Original, &f) {
		return Template{}, false
	}
	defer f.Unlock()
	if !usable(f.h.server) {
		f.h.virtualPort = supersededPort
		return Template{}, false
	}
	return f.hold(timeout, now), true
}

// hold takes note of a new connection of the template.
func (f *Flow) hold(timeout time.Duration, now mono.Time) Template {
	h := f.h
	d := deadline(now, ticksOf(timeout))
	sooner := d < h.deadline
	h.deadline = d
	if sooner {
		f.s.unfile(h)
		f.s.file(f.ref, h)
	}
	atomic.AddUint32(&h.packets, 1)
	return Template{Ref: TemplateRef(f.ref), Server: h.server, Dest: f.Dest(), Flags: h.flags}
}

// InsertTemplate adds a template with the server of spec; tp and timeout are as for
// [Table.Template]. On Inserted, the caller counts it for the server. On Existed another
// worker was faster, and its template is returned. Any other result adds nothing.
func (t *Table) InsertTemplate(tp *Tuple, spec *Spec, timeout time.Duration, now mono.Time) (Template, InsertResult) {
	var f Flow
	res := t.templates.Insert(tp, spec, now, &f)
	if res != Inserted && res != Existed {
		return Template{}, res
	}
	defer f.Unlock()
	if res == Inserted {
		f.h.flags = spec.Flags&FlagMethod | FlagTemplate
		f.h.state = None
	}
	return f.hold(timeout, now), res
}

// Templates returns the number of templates. While others insert, it is a little off.
func (t *Table) Templates() int { return t.templates.Len() }
