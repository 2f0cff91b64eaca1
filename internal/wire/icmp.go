package wire

import "encoding/binary"

// ICMPLen is the length of the header of an ICMP or ICMPv6 error, behind which the packet
// that it is about begins.
const ICMPLen = 8

// ICMP types and codes (RFC 792, RFC 1191).
const (
	ICMPUnreachable  = 3
	ICMPSourceQuench = 4
	ICMPTimeExceeded = 11

	ICMPCodeNet           = 0  // of ICMPUnreachable
	ICMPCodeHost          = 1  // of ICMPUnreachable
	ICMPCodeProtocol      = 2  // of ICMPUnreachable
	ICMPCodePort          = 3  // of ICMPUnreachable
	ICMPCodeFragmentation = 4  // of ICMPUnreachable: needed, but DF is set
	ICMPCodeProhibited    = 13 // of ICMPUnreachable: by an administrator
	ICMPCodeTTL           = 0  // of ICMPTimeExceeded: in transit
)

// ICMPv6 types and codes (RFC 4443). Types below ICMPv6Informational are errors.
const (
	ICMPv6Unreachable   = 1
	ICMPv6TooBig        = 2
	ICMPv6TimeExceeded  = 3
	ICMPv6Parameter     = 4
	ICMPv6Informational = 128

	ICMPv6CodeRoute      = 0 // of ICMPv6Unreachable: there is none
	ICMPv6CodeProhibited = 1 // of ICMPv6Unreachable: by an administrator
	ICMPv6CodeAddress    = 3 // of ICMPv6Unreachable
	ICMPv6CodePort       = 4 // of ICMPv6Unreachable
	ICMPv6CodeHopLimit   = 0 // of ICMPv6TimeExceeded: in transit
	ICMPv6CodeNextHeader = 1 // of ICMPv6Parameter: nobody knows it
)

// ICMP is a view on the header of an ICMP or ICMPv6 message of at least ICMPLen bytes: type
// 0, code 1, checksum 2–4, and four bytes that depend on the type.
type ICMP []byte

// Type returns the type.
func (h ICMP) Type() uint8 { return h[0] }

// Code returns the code.
func (h ICMP) Code() uint8 { return h[1] }

// SetKind writes type and code.
func (h ICMP) SetKind(kind, code uint8) { h[0], h[1] = kind, code }

// Checksum returns the checksum field.
func (h ICMP) Checksum() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// SetChecksum writes the checksum field.
func (h ICMP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[2:4], c) }

// ICMPChecksumOffset is where the checksum stands in the header.
const ICMPChecksumOffset = 2

// SetRest writes the four bytes that depend on the type: 0 for most, the MTU in its low half
// for fragmentation needed, the whole MTU for packet too big.
func (h ICMP) SetRest(v uint32) { binary.BigEndian.PutUint32(h[4:8], v) }

// Rest returns the four bytes that depend on the type.
func (h ICMP) Rest() uint32 { return binary.BigEndian.Uint32(h[4:8]) }
