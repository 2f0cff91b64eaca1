package forwarding

import (
	"uvs/conntrack"
	"uvs/internal/wire"
)

// A Packet is what Decode found in a Frame. Offsets count from the start of Frame.Data.
type Packet struct {
	// Tuple is the packet's own. For an ICMP error it is that of an answer to the packet
	// inside: both have the same flow and the same direction.
	Tuple    conntrack.Tuple
	TCPFlags uint8 // wire.TCP… bits; 0 for all but TCP
	chunk    uint8 // of SCTP: the type of the chunk that decides
	kind     packetKind
	l4       int // offset of the transport or ICMP header
	ipLen    int // bytes of the IP packet, headers included
	limit    int // the packet has to leave in fragments of at most so many bytes; 0: as it is
	gathered int // the packet came in fragments of at most so many bytes; 0: whole
	fragment fragment
	helped   bool   // it is of a control connection, and Worker.help says what it needs
	gate     uint64 // version of data ends that must be steered before it goes on; 0: it may
	quoted   int    // offset of the IP header inside an ICMP error
	quotedL4 int    // offset of the transport header inside it, of which the ports are there
	// foreignChecksum: the checksum that is still to be completed is not this header's but
	// of a packet inside. Rewriting would corrupt it.
	foreignChecksum bool
}

// A packetKind tells what has to be done with a packet.
type packetKind uint8

const (
	kindSegment  packetKind = iota // a whole TCP segment, UDP datagram or SCTP packet, or several in one frame
	kindError                      // an ICMP error about such a one
	kindFragment                   // a fragment of such a one; it has no ports
	// kindTunnelError is an ICMP error about an IPIP or GRE packet of the host that it is sent
	// to. Tuple has no ports.
	kindTunnelError
)

// maxExtensionHeaders bounds the walk through an IPv6 header chain.
const maxExtensionHeaders = 8

// Decode reads the headers of f into p, whose old content is lost. It is the only place
// that checks lengths: after Forwarded is returned, Data holds the whole IP packet, and
// its transport header is complete; of an ICMP error, the packet inside has its ports.
// Trailing Ethernet padding is cut off f.Data. Any other Reason leaves p undefined. A frame
// that is not IP, or neither TCP, UDP, SCTP nor an error about them passes to the kernel; one
// that contradicts itself is dropped.
func Decode(f *Frame, p *Packet) Reason {
	if len(f.Data) < wire.EthernetLen {
		return DropTruncated
	}
	*p = Packet{}
	var protocol uint8
	var reason Reason
	switch wire.Ethernet(f.Data).EtherType() {
	case wire.EtherTypeIPv4:
		protocol, reason = decodeIPv4(f, p)
	case wire.EtherTypeIPv6:
		protocol, reason = decodeIPv6(f, p)
	default:
		return PassNotIP
	}
	if reason != Forwarded {
		return reason
	}
	p.Tuple.Proto = protocol
	if p.kind == kindFragment {
		return decodeFragment(f, p)
	}
	switch protocol {
	case wire.ProtoTCP:
		return decodeTCP(f, p)
	case wire.ProtoUDP:
		return decodeUDP(f, p)
	case wire.ProtoSCTP:
		return decodeSCTP(f, p)
	case wire.ProtoICMP:
		if !p.Tuple.V6 {
			return decodeICMP(f, p)
		}
	case wire.ProtoICMPv6:
		if p.Tuple.V6 {
			return decodeICMPv6(f, p)
		}
	}
	return PassProtocol
}

func decodeIPv4(f *Frame, p *Packet) (protocol uint8, reason Reason) {
	b := f.Data[wire.EthernetLen:]
	if len(b) < wire.IPv4Len {
		return 0, DropTruncated
	}
	h := wire.IPv4(b)
	headerLen, total := h.HeaderLen(), h.TotalLen()
	if h.Version() != 4 || headerLen < wire.IPv4Len || total < headerLen {
		return 0, DropIPHeader
	}
	if total > len(b) {
		return 0, DropTruncated
	}
	if wire.Checksum(b[:headerLen]) != 0 {
		return 0, DropIPHeader
	}
	if h.IsFragment() {
		p.kind = kindFragment
		p.fragment = fragment{
			offset: h.FragmentOffset(), more: h.MoreFragments(), df: h.DontFragment(), congestion: h.TOS()&ecnMask == ecnMask,
			id: uint32(h.ID()), head: wire.EthernetLen + headerLen,
		}
	}
	copy(p.Tuple.Src[:4], h.Source())
	copy(p.Tuple.Dst[:4], h.Destination())
	if !f.own && martianIPv4(h.Source()) {
		return 0, DropMartian
	}
	f.Data = f.Data[:wire.EthernetLen+total]
	p.l4, p.ipLen = wire.EthernetLen+headerLen, total
	return h.Protocol(), Forwarded
}

func decodeIPv6(f *Frame, p *Packet) (protocol uint8, reason Reason) {
	b := f.Data[wire.EthernetLen:]
	if len(b) < wire.IPv6Len {
		return 0, DropTruncated
	}
	h := wire.IPv6(b)
	total := wire.IPv6Len + h.PayloadLen()
	if h.Version() != 6 {
		return 0, DropIPHeader
	}
	if total > len(b) {
		return 0, DropTruncated
	}
	b = b[:total]
	p.Tuple.V6 = true
	copy(p.Tuple.Src[:], h.Source())
	copy(p.Tuple.Dst[:], h.Destination())
	if !f.own && martianIPv6(h.Source()) {
		return 0, DropMartian
	}
	next, off, at, reason := skipExtensionHeaders(b, h.NextHeader(), false)
	if reason == PassFragment {
		g := wire.IPv6Fragment(b[off:])
		p.kind = kindFragment
		p.fragment = fragment{
			offset: g.Offset(), more: g.MoreFragments(), congestion: h.TrafficClass()&ecnMask == ecnMask,
			id: g.ID(), head: wire.EthernetLen + off + wire.IPv6FragmentLen, nextAt: wire.EthernetLen + at, next: g.NextHeader(),
		}
		next, reason = g.NextHeader(), Forwarded
	}
	if reason != Forwarded {
		return 0, reason
	}
	f.Data = f.Data[:wire.EthernetLen+total]
	p.l4, p.ipLen = wire.EthernetLen+off, total
	return next, Forwarded
}

// skipExtensionHeaders walks the chain of RFC 8200, Section 4 and returns the protocol and
// offset of what follows it, and the offset of the byte that says so. A fragment header that
// stands before a whole packet (RFC 6946) is walked over, and with first also one before the
// first fragment of several. For any other one the reason is PassFragment, with its offset.
func skipExtensionHeaders(b []byte, next uint8, first bool) (protocol uint8, off, at int, reason Reason) {
	const nextHeaderAt = 6
	off, at = wire.IPv6Len, nextHeaderAt
	for range maxExtensionHeaders {
		switch next {
		case wire.ProtoHopByHop, wire.ProtoRouting, wire.ProtoDstOptions:
			if len(b) < off+8 {
				return 0, 0, 0, DropTruncated
			}
			next, at, off = b[off], off, off+8+int(b[off+1])*8
		case wire.ProtoFragment:
			if len(b) < off+wire.IPv6FragmentLen {
				return 0, 0, 0, DropTruncated
			}
			if h := wire.IPv6Fragment(b[off:]); h.Offset() != 0 || h.MoreFragments() && !first {
				return next, off, at, PassFragment
			}
			next, at, off = b[off], off, off+wire.IPv6FragmentLen
		default:
			return next, off, at, Forwarded
		}
	}
	return 0, 0, 0, DropIPHeader
}

// ecnMask is the field that says congestion experienced when all of it is set (RFC 3168).
const ecnMask = 0x03

// decodeFragment checks a fragment: those before the last have a multiple of eight bytes, and
// none reaches beyond what an IP packet can hold. A later fragment over IPv6 may name options
// instead of the transport.
func decodeFragment(f *Frame, p *Packet) Reason {
	if t := p.Tuple.Proto; !hasPorts(t) && (t != wire.ProtoDstOptions || !p.Tuple.V6) {
		return PassFragment
	}
	g := &p.fragment
	n := len(f.Data) - g.head
	if n <= 0 || g.more && n%8 != 0 || g.offset+n > datagramBytes {
		return DropIPHeader
	}
	p.foreignChecksum = f.Vnet.NeedsChecksum() || f.Vnet.GSO()
	return Forwarded
}

func decodeTCP(f *Frame, p *Packet) Reason {
	if len(f.Data) < p.l4+wire.TCPLen {
		return DropTruncated
	}
	l4 := f.Data[p.l4:]
	if h := wire.TCP(l4).HeaderLen(); h < wire.TCPLen || h > len(l4) {
		return DropTransport
	}
	p.TCPFlags = wire.TCP(l4).Flags()
	return decodePorts(f, p, wire.TCPChecksumOffset)
}

func decodeUDP(f *Frame, p *Packet) Reason {
	if len(f.Data) < p.l4+wire.UDPLen {
		return DropTruncated
	}
	l4 := f.Data[p.l4:]
	if n := wire.UDP(l4).Len(); !f.Vnet.GSO() && (n < wire.UDPLen || n > len(l4)) {
		return DropTransport
	}
	return decodePorts(f, p, wire.UDPChecksumOffset)
}

// signal returns what of the packet moves its flow's state.
func (p *Packet) signal() conntrack.Signal {
	if p.Tuple.Proto == wire.ProtoSCTP {
		return conntrack.Signal(p.chunk)
	}
	return conntrack.Signal(p.TCPFlags)
}

// hasPorts reports whether a protocol is one that services are of: its header begins with the
// ports.
func hasPorts(protocol uint8) bool {
	return protocol == wire.ProtoTCP || protocol == wire.ProtoUDP || protocol == wire.ProtoSCTP
}

func decodePorts(f *Frame, p *Packet, checksumOffset int) Reason {
	p.foreignChecksum = f.Vnet.NeedsChecksum() && f.Vnet.ChecksumAt() != p.l4+checksumOffset
	l4 := f.Data[p.l4:]
	p.Tuple.SrcPort, p.Tuple.DstPort = wire.SourcePort(l4), wire.DestinationPort(l4)
	return Forwarded
}

// martianIPv4 reports source addresses that no host may have: 0/8, 127/8, multicast and
// above (RFC 1122, Section 3.2.1.3; ip_route_input_slow in net/ipv4/route.c).
func martianIPv4(a []byte) bool { return a[0] == 0 || a[0] == 127 || a[0] >= 224 }

// martianIPv6 reports ::, ::1 and multicast sources (RFC 4291, Section 2.5 and 2.7).
func martianIPv6(a []byte) bool {
	if a[0] == 0xff {
		return true
	}
	var or byte
	for _, x := range a[:15] {
		or |= x
	}
	return or == 0 && a[15] <= 1
}
