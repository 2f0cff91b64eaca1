package forwarding

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// A tunnelCase is a kind of tunnel.
type tunnelCase struct {
	name string
	spec TunnelSpec
	over int // bytes of headers behind the outer IP header
}

func tunnelCases() []tunnelCase {
	return []tunnelCase{
		{"ipip", TunnelSpec{}, 0},
		{"gue", TunnelSpec{Type: GUE, Port: 6080}, 12},
		{"gue csum", TunnelSpec{Type: GUE, Port: 6080, Checksum: Checksum}, 12},
		{"gue remcsum", TunnelSpec{Type: GUE, Port: 6080, Checksum: RemoteChecksum}, 12},
		{"gre", TunnelSpec{Type: GRE}, 4},
		{"gre csum", TunnelSpec{Type: GRE, Checksum: Checksum}, 8},
	}
}

// A familyPair says what is inside of what.
type familyPair struct {
	inner, outer int
	vip, client  netip.Addr
	server       netip.Addr
	source       netip.Addr // the director's
}

func (p familyPair) String() string { return fmt.Sprintf("%d in %d", p.inner, p.outer) }

func (p familyPair) outerLen() int {
	if p.outer == 6 {
		return wire.IPv6Len
	}
	return wire.IPv4Len
}

func familyPairs() []familyPair {
	own4, own6 := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:5::1")
	return []familyPair{
		{4, 4, vip4, client4, server4(0), own4}, {4, 6, vip4, client4, server6(0), own6},
		{6, 4, vip6, client6, server4(0), own4}, {6, 6, vip6, client6, server6(0), own6},
	}
}

// tunnelTo adds a service with one server behind a tunnel, and gives the director addresses of
// its own.
func (s *site) tunnelTo(p familyPair, protocol uint8, spec TunnelSpec) {
	s.t.Helper()
	s.narrow(1500, 1500)
	key := ServiceKey{p.vip, 80, protocol}
	s.update(func(tx *Tx) error {
		if err := tx.AddService(key, ServiceSpec{Scheduler: "rr"}); err != nil {
			return err
		}
		return tx.AddServer(key, endpoint(p.server, 80), ServerSpec{Method: Tunnel, Weight: 1, Tunnel: spec})
	})
}

// An outerPacket is what was read from a tunnel's packet in the obvious way.
type outerPacket struct {
	src, dst   netip.Addr
	tos, ttl   uint8
	df         bool
	id         uint16
	port       uint16 // of GUE: where it comes from
	remote     bool
	start, at  int // of a remote checksum
	packet     []byte
	headersLen int
}

// openTunnel checks an outer frame's every length and checksum and returns what is inside.
func openTunnel(t testing.TB, b []byte, spec TunnelSpec) (o outerPacket) {
	t.Helper()
	etherType, b := binary.BigEndian.Uint16(b[12:]), b[14:]
	all := len(b)
	var protocol uint8
	var pseudo uint16
	if etherType == 0x0800 {
		if b[0] != 0x45 || int(binary.BigEndian.Uint16(b[2:])) != len(b) || wire.Sum(b[:20], 0) != 0xffff {
			t.Fatalf("outer header % x for %d bytes", b[:20], len(b))
		}
		o.src, o.dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		o.tos, o.ttl, o.df, o.id = b[1], b[8], b[6]&0x40 != 0, binary.BigEndian.Uint16(b[4:])
		protocol, pseudo = b[9], wire.PseudoHeaderSum(b[12:16], b[16:20], 17, len(b)-20)
		b = b[20:]
	} else {
		if etherType != 0x86dd || b[0]>>4 != 6 || b[1]&0x0f != 0 || b[2] != 0 || b[3] != 0 || int(binary.BigEndian.Uint16(b[4:])) != len(b)-40 {
			t.Fatalf("EtherType %#x, outer header % x for %d bytes", etherType, b[:40], len(b))
		}
		o.src, o.dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		o.tos, o.ttl, protocol, pseudo = b[0]<<4|b[1]>>4, b[7], b[6], wire.PseudoHeaderSum(b[8:24], b[24:40], 17, len(b)-40)
		b = b[40:]
	}
	var inside uint8
	switch spec.Type {
	case IPIP:
		inside = protocol
	case GUE:
		if protocol != 17 || binary.BigEndian.Uint16(b[2:]) != spec.Port || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
			t.Fatalf("protocol %d, UDP header % x for %d bytes", protocol, b[:8], len(b))
		}
		switch sum := binary.BigEndian.Uint16(b[6:]); {
		case spec.Checksum == NoChecksum && sum != 0, spec.Checksum != NoChecksum && (sum == 0 || wire.Sum(b, pseudo) != 0xffff):
			t.Errorf("UDP checksum %#x with checksum %d", sum, spec.Checksum)
		}
		o.port, inside = binary.BigEndian.Uint16(b), b[9]
		switch b[8] {
		case 0:
			if b[10] != 0 || b[11] != 0 {
				t.Errorf("GUE header % x", b[8:12])
			}
			b = b[12:]
		case 2:
			if hex.EncodeToString(b[10:16]) != "000180000000" {
				t.Errorf("GUE header % x", b[8:20])
			}
			o.remote, o.start, o.at = true, int(binary.BigEndian.Uint16(b[16:])), int(binary.BigEndian.Uint16(b[18:]))
			b = b[20:]
		default:
			t.Fatalf("GUE header % x", b[8:12])
		}
	case GRE:
		flags := binary.BigEndian.Uint16(b)
		inside = map[uint16]uint8{0x0800: 4, 0x86dd: 41}[binary.BigEndian.Uint16(b[2:])]
		switch {
		case protocol != 47 || flags&0x7fff != 0 || (flags != 0) != (spec.Checksum == Checksum):
			t.Fatalf("protocol %d, GRE header % x", protocol, b[:4])
		case flags == 0:
			b = b[4:]
		default:
			if wire.Sum(b, 0) != 0xffff || b[6] != 0 || b[7] != 0 {
				t.Errorf("GRE checksum of % x is wrong", b[:8])
			}
			b = b[8:]
		}
	}
	if want := map[byte]uint8{4: 4, 6: 41}[b[0]>>4]; inside != want {
		t.Errorf("protocol %d inside, want %d", inside, want)
	}
	o.packet, o.headersLen = b, all-len(b)
	return o
}

// completeRemote finishes the checksum that was left to the receiver (gue_remcsum in
// net/ipv4/fou_core.c).
func completeRemote(o outerPacket) {
	binary.BigEndian.PutUint16(o.packet[o.at:], ^wire.Sum(o.packet[o.start:], 0))
}

// withFront returns a frame of which n bytes of memory are free in front.
func withFront(data []byte, n int, vnet VnetHeader) Frame {
	b := append(make([]byte, n), data...)
	return Frame{Data: b[n:], Front: b[:n], Vnet: vnet}
}

// mark sets DSCP and ECN, and over IPv4 DF.
func mark(frame []byte, tos uint8, df bool) {
	if frame[14]>>4 == 6 {
		wire.IPv6(frame[14:]).SetTrafficClass(tos)
		return
	}
	h := wire.IPv4(frame[14:34])
	h.SetTOS(tos)
	h.SetFragment(0, 0)
	if df {
		h.SetFragment(wire.IPv4DontFragment, 0)
	}
	h.SetChecksum(0)
	h.SetChecksum(wire.Checksum(h))
}

// age takes one from a packet's hop limit.
func age(packet []byte) {
	if packet[0]>>4 == 6 {
		packet[7]--
		return
	}
	wire.IPv4(packet).DecrementTTL()
}

// TestTunnelPackets: every kind of tunnel, and every family in every other, puts the packet
// inside as it is but for its hop limit, with or without memory in front of the frame. The
// outer one has TOS, hop limit and DF of the one inside, as the kernel has it, identification 0
// with DF, and no flow label.
func TestTunnelPackets(t *testing.T) {
	for _, tc := range tunnelCases() {
		for _, pair := range familyPairs() {
			for _, protocol := range []uint8{wire.ProtoTCP, wire.ProtoUDP} {
				for _, partial := range []bool{false, true} {
					for _, front := range []int{0, 64} {
						t.Run(fmt.Sprintf("%s, %s, protocol %d, partial %t, front %d", tc.name, pair, protocol, partial, front), func(t *testing.T) {
							testTunnelPacket(t, tc, pair, protocol, partial, front)
						})
					}
				}
			}
		}
	}
}

func testTunnelPacket(t *testing.T, tc tunnelCase, pair familyPair, protocol uint8, partial bool, front int) {
	s := newSite(t)
	s.tunnelTo(pair, protocol, tc.spec)
	g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: protocol, flags: wire.TCPSyn, payload: 101, ttl: 33}
	complete := g.frame(t)
	mark(complete, 0xb9, true)
	f := withFront(complete, front, nil)
	f.Vnet = vnetFor(f.Data, partial)
	last := &f.Data[len(f.Data)-1]
	out, via, reason := s.processFrame(outside, f)
	if reason != Forwarded || via != inside {
		t.Fatalf("%s via %d", reason, via)
	}
	if out.Vnet.NeedsChecksum() || out.Vnet.GSO() {
		t.Error("something is left for offloads to do")
	}
	if eth := wire.Ethernet(out.Data); eth.Source() != insideMAC || eth.Destination() != serverMACs[0] {
		t.Errorf("goes from %s to %s", eth.Source(), eth.Destination())
	}
	if inPlace := last == &out.Data[len(out.Data)-1]; inPlace != (front > 0) {
		t.Errorf("in place %t with %d bytes in front", inPlace, front)
	}
	o := openTunnel(t, out.Data, tc.spec)
	if want := partial && tc.spec.Checksum == RemoteChecksum; o.remote != want {
		t.Fatalf("remote checksum %t, want %t", o.remote, want)
	}
	if o.remote {
		completeRemote(o)
	}
	if o.src != pair.source || o.dst != pair.server || o.tos != 0xb9 || o.ttl != 32 || o.df != (pair.inner == 4 && pair.outer == 4) {
		t.Errorf("outer packet %s>%s TOS %#x TTL %d DF %t", o.src, o.dst, o.tos, o.ttl, o.df)
	}
	if pair.outer == 4 && o.df != (o.id == 0) {
		t.Errorf("identification %d with DF %t", o.id, o.df)
	}
	if tc.spec.Type == GUE && (o.port < 32768 || o.port > 60999) {
		t.Errorf("source port %d", o.port)
	}
	s.engine.flows.Each(s.now, func(e *conntrack.Entry) bool {
		if want := netip.AddrPortFrom(pair.server, 80); pair.inner == pair.outer && e.Dest != want || pair.inner != pair.outer && !e.Dest.Addr().IsUnspecified() {
			t.Errorf("the flow's server is %s", e.Dest) // there is no room for the other family's
		}
		if server, _, _ := s.engine.Server(e.Server); server.Addr() != pair.server {
			t.Errorf("the flow's server has the address %s", server)
		}
		return true
	})
	want := complete[14:]
	age(want)
	if !bytes.Equal(o.packet, want) {
		t.Errorf("inside is\n% x, want\n% x", o.packet, want)
	}
}

// TestTunnelHopLimit: a packet whose hop limit ends here goes into no tunnel, and its sender is told.
func TestTunnelHopLimit(t *testing.T) {
	for _, pair := range familyPairs() {
		s := newSite(t)
		s.tunnelTo(pair, wire.ProtoUDP, TunnelSpec{})
		g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP, ttl: 1}
		out, _, reason := s.process(outside, g.frame(t), nil)
		if reason != DropTTL || out != nil || len(s.own) != 1 || s.own[0].via != outside {
			t.Errorf("%s: %s, %d frames made", pair, reason, len(s.own))
		}
	}
}

// TestTunnelSourcePort: packets of one flow come from one port, those of others from others,
// so that routers and network cards spread flows.
func TestTunnelSourcePort(t *testing.T) {
	s := newSite(t)
	pair, spec := familyPairs()[0], TunnelSpec{Type: GUE, Port: 6080}
	s.tunnelTo(pair, wire.ProtoTCP, spec)
	ports := map[uint16]bool{}
	for i := range 100 {
		g := segment{src: endpoint(pair.client, uint16(40000+i)), dst: endpoint(pair.vip, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
		var port uint16
		for again := range 2 {
			out, _, reason := s.process(outside, g.frame(t), nil)
			if reason != Forwarded {
				t.Fatal(reason)
			}
			o := openTunnel(t, out.Data, spec)
			if again > 0 && o.port != port {
				t.Fatalf("one flow comes from ports %d and %d", port, o.port)
			}
			port = o.port
		}
		ports[port] = true
	}
	if len(ports) < 95 {
		t.Errorf("100 flows come from %d ports", len(ports))
	}
}

// TestTunnelSegments: a merged frame leaves as the segments it stands for, each in an outer
// packet of its own with complete checksums.
func TestTunnelSegments(t *testing.T) {
	for _, tc := range tunnelCases() {
		for _, pair := range familyPairs() {
			for _, protocol := range []uint8{wire.ProtoTCP, wire.ProtoUDP} {
				t.Run(fmt.Sprintf("%s, %s, protocol %d", tc.name, pair, protocol), func(t *testing.T) {
					s := newSite(t)
					s.tunnelTo(pair, protocol, tc.spec)
					const size, payload = 1300, 1300*9 + 77
					g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: protocol, flags: wire.TCPSyn}
					s.process(outside, g.frame(t), nil)
					g.flags, g.payload = wire.TCPAck|wire.TCPFin, payload
					b, vnet := gsoFrame(t, g, size, true)
					original := bytes.Clone(b)
					out, _, reason := s.process(outside, b, vnet)
					if reason != Forwarded || out != nil || len(s.own) != 10 {
						t.Fatalf("%s, %d frames", reason, len(s.own))
					}
					if n := s.worker.made[MadeSegment].Load(); n != 10 {
						t.Errorf("%d segments counted", n)
					}
					var data []byte
					for i, x := range s.own {
						o := openTunnel(t, x.frame.Data, tc.spec)
						if o.remote {
							completeRemote(o)
						}
						one := Frame{Data: append(bytes.Clone(original[:14]), o.packet...)}
						describe(t, &one) // verifies the checksums
						var p Packet
						if r := Decode(&one, &p); r != Forwarded || p.ipLen != len(o.packet) {
							t.Fatalf("segment %d is %s, %d of %d bytes", i, r, p.ipLen, len(o.packet))
						}
						if last := i == 9; protocol == wire.ProtoTCP {
							h := wire.TCP(one.Data[p.l4:])
							if h.Seq() != 1000+uint32(i*size) || (p.TCPFlags&wire.TCPFin != 0) != last {
								t.Errorf("segment %d: sequence number %d, flags %#x", i, h.Seq(), p.TCPFlags)
							}
						}
						data = append(data, one.Data[p.payload(&one):]...)
					}
					if !bytes.Equal(data, original[len(original)-payload:]) {
						t.Error("the segments have other data")
					}
				})
			}
		}
	}
}

// TestTunnelTooBig: a packet with which an outer one would be longer than the way takes is
// refused with the MTU that is left, merged or not; the outer one is fragmented if the packet
// inside may be, or is not to know.
func TestTunnelTooBig(t *testing.T) {
	for _, tc := range tunnelCases() {
		for _, pair := range familyPairs() {
			for _, df := range []bool{true, false} {
				for _, discover := range []bool{true, false} {
					if pair.inner == 6 && (!df || !discover) {
						continue
					}
					t.Run(fmt.Sprintf("%s, %s, DF %t, pmtu_disc %t", tc.name, pair, df, discover), func(t *testing.T) {
						testTunnelTooBig(t, tc, pair, df, discover)
					})
				}
			}
		}
	}
}

func testTunnelTooBig(t *testing.T, tc tunnelCase, pair familyPair, df, discover bool) {
	s := newSite(t)
	s.tunnelTo(pair, wire.ProtoUDP, tc.spec)
	sysctls := DefaultSysctls()
	sysctls.PMTUDisc = discover
	s.engine.SetSysctls(sysctls)
	room := 1500 - pair.outerLen() - tc.over
	header := wire.IPv4Len
	if pair.inner == 6 {
		header = wire.IPv6Len
	}
	frame := func(n int) []byte {
		b := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP, payload: n - header - wire.UDPLen}.frame(t)
		mark(b, 0, df)
		return b
	}
	out, _, reason := s.process(outside, frame(room), nil)
	if reason != Forwarded || len(out.Data) != wire.EthernetLen+1500 {
		t.Fatalf("a packet of %d bytes: %s", room, reason)
	}
	if o := openTunnel(t, out.Data, tc.spec); o.df != (df && discover && pair.inner == 4 && pair.outer == 4) {
		t.Errorf("the outer packet has DF %t", o.df)
	}
	want := frame(room + 1)
	out, _, reason = s.process(outside, bytes.Clone(want), nil)
	if df && discover {
		if reason != DropTooBig || out != nil || len(s.own) != 1 {
			t.Fatalf("a packet of %d bytes: %s, %d frames", room+1, reason, len(s.own))
		}
		kind := fmt.Sprintf("type 3 code 4 rest %d", room)
		if pair.inner == 6 {
			kind = fmt.Sprintf("type 2 code 0 rest %d", room)
		}
		if got := describeError(t, &s.own[0].frame); !strings.Contains(got, fmt.Sprintf("%s>%s ttl 64 %s", pair.vip, pair.client, kind)) {
			t.Errorf("the client is told %s", got)
		}
		return
	}
	if reason != Forwarded || len(s.own) != 2 {
		t.Fatalf("a packet of %d bytes: %s, %d frames", room+1, reason, len(s.own))
	}
	var whole []byte
	if pair.outer == 4 {
		whole = assemble(t, s.own, 1500)[0]
	} else {
		whole = join6(t, s.own, 1500)
	}
	o := openTunnel(t, whole, tc.spec)
	age(want[14:])
	if o.df || !bytes.Equal(o.packet, want[14:]) {
		t.Errorf("DF %t, inside is\n% x, want\n% x", o.df, o.packet, want[14:])
	}
}

// TestTunnelOnANarrowWay: where no tunnel fits, nothing is sent; a sender over IPv6 is never
// asked for less than 1280 bytes, and the outer IPv4 packet is fragmented.
func TestTunnelOnANarrowWay(t *testing.T) {
	pairs := familyPairs()
	for _, tt := range []struct {
		pair    familyPair
		mtu     int
		payload int
		want    Reason
		frames  int
	}{
		{pairs[1], 107, 10, DropTooBig, 0}, // 4 in 6
		{pairs[1], 108, 10, Forwarded, 1},
		{pairs[3], 1290, 1280 - 48, Forwarded, 2}, // 6 in 6
		{pairs[3], 1290, 1281 - 48, DropTooBig, 0},
		{pairs[0], 87, 10, DropTooBig, 0}, // 4 in 4
		{pairs[0], 88, 10, Forwarded, 1},
		{pairs[2], 1290, 1280 - 48, Forwarded, 2}, // 6 in 4
		{pairs[2], 1290, 1281 - 48, DropTooBig, 0},
	} {
		t.Run(fmt.Sprintf("%s, %d bytes over %d", tt.pair, tt.payload, tt.mtu), func(t *testing.T) {
			s := newSite(t)
			s.tunnelTo(tt.pair, wire.ProtoUDP, TunnelSpec{})
			s.narrow(tt.mtu, 1500)
			g := segment{src: endpoint(tt.pair.client, 40000), dst: endpoint(tt.pair.vip, 80), protocol: wire.ProtoUDP, payload: tt.payload}
			out, _, reason := s.process(outside, g.frame(t), nil)
			frames := 0
			for _, x := range s.own {
				if x.via == inside {
					frames++
				}
			}
			if out != nil {
				frames++
			}
			if reason != tt.want || frames != tt.frames {
				t.Errorf("%s, %d frames towards the server, want %s and %d", reason, frames, tt.want, tt.frames)
			}
		})
	}
}
