package wire

import "encoding/binary"

// Lengths of the transport headers without options, and where their checksums stand.
const (
	TCPLen            = 20
	UDPLen            = 8
	TCPChecksumOffset = 16
	UDPChecksumOffset = 6
)

// Bits of TCP's flags byte (RFC 9293, Section 3.1).
const (
	TCPFin = 0x01
	TCPSyn = 0x02
	TCPRst = 0x04
	TCPAck = 0x10
)

// SourcePort returns the source port of a TCP or UDP header, of which at least four
// bytes must be there.
func SourcePort(l4 []byte) uint16 { return binary.BigEndian.Uint16(l4[0:2]) }

// DestinationPort returns the destination port of a TCP or UDP header, of which at least
// four bytes must be there.
func DestinationPort(l4 []byte) uint16 { return binary.BigEndian.Uint16(l4[2:4]) }

// TCP is a view on a TCP header (RFC 9293, Section 3.1) of at least TCPLen bytes.
type TCP []byte

// HeaderLen returns the header's length in bytes, 0 to 60.
func (h TCP) HeaderLen() int { return int(h[12]>>4) * 4 }

// Flags returns the flags byte, a set of TCPFin, TCPSyn, TCPRst, TCPAck and others.
func (h TCP) Flags() uint8 { return h[13] }

// UDP is a view on a UDP header (RFC 768) of at least UDPLen bytes.
type UDP []byte

// Len returns the length field: header and payload in bytes. It is 0 in a GSO frame
// longer than 64 KiB.
func (h UDP) Len() int { return int(binary.BigEndian.Uint16(h[4:6])) }
