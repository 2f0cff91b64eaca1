package forwarding

import (
	"testing"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// TestGlance: what a glance says of a frame is what Decode says.
func TestGlance(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"TCP", segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP}.frame(t), true},
		{"UDP", segment{src: endpoint(vip4, 53), dst: endpoint(client4, 9), protocol: wire.ProtoUDP}.frame(t), true},
		{"IPv6", segment{src: endpoint(client6, 40000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP}.frame(t), false},
		{"ICMP", icmpMessage{src: client4, dst: vip4, kind: 8}.frame(t), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tp conntrack.Tuple
			if got := glance(tt.frame, &tp); got != tt.want {
				t.Fatalf("a glance says %t", got)
			}
			var p Packet
			if reason := Decode(&Frame{Data: tt.frame}, &p); tt.want && (reason != Forwarded || p.Tuple != tp) {
				t.Errorf("a glance says %v, Decode %v (%s)", tp, p.Tuple, reason)
			}
			for n := range tt.frame {
				glance(tt.frame[:n], &tp) // does not look beyond
			}
		})
	}
}
