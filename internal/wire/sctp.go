package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// SCTPLen is the length of SCTP's common header, SCTPChunkLen that of the header of each chunk
// behind it, and SCTPChecksumOffset where the checksum stands.
const (
	SCTPLen            = 12
	SCTPChunkLen       = 4
	SCTPChecksumOffset = 8
)

// Types of SCTP chunks (RFC 9260, Section 3.2).
const (
	SCTPInit             = 1
	SCTPInitAck          = 2
	SCTPAbort            = 6
	SCTPShutdownAck      = 8
	SCTPError            = 9
	SCTPCookieEcho       = 10
	SCTPCookieAck        = 11
	SCTPShutdownComplete = 14
)

// SCTPReflected is the flag of ABORT and SHUTDOWN COMPLETE that says that the verification tag is
// the one that the receiver sent (RFC 9260, Section 8.5.1).
const SCTPReflected = 0x01

// SCTPStaleCookie is the cause of an ERROR chunk (RFC 9260, Section 3.3.10.3).
const SCTPStaleCookie = 3

// SCTP is a view on an SCTP packet (RFC 9260, Section 3) of at least SCTPLen bytes.
//
//	+---------------+---------------+
//	|  Source Port  |   Dest. Port  |  0
//	+---------------+---------------+
//	|       Verification Tag        |  4
//	+-------------------------------+
//	|            Checksum           |  8
//	+------+------+-----------------+
//	| Type | Flags| Length          | 12, each chunk on four bytes
//	+------+------+-----------------+
type SCTP []byte

// Tag returns the verification tag.
func (h SCTP) Tag() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// CRC returns the checksum field. It is the only field of a header here that is little-endian
// (RFC 9260, Appendix A).
func (h SCTP) CRC() uint32 { return binary.LittleEndian.Uint32(h[8:12]) }

// SetCRC writes the checksum field.
func (h SCTP) SetCRC(c uint32) { binary.LittleEndian.PutUint32(h[8:12], c) }

// blankCRC is what the checksum is computed over in its own place. As a variable it costs no
// allocation.
var blankCRC = make([]byte, SCTPLen-SCTPChecksumOffset)

// Sum returns the CRC32c that the packet has to have: over all of it, with zeros in place of the
// checksum.
func (h SCTP) Sum() uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, h[:SCTPChecksumOffset])
	sum = crc32.Update(sum, table, blankCRC)
	return crc32.Update(sum, table, h[SCTPLen:])
}

// Chunk returns what begins at an offset and is a chunk: at least its header; nil if there is
// none. The first one is at SCTPLen.
func (h SCTP) Chunk(at int) SCTPChunk {
	if at < SCTPLen || len(h)-at < SCTPChunkLen {
		return nil
	}
	return SCTPChunk(h[at:])
}

// SCTPChunk is a view on a chunk and all that follows it.
type SCTPChunk []byte

// Type returns the chunk's type.
func (c SCTPChunk) Type() uint8 { return c[0] }

// Flags returns the chunk's flags.
func (c SCTPChunk) Flags() uint8 { return c[1] }

// Len returns the length field: the chunk with its header, without the padding.
func (c SCTPChunk) Len() int { return int(binary.BigEndian.Uint16(c[2:4])) }

// Cause returns the first cause of an ERROR chunk, −1 if it has none.
func (c SCTPChunk) Cause() int {
	if len(c) < 2*SCTPChunkLen {
		return -1
	}
	return int(binary.BigEndian.Uint16(c[SCTPChunkLen:]))
}

// Init writes the header of a packet and of its one chunk, which has nothing behind it, and the
// checksum. h has SCTPLen + SCTPChunkLen bytes.
func (h SCTP) Init(source, destination uint16, tag uint32, chunk, flags uint8) {
	_ = h[SCTPLen+SCTPChunkLen-1]
	binary.BigEndian.PutUint16(h[0:2], source)
	binary.BigEndian.PutUint16(h[2:4], destination)
	binary.BigEndian.PutUint32(h[4:8], tag)
	h[12], h[13] = chunk, flags
	binary.BigEndian.PutUint16(h[14:16], SCTPChunkLen)
	h.SetCRC(h.Sum())
}
