package forwarding

import (
	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// decodeTunnelled takes what it can from an ICMP error about an IPIP or GRE packet. Only those
// about packets of the host that it goes to are looked at any further; tunnelError does that.
func (p *Packet) decodeTunnelled(f *Frame, src, dst []byte, protocol uint8) Reason {
	switch protocol {
	case wire.ProtoIPIP, wire.ProtoIPv6, wire.ProtoGRE:
	default:
		return PassProtocol
	}
	if string(src) != string(p.Tuple.Dst[:len(src)]) {
		return PassProtocol
	}
	p.kind = kindTunnelError
	p.foreignChecksum = f.Vnet.NeedsChecksum() && f.Vnet.ChecksumAt() != p.l4+wire.ICMPChecksumOffset
	p.Tuple.Src, p.Tuple.Proto = [16]byte{}, protocol
	copy(p.Tuple.Src[:], dst)
	return Forwarded
}

// tunnelError handles an ICMP error about an outer packet of ours: the director learns the
// path MTU, and the sender of the packet inside is told as if its own packet had met the
// error (ip_vs_in_icmp, which does so for IPv4 in IPv4 only). The host's stack gets the error
// as well and knows nobody to tell.
func (w *Worker) tunnelError(f *Frame, p *Packet, now mono.Time, out *Batch) Reason {
	if !w.routes.local(&p.Tuple.Dst, p.Tuple.V6) {
		return PassNotServed
	}
	at, kind, v6 := p.unwrap(f)
	request, flow := &w.request, &w.flow
	if at == 0 || !request.decodeRequest(f.Data[at:], v6) || !w.engine.flows.Find(&request.Tuple, flow) {
		return PassNotServed
	}
	direction, method, origin := flow.Dir(), Method(flow.Flags()&conntrack.FlagMethod), station{mac: flow.MAC()}
	origin.setFlowLink(flow.Link())
	d := w.engine.dests.get(flow.Server())
	flow.Unlock()
	if d == nil || method != Tunnel || direction != conntrack.Original {
		return PassNotServed
	}
	t := d.tunnel.Load()
	switch {
	case t == nil || t.v6 != p.Tuple.V6 || t.target != p.Tuple.Src || t.spec.Type != kind || kind == GUE && t.spec.Port != p.Tuple.SrcPort:
		return PassNotServed
	case p.foreignChecksum:
		return DropOffload
	case !p.verifyICMP(f):
		return DropICMPChecksum
	}
	e, rest, tell := w.passOn(wire.ICMP(f.Data[p.l4:]), f.Data[at:], t, d, v6, now)
	if !tell {
		return PassTunnelError
	}
	d.count(w.id, conntrack.Reply, request.ipLen)
	w.refuseBefore(f, request, at, &origin, e, rest, now, out)
	return PassTunnelError
}

// unwrap returns the offset of the packet inside the outer one that an error quotes, and of
// what type and family it is. An offset of 0 means that it is not there, or not one of ours.
func (p *Packet) unwrap(f *Frame) (at int, kind TunnelType, v6 bool) {
	at, protocol := p.quotedL4, p.Tuple.Proto
	switch protocol {
	case wire.ProtoUDP:
		at, kind = at+wire.UDPLen, GUE
		if len(f.Data) < at+wire.GUELen || !wire.GUE(f.Data[at:]).Data() {
			return 0, kind, false
		}
		gue := wire.GUE(f.Data[at:])
		at, protocol = at+gue.HeaderLen(), gue.Protocol()
	case wire.ProtoGRE:
		kind = GRE
		if len(f.Data) < at+wire.GRELen {
			return 0, kind, false
		}
		gre := wire.GRE(f.Data[at:])
		n := gre.HeaderLen()
		if n == 0 {
			return 0, kind, false
		}
		at += n
		switch gre.EtherType() {
		case wire.EtherTypeIPv4:
			protocol = wire.ProtoIPIP
		case wire.EtherTypeIPv6:
			protocol = wire.ProtoIPv6
		}
	}
	if protocol != wire.ProtoIPIP && protocol != wire.ProtoIPv6 || at > len(f.Data) {
		return 0, kind, false
	}
	return at, kind, protocol == wire.ProtoIPv6
}

// decodeRequest reads the beginning of a client's packet, up to its ports. It reports false if
// they are not there.
func (p *Packet) decodeRequest(b []byte, v6 bool) bool {
	*p = Packet{ipLen: len(b)}
	var protocol uint8
	var n int
	if v6 {
		if len(b) < wire.IPv6Len || wire.IPv6(b).Version() != 6 {
			return false
		}
		h := wire.IPv6(b)
		var reason Reason
		if protocol, n, _, reason = skipExtensionHeaders(b, h.NextHeader(), true); reason != Forwarded {
			return false
		}
		copy(p.Tuple.Src[:], h.Source())
		copy(p.Tuple.Dst[:], h.Destination())
	} else {
		if len(b) < wire.IPv4Len || wire.IPv4(b).Version() != 4 {
			return false
		}
		h := wire.IPv4(b)
		if protocol, n = h.Protocol(), h.HeaderLen(); n < wire.IPv4Len || h.FragmentOffset() != 0 {
			return false
		}
		copy(p.Tuple.Src[:], h.Source())
		copy(p.Tuple.Dst[:], h.Destination())
	}
	const ports = 4
	if !hasPorts(protocol) || len(b) < n+ports {
		return false
	}
	p.l4 = wire.EthernetLen + n
	p.Tuple.SrcPort, p.Tuple.DstPort = wire.SourcePort(b[n:]), wire.DestinationPort(b[n:])
	p.Tuple.Proto, p.Tuple.V6 = protocol, v6
	return true
}

// passOn makes of an error about an outer packet the one about the request inside, of family
// v6, and takes note of the path MTU. tell is false if the client need not know, or has no such
// error.
func (w *Worker) passOn(icmp wire.ICMP, request []byte, t *tunnel, d *dest, v6 bool, now mono.Time) (e icmpError, rest int, tell bool) {
	kind, code := icmp.Type(), icmp.Code()
	switch {
	case t.v6 && kind == wire.ICMPv6TooBig:
		d.path.shrink(t, int(min(max(icmp.Rest(), leastIPv6MTU), datagramBytes)), now)
	case !t.v6 && kind == wire.ICMPUnreachable && code == wire.ICMPCodeFragmentation:
		d.path.shrink(t, max(int(icmp.Rest()&0xffff), leastPathMTU), now)
	case t.v6:
		return icmpErrorFrom6(kind, code), 0, true
	default:
		e = icmpErrorFrom4(kind, code)
		return e, 0, !v6 || e.type6 != 0
	}
	rest = t.room(t.mtu(&d.path, now), false)
	if v6 {
		return errorTooBig(), max(rest, leastIPv6MTU), true
	}
	return errorTooBig(), rest, rest > 0 && wire.IPv4(request).DontFragment()
}

// icmpErrorFrom4 returns an error about an outer IPv4 packet as one about a packet of either
// family inside. type6 is 0 if there is none over IPv6.
func icmpErrorFrom4(kind, code uint8) icmpError {
	e := icmpError{made: MadeUnreachable, type4: kind, code4: code}
	switch {
	case kind == wire.ICMPTimeExceeded:
		e.made, e.type6, e.code6 = MadeTimeExceeded, wire.ICMPv6TimeExceeded, code
	case kind != wire.ICMPUnreachable: // source quench
	case code == wire.ICMPCodeNet:
		e.type6, e.code6 = wire.ICMPv6Unreachable, wire.ICMPv6CodeRoute
	case code == wire.ICMPCodePort:
		e.type6, e.code6 = wire.ICMPv6Unreachable, wire.ICMPv6CodePort
	case code == wire.ICMPCodeProhibited:
		e.type6, e.code6 = wire.ICMPv6Unreachable, wire.ICMPv6CodeProhibited
	default:
		e.type6, e.code6 = wire.ICMPv6Unreachable, wire.ICMPv6CodeAddress
	}
	return e
}

// icmpErrorFrom6 does the same for an error about an outer IPv6 packet. What the outer header
// was blamed for is no fault of the client's: that the server knows no tunnels becomes
// "protocol unreachable", or with IPv6 inside that its address cannot be reached.
func icmpErrorFrom6(kind, code uint8) icmpError {
	e := icmpError{made: MadeUnreachable, type4: wire.ICMPUnreachable, code4: wire.ICMPCodeHost, type6: wire.ICMPv6Unreachable, code6: wire.ICMPv6CodeAddress}
	switch {
	case kind == wire.ICMPv6TimeExceeded:
		return icmpError{MadeTimeExceeded, wire.ICMPTimeExceeded, code, kind, code}
	case kind == wire.ICMPv6Parameter && code == wire.ICMPv6CodeNextHeader:
		e.code4 = wire.ICMPCodeProtocol
	case kind != wire.ICMPv6Unreachable:
	case code == wire.ICMPv6CodeRoute:
		e.code4, e.code6 = wire.ICMPCodeNet, code
	case code == wire.ICMPv6CodePort:
		e.code4, e.code6 = wire.ICMPCodePort, code
	case code == wire.ICMPv6CodeProhibited:
		e.code4, e.code6 = wire.ICMPCodeProhibited, code
	default:
		e.code6 = code
	}
	return e
}

// refuseBefore tells the client of a request that stands in f from offset at on of an error. The
// frame is spent: what stands before the request becomes its Ethernet header, as if it came
// from where the client's requests come from.
func (w *Worker) refuseBefore(f *Frame, request *Packet, at int, origin *station, e icmpError, rest int, now mono.Time, out *Batch) {
	g := Frame{Data: f.Data[at-wire.EthernetLen:], Port: f.Port}
	eth := wire.Ethernet(g.Data)
	eth.SetAddresses(wire.Ethernet(f.Data).Destination(), wire.MAC{})
	eth.SetEtherType(wire.EtherTypeIPv4)
	if request.Tuple.V6 {
		eth.SetEtherType(wire.EtherTypeIPv6)
	}
	if port := w.portOf(origin.link); port >= 0 {
		g.Port = port
		eth.SetAddresses(eth.Destination(), origin.mac)
		if origin.vlan != 0 {
			g.VLAN = VLANTag{TPID: wire.EtherTypeVLAN, TCI: origin.vlan}
		}
	}
	w.refuse(&g, request, e, rest, now, out)
}
