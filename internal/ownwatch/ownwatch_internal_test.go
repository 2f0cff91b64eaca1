package ownwatch

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"

	"uvs/internal/wire"
)

// packetTo makes the frame of a packet as it is on the loopback interface, to port 80.
func packetTo(dst string, protocol, flags uint8, options int) []byte {
	to := netip.MustParseAddr(dst)
	b := make([]byte, wire.EthernetLen)
	if to.Is4() {
		binary.BigEndian.PutUint16(b[12:], wire.EtherTypeIPv4)
		ip := make([]byte, wire.IPv4Len+options)
		ip[0] = 0x40 | byte(len(ip)/4)
		ip[9] = protocol
		copy(ip[16:], to.AsSlice())
		b = append(b, ip...)
	} else {
		binary.BigEndian.PutUint16(b[12:], wire.EtherTypeIPv6)
		ip := make([]byte, wire.IPv6Len)
		ip[0], ip[6] = 0x60, protocol
		copy(ip[24:], to.AsSlice())
		b = append(b, ip...)
	}
	l4 := make([]byte, wire.TCPLen)
	l4[3], l4[13] = 80, flags
	return append(b, l4...)
}

// TestFilter says what is looked at, and what it is taken for.
func TestFilter(t *testing.T) {
	fragment := func(b []byte) []byte { b[wire.EthernetLen+7] = 9; return b }
	for _, tt := range []struct {
		name  string
		frame []byte
		want  string // destination; empty: not looked at
	}{
		{"syn", packetTo("192.0.2.10", wire.ProtoTCP, wire.TCPSyn, 0), "192.0.2.10:80"},
		{"syn behind options", packetTo("192.0.2.10", wire.ProtoTCP, wire.TCPSyn, 24), "192.0.2.10:80"},
		{"syn with ecn", packetTo("192.0.2.10", wire.ProtoTCP, wire.TCPSyn|0xc0, 0), "192.0.2.10:80"},
		{"answer to a syn", packetTo("192.0.2.10", wire.ProtoTCP, wire.TCPSyn|wire.TCPAck, 0), ""},
		{"later segment", packetTo("192.0.2.10", wire.ProtoTCP, wire.TCPAck, 0), ""},
		{"datagram", packetTo("192.0.2.10", wire.ProtoUDP, 0, 0), "192.0.2.10:80"},
		{"later fragment", fragment(packetTo("192.0.2.10", wire.ProtoUDP, 0, 0)), ""},
		{"icmp", packetTo("192.0.2.10", wire.ProtoICMP, wire.TCPSyn, 0), ""},
		{"loopback address", packetTo("127.0.0.53", wire.ProtoUDP, 0, 0), ""},
		{"syn over ipv6", packetTo("2001:db8::10", wire.ProtoTCP, wire.TCPSyn, 0), "[2001:db8::10]:80"},
		{"later segment over ipv6", packetTo("2001:db8::10", wire.ProtoTCP, wire.TCPAck, 0), ""},
		{"datagram over ipv6", packetTo("2001:db8::10", wire.ProtoUDP, 0, 0), "[2001:db8::10]:80"},
		{"icmpv6", packetTo("2001:db8::10", wire.ProtoICMPv6, wire.TCPSyn, 0), ""},
		{"loopback address of ipv6", packetTo("::1", wire.ProtoTCP, wire.TCPSyn, 0), ""},
		{"cut", packetTo("192.0.2.10", wire.ProtoUDP, 0, 0)[:36], ""},
		{"cut over ipv6", packetTo("2001:db8::10", wire.ProtoUDP, 0, 0)[:56], ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vm, err := bpf.NewVM(filter(wire.Ethernet(tt.frame).EtherType()))
			if err != nil {
				t.Fatal(err)
			}
			n, err := vm.Run(tt.frame)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if a, ok := decode(tt.frame[:min(n, len(tt.frame))]); ok {
				got = a.Dst.String()
			}
			if got != tt.want {
				t.Errorf("taken for %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzDecode: whatever a frame has, decode does not read beyond it.
func FuzzDecode(f *testing.F) {
	f.Add(packetTo("192.0.2.10", wire.ProtoTCP, wire.TCPSyn, 24))
	f.Add(packetTo("2001:db8::10", wire.ProtoUDP, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := decode(b[:len(b):len(b)]); ok && !a.Dst.IsValid() {
			t.Errorf("accepted without a destination: %+v", a)
		}
	})
}
