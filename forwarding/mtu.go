package forwarding

import (
	"encoding/binary"

	"uvs/internal/mono"
	"uvs/internal/wire"
)

// admit decides whether a packet may go on to a server by a next hop, and takes one from its
// hop limit then. If it may not, its sender is told why. It comes before any rewriting, as
// errors quote the packet: with the hop limit already less one if it is too big, as IPVS's
// transmitters take that first (__ip_vs_get_out_rt). A packet that has to be cut up on its way
// has p.limit afterwards.
func (w *Worker) admit(f *Frame, p *Packet, hop *NextHop, now mono.Time, out *Batch) Reason {
	if reason := w.outlives(f, p, hop, now, out); reason != Forwarded {
		return reason
	}
	if hops(f, hop) {
		p.decrementHopLimit(f)
	}
	return w.fits(f, p, hop, now, out)
}

// admitOn is admit for what the host's stack would forward, which looks at the length first
// (ip_forward, ip6_forward).
func (w *Worker) admitOn(f *Frame, p *Packet, hop *NextHop, now mono.Time, out *Batch) Reason {
	if reason := w.outlives(f, p, hop, now, out); reason != Forwarded {
		return reason
	}
	if reason := w.fits(f, p, hop, now, out); reason != Forwarded {
		return reason
	}
	if hops(f, hop) {
		p.decrementHopLimit(f)
	}
	return Forwarded
}

// hops reports whether a frame makes a hop here: not if it comes from the host's stack or goes
// into it.
func hops(f *Frame, hop *NextHop) bool { return !f.own && !hop.stack }

// outlives reports whether a packet's hop limit lets it go on.
func (w *Worker) outlives(f *Frame, p *Packet, hop *NextHop, now mono.Time, out *Batch) Reason {
	if hops(f, hop) && p.hopLimit(f) <= 1 {
		w.refuse(f, p, errorTimeExceeded(), 0, now, out)
		return DropTTL
	}
	return Forwarded
}

// fits decides whether a packet is short enough for a next hop, in how long pieces if need be.
func (w *Worker) fits(f *Frame, p *Packet, hop *NextHop, now mono.Time, out *Batch) Reason {
	p.limit = p.gathered
	if hop.MTU == 0 || p.longest(f) <= hop.MTU {
		return Forwarded
	}
	if p.mayBeCut(f) {
		p.limit = hop.MTU
		return Forwarded
	}
	mtu := hop.MTU
	if p.Tuple.V6 {
		mtu = max(mtu, leastIPv6MTU)
	}
	w.refuse(f, p, errorTooBig(), mtu, now, out)
	return DropTooBig
}

// longest returns the length of the longest IP packet that a frame stands for: of a frame
// with several segments that of one (skb_gso_network_seglen in net/core/gso.c), of a packet
// that came in fragments that of the longest one.
func (p *Packet) longest(f *Frame) int {
	if p.gathered > 0 {
		return p.gathered
	}
	if !f.Vnet.GSO() {
		return p.ipLen
	}
	return min(p.ipLen, p.payload(f)-wire.EthernetLen+f.Vnet.segment())
}

// payload returns the offset in the frame of what the transport carries.
func (p *Packet) payload(f *Frame) int {
	if p.Tuple.Proto == wire.ProtoTCP {
		return p.l4 + wire.TCP(f.Data[p.l4:]).HeaderLen()
	}
	return p.l4 + wire.UDPLen
}

// mayBeCut reports whether routers may fragment a packet: an IPv4 packet without DF
// (ip_exceeds_mtu in net/ipv4/ip_forward.c), or an ICMP error over IPv4, as for IPVS. Its sender
// may whatever DF says, and is this host for what its stack sends: that would not learn of the MTU.
func (p *Packet) mayBeCut(f *Frame) bool {
	return !p.Tuple.V6 && (p.kind == kindError || f.own || !wire.IPv4(f.Data[wire.EthernetLen:]).DontFragment())
}

// hopLimit returns the time to live or hop limit.
func (p *Packet) hopLimit(f *Frame) uint8 {
	if p.Tuple.V6 {
		return wire.IPv6(f.Data[wire.EthernetLen:]).HopLimit()
	}
	return wire.IPv4(f.Data[wire.EthernetLen:]).TTL()
}

// decrementHopLimit takes one from it; it must be at least 1.
func (p *Packet) decrementHopLimit(f *Frame) {
	if p.Tuple.V6 {
		wire.IPv6(f.Data[wire.EthernetLen:]).DecrementHopLimit()
	} else {
		wire.IPv4(f.Data[wire.EthernetLen:]).DecrementTTL()
	}
}

// send sends an admitted packet to its next hop, in fragments if it has a limit. target is
// what to look up again if the hop is not resolved.
func (w *Worker) send(f *Frame, p *Packet, hop *NextHop, target *[16]byte, now mono.Time, out *Batch) Reason {
	if p.Tuple.Proto == wire.ProtoSCTP && p.kind == kindSegment {
		// A virtio header cannot say that the checksum is a CRC: it would be taken for a sum as TCP's.
		p.completeChecksum(f)
	}
	if p.gate > w.engine.data.steered.Load() {
		return w.hold(f, hop, target, p.Tuple.V6, p.gate, now)
	}
	if p.limit == 0 {
		return w.emit(f, hop, target, p.Tuple.V6, now, out)
	}
	way := way{hop: hop, target: target, now: now, out: out}
	if f.Vnet.GSO() {
		return w.cutSegments(f, p, &way)
	}
	if !p.completeChecksum(f) {
		return DropOffload
	}
	if p.Tuple.V6 {
		return w.cutIPv6(f, p.fragment, p.limit, &way)
	}
	if p.gathered > 0 && wire.IPv4(f.Data[wire.EthernetLen:]).DontFragment() {
		way.flags = wire.IPv4DontFragment // all fragments had it
	}
	return w.cutIPv4(f, f.Data, p.limit, &way)
}

// A way is where the pieces of a packet go.
type way struct {
	hop    *NextHop
	target *[16]byte
	flags  uint16 // of all pieces over IPv4
	now    mono.Time
	out    *Batch
}

// completeChecksum finishes a partial transport checksum. It reports false if the checksum is
// of something else.
func (p *Packet) completeChecksum(f *Frame) bool {
	if !f.Vnet.NeedsChecksum() {
		return true
	}
	if p.foreignChecksum || p.kind != kindSegment {
		return false
	}
	p.setTransportChecksum(f)
	f.Vnet = nil
	return true
}

// setTransportChecksum computes the transport checksum of a whole segment or datagram.
func (p *Packet) setTransportChecksum(f *Frame) {
	if p.Tuple.Proto == wire.ProtoSCTP {
		h := wire.SCTP(f.Data[p.l4:])
		h.SetCRC(h.Sum())
		return
	}
	field, l4 := p.checksumField(f), f.Data[p.l4:]
	binary.BigEndian.PutUint16(field, 0)
	sum := ^wire.Sum(l4, p.pseudoSum(f, len(l4)))
	if sum == 0 && p.Tuple.Proto == wire.ProtoUDP {
		sum = 0xffff // 0 would mean "none"
	}
	binary.BigEndian.PutUint16(field, sum)
}

// cutSegments cuts a GSO frame over IPv4 into the segments it stands for, and these into
// fragments (ip_finish_output_gso in net/ipv4/ip_output.c).
func (w *Worker) cutSegments(f *Frame, p *Packet, way *way) Reason {
	cut, ok := p.segmenter(f)
	if !ok {
		return DropOffload
	}
	for i := range cut.count() {
		one := Frame{Data: w.scratch.whole[:cut.frameLen(i)], VLAN: f.VLAN, Port: f.Port}
		cut.write(one.Data, i)
		if reason := w.cutIPv4(&one, one.Data, p.limit, way); reason != Forwarded {
			return reason
		}
	}
	return Forwarded
}

// cutIPv4 sends a whole IPv4 packet in fragments of at most limit bytes, or as it is if it fits
// (ip_do_fragment in net/ipv4/ip_output.c).
func (w *Worker) cutIPv4(f *Frame, data []byte, limit int, way *way) Reason {
	h := wire.IPv4(data[wire.EthernetLen:])
	n := h.HeaderLen()
	head := wire.EthernetLen + n
	payload := data[head:]
	room := (limit - n) &^ 7
	if len(data)-wire.EthernetLen <= limit {
		room = max(len(payload), 1)
	}
	if room <= 0 {
		return DropTooBig
	}
	pieces := max(1, (len(payload)+room-1)/room)
	if w.scratch.free() < len(payload)+pieces*head {
		return DropNoScratch
	}
	for i := range pieces {
		part := payload[i*room : min((i+1)*room, len(payload))]
		piece := Frame{Data: w.scratch.take(head + len(part)), VLAN: f.VLAN, Port: f.Port, made: true}
		copy(piece.Data, data[:head])
		copy(piece.Data[head:], part)
		g := wire.IPv4(piece.Data[wire.EthernetLen:head])
		if i > 0 {
			blankOptions(g[wire.IPv4Len:])
		}
		g.SetTotalLen(n + len(part))
		flags := way.flags
		if i < pieces-1 {
			flags |= wire.IPv4MoreFragments
		}
		g.SetFragment(flags, i*room)
		g.SetChecksum(0)
		g.SetChecksum(wire.Checksum(g))
		if reason := w.emitPiece(&piece, false, way); reason != Forwarded {
			return reason
		}
	}
	return Forwarded
}

// cutIPv6 sends an IPv6 packet in fragments of at most limit bytes, whose fragment header
// stands where again says (ip6_fragment in net/ipv6/ip6_output.c). The identification is of
// our own: answers of several servers leave from one address.
func (w *Worker) cutIPv6(f *Frame, again fragment, limit int, way *way) Reason {
	at := again.head
	if at == 0 {
		return DropTooBig // it came whole
	}
	head := at + wire.IPv6FragmentLen
	payload := f.Data[at:]
	room := (limit + wire.EthernetLen - head) &^ 7
	if room <= 0 {
		return DropTooBig
	}
	pieces := (len(payload) + room - 1) / room
	if w.scratch.free() < len(payload)+pieces*head {
		return DropNoScratch
	}
	w.ownID6++
	for i := range pieces {
		part := payload[i*room : min((i+1)*room, len(payload))]
		piece := Frame{Data: w.scratch.take(head + len(part)), VLAN: f.VLAN, Port: f.Port, made: true}
		copy(piece.Data, f.Data[:at])
		copy(piece.Data[head:], part)
		wire.IPv6Fragment(piece.Data[at:]).Init(piece.Data[again.nextAt], i*room, i < pieces-1, w.ownID6)
		piece.Data[again.nextAt] = wire.ProtoFragment
		wire.IPv6(piece.Data[wire.EthernetLen:]).SetPayloadLen(len(piece.Data) - wire.EthernetLen - wire.IPv6Len)
		if reason := w.emitPiece(&piece, true, way); reason != Forwarded {
			return reason
		}
	}
	return Forwarded
}

// emitPiece sends one piece of a packet. One that is held counts as sent: the packet is
// settled then.
func (w *Worker) emitPiece(piece *Frame, v6 bool, way *way) Reason {
	reason := w.emit(piece, way.hop, way.target, v6, way.now, way.out)
	if reason == held {
		reason = Forwarded
	}
	if reason == Forwarded {
		w.made.add(MadeFragment)
	}
	return reason
}

// blankOptions overwrites the options that only the first fragment has with no-operation
// (ip_options_fragment in net/ipv4/ip_options.c).
func blankOptions(b []byte) {
	const end, noop, copied = 0, 1, 0x80
	for len(b) > 0 && b[0] != end {
		n := 1
		if b[0] != noop {
			if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
				return
			}
			n = int(b[1])
		}
		if b[0]&copied == 0 {
			for i := range n {
				b[i] = noop
			}
		}
		b = b[n:]
	}
}
