package forwarding

import (
	"uvs/internal/mono"
	"uvs/internal/wire"
)

const (
	ownTTL       = 64   // net.ipv4.ip_default_ttl, net.ipv6.conf.*.hop_limit
	quoteTotal4  = 576  // longest ICMP error (RFC 1812, Section 4.3.2.3)
	quoteTotal6  = 1280 // longest ICMPv6 error (RFC 4443, Section 2.4)
	leastIPv6MTU = 1280 // every IPv6 link has it (RFC 8200, Section 5)
	tosControl   = 0xc0 // IPTOS_PREC_INTERNETCONTROL: the precedence of the kernel's errors
	tosKept      = 0x1e // and what they keep of the packet's
)

// An icmpError is one of the errors that a director sends itself.
type icmpError struct {
	made         Made
	type4, code4 uint8
	type6, code6 uint8
}

func errorTimeExceeded() icmpError {
	return icmpError{MadeTimeExceeded, wire.ICMPTimeExceeded, wire.ICMPCodeTTL, wire.ICMPv6TimeExceeded, wire.ICMPv6CodeHopLimit}
}

func errorUnreachable() icmpError {
	return icmpError{MadeUnreachable, wire.ICMPUnreachable, wire.ICMPCodePort, wire.ICMPv6Unreachable, wire.ICMPv6CodePort}
}

func errorTooBig() icmpError {
	return icmpError{MadeTooBig, wire.ICMPUnreachable, wire.ICMPCodeFragmentation, wire.ICMPv6TooBig, 0}
}

// An answer is a frame of our own that goes back to where another one came from.
type answer struct {
	frame  Frame
	hop    NextHop
	origin station
	head   int  // offset of what follows the IP header
	posing bool // it comes from the address that the packet was sent to, whosever that is
}

// refuse answers a packet with an ICMP error, if its sender is to have one (icmp_send in
// net/ipv4/icmp.c, icmp6_send in net/ipv6/icmp.c). The packet must be as it was received. rest
// is the MTU for errorTooBig, else 0.
func (w *Worker) refuse(f *Frame, p *Packet, e icmpError, rest int, now mono.Time, out *Batch) {
	if p.kind == kindError || !w.answerable(f, p) {
		return
	}
	// Errors about the path MTU are not limited: without each of them a connection stalls.
	if e.made != MadeTooBig && !w.limiter.allowError(&p.Tuple.Src, now) {
		w.made.add(MadeSuppressed)
		return
	}
	longest := quoteTotal4 - wire.IPv4Len
	if p.Tuple.V6 {
		longest = quoteTotal6 - wire.IPv6Len
	}
	var a answer
	if !w.beginAnswer(&a, f, p, min(wire.ICMPLen+p.ipLen, longest), now) {
		return
	}
	message := a.frame.Data[a.head:]
	icmp := wire.ICMP(message)
	copy(message[wire.ICMPLen:], f.Data[wire.EthernetLen:])
	icmp.SetRest(uint32(rest))
	icmp.SetChecksum(0)
	if p.Tuple.V6 {
		icmp.SetKind(e.type6, e.code6)
		wire.IPv6(a.frame.Data[wire.EthernetLen:]).Init(ownTTL, wire.ProtoICMPv6, len(message))
		icmp.SetChecksum(^wire.Sum(message, a.pseudoSum(wire.ProtoICMPv6)))
	} else {
		icmp.SetKind(e.type4, e.code4)
		tos := wire.IPv4(f.Data[wire.EthernetLen:]).TOS()&tosKept | tosControl
		w.ownID++
		h := wire.IPv4(a.frame.Data[wire.EthernetLen:a.head])
		h.Init(tos, ownTTL, wire.ProtoICMP, w.ownID, false, len(message))
		h.SetChecksum(wire.Checksum(h))
		icmp.SetChecksum(wire.Checksum(message))
	}
	w.sendAnswer(&a, p, e.made, now, out)
}

// answerable reports whether somebody may be told about a packet: it came to this host
// alone, and from somebody else alone (RFC 1122, Section 3.2.2).
func (w *Worker) answerable(f *Frame, p *Packet) bool {
	t := &p.Tuple
	multicast := t.Dst[0] >= 224 // with the reserved addresses and broadcast
	if t.V6 {
		multicast = t.Dst[0] == 0xff
	}
	return !multicast && f.Data[0]&1 == 0 && !w.routes.local(&t.Src, t.V6)
}

// beginAnswer finds the way back to where a packet came from, takes memory for an answer of n
// bytes behind its IP header, and writes the addresses. It comes from where the packet was
// sent to, if that is the host's own address or the answer poses, else from the host's address on the way. False:
// there is no way, no address, or no memory.
func (w *Worker) beginAnswer(a *answer, f *Frame, p *Packet, n int, now mono.Time) bool {
	t := &p.Tuple
	a.origin = w.stationOf(f)
	svc := w.serviceOf(f, p)
	byUplink := svc != nil && svc.uplink.Load() && w.routes.back(&t.Src, t.V6, &a.origin, &a.hop)
	if !byUplink && !w.findHop(&t.Src, t.V6, flowHash(t), &a.origin, now, &a.hop) {
		return false
	}
	from := t.Dst
	if !a.posing && !w.routes.local(&t.Dst, t.V6) {
		own := w.routes.source(&t.Src, t.V6, &a.hop, nil)
		if !own.IsValid() {
			return false
		}
		from = wireAddr(own)
	}
	a.head = wire.EthernetLen + wire.IPv4Len
	if t.V6 {
		a.head = wire.EthernetLen + wire.IPv6Len
	}
	b := w.scratch.take(a.head + n)
	if b == nil {
		return false
	}
	a.frame = Frame{Data: b, Port: f.Port, made: true, VLAN: f.VLAN}
	copy(b[wire.MACsLen:wire.EthernetLen], f.Data[wire.MACsLen:wire.EthernetLen])
	if t.V6 {
		h := wire.IPv6(b[wire.EthernetLen:])
		copy(h.Source(), from[:])
		copy(h.Destination(), t.Src[:])
	} else {
		h := wire.IPv4(b[wire.EthernetLen:])
		copy(h.Source(), from[:4])
		copy(h.Destination(), t.Src[:4])
	}
	return true
}

// pseudoSum returns the sum of the answer's pseudo header.
func (a *answer) pseudoSum(protocol uint8) uint16 {
	n := len(a.frame.Data) - a.head
	b := a.frame.Data[wire.EthernetLen:]
	if a.head == wire.EthernetLen+wire.IPv4Len {
		return wire.PseudoHeaderSum(wire.IPv4(b).Source(), wire.IPv4(b).Destination(), protocol, n)
	}
	return wire.PseudoHeaderSum(wire.IPv6(b).Source(), wire.IPv6(b).Destination(), protocol, n)
}

// sendAnswer sends an answer to the sender of p.
func (w *Worker) sendAnswer(a *answer, p *Packet, made Made, now mono.Time, out *Batch) {
	a.frame.VLAN = w.tagFor(&a.frame, a.hop.Link, &a.origin)
	switch w.emit(&a.frame, &a.hop, &p.Tuple.Src, p.Tuple.V6, now, out) {
	case Forwarded, held:
		w.made.add(made)
	}
}

// refuseService tells the sender of a packet to a service why it gets no flow: there is no
// server (ip_vs_leave), or it speaks of a connection that there is not, which the host's own
// stack would answer for IPVS.
func (w *Worker) refuseService(f *Frame, p *Packet, why Reason, now mono.Time, out *Batch) {
	switch why {
	case DropLoop:
		// Its client is not where it came from.
		wire.Ethernet(f.Data).SetAddresses(wire.Ethernet(f.Data).Destination(), wire.MAC{})
		fallthrough
	case DropNoServer:
		w.refuse(f, p, errorUnreachable(), 0, now, out)
	case DropNoFlow:
		switch p.Tuple.Proto {
		case wire.ProtoTCP:
			w.reset(f, p, now, out)
		case wire.ProtoUDP:
			w.refuse(f, p, errorUnreachable(), 0, now, out)
		case wire.ProtoSCTP:
			w.abort(f, p, now, out)
		}
	}
}

// reset answers a TCP segment to a service that belongs to no flow as RFC 9293, Section
// 3.5.2, group 1 has it, but not during Config.Silence.
func (w *Worker) reset(f *Frame, p *Packet, now mono.Time, out *Batch) {
	if p.Tuple.Proto != wire.ProtoTCP || p.TCPFlags&wire.TCPRst != 0 || int64(now) < w.engine.silent.Load() || !w.answerable(f, p) {
		return
	}
	if !w.limiter.allowReset(now) {
		w.made.add(MadeSuppressed)
		return
	}
	if p.verifyTCP(f) {
		w.sendReset(f, p, false, now, out)
	}
}

// sendReset answers a segment with a reset, if posing from the address that it was sent to, whosever that is.
func (w *Worker) sendReset(f *Frame, p *Packet, posing bool, now mono.Time, out *Batch) {
	a := answer{posing: posing}
	if !w.beginAnswer(&a, f, p, wire.TCPLen, now) {
		return
	}
	if p.Tuple.V6 {
		wire.IPv6(a.frame.Data[wire.EthernetLen:]).Init(ownTTL, wire.ProtoTCP, wire.TCPLen)
	} else {
		h := wire.IPv4(a.frame.Data[wire.EthernetLen:a.head])
		h.Init(wire.IPv4(f.Data[wire.EthernetLen:]).TOS(), ownTTL, wire.ProtoTCP, 0, true, wire.TCPLen)
		h.SetChecksum(wire.Checksum(h))
	}
	seq, ack, flags := p.resetNumbers(f)
	tcp := wire.TCP(a.frame.Data[a.head:])
	tcp.Init(p.Tuple.DstPort, p.Tuple.SrcPort, seq, ack, flags)
	tcp.SetChecksum(^wire.Sum(tcp, a.pseudoSum(wire.ProtoTCP)))
	w.sendAnswer(&a, p, MadeReset, now, out)
}

// resetNumbers returns what a reset that answers a segment says.
func (p *Packet) resetNumbers(f *Frame) (seq, ack uint32, flags uint8) {
	h := wire.TCP(f.Data[p.l4:])
	if p.TCPFlags&wire.TCPAck != 0 {
		return h.Ack(), 0, wire.TCPRst
	}
	n := len(f.Data) - p.l4 - h.HeaderLen()
	if p.TCPFlags&wire.TCPSyn != 0 {
		n++
	}
	if p.TCPFlags&wire.TCPFin != 0 {
		n++
	}
	return 0, h.Seq() + uint32(n), wire.TCPRst | wire.TCPAck
}

// verifyTCP reports whether a TCP checksum is right, or still to be completed.
func (p *Packet) verifyTCP(f *Frame) bool {
	if f.Vnet.NeedsChecksum() {
		return !p.foreignChecksum
	}
	segment := f.Data[p.l4:]
	return wire.Sum(segment, p.pseudoSum(f, len(segment))) == 0xffff
}

// pseudoSum returns the sum of the pseudo header for n bytes of transport.
func (p *Packet) pseudoSum(f *Frame, n int) uint16 {
	if p.Tuple.V6 {
		h := wire.IPv6(f.Data[wire.EthernetLen:])
		return wire.PseudoHeaderSum(h.Source(), h.Destination(), p.Tuple.Proto, n)
	}
	h := wire.IPv4(f.Data[wire.EthernetLen:])
	return wire.PseudoHeaderSum(h.Source(), h.Destination(), p.Tuple.Proto, n)
}
