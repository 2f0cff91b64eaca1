package delta_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"uvs/internal/delta"
)

type place struct{ Line int }

type peer struct {
	Pos  place
	Addr netip.Addr
}

type thing struct {
	Pos            place
	Name           string
	VRID           uint8
	IPv6           bool
	AdvertInterval time.Duration
	Source         netip.Addr
	Password       [8]byte
	Peers          []peer
	Words          []string
	MAC            *peer
	Any            any
	Known          map[string]peer

	hidden int
}

func TestFields(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	rule := delta.Rule{Skip: []string{"Pos"}, Secret: []string{"Password"}}
	tests := []struct {
		name          string
		before, after thing
		want          []string
	}{
		{"where it stands", thing{Pos: place{1}, Peers: []peer{{place{2}, a}}, MAC: &peer{place{3}, a}}, thing{Pos: place{7}, Peers: []peer{{place{8}, a}}, MAC: &peer{place{9}, a}}, nil},
		{"what is not exported", thing{hidden: 1}, thing{hidden: 2}, nil},
		{"words", thing{Name: "a", VRID: 1, IPv6: true, AdvertInterval: time.Second}, thing{VRID: 2, AdvertInterval: time.Minute},
			[]string{"name a → none", "VRID 1 → 2", "IPv6 on → off", "advert interval 1s → 1m0s"}},
		{"addresses", thing{Source: a}, thing{Source: b}, []string{"source 192.0.2.1 → 192.0.2.2"}},
		{"no address", thing{Source: a}, thing{}, []string{"source 192.0.2.1 → none"}},
		{"a secret", thing{Password: [8]byte{1}}, thing{Password: [8]byte{2}}, []string{"password changed"}},
		{"lists", thing{Peers: []peer{{place{}, a}}, Words: []string{"x"}}, thing{Peers: []peer{{place{}, b}}, Words: []string{"x", "y"}}, []string{"peers changed", "words [x] → [x y]"}},
		{"a longer list", thing{Peers: []peer{{place{}, a}}}, thing{Peers: []peer{{place{}, a}, {place{}, b}}}, []string{"peers changed"}},
		{"a pointer", thing{MAC: &peer{place{}, a}}, thing{}, []string{"MAC changed"}},
		{"an interface", thing{Any: 1}, thing{Any: "1"}, []string{"any changed"}},
		{"a map", thing{Known: map[string]peer{"a": {place{1}, a}}}, thing{Known: map[string]peer{"b": {place{1}, a}}}, []string{"known changed"}},
	}
	for _, tt := range tests {
		got := rule.Fields(tt.before, tt.after)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if same := rule.Same(tt.before, tt.after); same != (len(tt.want) == 0) {
			t.Errorf("%s: the same: %t", tt.name, same)
		}
	}
}
