package wire_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"uvs/internal/wire"
)

// slowSum is RFC 1071 as written: word by word, carries added at the end.
func slowSum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		s += w
		for s>>16 != 0 {
			s = s>>16 + s&0xffff
		}
	}
	return uint16(s)
}

func TestSumAgainstRFC1071(t *testing.T) {
	// The worked example of RFC 1071, Section 3.
	example := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got, want := wire.Sum(example, 0), uint16(0xddf2); got != want {
		t.Errorf("Sum(example) = %#04x, want %#04x", got, want)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := make([]byte, r.IntN(100))
		for i := range b {
			b[i] = byte(r.Uint32())
			if r.IntN(3) == 0 {
				b[i] = 0xff // provoke carries
			}
		}
		if got, want := wire.Sum(b, 0), slowSum(b); got != want {
			t.Fatalf("Sum(%x) = %#04x, want %#04x", b, got, want)
		}
	}
}

// TestDeltaAgainstRecomputation rewrites random fields of random segments and compares the
// updated checksum with one computed from nothing.
func TestDeltaAgainstRecomputation(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		b := make([]byte, 40+2*r.IntN(20))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		binary.BigEndian.PutUint16(b[10:], 0)
		sum := wire.Checksum(b)
		binary.BigEndian.PutUint16(b[10:], sum)

		old := append([]byte(nil), b[12:20]...)
		for i := 12; i < 20; i++ {
			b[i] = byte(r.Uint32())
		}
		updated := wire.Delta(0).Swap(old, b[12:20]).Apply(sum)

		binary.BigEndian.PutUint16(b[10:], updated)
		if got := wire.Sum(b, 0); got != 0xffff {
			t.Fatalf("after the update the header sums to %#04x, want 0xffff (checksum %#04x → %#04x)", got, sum, updated)
		}
	}
}

// TestPartialDelta follows CHECKSUM_PARTIAL: the field holds the pseudo-header sum, and
// whoever completes it adds the segment and complements.
func TestPartialDelta(t *testing.T) {
	segment := []byte{0x12, 0x34, 0x00, 0x50, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0, 9}
	src, dst, newDst := []byte{192, 0, 2, 1}, []byte{192, 0, 2, 10}, []byte{198, 51, 100, 11}
	partial := wire.PseudoHeaderSum(src, dst, wire.ProtoTCP, len(segment))
	got := wire.Delta(0).Swap(dst, newDst).ApplyPartial(partial)
	want := wire.PseudoHeaderSum(src, newDst, wire.ProtoTCP, len(segment))
	if got != want {
		t.Errorf("partial sum %#04x, want %#04x", got, want)
	}
}

func TestDecrementTTL(t *testing.T) {
	h := wire.IPv4{0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1}
	h.SetChecksum(wire.Checksum(h))
	for ttl := uint8(63); ttl > 0; ttl-- {
		h.DecrementTTL()
		if h.TTL() != ttl || wire.Checksum(h) != 0 {
			t.Fatalf("TTL %d with header checksum residue %#04x, want %d and 0", h.TTL(), wire.Checksum(h), ttl)
		}
	}
}

func BenchmarkDelta(b *testing.B) {
	old, fresh := []byte{192, 0, 2, 10}, []byte{198, 51, 100, 11}
	sum := uint16(0x1234)
	for b.Loop() {
		sum = wire.Delta(0).Swap(old, fresh).Swap16(80, 8080).Apply(sum)
	}
}
