package forwarding

import (
	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// held is what became of a frame that waits for its next hop; it is counted when that is settled.
const held = reasonCount

// Process decides about a batch of received frames and rewrites those that go on. Frames
// to send are added to out, which the caller flushes and empties; every other frame is
// counted under its Reason. Process does no I/O and does not allocate. It belongs to the
// worker's goroutine.
func (w *Worker) Process(in []Frame, now mono.Time, out *Batch) {
	e := w.engine
	w.table, w.routes, w.answering = e.table.Load(), e.routes.Load(), *e.answering.Load()
	for i := range in {
		w.reasons.add(w.process(&in[i], now, out))
	}
	w.reasons.publish()
}

func (w *Worker) process(f *Frame, now mono.Time, out *Batch) Reason {
	p, flow := &w.packet, &w.flow
	if f.VLAN.Present() && !w.untag(f) {
		return PassVLAN
	}
	if reason := Decode(f, p); reason != Forwarded {
		return reason
	}
	if p.kind == kindError {
		return w.forwardError(f, p, now, out)
	}
	if w.engine.flows.Find(&p.Tuple, flow) {
		if !w.beginsAnew(flow, p) {
			return w.forward(f, p, flow, now, out)
		}
		flow.Expire()
		flow.Unlock()
	}
	svc := w.table.lookup(&p.Tuple)
	if svc == nil {
		return w.stranger(f, p, now, out)
	}
	if !w.routes.local(&p.Tuple.Dst, p.Tuple.V6) {
		return PassNotServed // another host has the address now, and we are only its router
	}
	if reason := w.schedule(f, p, svc, now); reason != Forwarded {
		return reason
	}
	return w.forward(f, p, flow, now, out)
}

// forward sends a packet of a known flow on its way. The flow is locked on entry and
// unlocked on return.
func (w *Worker) forward(f *Frame, p *Packet, flow *conntrack.Flow, now mono.Time, out *Batch) Reason {
	d, direction := w.engine.dests.get(flow.Server()), flow.Dir()
	if d == nil || direction == conntrack.Original && d.removed.Load() {
		flow.Unlock()
		return DropServerGone
	}
	method := Method(flow.Flags() & conntrack.FlagMethod)
	if p.foreignChecksum {
		flow.Unlock()
		return DropOffload
	}
	d.moved(flow.Advance(conntrack.TCPFlags(p.TCPFlags), now))
	if direction == conntrack.Original {
		w.end = flow.Dest()
		w.follow(f, flow)
	} else {
		w.end = flow.Virtual()
	}
	origin := station{mac: flow.MAC()}
	origin.setFlowLink(flow.Link())
	flow.Unlock()

	d.count(w.id, direction, p.ipLen)
	if !p.decrementTTL(f) {
		return DropTTL
	}
	if direction == conntrack.Original {
		if method == Masq {
			p.setDestination(f, &w.end)
		}
		return w.toServer(f, p, d, now, out)
	}
	if method == Masq {
		if hop := d.hop.Load(); hop != nil && !f.VLAN.Present() && w.doubter.notice(hop, wire.Ethernet(f.Data).Source(), w.ports[f.in].link, now) {
			w.engine.want(hop, true)
		}
		p.setSource(f, &w.end)
	}
	return w.toClient(f, p, &origin, now, out)
}

// follow notes where the client is now.
func (w *Worker) follow(f *Frame, flow *conntrack.Flow) {
	at := w.stationOf(f)
	if at.mac != flow.MAC() {
		flow.SetMAC(at.mac)
	}
	if link := at.flowLink(); link != flow.Link() {
		flow.SetLink(link)
	}
}

// toServer sends a packet to a server.
func (w *Worker) toServer(f *Frame, p *Packet, d *dest, now mono.Time, out *Batch) Reason {
	hop := d.hop.Load()
	if hop == nil {
		return DropNoRoute
	}
	f.VLAN = w.tagFor(f, hop.Link, nil)
	return w.emit(f, hop, &d.target, p.Tuple.V6, now, out)
}

// toClient sends an answer to the client, which is the packet's destination.
func (w *Worker) toClient(f *Frame, p *Packet, origin *station, now mono.Time, out *Batch) Reason {
	hop, ok := w.routes.Lookup(&p.Tuple.Dst, p.Tuple.V6, flowHash(&p.Tuple))
	if !ok {
		return DropNoRoute
	}
	f.VLAN = w.tagFor(f, hop.Link, origin)
	// A neighbour that the kernel has not confirmed is where its last packet came from; so is
	// one in a VLAN that the kernel does not look into.
	doubtful := !hop.Resolved() || hop.stale
	if doubtful && hop.Link == origin.link && (hop.Addr == netAddr(p.Tuple.Dst, p.Tuple.V6) || f.VLAN.Present()) {
		hop.Dst = origin.mac
	} else if !f.VLAN.Present() && w.doubter.notice(&hop, origin.mac, origin.link, now) {
		w.engine.want(&hop, true)
	}
	return w.emit(f, &hop, &p.Tuple.Dst, p.Tuple.V6, now, out)
}

// stranger handles a packet that is not of a service's flow and not for a service. Those
// from a NAT server's service port never reach the kernel, so what the kernel would have
// routed is routed here, untranslated (ip_vs_out lets it pass), but for what a crash of
// ours has orphaned.
func (w *Worker) stranger(f *Frame, p *Packet, now mono.Time, out *Batch) Reason {
	direct := &w.engine.direct
	watching := now < direct.until
	if !w.answering.has(&p.Tuple.Src, p.Tuple.SrcPort, &p.Tuple) {
		if watching && w.answering.has(&p.Tuple.Dst, p.Tuple.DstPort, &p.Tuple) {
			direct.note(p)
		}
		return PassNotServed
	}
	if w.routes.local(&p.Tuple.Dst, p.Tuple.V6) {
		return PassLocal
	}
	if !w.routes.forwarding(p.Tuple.V6) {
		return DropNotRouter
	}
	if watching && direct.orphan(p, now) {
		return DropOrphan
	}
	if !p.decrementTTL(f) {
		return DropTTL
	}
	return w.toClient(f, p, &station{}, now, out)
}

// emit addresses a frame to its next hop and adds it to out, or holds it until the hop is
// resolved. target is what to look up again then.
func (w *Worker) emit(f *Frame, hop *NextHop, target *[16]byte, v6 bool, now mono.Time, out *Batch) Reason {
	if !hop.Resolved() {
		return w.hold(f, hop, target, v6, now)
	}
	port := w.portOf(hop.Link)
	if port < 0 {
		return DropNoPort
	}
	wire.Ethernet(f.Data).SetAddresses(hop.Dst, hop.Src)
	out.add(port, f)
	return Forwarded
}

// portOf returns the number of the worker's port on a link, −1 if there is none.
func (w *Worker) portOf(link int) int {
	for i := range w.ports {
		if w.ports[i].link == link {
			return i
		}
	}
	return -1
}

// flowHash spreads flows over equal-cost ways; both ports and addresses count.
func flowHash(t *conntrack.Tuple) uint32 {
	h := uint32(t.SrcPort)<<16 | uint32(t.DstPort)
	for i := 0; i < 16; i += 4 {
		h = (h ^ be32(t.Src[i:]) ^ be32(t.Dst[i:])<<7) * 0x9e3779b1
		h ^= h >> 15
	}
	return h
}

func be32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
