package forwarding

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/internal/wire"
)

// tunnelled sends a packet of a client through a tunnel and returns the outer IP packet.
func (s *site) tunnelled(g segment, df bool) []byte {
	s.t.Helper()
	b := g.frame(s.t)
	mark(b, 0, df)
	out, _, reason := s.process(outside, b, nil)
	if reason != Forwarded || out == nil {
		s.t.Fatalf("the packet to the server: %s", reason)
	}
	return out.Data[wire.EthernetLen:]
}

// TestTunnelErrors: an error about an outer packet reaches the client as one about its own
// packet, from the virtual address, in the client's family and words.
func TestTunnelErrors(t *testing.T) {
	type message struct{ kind, code uint8 }
	pairs := familyPairs()
	for _, tt := range []struct {
		name string
		pair familyPair
		is   message
		want string // "": the client is not told
	}{
		{"host unreachable", pairs[0], message{3, 1}, "type 3 code 1 rest 0"},
		{"protocol unreachable", pairs[0], message{3, 2}, "type 3 code 2 rest 0"},
		{"source quench", pairs[0], message{4, 0}, "type 4 code 0 rest 0"},
		{"time exceeded", pairs[0], message{11, 0}, "type 11 code 0 rest 0"},
		{"host unreachable", pairs[2], message{3, 1}, "type 1 code 3 rest 0"},
		{"network unreachable", pairs[2], message{3, 0}, "type 1 code 0 rest 0"},
		{"port unreachable", pairs[2], message{3, 3}, "type 1 code 4 rest 0"},
		{"prohibited", pairs[2], message{3, 13}, "type 1 code 1 rest 0"},
		{"time exceeded", pairs[2], message{11, 0}, "type 3 code 0 rest 0"},
		{"source quench", pairs[2], message{4, 0}, ""},
		{"no route", pairs[1], message{1, 0}, "type 3 code 0 rest 0"},
		{"address unreachable", pairs[1], message{1, 3}, "type 3 code 1 rest 0"},
		{"port unreachable", pairs[1], message{1, 4}, "type 3 code 3 rest 0"},
		{"prohibited", pairs[1], message{1, 1}, "type 3 code 13 rest 0"},
		{"time exceeded", pairs[1], message{3, 0}, "type 11 code 0 rest 0"},
		{"unknown next header", pairs[1], message{4, 1}, "type 3 code 2 rest 0"},
		{"address unreachable", pairs[3], message{1, 3}, "type 1 code 3 rest 0"},
		{"beyond scope", pairs[3], message{1, 2}, "type 1 code 2 rest 0"},
		{"time exceeded", pairs[3], message{3, 0}, "type 3 code 0 rest 0"},
		{"unknown next header", pairs[3], message{4, 1}, "type 1 code 3 rest 0"},
	} {
		for _, tc := range tunnelCases() {
			t.Run(fmt.Sprintf("%s, %s, %s", tt.name, tt.pair, tc.name), func(t *testing.T) {
				s := newSite(t)
				s.tunnelTo(tt.pair, wire.ProtoUDP, tc.spec)
				g := segment{src: endpoint(tt.pair.client, 40000), dst: endpoint(tt.pair.vip, 80), protocol: wire.ProtoUDP, payload: 20}
				quoted := s.tunnelled(g, true)
				e := icmpMessage{src: tt.pair.server, dst: tt.pair.source, kind: tt.is.kind, code: tt.is.code, quoted: quoted}
				out, _, reason := s.process(inside, e.frame(t), nil)
				if reason != PassTunnelError || out != nil {
					t.Fatalf("%s", reason)
				}
				if tt.want == "" {
					if len(s.own) != 0 {
						t.Errorf("the client is told %s", describeError(t, &s.own[0].frame))
					}
					return
				}
				if len(s.own) != 1 || s.own[0].via != outside {
					t.Fatalf("%d frames were made", len(s.own))
				}
				want := fmt.Sprintf("%s %s>%s ttl 64 %s about %s>%s with 28 bytes", hardware(outsideMAC, gatewayMAC),
					tt.pair.vip, tt.pair.client, tt.want, g.src, g.dst)
				if got := describeError(t, &s.own[0].frame); got != want {
					t.Errorf("the client is told\n%s, want\n%s", got, want)
				}
			})
		}
	}
}

// TestTunnelErrorForANeighbour: a client whose MAC the kernel does not know is told by way of
// where its packets come from.
func TestTunnelErrorForANeighbour(t *testing.T) {
	pair := familyPairs()[0]
	pair.client = netip.MustParseAddr("192.0.2.77")
	s := newSite(t)
	s.tunnelTo(pair, wire.ProtoUDP, TunnelSpec{})
	g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP, from: clientMAC}
	e := icmpMessage{src: pair.server, dst: pair.source, kind: 3, code: 1, quoted: s.tunnelled(g, true)}
	if _, _, reason := s.process(inside, e.frame(t), nil); reason != PassTunnelError || len(s.own) != 1 {
		t.Fatalf("%s, %d frames", reason, len(s.own))
	}
	if to := wire.Ethernet(s.own[0].frame.Data).Destination(); to != clientMAC || s.own[0].via != outside {
		t.Errorf("the client is told at %v by port %d", to, s.own[0].via)
	}
}

// TestTunnelPathMTU: an error about the path MTU is remembered for ten minutes, told to the
// client less the tunnel's headers, and never makes the path longer, or shorter than any is.
func TestTunnelPathMTU(t *testing.T) {
	for _, tc := range tunnelCases() {
		for _, pair := range familyPairs() {
			t.Run(tc.name+", "+pair.String(), func(t *testing.T) {
				s := newSite(t)
				s.tunnelTo(pair, wire.ProtoUDP, tc.spec)
				g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP, payload: 1300}
				over := pair.outerLen() + tc.over
				tell := func(mtu int, df bool) string {
					g := g
					g.payload = 20
					e := icmpMessage{src: netip.MustParseAddr("198.51.100.254"), dst: pair.source, kind: 3, code: 4, rest: uint32(mtu), quoted: s.tunnelled(g, df)}
					if pair.outer == 6 {
						e.src, e.kind, e.code = netip.MustParseAddr("2001:db8:5::ffff"), 2, 0
					}
					if _, _, reason := s.process(inside, e.frame(t), nil); reason != PassTunnelError {
						t.Fatal(reason)
					}
					if len(s.own) == 0 {
						return ""
					}
					_, rest, _ := strings.Cut(describeError(t, &s.own[0].frame), " rest ")
					rest, _, _ = strings.Cut(rest, " ")
					return rest
				}
				least := 0
				if pair.inner == 6 {
					least = 1280
				}
				want := func(mtu int) string { return fmt.Sprint(max(mtu-over, least)) }
				s.tunnelled(g, true) // 1328 or 1348 bytes fit
				if got := tell(1330, true); got != want(1330) {
					t.Errorf("told of a path of %s bytes, want %s", got, want(1330))
				}
				if got := tell(1400, true); got != want(1330) {
					t.Errorf("after an error that would make the path longer: %s bytes, want %s", got, want(1330))
				}
				if got := tell(1330, false); pair.inner == 4 && got != "" {
					t.Errorf("a client whose packets may be fragmented is told %s", got)
				}
				b := g.frame(t)
				mark(b, 0, true)
				if _, _, reason := s.process(outside, b, nil); reason != DropTooBig || len(s.own) != 1 {
					t.Errorf("what is longer than the path has room for: %s", reason)
				}
				s.now = s.now.Add(pathMTUTime + time.Second)
				s.tunnelled(g, true)
				tell(100, true)
				least = 552 - over
				if pair.outer == 6 || pair.inner == 6 {
					least = 1280
				}
				d := s.engine.services[ServiceKey{pair.vip, 80, wire.ProtoUDP}].servers[0]
				shortest := map[int]int{4: 552, 6: 1280}[pair.outer]
				if got := d.tunnel.Load().mtu(&d.path, s.now); got != shortest {
					t.Errorf("the path is %d bytes after an error that says 100, want %d", got, shortest)
				}
			})
		}
	}
}

// TestTunnelErrorsOfOthers: an error that is not about one of our tunnels is the stack's, and
// changes nothing.
func TestTunnelErrorsOfOthers(t *testing.T) {
	pair := familyPairs()[0]
	change := func(f func(b []byte)) func([]byte) []byte {
		return func(b []byte) []byte { f(b); return b }
	}
	for _, tt := range []struct {
		name string
		spec TunnelSpec
		do   func(quoted []byte) []byte
		dst  netip.Addr
		want Reason
	}{
		{"to another server", TunnelSpec{}, change(func(b []byte) { b[19]++ }), pair.source, PassNotServed},
		{"from another host", TunnelSpec{}, change(func(b []byte) { b[15]++ }), pair.source, PassProtocol},
		{"for another host", TunnelSpec{}, change(func(b []byte) { copy(b[12:], client4.AsSlice()) }), client4, PassNotServed},
		{"of another type", TunnelSpec{}, change(func(b []byte) { b[9] = wire.ProtoIPv6 }), pair.source, PassNotServed},
		{"another connection", TunnelSpec{}, change(func(b []byte) { b[41]++ }), pair.source, PassNotServed},
		{"without ports", TunnelSpec{}, func(b []byte) []byte { return b[:43] }, pair.source, PassNotServed},
		{"a later fragment", TunnelSpec{}, change(func(b []byte) { b[7] = 9 }), pair.source, PassProtocol},
		{"a later fragment inside", TunnelSpec{}, change(func(b []byte) { b[27] = 9 }), pair.source, PassNotServed},
		{"another port", TunnelSpec{Type: GUE, Port: 6080}, change(func(b []byte) { b[23]++ }), pair.source, PassNotServed},
		{"a control message", TunnelSpec{Type: GUE, Port: 6080}, change(func(b []byte) { b[28] = 0x20 }), pair.source, PassNotServed},
		{"no GUE", TunnelSpec{Type: GUE, Port: 6080}, func(b []byte) []byte { return b[:28] }, pair.source, PassNotServed},
		{"another GRE", TunnelSpec{Type: GRE}, change(func(b []byte) { b[21] = 1 }), pair.source, PassNotServed},
		{"GRE with Ethernet", TunnelSpec{Type: GRE}, change(func(b []byte) { b[22] = 0x65 }), pair.source, PassNotServed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.tunnelTo(pair, wire.ProtoUDP, tt.spec)
			g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP, payload: 20}
			quoted := s.tunnelled(g, true)
			e := icmpMessage{src: pair.server, dst: tt.dst, kind: 3, code: 4, rest: 600, quoted: tt.do(quoted)}
			if _, _, reason := s.process(inside, e.frame(t), nil); reason != tt.want || len(s.own) != 0 {
				t.Errorf("%s, %d frames, want %s", reason, len(s.own), tt.want)
			}
			d := s.engine.services[ServiceKey{pair.vip, 80, wire.ProtoUDP}].servers[0]
			if n := d.path.load(s.now); n != 0 {
				t.Errorf("a path MTU of %d was learned", n)
			}
		})
	}
	for _, is := range []TunnelSpec{{Type: GRE}, {Type: GUE, Port: 6080}} {
		t.Run(fmt.Sprintf("of type %d", is.Type), func(t *testing.T) {
			g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP, payload: 20}
			s, other := newSite(t), newSite(t)
			other.tunnelTo(pair, wire.ProtoUDP, is)
			quoted := other.tunnelled(g, true)
			s.tunnelTo(pair, wire.ProtoUDP, TunnelSpec{})
			s.tunnelled(g, true) // has the flow
			e := icmpMessage{src: pair.server, dst: pair.source, kind: 3, code: 3, quoted: quoted}
			if _, _, reason := s.process(inside, e.frame(t), nil); reason != PassNotServed || len(s.own) != 0 {
				t.Errorf("%s, %d frames", reason, len(s.own))
			}
		})
	}
	t.Run("with a wrong checksum", func(t *testing.T) {
		s := newSite(t)
		s.tunnelTo(pair, wire.ProtoUDP, TunnelSpec{})
		quoted := s.tunnelled(segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP}, true)
		e := icmpMessage{src: pair.server, dst: pair.source, kind: 3, code: 4, rest: 600, quoted: quoted}
		if _, _, reason := s.process(inside, spoil(e.frame(t)), nil); reason != DropICMPChecksum || len(s.own) != 0 {
			t.Errorf("%s, %d frames", reason, len(s.own))
		}
	})
}

// TestErrorsForTunnelledServers: an error about an answer that a server sent to the client
// itself goes to the server through the tunnel, as it is, however long.
func TestErrorsForTunnelledServers(t *testing.T) {
	for _, pair := range familyPairs() {
		t.Run(pair.String(), func(t *testing.T) {
			s := newSite(t)
			s.tunnelTo(pair, wire.ProtoUDP, TunnelSpec{})
			request := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP}
			s.tunnelled(request, true)
			answer := segment{src: request.dst, dst: request.src, protocol: wire.ProtoUDP, payload: 1500}
			e := icmpMessage{src: netip.MustParseAddr("203.0.113.99"), dst: pair.vip, kind: 3, code: 4, rest: 1300, quoted: answer.quote(t, 500)}
			if pair.inner == 6 {
				e.src, e.kind, e.code = netip.MustParseAddr("2001:db8:9::99"), 2, 0
			}
			for _, partial := range []bool{false, true} {
				b := e.frame(t)
				want := append([]byte(nil), b[14:]...)
				age(want)
				var vnet VnetHeader
				if partial { // the checksum is still to be completed
					l4 := 14 + 20
					if pair.inner == 6 {
						l4 = 14 + 40
					}
					vnet = make(VnetHeader, VnetLen)
					vnet[0] = vnetNeedsChecksum
					putNative(vnet[6:], uint16(l4))
					putNative(vnet[8:], wire.ICMPChecksumOffset)
					b[l4+2], b[l4+3] = 1, 2
				}
				out, via, reason := s.process(outside, b, vnet)
				if reason != Forwarded || via != inside {
					t.Fatal(reason)
				}
				if o := openTunnel(t, out.Data, TunnelSpec{}); string(o.packet) != string(want) {
					t.Errorf("inside is\n% x, want\n% x", o.packet, want)
				}
			}
			if pair.inner == 6 {
				return
			}
			e.quoted = answer.quote(t, 1460)
			b := e.frame(t)
			mark(b, 0, true)
			if s.process(outside, b, nil); len(s.own) != 2 {
				t.Fatalf("an error that is too long left in %d frames", len(s.own))
			}
			if pair.outer == 4 && wire.IPv4(s.own[0].frame.Data[14:]).ID() == 0 {
				t.Error("fragments without an identification")
			}
		})
	}
}

// TestTunnelOfFragments: a datagram that comes in fragments goes through the tunnel whole, and
// the outer packet in fragments.
func TestTunnelOfFragments(t *testing.T) {
	for _, tc := range tunnelCases() {
		for _, pair := range familyPairs() {
			t.Run(tc.name+", "+pair.String(), func(t *testing.T) {
				s := newSite(t)
				s.tunnelTo(pair, wire.ProtoUDP, tc.spec)
				b := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP, payload: 4000}.frame(t)
				var pieces [][]byte
				if pair.inner == 4 {
					pieces = cut4(b, 1400, 0)
				} else {
					pieces = cut6(b, 1400, 0, 7)
				}
				var left []sent
				for _, piece := range pieces {
					s.process(outside, piece, nil)
					left = append(left, s.own...)
				}
				var whole []byte
				if pair.outer == 4 {
					whole = assemble(t, left, 1500)[0]
				} else {
					whole = join6(t, left, 1500)
				}
				age(b[14:])
				if o := openTunnel(t, whole, tc.spec); string(o.packet) != string(b[14:]) {
					t.Errorf("inside are %d bytes that differ from the %d sent", len(o.packet), len(b)-14)
				}
				if n := s.reasons()[Forwarded]; n != uint64(len(pieces)) {
					t.Errorf("%d of %d fragments count as forwarded", n, len(pieces))
				}
			})
		}
	}
}
