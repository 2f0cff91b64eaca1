package steer

import (
	"net/netip"
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
		Servers:  []Match{c, c},
		Locals:   []netip.Addr{addr("fe80::1%eth0"), addr("::ffff:192.0.2.9"), addr("192.0.2.9")},

		SoonServices: []Match{e, c, e},
		SoonLocals:   []netip.Addr{addr("fe80::2%eth0"), addr("192.0.2.9")},
	}.normal()
	if err != nil {
		t.Fatal(err)
	}
	want := Rules{
		Links:    []int{2, 3},
		Services: []Match{a, b, c, d},
		Servers:  []Match{c},
		Locals:   []netip.Addr{addr("192.0.2.9"), addr("fe80::1")},

		SoonServices: []Match{a, b, c, e, d},
		SoonLocals:   []netip.Addr{addr("192.0.2.9"), addr("fe80::1"), addr("fe80::2")},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
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
