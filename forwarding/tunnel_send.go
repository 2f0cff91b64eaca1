package forwarding

import (
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// toTunnel sends a packet to a server inside another one (ip_vs_tunnel_xmit,
// ip_vs_tunnel_xmit_v6). What the packet itself is does not change but for its hop limit.
func (w *Worker) toTunnel(f *Frame, p *Packet, d *dest, now mono.Time, out *Batch) Reason {
	t := d.tunnel.Load()
	if t == nil {
		return DropNoRoute
	}
	remote := t.spec.leavesChecksum() && f.Vnet.NeedsChecksum() && p.kind == kindSegment && p.Tuple.Proto != wire.ProtoSCTP
	mtu := t.mtu(&d.path, now)
	if reason := w.admitToTunnel(f, p, t.room(mtu, remote), now, out); reason != Forwarded {
		return reason
	}
	in := w.innerOf(f, p)
	if remote {
		in.leaveChecksum(f, p)
	}
	front := t.headerLen(remote)
	f.VLAN = w.tagFor(f, t.hop.Link, nil)
	way := way{hop: &t.hop, target: &t.target, now: now, out: out}
	if f.Vnet.GSO() {
		return w.tunnelSegments(f, p, t, &in, mtu, &way)
	}
	if !remote && !p.completeForTunnel(f) {
		return DropOffload
	}
	if len(f.Data)-wire.EthernetLen+front > datagramBytes {
		return DropTooBig
	}
	outer := *f
	if !outer.widen(front) {
		b := w.scratch.take(front + len(f.Data))
		if b == nil {
			return DropNoScratch
		}
		copy(b[front+wire.EthernetLen:], f.Data[wire.EthernetLen:])
		outer.Data, outer.Front, outer.Vnet = b, nil, nil
	}
	return w.sendOuter(&outer, t, &in, mtu, &way)
}

// admitToTunnel is admit for a packet that leaves inside another one with so much room. An
// outer packet that is longer than its way takes is cut, which IPVS leaves to the kernel.
func (w *Worker) admitToTunnel(f *Frame, p *Packet, room int, now mono.Time, out *Batch) Reason {
	if p.hopLimit(f) <= 1 {
		w.refuse(f, p, errorTimeExceeded(), 0, now, out)
		return DropTTL
	}
	p.decrementHopLimit(f)
	if room == 0 {
		return DropTooBig
	}
	if p.Tuple.V6 {
		room = max(room, leastIPv6MTU) // no sender makes shorter ones
	}
	if p.longest(f) > room && !p.mayBeCut(f) && (p.Tuple.V6 || w.sysctls.PMTUDisc) {
		w.refuse(f, p, errorTooBig(), room, now, out)
		return DropTooBig
	}
	return Forwarded
}

// innerOf returns what an admitted packet gives its outer ones (ip_vs_prepare_tunneled_skb).
func (w *Worker) innerOf(f *Frame, p *Packet) inner {
	in := inner{v6: p.Tuple.V6, port: gueSource(flowHash(&p.Tuple))}
	if in.v6 {
		h := wire.IPv6(f.Data[wire.EthernetLen:])
		in.tos, in.ttl = outerTOS(h.TrafficClass()), h.HopLimit()
		return in
	}
	h := wire.IPv4(f.Data[wire.EthernetLen:])
	in.tos, in.ttl, in.df = outerTOS(h.TOS()), h.TTL(), h.DontFragment() && w.sysctls.PMTUDisc
	return in
}

// outerTOS is the TOS or traffic class of a packet with another one of that inside: the same, but
// that congestion is for the path behind the tunnel to tell anew (INET_ECN_encapsulate).
func outerTOS(inner uint8) uint8 {
	if inner&ecnMask == ecnMask {
		return inner&^ecnMask | ecnCapable
	}
	return inner
}

// leaveChecksum has the server complete the partial transport checksum.
func (in *inner) leaveChecksum(f *Frame, p *Packet) {
	in.remote, in.start, in.field = true, p.l4-wire.EthernetLen, f.Vnet.ChecksumAt()-wire.EthernetLen
}

// gueSource returns the port that a flow's packets to a GUE server come from
// (udp_flow_src_port with the default net.ipv4.ip_local_port_range).
func gueSource(hash uint32) uint16 {
	const low, high = 32768, 60999
	hash ^= hash << 16
	return uint16(low + uint64(hash)*(high-low)>>32)
}

// completeForTunnel finishes a partial checksum: a virtio_net_hdr can describe one inside a
// tunnel, but not all devices that say they complete checksums look there.
func (p *Packet) completeForTunnel(f *Frame) bool {
	if p.kind == kindError {
		return !f.Vnet.NeedsChecksum() || p.verifyICMP(f)
	}
	return p.completeChecksum(f)
}

// tunnelSegments sends each segment of a GSO frame in an outer packet of its own: a
// virtio_net_hdr does not know GSO inside tunnels.
func (w *Worker) tunnelSegments(f *Frame, p *Packet, t *tunnel, in *inner, mtu int, way *way) Reason {
	cut, ok := p.segmenter(f)
	if !ok {
		return DropOffload
	}
	cut.partial = in.remote
	front, n := t.headerLen(in.remote), cut.count()
	if w.scratch.free() < len(f.Data)+n*(cut.head+front) {
		return DropNoScratch
	}
	for i := range n {
		one := Frame{Data: w.scratch.take(front + cut.frameLen(i)), VLAN: f.VLAN, Port: f.Port, made: true}
		cut.write(one.Data[front:], i)
		reason := w.sendOuter(&one, t, in, mtu, way)
		if reason != Forwarded && reason != held { // one that is held is settled: the frame counts once
			return reason
		}
		w.made.add(MadeSegment)
	}
	return Forwarded
}

// sendOuter writes the headers of an outer packet, in whose frame there is room for them, and
// sends it, in fragments if it is longer than its way takes. The fragments may be fragmented
// further, whatever the packet inside says.
func (w *Worker) sendOuter(f *Frame, t *tunnel, in *inner, mtu int, way *way) Reason {
	if len(f.Data)-wire.EthernetLen <= mtu {
		if !in.df {
			in.id = w.nextID()
		}
		t.wrap(f.Data, in)
		return w.emit(f, way.hop, way.target, t.v6, way.now, way.out)
	}
	whole := *in
	whole.df, whole.id = false, w.nextID()
	t.wrap(f.Data, &whole)
	if t.v6 {
		const nextHeaderAt = 6
		return w.cutIPv6(f, fragment{head: wire.EthernetLen + wire.IPv6Len, nextAt: wire.EthernetLen + nextHeaderAt}, mtu, way)
	}
	return w.cutIPv4(f, f.Data, mtu, way)
}

// nextID returns the identification of the next outer packet over IPv4 that may be fragmented.
func (w *Worker) nextID() uint16 {
	w.ownID++
	return w.ownID
}
