package wire

import "encoding/binary"

// IP protocol numbers (IANA "Assigned Internet Protocol Numbers").
const (
	ProtoHopByHop   = 0
	ProtoICMP       = 1
	ProtoTCP        = 6
	ProtoUDP        = 17
	ProtoRouting    = 43
	ProtoFragment   = 44
	ProtoICMPv6     = 58
	ProtoNone       = 59
	ProtoDstOptions = 60
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

// TotalLen returns the length of header and payload in bytes.
func (h IPv4) TotalLen() int { return int(binary.BigEndian.Uint16(h[2:4])) }

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

// PayloadLen returns the length in bytes of all that follows the fixed header.
func (h IPv6) PayloadLen() int { return int(binary.BigEndian.Uint16(h[4:6])) }

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
