package vipcheck

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"uvs/internal/wire"
)

var (
	own4 = netip.MustParseAddrPort("192.0.2.2:40000")
	vip4 = netip.MustParseAddrPort("192.0.2.10:80")
	own6 = netip.MustParseAddrPort("[2001:db8::2]:40000")
	vip6 = netip.MustParseAddrPort("[2001:db8::10]:80")
)

// TestSegments holds what is sent, byte by byte: the checksums were computed by hand with another program.
func TestSegments(t *testing.T) {
	for _, c := range []struct {
		name string
		s    segment
		want string
	}{
		{"opening, IPv4", segment{from: own4, to: vip4, seq: 0x01020304, flags: wire.TCPSyn},
			"4500002c00004000 0206f4bf c0000202 c000020a 9c400050 01020304 00000000 6002faf0 78920000 020405b4"},
		{"reset, IPv4", segment{from: own4, to: vip4, seq: 0x01020305, flags: wire.TCPRst},
			"4500002800004000 0206f4c3 c0000202 c000020a 9c400050 01020305 00000000 50040000 8b3c0000"},
		{"opening, IPv6", segment{from: own6, to: vip6, seq: 0xfffefdfc, flags: wire.TCPSyn},
			"6000000000180602 20010db8000000000000000000000002 20010db8000000000000000000000010 9c400050 fffefdfc 00000000 6002faf0 a7390000 020405a0"},
	} {
		want := strings.ToLower(strings.ReplaceAll(c.want, " ", ""))
		if got := hex.EncodeToString(c.s.packet()); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

// answer is the packet of a segment to the prober.
func answer(from, to netip.AddrPort, seq, ack uint32, flags uint8) []byte {
	return (&segment{from: from, to: to, seq: seq, ack: ack, flags: flags}).packet()
}

// icmpAbout is an error of a station about a packet, with so much of it quoted.
func icmpAbout(from, to netip.Addr, kind, code uint8, about []byte, quoted int) []byte {
	about = about[:min(quoted, len(about))]
	if from.Is6() {
		b := make([]byte, wire.IPv6Len+wire.ICMPLen, wire.IPv6Len+wire.ICMPLen+len(about))
		h := wire.IPv6(b)
		h.Init(64, wire.ProtoICMPv6, wire.ICMPLen+len(about))
		copy(h.Source(), from.AsSlice())
		copy(h.Destination(), to.AsSlice())
		wire.ICMP(b[wire.IPv6Len:]).SetKind(kind, code)
		return append(b, about...)
	}
	b := make([]byte, wire.IPv4Len+wire.ICMPLen, wire.IPv4Len+wire.ICMPLen+len(about))
	h := wire.IPv4(b)
	h.Init(0, 64, wire.ProtoICMP, 0, false, wire.ICMPLen+len(about))
	copy(h.Source(), from.AsSlice())
	copy(h.Destination(), to.AsSlice())
	wire.ICMP(b[wire.IPv4Len:]).SetKind(kind, code)
	return append(b, about...)
}

// in puts a packet into an outer one of a protocol.
func in(from, to netip.Addr, protocol uint8, front, packet []byte) []byte {
	b := make([]byte, wire.IPv4Len)
	h := wire.IPv4(b)
	h.Init(0, 64, protocol, 0, true, len(front)+len(packet))
	copy(h.Source(), from.AsSlice())
	copy(h.Destination(), to.AsSlice())
	return append(append(b, front...), packet...)
}

// TestFilterAndRead: the kernel's filter passes what read understands and little else.
func TestFilterAndRead(t *testing.T) {
	server, router := netip.MustParseAddr("198.51.100.11"), netip.MustParseAddr("2001:db8::1")
	syn4 := (&segment{from: own4, to: vip4, seq: 7, flags: wire.TCPSyn}).packet()
	syn6 := (&segment{from: own6, to: vip6, seq: 7, flags: wire.TCPSyn}).packet()
	fragment := answer(vip4, own4, 1, 8, wire.TCPSyn|wire.TCPAck)
	wire.IPv4(fragment).SetFragment(0, 8)
	udp := make([]byte, wire.UDPLen)
	wire.UDP(udp).Init(1, 6080, wire.UDPLen)
	options := append([]byte{0x46}, answer(vip4, own4, 1, 8, wire.TCPSyn|wire.TCPAck)[1:wire.IPv4Len]...)
	options = append(append(options, 1, 1, 1, 1), answer(vip4, own4, 1, 8, wire.TCPSyn|wire.TCPAck)[wire.IPv4Len:]...)
	for _, c := range []struct {
		name         string
		packet       []byte
		passed, read bool
	}{
		{"accepted", answer(vip4, own4, 1, 8, wire.TCPSyn|wire.TCPAck), true, true},
		{"accepted, IPv6", answer(vip6, own6, 1, 8, wire.TCPSyn|wire.TCPAck), true, true},
		{"with IP options", options, true, true},
		{"to another port", answer(vip4, netip.AddrPortFrom(own4.Addr(), 40001), 1, 8, wire.TCPSyn|wire.TCPAck), false, false},
		{"to another port, IPv6", answer(vip6, netip.AddrPortFrom(own6.Addr(), 40001), 1, 8, wire.TCPSyn|wire.TCPAck), false, false},
		{"a later fragment", fragment, false, false},
		{"a datagram", in(server, own4.Addr(), wire.ProtoUDP, udp, nil), false, false},
		{"unreachable", icmpAbout(server, own4.Addr(), 3, 1, syn4, 28), true, true},
		{"unreachable, IPv6", icmpAbout(router, own6.Addr(), 1, 3, syn6, 500), true, true},
		{"time exceeded", icmpAbout(server, own4.Addr(), 11, 0, syn4, 500), true, true},
		{"an echo request", icmpAbout(server, own4.Addr(), 8, 0, syn4, 500), false, false},
		{"a neighbour's advertisement", icmpAbout(router, own6.Addr(), 136, 0, syn6, 500), false, false},
		{"too long, of which there is none", icmpAbout(server, own4.Addr(), 3, 4, syn4, 500), true, false},
		{"too long, IPv6", icmpAbout(router, own6.Addr(), 2, 0, syn6, 500), true, false},
		{"quoting nothing", icmpAbout(server, own4.Addr(), 3, 1, nil, 0), true, false},
		{"about a program's segment", icmpAbout(server, own4.Addr(), 3, 1, answer(netip.AddrPortFrom(own4.Addr(), 41000), vip4, 1, 1, 0), 28), true, false},
		{"about a tunnel's packet", icmpAbout(server, own4.Addr(), 3, 2, in(own4.Addr(), server, wire.ProtoIPIP, nil, syn4), 28), true, true},
		{"about a datagram", icmpAbout(server, own4.Addr(), 3, 3, in(own4.Addr(), server, wire.ProtoUDP, udp, syn4), 28), true, true},
		{"quoted too short", icmpAbout(server, own4.Addr(), 3, 1, syn4, 27), true, false},
	} {
		raw, err := bpf.NewVM(filter(c.packet[0]>>4 == 6, own4.Port()))
		if err != nil {
			t.Fatal(err)
		}
		n, err := raw.Run(c.packet)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := read(c.packet, own4.Port()); n > 0 != c.passed || ok != c.read {
			t.Errorf("%s: passed %v, read %v; want %v, %v", c.name, n > 0, ok, c.passed, c.read)
		}
	}
}

// FuzzRead: no packet makes read look beyond its end.
func FuzzRead(f *testing.F) {
	syn := (&segment{from: own4, to: vip4, seq: 7, flags: wire.TCPSyn}).packet()
	f.Add(answer(vip6, own6, 1, 8, wire.TCPSyn|wire.TCPAck))
	f.Add(icmpAbout(vip4.Addr(), own4.Addr(), 3, 2, syn, 28))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := read(b, own4.Port()); ok && h.refusal != nil && !h.refusal.known() {
			t.Errorf("%x is taken for %v", b, h.refusal)
		}
	})
}

// TestRefusalWords: who reads an error learns what to do.
func TestRefusalWords(t *testing.T) {
	at := netip.MustParseAddr("198.51.100.11")
	for want, r := range map[string]Refusal{
		"198.51.100.11 says: " + forwarded:               {From: at, Type: 11},
		"198.51.100.11 says: " + noTunnel:                {From: at, Type: 3, Code: 2},
		"198.51.100.11 says: " + prohibited:              {From: at, Type: 3, Code: 13},
		"198.51.100.11 says: network unreachable":        {From: at, Type: 3, Code: 0},
		"198.51.100.11 says: host unreachable":           {From: at, Type: 3, Code: 1},
		"198.51.100.11 says: port unreachable":           {From: at, Type: 3, Code: 3},
		"198.51.100.11 says: unreachable (ICMP code 10)": {From: at, Type: 3, Code: 10},
		"2001:db8::1 says: " + forwarded:                 {From: vip6.Addr().Prev(), IPv6: true, Type: 3},
		"2001:db8::1 says: " + noTunnel:                  {From: at, IPv6: true, Type: 4, Code: 1},
		"2001:db8::1 says: no route":                     {IPv6: true, Type: 1},
		"2001:db8::1 says: " + prohibited:                {IPv6: true, Type: 1, Code: 1},
		"2001:db8::1 says: address unreachable":          {IPv6: true, Type: 1, Code: 3},
		"2001:db8::1 says: port unreachable":             {IPv6: true, Type: 1, Code: 4},
		"2001:db8::1 says: unreachable (ICMPv6 code 6)":  {IPv6: true, Type: 1, Code: 6},
	} {
		if r.IPv6 {
			r.From = netip.MustParseAddr("2001:db8::1")
		}
		if got := r.Error(); got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
}
