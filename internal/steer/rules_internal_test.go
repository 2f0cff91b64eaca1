package steer

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRulesNormal(t *testing.T) {
	addr := netip.MustParseAddr
	a, b := Match{addr("192.0.2.1"), 80, 6}, Match{addr("192.0.2.1"), 80, 17}
	c, d := Match{addr("192.0.2.1"), 443, 6}, Match{addr("2001:db8::1"), 0, 6}
	e := Match{addr("192.0.2.2"), 80, 6}
	mapped := Match{addr("::ffff:192.0.2.1"), 80, 6}
	got, err := Rules{
		Links:    []int{3, 2, 3},
		Services: []Match{d, c, a, mapped, b, d},
		Patterns: []Pattern{
			{Destination: netip.MustParsePrefix("192.0.2.9/24"), Source: netip.MustParsePrefix("10.9.9.9/8"), Last: 9},
			{Take: true, Destination: netip.MustParsePrefix("192.0.2.0/24"), Proto: 17, Last: 9},
			{Destination: netip.MustParsePrefix("192.0.2.0/24"), Last: 9},
		},
		Servers: []Match{c, c},
		Locals:  []netip.Addr{addr("fe80::1%eth0"), addr("::ffff:192.0.2.9"), addr("192.0.2.9")},

		SoonServices: []Match{e, c, e},
		SoonLocals:   []netip.Addr{addr("fe80::2%eth0"), addr("192.0.2.9")},
	}.normal()
	if err != nil {
		t.Fatal(err)
	}
	want := Rules{
		Links:    []int{2, 3},
		Services: []Match{a, b, c, d},
		Patterns: []Pattern{
			{Destination: netip.MustParsePrefix("192.0.2.0/24"), Source: netip.MustParsePrefix("10.0.0.0/8"), Proto: 6, Last: 9},
			{Destination: netip.MustParsePrefix("192.0.2.0/24"), Source: netip.MustParsePrefix("10.0.0.0/8"), Proto: 17, Last: 9},
			{Destination: netip.MustParsePrefix("192.0.2.0/24"), Source: netip.MustParsePrefix("10.0.0.0/8"), Proto: 132, Last: 9},
			{Take: true, Destination: netip.MustParsePrefix("192.0.2.0/24"), Proto: 17, Last: 9},
		},
		Servers: []Match{c},
		Locals:  []netip.Addr{addr("192.0.2.9"), addr("fe80::1")},

		SoonServices: []Match{a, b, c, e, d},
		SoonLocals:   []netip.Addr{addr("192.0.2.9"), addr("fe80::1"), addr("fe80::2")},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("normal (-want +got):\n%s", diff)
	}
}

func TestRulesNormalErrors(t *testing.T) {
	tests := []struct {
		name  string
		rules Rules
		want  string
	}{
		{"no address", Rules{Services: []Match{{Port: 80, Proto: 6}}},
			"steer service invalid IP:80/tcp: no address"},
		{"zone soon", Rules{SoonServices: []Match{{netip.MustParseAddr("fe80::1%eth0"), 80, 6}}},
			"steer service [fe80::1%eth0]:80/tcp: an address with a zone cannot be steered; leave the zone away"},
		{"zone", Rules{Services: []Match{{netip.MustParseAddr("fe80::1%eth0"), 80, 6}}},
			"steer service [fe80::1%eth0]:80/tcp: an address with a zone cannot be steered; leave the zone away"},
		{"protocol", Rules{Servers: []Match{{netip.MustParseAddr("192.0.2.1"), 0, 33}}},
			"steer server 192.0.2.1:*/33: protocol 33 is neither TCP (6), UDP (17) nor SCTP (132)"},
		{"no destination", Rules{Patterns: []Pattern{{Take: true}}}, "steer pattern invalid Prefix ports 0-0 0: no destination"},
		{"two families", Rules{Patterns: []Pattern{{Take: true, Destination: netip.MustParsePrefix("::/0"), Source: netip.MustParsePrefix("10.0.0.0/8")}}},
			"steer pattern ::/0 ports 0-0 0 from 10.0.0.0/8: its addresses are not of one family"},
		{"no port", Rules{Patterns: []Pattern{{Take: true, Destination: netip.MustParsePrefix("::/0"), First: 2, Last: 1, Link: 3, Proto: 6}}},
			"steer pattern ::/0 ports 2-1 tcp by interface 3: the range of ports is empty"},
		{"too many patterns", Rules{Patterns: slices.Repeat([]Pattern{{Take: true, Destination: netip.MustParsePrefix("::/0"), Last: 1}}, 33)},
			"steer: 99 patterns of source, prefix, interface or many ports, 96 at the most; " +
				"rules of single addresses, a protocol and few ports need none"},
		{"no local address", Rules{Locals: []netip.Addr{{}}},
			"steer: local address 0 is not set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.rules.normal()
			if err == nil || err.Error() != tt.want {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}
