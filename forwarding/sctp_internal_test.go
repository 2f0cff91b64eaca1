package forwarding

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"uvs/internal/wire"
)

// sctpSite has SCTP services at port 80 of both virtual addresses.
func sctpSite(t testing.TB, m Method, serverPort uint16) *site {
	t.Helper()
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoSCTP, m, serverPort, 1)
	s.serve(vip6, 80, wire.ProtoSCTP, m, serverPort, 1)
	return s
}

// association plays packets between client4 and the service and returns the states in between.
func (s *site) association(serverPort uint16, packets string) string {
	s.t.Helper()
	chunks := map[string]uint8{
		"data": 0, "init": wire.SCTPInit, "init-ack": wire.SCTPInitAck, "abort": wire.SCTPAbort, "shutdown": 7,
		"shutdown-ack": wire.SCTPShutdownAck, "echo": wire.SCTPCookieEcho, "cookie-ack": wire.SCTPCookieAck, "complete": wire.SCTPShutdownComplete,
	}
	var states []string
	for _, word := range strings.Fields(packets) {
		g := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoSCTP}
		port := outside
		name, isReply := strings.CutPrefix(word, "<")
		if isReply {
			g.src, g.dst, port = endpoint(server4(0), serverPort), g.src, inside
		}
		chunk, ok := chunks[name]
		if !ok {
			s.t.Fatalf("no chunk %q", name)
		}
		g.flags = chunk
		out, _, reason := s.process(port, g.frame(s.t), nil)
		if reason != Forwarded {
			s.t.Fatalf("%s: %s", word, reason)
		}
		describe(s.t, out)
		e := s.flow(s.t)
		x := s.engine.Services()[0].Servers[0]
		states = append(states, fmt.Sprintf("%s/%d/%d", e.State, x.Active, x.Inactive))
	}
	return strings.Join(states, " ")
}

// TestAssociation: states, active and inactive connections over the life of an association, as
// IPVS has them.
func TestAssociation(t *testing.T) {
	for _, tt := range []struct {
		name          string
		method        Method
		packets, want string
	}{
		{
			"by NAT, closed by the client", Masq, "init <init-ack echo <cookie-ack data <data shutdown <shutdown-ack complete",
			"INIT1/0/1 C-SENT/0/1 C-REPLIED/0/1 ESTABLISHED/1/0 ESTABLISHED/1/0 ESTABLISHED/1/0 S-RECEIVED/0/1 S-ACK-SENT/0/1 CLOSED/0/1",
		},
		{
			"by NAT, closed by the server", Masq, "init <init-ack echo <cookie-ack <shutdown shutdown-ack <complete",
			"INIT1/0/1 C-SENT/0/1 C-REPLIED/0/1 ESTABLISHED/1/0 S-SENT/0/1 CLOSED/0/1 CLOSED/0/1",
		},
		{"by NAT, refused", Masq, "init <abort init", "INIT1/0/1 REJECTED/0/1 INIT/0/1"},
		{"by NAT, aborted and opened again", Masq, "init <init-ack echo <cookie-ack abort init", "INIT1/0/1 C-SENT/0/1 C-REPLIED/0/1 ESTABLISHED/1/0 CLOSED/0/1 INIT1/0/1"},
		{"by direct routing", Route, "init init echo data shutdown complete", "INIT1/0/1 INIT/0/1 ESTABLISHED/1/0 ESTABLISHED/1/0 S-RECEIVED/0/1 CLOSED/0/1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port := uint16(80)
			if tt.method == Masq {
				port = 8080
			}
			if got := sctpSite(t, tt.method, port).association(port, tt.packets); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestSCTPChecksums: a port that changes changes the CRC, one that was left to the device is
// completed, and a damaged packet stays damaged.
func TestSCTPChecksums(t *testing.T) {
	for _, tt := range []struct {
		name       string
		v6         bool
		method     Method
		serverPort uint16
		partial    bool
	}{
		{"NAT with another port", false, Masq, 8080, false},
		{"NAT with another port, unfinished", false, Masq, 8080, true},
		{"NAT with the same port", false, Masq, 80, false},
		{"NAT with the same port, unfinished", false, Masq, 80, true},
		{"NAT over IPv6", true, Masq, 8080, false},
		{"NAT over IPv6, unfinished", true, Masq, 8080, true},
		{"direct routing", false, Route, 80, false},
		{"direct routing, unfinished", false, Route, 80, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sctpSite(t, tt.method, tt.serverPort)
			client, vip, server, head := client4, vip4, server4(0), 34
			if tt.v6 {
				client, vip, server, head = client6, vip6, server6(0), 54
			}
			request := segment{src: endpoint(client, 40000), dst: endpoint(vip, 80), protocol: wire.ProtoSCTP, flags: wire.SCTPInit, payload: 33}.frame(t)
			var vnet VnetHeader
			if tt.partial {
				vnet = make(VnetHeader, VnetLen)
				vnet[0] = vnetNeedsChecksum
				putNative(vnet[6:], uint16(head))
				putNative(vnet[8:], wire.SCTPChecksumOffset)
				copy(request[head+8:head+12], []byte{0, 0, 0, 0})
			}
			out, _, reason := s.process(outside, bytes.Clone(request), vnet)
			if out == nil {
				t.Fatal(reason)
			}
			to := endpoint(server, tt.serverPort)
			if tt.method == Route {
				to = endpoint(vip, 80)
			}
			got := describe(t, out)
			if want := fmt.Sprintf("%s:40000>%s:%d ttl 63", client, to.Addr(), to.Port()); !strings.HasSuffix(got, want) {
				t.Errorf("left as %s, want %s", got, want)
			}
			if tt.partial {
				return
			}
			request[len(request)-1]++ // damage that only the checksum can tell
			if out, _, reason = s.process(outside, request, nil); out == nil {
				t.Fatal(reason)
			}
			if h := wire.SCTP(out.Data[head:]); h.Sum() == h.CRC() {
				t.Error("a damaged packet left with a checksum that is right")
			}
		})
	}
}

// TestSCTPOutOfTheBlue: RFC 9260, Section 8.4.
func TestSCTPOutOfTheBlue(t *testing.T) {
	chunks := func(list ...string) (b []byte) {
		for _, c := range list {
			b = append(b, c...)
		}
		return b
	}
	const (
		data     = "\x00\x03\x00\x14AAAABBBBCCCCDDDD"
		complete = "\x0e\x01\x00\x04"
	)
	for _, tt := range []struct {
		name   string
		chunks []byte
		tag    uint32
		spoil  bool
		want   int // type of the chunk that answers, −1: none
	}{
		{"DATA", chunks(data), 7, false, wire.SCTPAbort},
		{"DATA with a wrong checksum", chunks(data), 7, true, -1},
		{"DATA without a tag", chunks(data), 0, false, -1},
		{"COOKIE ECHO", chunks("\x0a\x00\x00\x08COOK"), 7, false, wire.SCTPAbort},
		{"SHUTDOWN ACK", chunks("\x08\x00\x00\x04"), 7, false, wire.SCTPShutdownComplete},
		{"SHUTDOWN COMPLETE", chunks(complete), 7, false, -1},
		{"COOKIE ACK", chunks("\x0b\x00\x00\x04"), 7, false, -1},
		{"ABORT", chunks("\x06\x00\x00\x04"), 7, false, -1},
		{"ABORT behind DATA", chunks(data, "\x06\x00\x00\x04"), 7, false, -1},
		{"ERROR about a stale cookie", chunks("\x09\x00\x00\x0c\x00\x03\x00\x08\x00\x00\x00\x05"), 7, false, -1},
		{"ERROR about something else", chunks("\x09\x00\x00\x08\x00\x01\x00\x04"), 7, false, wire.SCTPAbort},
		{"a chunk shorter than its header", chunks("\x00\x00\x00\x03"), 7, false, -1},
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ipv6 %t", tt.name, v6), func(t *testing.T) {
				s := sctpSite(t, Masq, 8080)
				s.engine.EndSilence()
				client, vip, head := client4, vip4, 34
				if v6 {
					client, vip, head = client6, vip6, 54
				}
				b := rawSCTP(t, endpoint(client, 40000), endpoint(vip, 80), tt.tag, tt.chunks)
				if tt.spoil {
					b[head+8]++
				}
				if out, _, reason := s.process(outside, b, nil); out != nil || reason != DropNoFlow {
					t.Fatalf("%s, want %s", reason, DropNoFlow)
				}
				if tt.want < 0 {
					if len(s.own) != 0 {
						t.Error("there was an answer, want none")
					}
					return
				}
				if len(s.own) != 1 || s.own[0].via != outside {
					t.Fatalf("%d frames of our own, want one by port %d", len(s.own), outside)
				}
				if got, want := describe(t, &s.own[0].frame), fmt.Sprintf("02:00:00:00:00:01>02:00:00:00:01:01 %s:80>%s:40000 ttl 64", vip, client); got != want {
					t.Errorf("sent %s, want %s", got, want)
				}
				h := wire.SCTP(s.own[0].frame.Data[head:])
				if c := h.Chunk(wire.SCTPLen); len(h) != 16 || int(c.Type()) != tt.want || c.Flags() != wire.SCTPReflected || c.Len() != 4 || h.Tag() != tt.tag {
					t.Errorf("sent % x, want chunk %d with tag %d", []byte(h), tt.want, tt.tag)
				}
				if got := s.worker.Info().Made[MadeAbort]; got != 1 {
					t.Errorf("counted %d answers", got)
				}
			})
		}
	}
}

// rawSCTP returns a frame with any chunks.
func rawSCTP(t testing.TB, src, dst netip.AddrPort, tag uint32, chunks []byte) []byte {
	t.Helper()
	b := segment{src: src, dst: dst, protocol: wire.ProtoSCTP, payload: len(chunks)}.frame(t)
	head := 34
	if src.Addr().Is6() {
		head = 54
	}
	n := wire.SCTPLen + len(chunks)
	if src.Addr().Is6() {
		wire.IPv6(b[14:]).SetPayloadLen(n)
	} else {
		h := wire.IPv4(b[14:34])
		h.SetTotalLen(20 + n)
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(h))
	}
	b = b[:head+n]
	h := wire.SCTP(b[head:])
	binary.BigEndian.PutUint32(h[4:], tag)
	copy(h[wire.SCTPLen:], chunks)
	h.SetCRC(h.Sum())
	return b
}

func TestSCTPPacketsThatOpenNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		chunks string
		sloppy bool
		vnet   VnetHeader
		want   Reason
	}{
		{"INIT", "\x01\x00\x00\x04", false, nil, Forwarded},
		{"DATA", "\x00\x03\x00\x04", false, nil, DropNoFlow},
		{"DATA, sloppy", "\x00\x03\x00\x04", true, nil, Forwarded},
		{"ABORT, sloppy", "\x06\x00\x00\x04", true, nil, DropNoFlow},
		{"COOKIE ECHO with an ABORT, sloppy", "\x0a\x00\x00\x06AA\x00\x00\x06\x00\x00\x04", true, nil, DropNoFlow},
		{"no chunk", "", false, nil, DropTransport},
		{"several packets in one frame", "\x01\x00\x00\x04", false, VnetHeader{0, 9, 0, 0, 100, 0, 0, 0, 0, 0}, DropOffload},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sctpSite(t, Masq, 8080)
			set := DefaultSysctls()
			set.SloppySCTP = tt.sloppy
			s.engine.SetSysctls(set)
			if _, _, reason := s.process(outside, rawSCTP(t, endpoint(client4, 40000), endpoint(vip4, 80), 7, []byte(tt.chunks)), tt.vnet); reason != tt.want {
				t.Errorf("%s, want %s", reason, tt.want)
			}
		})
	}
	t.Run("half a header", func(t *testing.T) {
		b := rawSCTP(t, endpoint(client4, 40000), endpoint(vip4, 80), 7, nil)[:34+8]
		h := wire.IPv4(b[14:34])
		h.SetTotalLen(28)
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(h))
		if _, _, reason := sctpSite(t, Masq, 8080).process(outside, b, nil); reason != DropTruncated {
			t.Errorf("%s, want %s", reason, DropTruncated)
		}
	})
}

// TestSCTPInFragments: a datagram that comes in fragments is put together, translated, and
// leaves in fragments whose checksum is right as a whole.
func TestSCTPInFragments(t *testing.T) {
	s := sctpSite(t, Masq, 8080)
	whole := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoSCTP, flags: wire.SCTPInit, payload: 400}.frame(t)
	for _, f := range cut4(whole, 300, 0) {
		s.process(outside, f, nil)
	}
	var packet []byte
	for _, f := range s.own {
		packet = append(packet, f.frame.Data[34:]...)
	}
	if h := wire.SCTP(packet); len(s.own) < 2 || wire.DestinationPort(packet) != 8080 || h.CRC() != h.Sum() {
		t.Errorf("%d fragments left with port %d and checksum %#x of %#x", len(s.own), wire.DestinationPort(packet), h.CRC(), h.Sum())
	}
}

// TestSCTPErrors: ICMP errors about SCTP find their association as those about TCP do.
func TestSCTPErrors(t *testing.T) {
	s := sctpSite(t, Masq, 8080)
	s.association(8080, "init <init-ack")
	m := icmpMessage{
		src: netip.MustParseAddr("203.0.113.99"), dst: vip4, kind: 3, code: 4, rest: 1400,
		quoted: segment{src: endpoint(vip4, 80), dst: endpoint(client4, 40000), protocol: wire.ProtoSCTP, flags: wire.SCTPInitAck}.quote(t, 8),
	}
	out, via, reason := s.process(outside, m.frame(t), nil)
	if out == nil || via != inside {
		t.Fatalf("by port %d: %s", via, reason)
	}
	quoted := out.Data[14+20+8:]
	if got := fmt.Sprintf("%v:%d", netip.AddrFrom4([4]byte(quoted[12:16])), wire.SourcePort(quoted[20:])); got != "198.51.100.11:8080" {
		t.Errorf("the packet inside comes from %s", got)
	}
}
