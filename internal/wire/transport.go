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
	TCPPsh = 0x08
	TCPAck = 0x10
	TCPCwr = 0x80
)

// SourcePort returns the source port of a TCP, UDP or SCTP header, of which at least four
// bytes must be there.
func SourcePort(l4 []byte) uint16 { return binary.BigEndian.Uint16(l4[0:2]) }

// DestinationPort returns the destination port of a TCP, UDP or SCTP header, of which at least
// four bytes must be there.
func DestinationPort(l4 []byte) uint16 { return binary.BigEndian.Uint16(l4[2:4]) }

// TCP is a view on a TCP header (RFC 9293, Section 3.1) of at least TCPLen bytes.
type TCP []byte

// HeaderLen returns the header's length in bytes, 0 to 60.
func (h TCP) HeaderLen() int { return int(h[12]>>4) * 4 }

// Flags returns the flags byte, a set of TCPFin, TCPSyn, TCPRst, TCPAck and others.
func (h TCP) Flags() uint8 { return h[13] }

// SetFlags writes the flags byte.
func (h TCP) SetFlags(flags uint8) { h[13] = flags }

// Seq returns the sequence number.
func (h TCP) Seq() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// SetSeq writes the sequence number.
func (h TCP) SetSeq(n uint32) { binary.BigEndian.PutUint32(h[4:8], n) }

// Ack returns the acknowledgment number.
func (h TCP) Ack() uint32 { return binary.BigEndian.Uint32(h[8:12]) }

// SetChecksum writes the checksum field.
func (h TCP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[16:18], c) }

// Init writes a header without options, window and checksum 0.
func (h TCP) Init(source, destination uint16, seq, ack uint32, flags uint8) {
	_ = h[TCPLen-1]
	binary.BigEndian.PutUint16(h[0:2], source)
	binary.BigEndian.PutUint16(h[2:4], destination)
	h.SetSeq(seq)
	binary.BigEndian.PutUint32(h[8:12], ack)
	h[12], h[13] = TCPLen/4<<4, flags
	clear(h[14:TCPLen])
}

// UDP is a view on a UDP header (RFC 768) of at least UDPLen bytes.
type UDP []byte

// Len returns the length field: header and payload in bytes. It is 0 in a GSO frame
// longer than 64 KiB.
func (h UDP) Len() int { return int(binary.BigEndian.Uint16(h[4:6])) }

// SetLen writes the length field.
func (h UDP) SetLen(n int) { binary.BigEndian.PutUint16(h[4:6], uint16(n)) }

// Init writes a header with checksum 0 for a datagram of n bytes, header included.
func (h UDP) Init(source, destination uint16, n int) {
	_ = h[UDPLen-1]
	binary.BigEndian.PutUint16(h[0:2], source)
	binary.BigEndian.PutUint16(h[2:4], destination)
	h.SetLen(n)
	h.SetChecksum(0)
}

// SetChecksum writes the checksum field.
func (h UDP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[6:8], c) }
