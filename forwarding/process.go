package forwarding

import (
	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// held is what became of a frame that waits for its next hop; it is counted when that is settled.
const held = reasonCount

// Process decides about a batch of received frames and rewrites those that go on. Frames
// to send are added to out, which the caller flushes and empties before the next call: some
// are in memory that is used again then. Every other frame is counted under its Reason.
// Process does no I/O and does not allocate. It belongs to the worker's goroutine. It returns
// how many frames it took from in: fewer than there are if the memory for frames of the
// worker's own runs low, and at least one.
func (w *Worker) Process(in []Frame, now mono.Time, out *Batch) (taken int) {
	taken = w.decide(in, now, out)
	w.reasons.publish()
	return taken
}

// decide is Process with its counts not published yet: flush may learn that the kernel
// refuses a frame.
func (w *Worker) decide(in []Frame, now mono.Time, out *Batch) (taken int) {
	e := w.engine
	if !w.running && w.changed.Load() {
		w.usePorts()
	}
	if len(out.ports) != len(w.ports) {
		out.reset(len(w.ports))
	}
	w.scratch.reset()
	w.table, w.routes, w.answering, w.sysctls = e.table.Load(), e.routes.Load(), e.answering.Load(), e.sysctls.Load()
	w.marks = e.marks.Load()
	for taken < len(in) && !w.scratch.low() {
		if taken%conntrack.TouchMost == 0 {
			w.touch(in[taken:min(taken+conntrack.TouchMost, len(in))])
		}
		w.reasons.add(w.process(&in[taken], now, out))
		taken++
	}
	return taken
}

func (w *Worker) process(f *Frame, now mono.Time, out *Batch) Reason {
	p := &w.packet
	f.own = w.routes.isStack(w.ports[f.Port].link)
	if f.VLAN.Present() && !w.untag(f) {
		return PassVLAN
	}
	if reason := Decode(f, p); reason != Forwarded {
		return reason
	}
	switch p.kind {
	case kindError:
		return w.forwardError(f, p, now, out)
	case kindTunnelError:
		return w.tunnelError(f, p, now, out)
	case kindFragment:
		return w.gather(f, p, now, out)
	}
	return w.dispatch(f, p, now, out)
}

// dispatch decides about a whole packet.
func (w *Worker) dispatch(f *Frame, p *Packet, now mono.Time, out *Batch) Reason {
	flow := &w.flow
	if w.engine.flows.Find(&p.Tuple, flow) {
		if !w.beginsAnew(flow, p) {
			return w.forward(f, p, flow, now, out)
		}
		flow.Expire()
		flow.Unlock()
	}
	if w.engine.data.some.Load() {
		if reason, waited := w.takeUp(f, p, now); reason != Forwarded {
			return reason
		} else if waited {
			return w.forward(f, p, flow, now, out)
		}
	}
	svc := w.serviceOf(f, p)
	if svc == nil || svc.lends(p) && !w.table.keeps(svc, &p.Tuple) {
		return w.stranger(f, p, now, out)
	}
	if !w.routes.local(&p.Tuple.Dst, p.Tuple.V6) {
		return PassNotServed // another host has the address now, and we are only its router
	}
	if reason := w.schedule(f, p, svc, now); reason != Forwarded {
		if reason == DropNoServer && svc.lends(p) {
			reason = DropNoFlow // it need not be for FTP at all (ip_vs_leave)
		}
		w.refuseService(f, p, reason, now, out)
		return reason
	}
	return w.forward(f, p, flow, now, out)
}

// forward sends a packet of a known flow on its way. The flow is locked on entry and
// unlocked on return.
func (w *Worker) forward(f *Frame, p *Packet, flow *conntrack.Flow, now mono.Time, out *Batch) Reason {
	d, direction := w.engine.dests.get(flow.Server()), flow.Dir()
	if d == nil {
		flow.Unlock()
		return DropServerGone
	}
	if d.removed.Load() {
		switch how := Fate(d.fate.Load()); {
		case how == Reset && !w.sever(f, p, flow, now, out):
			return DropServerGone
		case how != Reset && how != Drain && direction == conntrack.Original:
			flow.Unlock()
			return DropServerGone
		}
	}
	method := Method(flow.Flags() & conntrack.FlagMethod)
	masq := method == Masq
	if p.foreignChecksum {
		flow.Unlock()
		return DropOffload
	}
	at := w.stationOf(f)
	if direction == conntrack.Original && at.mac != flow.MAC() {
		if reason := w.circles(p, w.serviceOf(f, p), &at); reason != Forwarded {
			flow.Unlock()
			return reason
		}
	}
	w.ends(flow)
	var back NextHop
	origin := station{mac: flow.MAC()}
	origin.setFlowLink(flow.Link())
	if direction == conntrack.Reply {
		// What cannot go on never was the flow's: ip_forward looks at it before ip_vs_out does.
		if reason := w.admitBack(f, p, d, &origin, &back, now, out); reason != Forwarded {
			flow.Unlock()
			return reason
		}
	}
	d.moved(flow.Advance(p.signal(), now))
	if direction == conntrack.Original {
		follow(flow, &at)
	}
	if flow.Flags()&conntrack.FlagHelped != 0 {
		w.consult(f, p, flow)
	}
	flow.Unlock()

	if p.helped {
		if reason := w.assist(p, d, now); reason != Forwarded {
			return reason
		}
	}
	d.count(w.id, direction, p.ipLen)
	if direction == conntrack.Reply {
		return w.toClient(f, p, d, masq, &origin, &back, now, out)
	}
	if method == Tunnel && !d.local.Load() {
		return w.toTunnel(f, p, d, now, out)
	}
	hop := d.hop.Load()
	if hop == nil {
		return DropNoRoute
	}
	if reason := w.admit(f, p, hop, now, out); reason != Forwarded {
		return reason
	}
	if masq {
		p.setDestination(f, &w.end)
		if w.full {
			p.setSource(f, &w.far)
		}
	}
	if p.helped {
		p.shiftNumbers(f, &w.help.shift, conntrack.Original)
	}
	f.VLAN = w.tagFor(f, hop.Link, nil)
	return w.send(f, p, hop, &d.target, now, out)
}

// ends notes what NAT writes into a packet of a flow: the end that the packet comes to or, on
// the way back, seems to come from, and with FULLNAT the other one.
func (w *Worker) ends(flow *conntrack.Flow) {
	w.far, w.full = flow.Local()
	if flow.Dir() == conntrack.Original {
		w.end = flow.Dest()
		return
	}
	w.end = flow.Virtual()
	if w.full {
		w.far = flow.Client()
	}
}

// client is the address that an answer goes to: its destination, unless that is a local end.
func (w *Worker) client(p *Packet) *[16]byte {
	if w.full {
		return &w.far.Addr
	}
	return &p.Tuple.Dst
}

// admitBack finds the way to the client for an answer of d, and admits the answer to it.
func (w *Worker) admitBack(f *Frame, p *Packet, d *dest, origin *station, hop *NextHop, now mono.Time, out *Batch) Reason {
	if !w.findWayBack(p, d, origin, now, hop) {
		return DropNoRoute
	}
	return w.admitOn(f, p, hop, now, out)
}

// toClient sends an admitted answer to the client, by a hop that it may keep.
func (w *Worker) toClient(f *Frame, p *Packet, d *dest, masq bool, origin *station, hop *NextHop, now mono.Time, out *Batch) Reason {
	if masq {
		if back := d.hop.Load(); back != nil && !f.VLAN.Present() && w.doubter.notice(back, wire.Ethernet(f.Data).Source(), w.ports[f.Port].link, now) {
			w.engine.want(back, true)
		}
		p.setSource(f, &w.end)
		if w.full {
			p.setDestination(f, &w.far)
		}
	}
	f.VLAN = w.tagFor(f, hop.Link, origin)
	if p.helped {
		p.shiftNumbers(f, &w.help.shift, conntrack.Reply)
		if x := &w.help; x.n > 0 {
			if !w.replace(f, p, x.span.Start, x.span.End, x.text[:x.n]) {
				return DropNoScratch
			}
			return w.sendGrown(f, p, hop, w.client(p), now, out)
		}
	}
	return w.send(f, p, hop, w.client(p), now, out)
}

// findWayBack finds the next hop to the client that an answer of d goes to.
func (w *Worker) findWayBack(p *Packet, d *dest, origin *station, now mono.Time, hop *NextHop) bool {
	client := w.client(p)
	if d.uplink.Load() && w.portOf(origin.link) >= 0 && w.routes.back(client, p.Tuple.V6, origin, hop) {
		return true
	}
	return w.findHop(client, p.Tuple.V6, flowHash(&p.Tuple), origin, now, hop)
}

// follow notes where the client is now.
func follow(flow *conntrack.Flow, at *station) {
	if at.mac != flow.MAC() {
		flow.SetMAC(at.mac)
	}
	if link := at.flowLink(); link != flow.Link() {
		flow.SetLink(link)
	}
}

// findHop finds the next hop towards an address; origin is where packets from there last
// came from, and hash chooses among equal-cost ways. It reports false if there is no way.
func (w *Worker) findHop(addr *[16]byte, v6 bool, hash uint32, origin *station, now mono.Time, hop *NextHop) bool {
	if v6 && addr[0] == 0xfe && addr[1]&0xc0 == 0x80 && origin.link != 0 {
		return w.routes.back(addr, v6, origin, hop) // every link has a route to fe80::/64
	}
	var ok bool
	if *hop, ok = w.routes.Lookup(addr, v6, hash); !ok {
		return false
	}
	// A neighbour that the kernel has not confirmed is where its last packet came from; so is
	// one in a VLAN that the kernel does not look into.
	doubtful := !hop.Resolved() || hop.stale
	if doubtful && !origin.mac.IsZero() && hop.Link == origin.link && (origin.vlan != 0 || hop.Addr == netAddr(*addr, v6)) {
		hop.Dst = origin.mac
	} else if origin.vlan == 0 && w.doubter.notice(hop, origin.mac, origin.link, now) {
		w.engine.want(hop, true)
	}
	return true
}

// routeOn sends a packet that belongs to nobody here on its way, as a router does.
func (w *Worker) routeOn(f *Frame, p *Packet, now mono.Time, out *Batch) Reason {
	var hop NextHop
	if reason := w.admitStranger(f, p, &hop, now, out); reason != Forwarded {
		return reason
	}
	f.VLAN = w.tagFor(f, hop.Link, nil)
	return w.send(f, p, &hop, &p.Tuple.Dst, now, out)
}

// admitStranger finds the way to a packet's destination, and admits the packet to it.
func (w *Worker) admitStranger(f *Frame, p *Packet, hop *NextHop, now mono.Time, out *Batch) Reason {
	origin := station{}
	if !w.findHop(&p.Tuple.Dst, p.Tuple.V6, flowHash(&p.Tuple), &origin, now, hop) {
		return DropNoRoute
	}
	return w.admitOn(f, p, hop, now, out)
}

// stranger handles a packet that is not of a service's flow and not for a service. Those
// from a NAT server's service port never reach the kernel, so what the kernel would have
// routed is routed here, untranslated (ip_vs_out lets it pass), but for what a crash of
// ours has orphaned.
func (w *Worker) stranger(f *Frame, p *Packet, now mono.Time, out *Batch) Reason {
	if f.own {
		return w.routeOn(f, p, now, out) // somebody speaks to a local server past the services
	}
	direct := &w.engine.direct
	watching := now < direct.until
	if !w.answering.has(&p.Tuple.Src, p.Tuple.SrcPort, &p.Tuple) && !w.engine.data.server(&p.Tuple) {
		if watching && w.answering.has(&p.Tuple.Dst, p.Tuple.DstPort, &p.Tuple) {
			direct.note(p)
		}
		return PassNotServed
	}
	if w.routes.pooled(&p.Tuple.Dst, p.Tuple.V6) { // the stack would have answered so, too
		w.reset(f, p, now, out)
		return DropNoFlow
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
	if w.sysctls.NatICMPSend && !p.ends() {
		var hop NextHop // ip_forward comes before ip_vs_out
		if reason := w.admitStranger(f, p, &hop, now, out); reason != Forwarded {
			return reason
		}
		w.refuse(f, p, errorUnreachable(), 0, now, out)
		return DropStranger
	}
	return w.routeOn(f, p, now, out)
}

// emit addresses a frame to its next hop and adds it to out, or holds it until the hop is
// resolved. target is what to look up again then.
func (w *Worker) emit(f *Frame, hop *NextHop, target *[16]byte, v6 bool, now mono.Time, out *Batch) Reason {
	if !hop.Resolved() {
		return w.hold(f, hop, target, v6, 0, now)
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
