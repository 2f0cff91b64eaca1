package parity

import (
	"encoding/binary"
	"net/netip"

	"uvs/internal/wire"
)

// A Packet is an IP packet as scripts write it. The zero values of TTL, Seq, Ack and Window
// stand for themselves; ParsePacket fills in what a script leaves out.
type Packet struct {
	Src, Dst netip.AddrPort // ports are 0 where the protocol has none
	Proto    uint8
	TTL      uint8 // or hop limit
	TOS      uint8 // or traffic class
	DF       bool
	Options  []byte // of IPv4: a multiple of four bytes
	Flow     uint32 // flow label of IPv6

	// Fragment is the fragment's place in its datagram; nil for whole packets. Data is then all
	// that follows the IP header.
	Fragment *Fragment

	Flags      uint8 // of TCP, wire.TCP… bits
	Seq, Ack   uint32
	Window     uint16
	Urgent     uint16
	TCPOptions []byte // a multiple of four bytes

	Kind, Code uint8  // of ICMP; of SCTP the type and the flags of its one chunk
	Rest       uint32 // of ICMP what follows the checksum; of SCTP the verification tag

	Data  []byte
	Inner *Packet // what an ICMP error quotes, or a tunnel carries; Data is empty then

	// Cut is how many bytes of the IP payload are there of a quoted packet; 0: all.
	Cut int
	// Sum is a transport checksum that is not the right one; nil: it is right.
	Sum *uint16
}

// A Fragment is a fragment's offset in bytes, whether others follow, and the identification
// that it shares with them, which only matters in packets to send.
type Fragment struct {
	Offset int
	More   bool
	ID     uint32
}

const (
	protoIPIP = 4
	protoIPv6 = 41
)

func (p *Packet) v6() bool { return p.Src.Addr().Is6() }

// Bytes returns the IP packet.
func (p *Packet) Bytes() []byte {
	body := p.body()
	whole := len(body)
	if p.Cut > 0 && p.Cut < whole {
		body = body[:p.Cut]
	}
	if p.v6() {
		return append(p.headerV6(whole), body...)
	}
	return append(p.headerV4(whole), body...)
}

func (p *Packet) headerV4(payload int) []byte {
	b := make([]byte, wire.IPv4Len, wire.IPv4Len+len(p.Options))
	b = append(b, p.Options...)
	b[0], b[1] = 4<<4|byte(len(b)/4), p.TOS
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+payload))
	word := uint16(0)
	if p.DF {
		word |= wire.IPv4DontFragment
	}
	if f := p.Fragment; f != nil {
		binary.BigEndian.PutUint16(b[4:], uint16(f.ID))
		word |= uint16(f.Offset / 8)
		if f.More {
			word |= wire.IPv4MoreFragments
		}
	}
	binary.BigEndian.PutUint16(b[6:], word)
	b[8], b[9] = p.TTL, p.Proto
	copy(b[12:], p.Src.Addr().AsSlice())
	copy(b[16:], p.Dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[10:], wire.Checksum(b))
	return b
}

func (p *Packet) headerV6(payload int) []byte {
	b := make([]byte, wire.IPv6Len, wire.IPv6Len+wire.IPv6FragmentLen)
	binary.BigEndian.PutUint32(b, 6<<28|uint32(p.TOS)<<20|p.Flow)
	b[6], b[7] = p.Proto, p.TTL
	copy(b[8:], p.Src.Addr().AsSlice())
	copy(b[24:], p.Dst.Addr().AsSlice())
	if f := p.Fragment; f != nil {
		b = b[:wire.IPv6Len+wire.IPv6FragmentLen]
		b[6], b[40] = wire.ProtoFragment, p.Proto
		word := uint16(f.Offset)
		if f.More {
			word |= 1
		}
		binary.BigEndian.PutUint16(b[42:], word)
		binary.BigEndian.PutUint32(b[44:], f.ID)
	}
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-wire.IPv6Len+payload))
	return b
}

// body returns what follows the IP header, with its checksum.
func (p *Packet) body() []byte {
	if p.Fragment != nil {
		return p.Data
	}
	var b []byte
	at := -1 // of the checksum
	switch p.Proto {
	case wire.ProtoTCP:
		b, at = p.tcp(), wire.TCPChecksumOffset
	case wire.ProtoUDP:
		b, at = p.udp(), wire.UDPChecksumOffset
	case wire.ProtoSCTP:
		return p.sctp()
	case wire.ProtoICMP, wire.ProtoICMPv6:
		b, at = make([]byte, wire.ICMPLen), wire.ICMPChecksumOffset
		b[0], b[1] = p.Kind, p.Code
		binary.BigEndian.PutUint32(b[4:], p.Rest)
	}
	if p.Inner != nil {
		b = append(b, p.Inner.Bytes()...)
	} else {
		b = append(b, p.Data...)
	}
	if at >= 0 {
		sum := p.checksum(b)
		if p.Sum != nil {
			sum = *p.Sum
		}
		binary.BigEndian.PutUint16(b[at:], sum)
	}
	return b
}

func (p *Packet) tcp() []byte {
	b := make([]byte, wire.TCPLen, wire.TCPLen+len(p.TCPOptions)+len(p.Data))
	binary.BigEndian.PutUint16(b, p.Src.Port())
	binary.BigEndian.PutUint16(b[2:], p.Dst.Port())
	binary.BigEndian.PutUint32(b[4:], p.Seq)
	binary.BigEndian.PutUint32(b[8:], p.Ack)
	b[12], b[13] = byte(wire.TCPLen+len(p.TCPOptions))/4<<4, p.Flags
	binary.BigEndian.PutUint16(b[14:], p.Window)
	binary.BigEndian.PutUint16(b[18:], p.Urgent)
	return append(b, p.TCPOptions...)
}

func (p *Packet) udp() []byte {
	b := make([]byte, wire.UDPLen, wire.UDPLen+len(p.Data))
	binary.BigEndian.PutUint16(b, p.Src.Port())
	binary.BigEndian.PutUint16(b[2:], p.Dst.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(wire.UDPLen+len(p.Data)))
	return b
}

// sctp returns an SCTP packet of one chunk, padded and with its checksum (RFC 9260, Section 3).
func (p *Packet) sctp() []byte {
	b := make([]byte, wire.SCTPLen+wire.SCTPChunkLen, wire.SCTPLen+wire.SCTPChunkLen+len(p.Data)+3)
	binary.BigEndian.PutUint16(b, p.Src.Port())
	binary.BigEndian.PutUint16(b[2:], p.Dst.Port())
	binary.BigEndian.PutUint32(b[4:], p.Rest)
	b[12], b[13] = p.Kind, p.Code
	binary.BigEndian.PutUint16(b[14:], uint16(wire.SCTPChunkLen+len(p.Data)))
	b = append(b, p.Data...)
	b = append(b, make([]byte, -len(p.Data)&3)...)
	h := wire.SCTP(b)
	h.SetCRC(h.Sum())
	return b
}

// checksum returns the right checksum of a body whose field is 0.
func (p *Packet) checksum(b []byte) uint16 {
	if p.Proto == wire.ProtoICMP {
		return wire.Checksum(b)
	}
	sum := ^wire.Sum(b, wire.PseudoHeaderSum(p.Src.Addr().AsSlice(), p.Dst.Addr().AsSlice(), p.Proto, len(b)))
	if sum == 0 && p.Proto == wire.ProtoUDP {
		return 0xffff // 0 says that there is none (RFC 768)
	}
	return sum
}

// Pattern returns n bytes that "data N" stands for.
func Pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}
