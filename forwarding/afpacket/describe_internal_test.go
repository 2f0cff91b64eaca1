package afpacket

import (
	"testing"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// TestDescribeSCTP: an SCTP packet whose checksum was left to the device says so, or it would go on
// without one.
func TestDescribeSCTP(t *testing.T) {
	const l4 = wire.EthernetLen + wire.IPv4Len
	frame := make([]byte, l4+wire.SCTPLen+wire.SCTPChunkLen)
	wire.Ethernet(frame).SetEtherType(wire.EtherTypeIPv4)
	h := wire.IPv4(frame[wire.EthernetLen:])
	h.Init(0, 64, wire.ProtoSCTP, 0, true, len(frame)-l4)
	v := describe(frame, make(forwarding.VnetHeader, forwarding.VnetLen))
	if !v.NeedsChecksum() || v.ChecksumStart() != l4 || v.ChecksumAt() != l4+wire.SCTPChecksumOffset {
		t.Errorf("described as % x", []byte(v))
	}
}
