package forwarding

import (
	"encoding/binary"

	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// decodeICMP reads an ICMP message. Only the errors that IPVS looks into go on, and of them
// those about a TCP, UDP or SCTP packet of which the ports are there (ip_vs_in_icmp in
// net/netfilter/ipvs/ip_vs_core.c). All others are the kernel's: above all echo requests.
func decodeICMP(f *Frame, p *Packet) Reason {
	if len(f.Data) < p.l4+wire.ICMPLen+wire.IPv4Len {
		return PassProtocol
	}
	b := f.Data[p.l4:]
	switch wire.ICMP(b).Type() {
	case wire.ICMPUnreachable, wire.ICMPSourceQuench, wire.ICMPTimeExceeded:
	default:
		return PassProtocol
	}
	b = b[wire.ICMPLen:]
	h := wire.IPv4(b)
	n := h.HeaderLen()
	if h.Version() != 4 || n < wire.IPv4Len || h.FragmentOffset() != 0 {
		return PassProtocol
	}
	return p.decodeQuoted(f, h.Source(), h.Destination(), h.Protocol(), n)
}

// decodeICMPv6 does for ICMPv6 what decodeICMP does. All errors go on.
func decodeICMPv6(f *Frame, p *Packet) Reason {
	if len(f.Data) < p.l4+wire.ICMPLen+wire.IPv6Len {
		return PassProtocol
	}
	b := f.Data[p.l4:]
	if wire.ICMP(b).Type() >= wire.ICMPv6Informational {
		return PassProtocol
	}
	b = b[wire.ICMPLen:]
	h := wire.IPv6(b)
	if h.Version() != 6 {
		return PassProtocol
	}
	protocol, n, _, reason := skipExtensionHeaders(b, h.NextHeader(), true)
	if reason != Forwarded {
		return PassProtocol
	}
	return p.decodeQuoted(f, h.Source(), h.Destination(), protocol, n)
}

// decodeQuoted takes the tuple from the packet inside an ICMP error; n is the length of its
// IP header. An error goes to whoever sent that packet: others are not ours.
func (p *Packet) decodeQuoted(f *Frame, src, dst []byte, protocol uint8, n int) Reason {
	p.quoted = p.l4 + wire.ICMPLen
	p.quotedL4 = p.quoted + n
	const ports = 4
	if !hasPorts(protocol) {
		return p.decodeTunnelled(f, src, dst, protocol)
	}
	if len(f.Data) < p.quotedL4+ports {
		return PassProtocol
	}
	if string(src) != string(p.Tuple.Dst[:len(src)]) {
		return PassProtocol
	}
	l4 := f.Data[p.quotedL4:]
	p.kind = kindError
	p.foreignChecksum = f.Vnet.NeedsChecksum() && f.Vnet.ChecksumAt() != p.l4+wire.ICMPChecksumOffset
	copy(p.Tuple.Src[:], dst)
	p.Tuple.Proto = protocol
	p.Tuple.SrcPort, p.Tuple.DstPort = wire.DestinationPort(l4), wire.SourcePort(l4)
	return Forwarded
}

// forwardError handles an ICMP error about a packet of a flow: one of the client's side
// about an answer goes to the server, one of the server's side about a request to the client
// (ip_vs_in_icmp, ip_vs_out_icmp), also to one that was removed. It leaves the flow's state and
// deadline alone. An error about a packet of no flow is the kernel's unless schedule_icmp is
// set.
func (w *Worker) forwardError(f *Frame, p *Packet, now mono.Time, out *Batch) Reason {
	flow := &w.flow
	if !w.engine.flows.Find(&p.Tuple, flow) && !w.scheduleError(f, p, now) {
		return w.strangersError(f, p, now, out)
	}
	direction, method, origin := flow.Dir(), Method(flow.Flags()&conntrack.FlagMethod), station{mac: flow.MAC()}
	masq := method == Masq
	w.ends(flow)
	origin.setFlowLink(flow.Link())
	d := w.engine.dests.get(flow.Server())
	flow.Unlock()
	switch {
	case d == nil:
		return DropServerGone
	case direction == conntrack.Reply && !masq:
		return PassNotServed // sent to the client itself; we are only on its way
	case p.foreignChecksum:
		return DropOffload
	case (masq || !p.Tuple.V6) && !p.verifyICMP(f):
		return DropICMPChecksum
	}
	var back NextHop
	var client *station
	hop, target := d.hop.Load(), &d.target
	if direction == conntrack.Reply {
		hop, target, client = &back, w.client(p), &origin
		if reason := w.admitBack(f, p, d, client, hop, now, out); reason != Forwarded {
			return reason
		}
	}
	d.count(w.id, direction, p.ipLen)
	if method == Tunnel && !d.local.Load() {
		return w.toTunnel(f, p, d, now, out)
	}
	if hop == nil {
		return DropNoRoute
	}
	if direction == conntrack.Original {
		if reason := w.admit(f, p, hop, now, out); reason != Forwarded {
			return reason
		}
	}
	if masq {
		p.translateError(f, direction, &w.end)
		if w.full {
			p.translateError(f, 1-direction, &w.far)
		}
	}
	f.VLAN = w.tagFor(f, hop.Link, client)
	return w.send(f, p, hop, target, now, out)
}

// scheduleError opens a flow for an error about a packet of no flow, as if its client had sent
// one, if schedule_icmp is set (ip_vs_in_icmp). After true, w.flow is locked.
func (w *Worker) scheduleError(f *Frame, p *Packet, now mono.Time) bool {
	if !w.sysctls.ScheduleICMP {
		return false
	}
	svc := w.serviceOf(f, p)
	if svc == nil || svc.lends(p) || !w.routes.local(&p.Tuple.Dst, p.Tuple.V6) {
		return false
	}
	return w.schedule(f, p, svc, now) == Forwarded
}

// strangersError handles an ICMP error about a packet without a flow. Steering cannot tell
// flows from each other: it keeps from the kernel all errors about packets to NAT servers'
// service ports that go on to somebody else. What the kernel would have routed is routed
// here.
func (w *Worker) strangersError(f *Frame, p *Packet, now mono.Time, out *Batch) Reason {
	t := &p.Tuple
	if t.Proto == wire.ProtoUDP && w.routes.local(&t.Dst, t.V6) {
		return w.tunnelError(f, p, now, out)
	}
	if !w.answering.has(&t.Src, t.SrcPort, t) && !w.engine.data.server(t) || w.routes.local(&t.Dst, t.V6) {
		return PassNotServed
	}
	if !w.routes.forwarding(t.V6) {
		return DropNotRouter
	}
	return w.routeOn(f, p, now, out)
}

// verifyICMP reports whether the checksum of an ICMP message is right. One that is still to
// be completed is completed first.
func (p *Packet) verifyICMP(f *Frame) bool {
	b := f.Data[p.l4:]
	var pseudo uint16
	if p.Tuple.V6 {
		h := wire.IPv6(f.Data[wire.EthernetLen:])
		pseudo = wire.PseudoHeaderSum(h.Source(), h.Destination(), wire.ProtoICMPv6, len(b))
	}
	if f.Vnet.NeedsChecksum() {
		f.Vnet = nil
		wire.ICMP(b).SetChecksum(0)
		wire.ICMP(b).SetChecksum(^wire.Sum(b, pseudo))
		return true
	}
	return wire.Sum(b, pseudo) == 0xffff
}

// translateError rewrites an ICMP error about a NAT flow: outside the address of who gets
// or sends it, inside that of the packet's sender or receiver with its port. The checksum
// that the packet inside has for its transport is left alone, as in IPVS (ip_vs_nat_icmp).
func (p *Packet) translateError(f *Frame, direction conntrack.Dir, to *conntrack.Endpoint) {
	addr, outer, inner, port := p.errorFields(f, direction, to)
	change := wire.Delta(0)
	if p.Tuple.V6 {
		change = change.Swap(outer, addr) // of the pseudo header
	} else {
		h := wire.IPv4(f.Data[wire.EthernetLen:])
		h.SetChecksum(wire.Delta(0).Swap(outer, addr).Apply(h.Checksum()))
	}
	change = change.Swap(inner, addr).Swap16(binary.BigEndian.Uint16(port), to.Port)
	copy(outer, addr)
	copy(inner, addr)
	binary.BigEndian.PutUint16(port, to.Port)
	if !p.Tuple.V6 {
		h := wire.IPv4(f.Data[p.quoted:p.quotedL4])
		old := h.Checksum()
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(h))
		change = change.Swap16(old, h.Checksum())
	}
	icmp := wire.ICMP(f.Data[p.l4:])
	icmp.SetChecksum(change.Apply(icmp.Checksum()))
}

// errorFields returns the new address and what it replaces, outside and inside, and the
// port that follows the one inside.
func (p *Packet) errorFields(f *Frame, direction conntrack.Dir, to *conntrack.Endpoint) (addr, outer, inner, port []byte) {
	l4 := f.Data[p.quotedL4:]
	if p.Tuple.V6 {
		out, in := wire.IPv6(f.Data[wire.EthernetLen:]), wire.IPv6(f.Data[p.quoted:])
		if direction == conntrack.Original {
			return to.Addr[:16], out.Destination(), in.Source(), l4[0:2]
		}
		return to.Addr[:16], out.Source(), in.Destination(), l4[2:4]
	}
	out, in := wire.IPv4(f.Data[wire.EthernetLen:]), wire.IPv4(f.Data[p.quoted:])
	if direction == conntrack.Original {
		return to.Addr[:4], out.Destination(), in.Source(), l4[0:2]
	}
	return to.Addr[:4], out.Source(), in.Destination(), l4[2:4]
}
