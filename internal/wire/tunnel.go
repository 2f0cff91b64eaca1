package wire

import "encoding/binary"

// GUELen is the length of a header of Generic UDP Encapsulation without options, and
// GUERemoteLen that of the options that leave a checksum to the receiver.
const (
	GUELen       = 4
	GUERemoteLen = 8
)

// GUE is a view on a header of Generic UDP Encapsulation (draft-ietf-intarea-gue, variant 0;
// include/net/gue.h) of at least GUELen bytes: variant 0–2 bits, control 2–3 bits, length of
// the options in words of four bytes 3–8 bits, protocol of what follows 1, flags 2–4.
type GUE []byte

const (
	guePrivate        = 0x0001     // GUE_FLAG_PRIV: further flags stand in the first option
	gueRemoteChecksum = 0x80000000 // GUE_PFLAG_REMCSUM
	gueNoData         = 0xe0       // variant and control
)

// Init writes a data header of the protocol, without options.
func (h GUE) Init(protocol uint8) {
	_ = h[GUELen-1]
	h[0], h[1], h[2], h[3] = 0, protocol, 0, 0
}

// SetRemoteChecksum adds the options that leave a checksum to the receiver: it covers what
// follows from start on, and stands at field; both count from the end of the header. There
// must be GUELen+GUERemoteLen bytes.
func (h GUE) SetRemoteChecksum(start, field int) {
	_ = h[GUELen+GUERemoteLen-1]
	h[0] |= GUERemoteLen / 4
	binary.BigEndian.PutUint16(h[2:4], guePrivate)
	binary.BigEndian.PutUint32(h[4:8], gueRemoteChecksum)
	binary.BigEndian.PutUint16(h[8:10], uint16(start))
	binary.BigEndian.PutUint16(h[10:12], uint16(field))
}

// Data reports whether a packet of Protocol follows: not a control message, and of the variant
// known here.
func (h GUE) Data() bool { return h[0]&gueNoData == 0 }

// HeaderLen returns the length of header and options in bytes.
func (h GUE) HeaderLen() int { return GUELen + int(h[0]&^gueNoData)*4 }

// Protocol returns the IP protocol number of what follows.
func (h GUE) Protocol() uint8 { return h[1] }

// RemoteChecksum returns what SetRemoteChecksum wrote; ok is false if the header has no such
// options. HeaderLen bytes must be there.
func (h GUE) RemoteChecksum() (start, field int, ok bool) {
	if h.HeaderLen() < GUELen+GUERemoteLen || binary.BigEndian.Uint16(h[2:4])&guePrivate == 0 ||
		binary.BigEndian.Uint32(h[4:8])&gueRemoteChecksum == 0 {
		return 0, 0, false
	}
	return int(binary.BigEndian.Uint16(h[8:10])), int(binary.BigEndian.Uint16(h[10:12])), true
}

// GRELen is the length of a header of Generic Routing Encapsulation without optional fields,
// and GREChecksumLen that of the field with the checksum.
const (
	GRELen         = 4
	GREChecksumLen = 4
)

// GRE is a view on a header of Generic Routing Encapsulation (RFC 2784, RFC 2890) of at least
// GRELen bytes: flags and version 0–2, EtherType of what follows 2–4, with greChecksum the
// checksum 4–6.
type GRE []byte

const (
	greChecksum = 0x8000
	greKey      = 0x2000
	greSequence = 0x1000
	greOther    = 0x4fff // flags of RFC 1701, version: not known here
)

// Init writes a header for packets of an EtherType, with a checksum field of 0 or without one.
func (h GRE) Init(etherType uint16, checksum bool) {
	_ = h[GRELen-1]
	flags := uint16(0)
	if checksum {
		flags = greChecksum
		binary.BigEndian.PutUint32(h[4:8], 0)
	}
	binary.BigEndian.PutUint16(h[0:2], flags)
	binary.BigEndian.PutUint16(h[2:4], etherType)
}

// SetChecksum writes the checksum field, which must be there. The checksum covers header and
// packet.
func (h GRE) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[4:6], c) }

// HasChecksum reports whether there is a checksum.
func (h GRE) HasChecksum() bool { return binary.BigEndian.Uint16(h[0:2])&greChecksum != 0 }

// HeaderLen returns the header's length in bytes, 0 for a header of another version or with
// fields that RFC 2890 does not have.
func (h GRE) HeaderLen() int {
	flags := binary.BigEndian.Uint16(h[0:2])
	if flags&greOther != 0 {
		return 0
	}
	n := GRELen
	for _, field := range [...]uint16{greChecksum, greKey, greSequence} {
		if flags&field != 0 {
			n += 4
		}
	}
	return n
}

// EtherType returns the EtherType of what follows.
func (h GRE) EtherType() uint16 { return binary.BigEndian.Uint16(h[2:4]) }
