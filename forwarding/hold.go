package forwarding

import (
	"net/netip"
	"time"

	"uvs/internal/mono"
)

const (
	holdFrames = 64                     // frames of one worker that may wait at a time
	holdEach   = 8                      // of them for one neighbour, so that a dead server keeps nobody else's out
	holdBytes  = 2048                   // longest frame that may wait
	holdTime   = 3 * time.Second        // as long as the kernel's own neighbour code asks: 3 probes, 1 s apart
	wantEvery  = 250 * time.Millisecond // least time between two requests for one neighbour
	wantsKept  = 16                     // neighbours whose last request is remembered
)

// A holder keeps the first frames for neighbours that are being resolved, so that a SYN
// need not be sent twice. Its memory is allocated once. It belongs to one worker.
type holder struct {
	frames []*heldFrame // [:used] wait, the rest are free
	used   int
	asked  [wantsKept]request
}

type heldFrame struct {
	frame  Frame   // Data and Vnet point into the arrays below
	hop    NextHop // where it goes once it need not wait; unresolved: what target's hop is then
	target [16]byte
	v6     bool
	hash   uint32
	gate   uint64 // it waits for steering of that version as well
	until  mono.Time
	data   [holdBytes]byte
	vnet   [VnetLen]byte
}

type request struct {
	addr netip.Addr
	link int
	at   mono.Time
}

func newHolder() holder {
	h := holder{frames: make([]*heldFrame, holdFrames)}
	block := make([]heldFrame, holdFrames)
	for i := range h.frames {
		h.frames[i] = &block[i]
	}
	return h
}

// mayAsk reports whether it is time to ask for a neighbour again, and notes that it was.
func (h *holder) mayAsk(hop *NextHop, now mono.Time) bool {
	oldest := 0
	for i := range h.asked {
		r := &h.asked[i]
		if r.addr == hop.Addr && r.link == hop.Link {
			if now.Sub(r.at) < wantEvery {
				return false
			}
			r.at = now
			return true
		}
		if r.at < h.asked[oldest].at {
			oldest = i
		}
	}
	h.asked[oldest] = request{hop.Addr, hop.Link, now}
	return true
}

// waitingFor counts the frames that are held for a target.
func (h *holder) waitingFor(target *[16]byte) int {
	n := 0
	for _, x := range h.frames[:h.used] {
		if x.target == *target {
			n++
		}
	}
	return n
}

// hold copies a frame aside until its next hop is resolved, and asks for that. With a gate it
// waits until data connections of that version are steered, too. A hop that is resolved already
// stays the frame's own: the routes need not know it, as with ReplyByUplink.
func (w *Worker) hold(f *Frame, hop *NextHop, target *[16]byte, v6 bool, gate uint64, now mono.Time) Reason {
	h := &w.holder
	if !hop.Resolved() && h.mayAsk(hop, now) {
		w.engine.want(hop, false)
	}
	if h.used == len(h.frames) || len(f.Data) > holdBytes || h.waitingFor(target) >= holdEach {
		return unheld(gate != 0)
	}
	x := h.frames[h.used]
	h.used++
	x.hop, x.target, x.v6 = *hop, *target, v6
	x.hash, x.gate, x.until = flowHash(&w.packet.Tuple), gate, now.Add(holdTime)
	x.frame = Frame{Data: x.data[:copy(x.data[:], f.Data)], VLAN: f.VLAN, Port: f.Port, made: f.made}
	if f.Vnet != nil {
		x.frame.Vnet = x.vnet[:copy(x.vnet[:], f.Vnet)]
	}
	return held
}

// unheld is why a frame that could not wait, or waited in vain, is dropped.
func unheld(unsteered bool) Reason {
	if unsteered {
		return DropUnsteered
	}
	return DropUnresolved
}

// retryHeld adds to out the held frames whose next hop is known by now, and drops those
// that waited too long. The frames stay valid until the next Process, so out has to be
// flushed before. It belongs to the worker's goroutine.
func (w *Worker) retryHeld(now mono.Time, out *Batch) {
	h := &w.holder
	if h.used == 0 {
		return
	}
	w.routes = w.engine.routes.Load()
	waiting, steered := 0, w.engine.data.steered.Load()
	for i := range h.used {
		x := h.frames[i]
		if hop, ok := w.hopOfHeld(x); ok && (!hop.Resolved() || x.gate > steered) && now < x.until {
			if !hop.Resolved() && h.mayAsk(&hop, now) {
				w.engine.want(&hop, false)
			}
			h.frames[i], h.frames[waiting] = h.frames[waiting], x
			waiting++
		} else if ok && hop.Resolved() && x.gate <= steered {
			w.settle(&x.frame, w.emit(&x.frame, &hop, &x.target, x.v6, now, out))
		} else {
			w.settle(&x.frame, unheld(x.gate > steered))
		}
	}
	h.used = waiting
}

// hopOfHeld finds the next hop of a held frame. It reports false if there is no way.
func (w *Worker) hopOfHeld(x *heldFrame) (hop NextHop, ok bool) {
	if x.hop.Resolved() {
		return x.hop, true
	}
	return w.routes.Lookup(&x.target, x.v6, x.hash)
}

// settle counts a frame that was held, unless it was one of our own.
func (w *Worker) settle(f *Frame, r Reason) {
	if !f.made {
		w.reasons.add(r)
	}
}
