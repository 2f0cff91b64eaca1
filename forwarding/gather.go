package forwarding

import (
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// gather takes a fragment. As IPVS does, it waits for all of a datagram and then decides
// about the whole, which leaves in fragments again (ip_vs_gather_frags; ip_defrag, ip_fragment).
// Each fragment counts as what became of the datagram.
func (w *Worker) gather(f *Frame, p *Packet, now mono.Time, out *Batch) Reason {
	if !w.concerns(p) {
		return PassFragment
	}
	if p.foreignChecksum {
		return DropOffload // fragments have no checksum of their own, and are never merged
	}
	g := w.engine.fragments.add(f, p, now, w.scratch.whole)
	w.reasons.addN(DropFragmentMemory, g.evicted)
	if g.reason == Forwarded {
		whole := Frame{Data: w.scratch.whole[:g.length], VLAN: f.VLAN, Port: f.Port, own: f.own}
		if g.reason = w.beginWhole(&whole, p, &g); g.reason == Forwarded {
			g.reason = w.dispatch(&whole, p, now, out)
		}
	}
	w.reasons.addN(g.reason, g.count)
	return g.reason
}

// concerns reports whether a fragment may be of a packet that is ours: those have a service's
// address, or come from a server whose answers the kernel does not get. Ports decide when
// they are known.
func (w *Worker) concerns(p *Packet) bool {
	t := &p.Tuple
	return w.virtual(&t.Dst, t.V6) || w.answering.hosts.has(&t.Src, t.V6) || w.virtual(&t.Src, t.V6)
}

// virtual reports whether an address may be that of a service.
func (w *Worker) virtual(addr *[16]byte, v6 bool) bool {
	return w.table.hosts.has(addr, v6) || w.table.marked && w.routes.local(addr, v6) && w.marks.concerns(addr, v6)
}

// beginWhole makes the headers of the first fragment those of the whole packet, and decodes it.
func (w *Worker) beginWhole(f *Frame, p *Packet, g *gathering) Reason {
	var again fragment
	var reason Reason
	if p.Tuple.V6 {
		again, reason = wholeIPv6(f, g)
	} else {
		reason = wholeIPv4(f, g)
	}
	if reason != Forwarded {
		return reason
	}
	if reason := Decode(f, p); reason != Forwarded {
		return reason
	}
	if p.kind != kindSegment {
		return PassProtocol
	}
	p.gathered, p.fragment = g.longest, again
	return Forwarded
}

func wholeIPv4(f *Frame, g *gathering) Reason {
	h := wire.IPv4(f.Data[wire.EthernetLen:])
	n := len(f.Data) - wire.EthernetLen
	if n > datagramBytes {
		return DropIPHeader
	}
	h.SetTotalLen(n)
	h.SetFragment(0, 0)
	if g.df {
		h.SetFragment(wire.IPv4DontFragment, 0)
	}
	if g.congestion {
		h.SetTOS(h.TOS() | ecnMask)
	}
	h.SetChecksum(0)
	h.SetChecksum(wire.Checksum(h[:h.HeaderLen()]))
	return Forwarded
}

// wholeIPv6 also takes the fragment header out, and returns where it stood.
func wholeIPv6(f *Frame, g *gathering) (again fragment, reason Reason) {
	b := f.Data[wire.EthernetLen:]
	_, off, at, reason := skipExtensionHeaders(b, wire.IPv6(b).NextHeader(), false)
	if reason != PassFragment {
		return again, DropIPHeader
	}
	b[at] = wire.IPv6Fragment(b[off:]).NextHeader()
	copy(f.Data[wire.IPv6FragmentLen:], f.Data[:wire.EthernetLen+off])
	f.Data = f.Data[wire.IPv6FragmentLen:]
	h := wire.IPv6(f.Data[wire.EthernetLen:])
	n := len(f.Data) - wire.EthernetLen - wire.IPv6Len
	if n > datagramBytes {
		return again, DropIPHeader
	}
	h.SetPayloadLen(n)
	if g.congestion {
		h.SetTrafficClass(h.TrafficClass() | ecnMask)
	}
	return fragment{head: wire.EthernetLen + off, nextAt: wire.EthernetLen + at}, Forwarded
}

// expireFragments gives up datagrams that stay incomplete.
func (w *Worker) expireFragments(now mono.Time) {
	if n := w.engine.fragments.expire(now); n > 0 {
		w.reasons.addN(DropFragmentTimeout, n)
		w.reasons.publish()
	}
}
