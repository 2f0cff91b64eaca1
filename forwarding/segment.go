package forwarding

import (
	"encoding/binary"

	"uvs/internal/wire"
)

// A segmenter cuts a GSO frame into the segments it stands for, each with complete checksums
// (tcp_gso_segment in net/ipv4/tcp_offload.c, __udp_gso_segment in net/ipv4/udp_offload.c).
type segmenter struct {
	f    *Frame
	p    *Packet
	head int // offset of what the transport carries
	size int // bytes of that in each segment but the last
	// summed: the segments have a transport checksum. partial: it is that of the pseudo header,
	// for somebody else to complete.
	summed, partial bool
}

// segmenter returns what cuts f. ok is false if f is of a kind that cannot be cut.
func (p *Packet) segmenter(f *Frame) (s segmenter, ok bool) {
	s = segmenter{f: f, p: p, head: p.payload(f), size: f.Vnet.segment()}
	kind := uint8(vnetUDP)
	if p.Tuple.Proto == wire.ProtoTCP {
		kind = vnetTCPv4
		if p.Tuple.V6 {
			kind = vnetTCPv6
		}
	}
	if s.size == 0 || p.foreignChecksum || f.Vnet.kind() != kind || len(f.Data) <= s.head {
		return s, false
	}
	s.summed = p.Tuple.Proto == wire.ProtoTCP || f.Vnet.NeedsChecksum() || binary.BigEndian.Uint16(p.checksumField(f)) != 0
	return s, true
}

// count returns how many segments there are.
func (s *segmenter) count() int { return (len(s.f.Data) - s.head + s.size - 1) / s.size }

// frameLen returns the length of the frame of segment i.
func (s *segmenter) frameLen(i int) int {
	return s.head + min(s.size, len(s.f.Data)-s.head-i*s.size)
}

// write makes b, of frameLen bytes, the frame of segment i.
func (s *segmenter) write(b []byte, i int) {
	p, at := s.p, i*s.size
	copy(b[:s.head], s.f.Data)
	copy(b[s.head:], s.f.Data[s.head+at:])
	if n := len(b) - wire.EthernetLen; p.Tuple.V6 {
		wire.IPv6(b[wire.EthernetLen:]).SetPayloadLen(n - wire.IPv6Len)
	} else {
		h := wire.IPv4(b[wire.EthernetLen:p.l4])
		h.SetTotalLen(n)
		h.SetID(h.ID() + uint16(i))
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(h))
	}
	if p.Tuple.Proto == wire.ProtoTCP {
		cutTCP(wire.TCP(b[p.l4:]), at, s.head+at+s.size >= len(s.f.Data))
	} else {
		wire.UDP(b[p.l4:]).SetLen(len(b) - p.l4)
	}
	one := Frame{Data: b}
	switch {
	case s.partial:
		binary.BigEndian.PutUint16(p.checksumField(&one), p.pseudoSum(&one, len(b)-p.l4))
	case s.summed:
		p.setTransportChecksum(&one)
	}
}

// cutTCP makes the header that of the segment at an offset (tcp_gso_segment in
// net/ipv4/tcp_offload.c).
func cutTCP(h wire.TCP, at int, last bool) {
	h.SetSeq(h.Seq() + uint32(at))
	flags := h.Flags()
	if at > 0 {
		flags &^= wire.TCPCwr
	}
	if !last {
		flags &^= wire.TCPFin | wire.TCPPsh
	}
	h.SetFlags(flags)
}
