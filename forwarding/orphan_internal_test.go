package forwarding

import (
	"net/netip"
	"testing"
	"time"

	"uvs/internal/wire"
)

// TestOrphans: after a crash, what a server sends on a connection that nobody knows is
// dropped, unless its client has spoken to the server itself; without a crash, or long
// after it, all is routed.
func TestOrphans(t *testing.T) {
	stranger := netip.MustParseAddrPort("203.0.113.77:39000")
	frame := func(src, dst netip.AddrPort, flags uint8) []byte {
		return segment{src: src, dst: dst, protocol: wire.ProtoTCP, flags: flags}.frame(t)
	}
	server := endpoint(server4(0), 80)
	for _, tt := range []struct {
		name    string
		crashed bool
		later   time.Duration
		client  uint8 // flags of what the client sends to the server before, 0: nothing
		server  uint8
		want    Reason
	}{
		{"no crash", false, 0, 0, wire.TCPAck, Forwarded},
		{"a lost flow", true, 0, 0, wire.TCPAck, DropOrphan},
		{"a lost flow's handshake", true, 0, 0, wire.TCPSyn | wire.TCPAck, DropOrphan},
		{"the client refused", true, 0, wire.TCPRst, wire.TCPAck, DropOrphan},
		{"the client connects", true, 0, wire.TCPSyn, wire.TCPSyn | wire.TCPAck, Forwarded},
		{"the client goes on", true, 0, wire.TCPAck, wire.TCPAck, Forwarded},
		{"the server connects", true, 0, 0, wire.TCPSyn, Forwarded},
		{"a handshake two minutes after", true, 2 * time.Minute, 0, wire.TCPSyn | wire.TCPAck, Forwarded},
		{"a segment two minutes after", true, 2 * time.Minute, 0, wire.TCPAck, DropOrphan},
		{"long after the crash", true, 16 * time.Minute, 0, wire.TCPAck, Forwarded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
			n := siteNetwork()
			n.Forwarding4 = true
			s.engine.SetRoutes(NewRoutes(n))
			if tt.crashed {
				s.engine.direct.watch(s.now, 16*time.Minute)
			}
			s.now = s.now.Add(tt.later)
			if tt.client != 0 {
				if _, _, reason := s.process(outside, frame(stranger, server, tt.client), nil); reason != PassNotServed {
					t.Errorf("client's packet: %s, want %s", reason, PassNotServed)
				}
			}
			if _, _, reason := s.process(inside, frame(server, stranger, tt.server), nil); reason != tt.want {
				t.Errorf("server's packet: %s, want %s", reason, tt.want)
			}
		})
	}
}
