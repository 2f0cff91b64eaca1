package wire

import (
	"encoding/binary"
	"math/bits"
)

// Sum returns the ones'-complement sum of b's 16-bit big-endian words added to initial,
// folded to 16 bits and not complemented (RFC 1071). An odd last byte counts as the high
// half of a word. Sums of parts may be chained through initial if all parts but the last
// have an even length.
func Sum(b []byte, initial uint16) uint16 {
	var sum, carry uint64
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	// Ones'-complement addition is the same for any word size that 16 divides (RFC 1071, Section 2).
	folded := sum>>32 + sum&0xffffffff + carry + uint64(initial)
	for len(b) >= 2 {
		folded += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		folded += uint64(b[0]) << 8
	}
	for folded>>16 != 0 {
		folded = folded>>16 + folded&0xffff
	}
	return uint16(folded)
}

// Checksum returns the Internet checksum of b: the complement of Sum(b, 0). Over a header
// whose checksum field is correct it is 0.
func Checksum(b []byte) uint16 { return ^Sum(b, 0) }

// PseudoHeaderSum returns the sum of a transport pseudo header (RFC 9293, Section 3.1 and
// RFC 8200, Section 8.1), for addresses of 4 or 16 bytes and an upper-layer length in
// bytes. Continue with Sum over the segment and complement the result.
func PseudoHeaderSum(src, dst []byte, protocol uint8, length int) uint16 {
	s := Sum(src, 0)
	s = Sum(dst, s)
	var tail [8]byte
	binary.BigEndian.PutUint32(tail[0:4], uint32(length))
	tail[7] = protocol
	return Sum(tail[:], s)
}

// A Delta is what a rewrite does to a checksum: the sum over the changed words of the
// complement of the old value plus the new one (the "~m + m'" of RFC 1624, equation 3).
// It holds up to 2^15 changed words. The zero Delta changes nothing.
type Delta uint32

// Swap16 adds the change of one 16-bit word.
func (d Delta) Swap16(old, new uint16) Delta {
	return d + Delta(^old) + Delta(new)
}

// Swap adds the change of a field from old to new, which have the same even length.
func (d Delta) Swap(old, new []byte) Delta {
	for len(old) >= 2 && len(new) >= 2 {
		d = d.Swap16(binary.BigEndian.Uint16(old), binary.BigEndian.Uint16(new))
		old, new = old[2:], new[2:]
	}
	return d
}

// Apply updates a finished checksum: HC' = ~(~HC + ~m + m') (RFC 1624, equation 3).
func (d Delta) Apply(checksum uint16) uint16 {
	return ^fold(uint32(^checksum) + uint32(d))
}

// ApplyPartial updates a checksum that hardware or the receiver is still to complete: the
// field holds the sum of the pseudo header, not complemented (Linux CHECKSUM_PARTIAL,
// virtio's NEEDS_CSUM). Only addresses belong into such a Delta, never ports.
func (d Delta) ApplyPartial(sum uint16) uint16 {
	return fold(uint32(sum) + uint32(d))
}

func fold(x uint32) uint16 {
	x = x>>16 + x&0xffff
	x = x>>16 + x&0xffff
	return uint16(x)
}
