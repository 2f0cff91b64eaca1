package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"uvs/vrrp"
)

// A packet of keepalived 2.2.7 with an authentication header, whole.
func TestMessageAH(t *testing.T) {
	m := vrrp.Message{
		Advert: vrrp.Advert{Version: 2, VRID: 51, Priority: 255, Auth: vrrp.AuthAH, Interval: time.Second,
			Password: password("secret"), Addresses: addrs("10.9.0.100")},
		Sequence: 1,
	}
	got := m.AppendIPv4(nil, netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("224.0.0.18"), 255, 1)
	want := unhex(t, `45c00040 00010000 ff33 d0ad 0a090001 e0000012
		70040000 0a090001 00000001 79a840d775301abda87709c2 2133ff010201d35c 0a090064 0000000000000000`)
	if string(got) != string(want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
}

func TestNoAllocs(t *testing.T) {
	src4, dst4 := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("224.0.0.18")
	src6, dst6 := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("ff02::12")
	v2 := vrrp.Message{Advert: vrrp.Advert{Version: 2, VRID: 1, Auth: vrrp.AuthPass, Interval: time.Second,
		Addresses: addrs("10.0.0.1 10.0.0.2")}}
	ah := v2
	ah.Auth = vrrp.AuthAH
	v3 := vrrp.Message{Advert: vrrp.Advert{Version: 3, VRID: 1, Interval: time.Second, Addresses: addrs("10.0.0.1 10.0.0.2")}}
	v6 := vrrp.Message{Advert: vrrp.Advert{Version: 3, VRID: 1, Interval: time.Second, Addresses: addrs("fe80::1 2001:db8::1")}}
	b := make([]byte, 0, 256)
	for name, f := range map[string]func(){
		"version 2":       func() { v2.AppendIPv4(b, src4, dst4, 255, 1) },
		"AH":              func() { ah.AppendIPv4(b, src4, dst4, 255, 1) },
		"version 3":       func() { v3.AppendIPv4(b, src4, dst4, 255, 1) },
		"version 3, IPv6": func() { v6.AppendIPv6(b, src6, dst6) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
