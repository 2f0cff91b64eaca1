package wire_test

import (
	"encoding/hex"
	"testing"

	"uvs/internal/wire"
)

// TestSCTPChecksum has its checksum from a bitwise computation of CRC32c by RFC 9260, Appendix A.
func TestSCTPChecksum(t *testing.T) {
	p := wire.SCTP(make([]byte, wire.SCTPLen+wire.SCTPChunkLen))
	p.Init(40000, 5060, 0x01020304, wire.SCTPAbort, wire.SCTPReflected)
	if got, want := hex.EncodeToString(p), "9c4013c4010203042a80c57e06010004"; got != want {
		t.Errorf("an ABORT is %s, want %s", got, want)
	}
	if p.Tag() != 0x01020304 || p.CRC() != p.Sum() || p.CRC() == 0 {
		t.Errorf("tag %#x, checksum %#x of %#x", p.Tag(), p.CRC(), p.Sum())
	}
	before := p.Sum()
	p.SetCRC(0xffffffff)
	if p.Sum() != before {
		t.Error("the sum depends on what is in the field of the sum")
	}
	p[3]++
	if p.Sum() == before {
		t.Error("the sum does not depend on the ports")
	}
}
