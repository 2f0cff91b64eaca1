package steer_test

import (
	"net/netip"
	"testing"

	"uvs/internal/steer"
)

// testClosed closes an address of each family for all devices, and a link-local one for device 2.
func testClosed() steer.Closed {
	return steer.Closed{
		Addrs: []steer.ClosedAddr{
			{Addr: netip.MustParseAddr("198.51.100.80")}, {Addr: netip.MustParseAddr("2001:db8:1::80")},
			{Addr: netip.MustParseAddr("fe80::80"), Link: 2},
		},
		Open: []int{1},
	}
}

// message returns an ICMPv6 message of a type to an address, behind extension headers.
func message(t testing.TB, to string, kind byte, exts ...ext) []byte {
	t.Helper()
	f := flow{src: addrPort("[2001:db8:3::9]:0"), dst: netip.AddrPortFrom(netip.MustParseAddr(to), 0), proto: 58, exts: exts}
	b := f.frame(t)
	b[14+40+8*len(exts)] = kind
	return b
}

func TestClosedRefuses(t *testing.T) {
	client4, client6 := addrPort("203.0.113.9:5000"), addrPort("[2001:db8:3::9]:5000")
	to := func(dst string, proto byte, exts ...ext) []byte {
		f := flow{src: client4, dst: addrPort(dst), proto: proto, exts: exts}
		if f.dst.Addr().Is6() {
			f.src = client6
		}
		return f.frame(t)
	}
	const echo, solicitation, advertisement, routers = 128, 135, 136, 133
	for _, tt := range []struct {
		name  string
		frame []byte
		link  int
		want  bool
	}{
		{"TCP", to("198.51.100.80:22", tcp), 2, true},
		{"UDP", to("198.51.100.80:53", udp), 3, true},
		{"ping", to("198.51.100.80:0", icmp), 2, true},
		{"ESP", to("198.51.100.80:0", 50), 2, true},
		{"by the loopback device", to("198.51.100.80:22", tcp), 1, false},
		{"another address", to("198.51.100.81:22", tcp), 2, false},
		{"TCP over IPv6", to("[2001:db8:1::80]:22", tcp), 2, true},
		{"behind an extension header", to("[2001:db8:1::80]:22", tcp, ext{kind: destOpts}), 2, true},
		{"ping over IPv6", message(t, "2001:db8:1::80", echo), 2, true},
		{"neighbour solicitation", message(t, "2001:db8:1::80", solicitation), 2, false},
		{"neighbour advertisement", message(t, "2001:db8:1::80", advertisement), 2, false},
		{"neighbour solicitation behind options", message(t, "2001:db8:1::80", solicitation, ext{kind: destOpts}), 2, false},
		{"router solicitation", message(t, "2001:db8:1::80", routers), 2, true},
		{"a link-local address", to("[fe80::80]:22", tcp), 2, true},
		{"a link-local address of another device", to("[fe80::80]:22", tcp), 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := testClosed().Refuses(tt.frame[14:], tt.link); got != tt.want {
				t.Errorf("Refuses = %v, want %v", got, tt.want)
			}
		})
	}
	if testClosed().Refuses(nil, 2) {
		t.Error("an empty packet is refused")
	}
}
