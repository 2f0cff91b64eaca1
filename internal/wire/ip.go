package wire

import "encoding/binary"

// IP protocol numbers (IANA "Assigned Internet Protocol Numbers").
const (
	ProtoHopByHop   = 0
	ProtoICMP       = 1
	ProtoIPIP       = 4 // IPv4 inside
	ProtoTCP        = 6
	ProtoUDP        = 17
	ProtoIPv6       = 41 // IPv6 inside
	ProtoRouting    = 43
	ProtoFragment   = 44
	ProtoGRE        = 47
	ProtoICMPv6     = 58
	ProtoNone       = 59
	ProtoDstOptions = 60
	ProtoSCTP       = 132
)

// IPv4Len is the length of an IPv4 header without options.
const IPv4Len = 20

// IPv4 is a view on an IPv4 header (RFC 791, Section 3.1) of at least IPv4Len bytes;
// the options, if any, are there when the slice holds HeaderLen bytes.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	|Version|  IHL  |Type of Service|          Total Length         |
//	|         Identification        |Flags|      Fragment Offset    |
//	|  Time to Live |    Protocol   |         Header Checksum       |
//	|                       Source Address                          |
//	|                    Destination Address                        |
type IPv4 []byte

// Version returns the version nibble, 4 in a well-formed header.
func (h IPv4) Version() int { return int(h[0] >> 4) }

// HeaderLen returns the header's length in bytes, 0 to 60.
func (h IPv4) HeaderLen() int { return int(h[0]&0x0f) * 4 }

// TOS returns the type of service, or DSCP 2–8 and ECN 0–2 (RFC 2474, RFC 3168).
func (h IPv4) TOS() uint8 { return h[1] }

// SetTOS writes the type of service.
func (h IPv4) SetTOS(tos uint8) { h[1] = tos }

// TotalLen returns the length of header and payload in bytes.
func (h IPv4) TotalLen() int { return int(binary.BigEndian.Uint16(h[2:4])) }

// SetTotalLen writes that length, at most 65535.
func (h IPv4) SetTotalLen(n int) { binary.BigEndian.PutUint16(h[2:4], uint16(n)) }

// ID returns the identification that the fragments of a packet share.
func (h IPv4) ID() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// SetID writes the identification.
func (h IPv4) SetID(id uint16) { binary.BigEndian.PutUint16(h[4:6], id) }

// Bits of the word that SetFragment writes.
const (
	IPv4DontFragment  = 0x4000
	IPv4MoreFragments = 0x2000
)

// DontFragment reports whether the DF bit is set.
func (h IPv4) DontFragment() bool { return h[6]&(IPv4DontFragment>>8) != 0 }

// MoreFragments reports whether another fragment follows this one.
func (h IPv4) MoreFragments() bool { return h[6]&(IPv4MoreFragments>>8) != 0 }

// FragmentOffset returns where the payload stands in the whole packet's, in bytes.
func (h IPv4) FragmentOffset() int { return int(binary.BigEndian.Uint16(h[6:8])&0x1fff) * 8 }

// SetFragment writes flags, a set of IPv4DontFragment and IPv4MoreFragments, and the offset
// in bytes, a multiple of 8.
func (h IPv4) SetFragment(flags uint16, offset int) {
	binary.BigEndian.PutUint16(h[6:8], flags|uint16(offset/8))
}

// IsFragment reports whether the packet is a first, middle or last fragment.
func (h IPv4) IsFragment() bool { return binary.BigEndian.Uint16(h[6:8])&0x3fff != 0 }

// TTL returns the time to live.
func (h IPv4) TTL() uint8 { return h[8] }

// Protocol returns the protocol of the payload.
func (h IPv4) Protocol() uint8 { return h[9] }

// Checksum returns the header checksum field.
func (h IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[10:12]) }

// SetChecksum writes the header checksum field.
func (h IPv4) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[10:12], c) }

// Source returns the four bytes of the source address, which alias the packet.
func (h IPv4) Source() []byte { return h[12:16] }

// Destination returns the four bytes of the destination address, which alias the packet.
func (h IPv4) Destination() []byte { return h[16:20] }

// Init writes a header without options, checksum 0, for a payload of n bytes: what a packet
// of the host's own begins with. Fragmentation is forbidden with df.
func (h IPv4) Init(tos, ttl, protocol uint8, id uint16, df bool, n int) {
	_ = h[IPv4Len-1]
	h[0], h[1] = 0x45, tos
	h.SetTotalLen(IPv4Len + n)
	h.SetID(id)
	flags := uint16(0)
	if df {
		flags = IPv4DontFragment
	}
	h.SetFragment(flags, 0)
	h[8], h[9] = ttl, protocol
	h.SetChecksum(0)
}

// DecrementTTL takes one from the time to live and updates the checksum (RFC 1624).
// The TTL must be at least 1.
func (h IPv4) DecrementTTL() {
	old := binary.BigEndian.Uint16(h[8:10])
	h[8]--
	h.SetChecksum(Delta(0).Swap16(old, old-0x0100).Apply(h.Checksum()))
}

// IPv6Len is the length of the fixed IPv6 header.
const IPv6Len = 40

// IPv6 is a view on a fixed IPv6 header (RFC 8200, Section 3) of at least IPv6Len bytes:
// version, class and flow label 0–4, payload length 4–6, next header 6, hop limit 7,
// source 8–24, destination 24–40.
type IPv6 []byte

// Version returns the version nibble, 6 in a well-formed header.
func (h IPv6) Version() int { return int(h[0] >> 4) }

// TrafficClass returns the traffic class: DSCP 2–8 and ECN 0–2.
func (h IPv6) TrafficClass() uint8 { return h[0]<<4 | h[1]>>4 }

// SetTrafficClass writes the traffic class.
func (h IPv6) SetTrafficClass(c uint8) {
	h[0] = h[0]&0xf0 | c>>4
	h[1] = h[1]&0x0f | c<<4
}

// PayloadLen returns the length in bytes of all that follows the fixed header.
func (h IPv6) PayloadLen() int { return int(binary.BigEndian.Uint16(h[4:6])) }

// SetPayloadLen writes that length, at most 65535.
func (h IPv6) SetPayloadLen(n int) { binary.BigEndian.PutUint16(h[4:6], uint16(n)) }

// Init writes a fixed header for n bytes of the given protocol, with class and flow label 0.
func (h IPv6) Init(hopLimit, protocol uint8, n int) {
	_ = h[IPv6Len-1]
	binary.BigEndian.PutUint32(h[0:4], 6<<28)
	h.SetPayloadLen(n)
	h[6], h[7] = protocol, hopLimit
}

// NextHeader returns the type of the header that follows.
func (h IPv6) NextHeader() uint8 { return h[6] }

// HopLimit returns the hop limit.
func (h IPv6) HopLimit() uint8 { return h[7] }

// Source returns the 16 bytes of the source address, which alias the packet.
func (h IPv6) Source() []byte { return h[8:24] }

// Destination returns the 16 bytes of the destination address, which alias the packet.
func (h IPv6) Destination() []byte { return h[24:40] }

// DecrementHopLimit takes one from the hop limit, which must be at least 1.
func (h IPv6) DecrementHopLimit() { h[7]-- }

// IPv6FragmentLen is the length of a fragment header.
const IPv6FragmentLen = 8

// IPv6Fragment is a view on a fragment header (RFC 8200, Section 4.5) of IPv6FragmentLen
// bytes: next header 0, reserved 1, offset 2–4 with the more-fragments bit 0,
// identification 4–8.
type IPv6Fragment []byte

// NextHeader returns the type of what follows in the whole packet.
func (h IPv6Fragment) NextHeader() uint8 { return h[0] }

// Offset returns where the payload stands in the whole packet's fragmentable part, in bytes.
func (h IPv6Fragment) Offset() int { return int(binary.BigEndian.Uint16(h[2:4]) &^ 7) }

// MoreFragments reports whether another fragment follows this one.
func (h IPv6Fragment) MoreFragments() bool { return h[3]&1 != 0 }

// ID returns the identification that the fragments of a packet share.
func (h IPv6Fragment) ID() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// Init writes the header. The offset is in bytes, a multiple of 8.
func (h IPv6Fragment) Init(next uint8, offset int, more bool, id uint32) {
	_ = h[IPv6FragmentLen-1]
	word := uint16(offset)
	if more {
		word |= 1
	}
	h[0], h[1] = next, 0
	binary.BigEndian.PutUint16(h[2:4], word)
	binary.BigEndian.PutUint32(h[4:8], id)
}
