package vrrp_test

import (
	"encoding/hex"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"uvs/vrrp"
)

// addrs parses addresses that are separated by blanks.
func addrs(s string) []netip.Addr {
	var list []netip.Addr
	for w := range strings.FieldsSeq(s) {
		list = append(list, netip.MustParseAddr(w))
	}
	return list
}

func password(s string) [8]byte {
	var p [8]byte
	copy(p[:], s)
	return p
}

// unhex reads hexadecimal digits with blanks between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The adverts of a keepalived 2.2.7, from the IP payload on.
func TestAdvert(t *testing.T) {
	const group4, group6 = "224.0.0.18", "ff02::12"
	for _, tc := range []struct {
		name     string
		src, dst string
		advert   vrrp.Advert
		sum      vrrp.Checksum
		packet   string
	}{
		{"version 2, password", "10.9.0.1", group4,
			vrrp.Advert{Version: 2, VRID: 51, Priority: 100, Auth: vrrp.AuthPass, Interval: time.Second,
				Password: password("XXX999XX"), Addresses: addrs("10.9.0.100")},
			vrrp.ChecksumAuto, "2133640101012d3a 0a090064 5858583939395858"},
		{"version 2, stop", "10.9.0.1", group4,
			vrrp.Advert{Version: 2, VRID: 51, Priority: 0, Auth: vrrp.AuthPass, Interval: time.Second,
				Password: password("XXX999XX"), Addresses: addrs("10.9.0.100")},
			vrrp.ChecksumAuto, "213300010101913a 0a090064 5858583939395858"},
		{"version 3", "10.9.0.1", group4,
			vrrp.Advert{Version: 3, VRID: 52, Priority: 200, Interval: 500 * time.Millisecond, Addresses: addrs("10.9.0.103")},
			vrrp.ChecksumAuto, "3134c8010032118f 0a090067"},
		{"version 3, another", "10.9.0.1", group4,
			vrrp.Advert{Version: 3, VRID: 53, Priority: 150, Interval: 300 * time.Millisecond, Addresses: addrs("10.9.0.53")},
			vrrp.ChecksumAuto, "31359601001e43d4 0a090035"},
		{"version 3, IPv6", "fe80::248e:10ff:fea7:4ecc", group6,
			vrrp.Advert{Version: 3, VRID: 52, Priority: 150, Interval: 200 * time.Millisecond, Addresses: addrs("fe80::52 2001:db8::52")},
			vrrp.ChecksumAsV2, // does not matter
			"3134960200148aa7 fe800000000000000000000000000052 20010db8000000000000000000000052"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst, want := netip.MustParseAddr(tc.src), netip.MustParseAddr(tc.dst), unhex(t, tc.packet)
			head := []byte("head")
			got := tc.advert.Append(head, src, dst, tc.sum)
			if string(got[:4]) != "head" || string(got[4:]) != string(want) {
				t.Errorf("Append gives\n%x, want\n%x", got[4:], want)
			}
			back, rej := vrrp.Parse(want, src.Is6())
			if rej != nil {
				t.Fatal(rej)
			}
			if !reflect.DeepEqual(back, tc.advert) {
				t.Errorf("Parse gives\n%+v, want\n%+v", back, tc.advert)
			}
		})
	}
}

// Version 3 over IPv4 has four forms of the checksum. The sums are counted by hand: of the
// message without the field, 0x3134+0xc801+0x0032+0x0a09+0x0067 = 0x103d7, that is 0x03d8; of
// the pseudo header to 10.9.0.2, 0x0a09+0x0001+0x0a09+0x0002+0x0070+0x000c = 0x1491; and to
// the group, 0x0a09+0x0001+0xe000+0x0012+0x0070+0x000c = 0xea98.
func TestAdvertChecksum(t *testing.T) {
	a := vrrp.Advert{Version: 3, VRID: 52, Priority: 200, Interval: 500 * time.Millisecond, Addresses: addrs("10.9.0.103")}
	src, peer, group := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("224.0.0.18")
	for _, tc := range []struct {
		name string
		dst  netip.Addr
		sum  vrrp.Checksum
		want uint16
	}{
		{"of the packet", peer, vrrp.ChecksumAuto, ^uint16(0x03d8 + 0x1491)},
		{"never old", peer, vrrp.ChecksumNever, ^uint16(0x03d8 + 0x1491)},
		{"old", peer, vrrp.ChecksumOld, ^uint16(0x03d8 + 0xea98)},
		{"old in multicast", group, vrrp.ChecksumOld, ^uint16(0x03d8 + 0xea98)},
		{"of the multicast packet", group, vrrp.ChecksumAuto, ^uint16(0x03d8 + 0xea98)},
		{"old to another group", netip.MustParseAddr("224.0.0.50"), vrrp.ChecksumOld, ^uint16(0x03d8 + 0xea98 + 32)},
		{"as in version 2", peer, vrrp.ChecksumAsV2, ^uint16(0x03d8)},
	} {
		b := a.Append(nil, src, tc.dst, tc.sum)
		if got := uint16(b[6])<<8 | uint16(b[7]); got != tc.want {
			t.Errorf("%s: checksum %#04x, want %#04x", tc.name, got, tc.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		packet string
		ipv6   bool
		want   string
	}{
		{"nothing", "", false, "packet has 0 bytes, headers alone 8 bytes"},
		{"half a header", "31010101006400", false, "packet has 7 bytes, headers alone 8 bytes"},
		{"no room for the address", "3101010100640000 0a0900", false, "packet has 11 bytes, its address count says 12 bytes"},
		{"no room for two", "3101010200640000 0a090001", false, "packet has 12 bytes, its address count says 16 bytes"},
		{"a byte too many", "3101010100640000 0a09000100", false, "packet has 13 bytes, its address count says 12 bytes"},
		{"version 2 without its tail", "2101010100010000 0a090001", false, "packet has 12 bytes, its address count says 20 bytes"},
		{"version 3 with a tail", "3101010100640000 0a090001 0000000000000000", false, "packet has 20 bytes, its address count says 12 bytes"},
		{"IPv4 addresses in IPv6", "3101010100640000 0a090001", true, "packet has 12 bytes, its address count says 24 bytes"},
		{"version 1", "1101010100640000 0a090001", false, "version 1, ours 2 or 3"},
		{"version 4", "4101010100640000 0a090001", false, "version 4, ours 2 or 3"},
		{"version 2 over IPv6", "2101010000640000 0000000000000000", true, "version 2, ours 3"},
		{"type 2", "3201010100640000 0a090001", false, "message type 2, an advert is 1"},
		{"version before type", "1201010100640000 0a090001", false, "version 1, ours 2 or 3"},
	} {
		a, rej := vrrp.Parse(unhex(t, tc.packet), tc.ipv6)
		if rej == nil {
			t.Errorf("%s: taken as %+v", tc.name, a)
		} else if rej.String() != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, rej, tc.want)
		}
	}
}

// What a receiver must ignore: reserved bits, and authentication data of other types than
// password. No addresses at all is a legal message, too.
func TestParseIgnores(t *testing.T) {
	for _, tc := range []struct {
		name, packet, same string
	}{
		{"reserved bits", "31010101f0640000 0a090001", "3101010100640000 0a090001"},
		{"data without authentication", "2101010100010000 0a090001 0102030405060708", "2101010100010000 0a090001 0000000000000000"},
		{"data beside AH", "2101010102010000 0a090001 0102030405060708", "2101010102010000 0a090001 0000000000000000"},
	} {
		got, rej := vrrp.Parse(unhex(t, tc.packet), false)
		want, rejWant := vrrp.Parse(unhex(t, tc.same), false)
		if rej != nil || rejWant != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v (%v), want %+v (%v)", tc.name, got, rej, want, rejWant)
		}
	}
	a, rej := vrrp.Parse(unhex(t, "3107640000640000"), true)
	if rej != nil || a.Addresses != nil || a.VRID != 7 || a.Interval != time.Second {
		t.Errorf("no addresses: %+v, %v", a, rej)
	}
}

// As many addresses as there can be, of each family.
func TestAdvertFull(t *testing.T) {
	for _, base := range []string{"10.9.1.0", "2001:db8::"} {
		a := vrrp.Advert{Version: 3, VRID: 255, Priority: 255, Interval: 40950 * time.Millisecond}
		addr := netip.MustParseAddr(base)
		for range 255 {
			a.Addresses = append(a.Addresses, addr)
			addr = addr.Next()
		}
		b := a.Append(nil, addr, addr, vrrp.ChecksumAuto)
		back, rej := vrrp.Parse(b, addr.Is6())
		if rej != nil || !reflect.DeepEqual(back, a) {
			t.Errorf("%s: %v; %d addresses, interval %v", base, rej, len(back.Addresses), back.Interval)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"2133640101012d3a 0a090064 5858583939395858",
		"2133ff010201d35c 0a090064 0000000000000000",
		"3134c8010032118f 0a090067",
		"3134960200148aa7 fe800000000000000000000000000052 20010db8000000000000000000000052",
	} {
		for _, ipv6 := range []bool{false, true} {
			f.Add(unhex(f, s), ipv6)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, ipv6 bool) {
		a, rej := vrrp.Parse(b, ipv6)
		if rej != nil {
			if rej.String() == "" || rej.Cause.String() == "" {
				t.Fatalf("%x: a rejection without words", b)
			}
			return
		}
		src, dst := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2")
		if ipv6 {
			src, dst = netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")
		}
		again := a.Append(nil, src, dst, vrrp.ChecksumAuto)
		back, rej := vrrp.Parse(again, ipv6)
		if rej != nil || !reflect.DeepEqual(back, a) {
			t.Fatalf("%x: %+v became %+v (%v)", b, a, back, rej)
		}
		// All bytes are kept but the checksum, and those that receivers ignore.
		want := append([]byte(nil), b...)
		copy(want[6:8], again[6:8])
		if a.Version == 3 {
			want[4] &= 0x0f
		} else if a.Auth != vrrp.AuthPass {
			clear(want[len(want)-8:])
		}
		if string(again) != string(want) {
			t.Fatalf("%x became %x", want, again)
		}
	})
}
