package ipvsadm

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestSortServers holds orders that glibc's qsort gives with libipvs's comparison.
func TestSortServers(t *testing.T) {
	tests := []struct {
		name       string
		list, want []string
	}{
		{"by address, then port", []string{"192.0.2.2:80", "192.0.2.1:81", "192.0.2.1:80"}, []string{"192.0.2.1:80", "192.0.2.1:81", "192.0.2.2:80"}},
		{"10.0.0.1 after 192.168.0.1", []string{"10.0.0.1:80", "192.168.0.1:80"}, []string{"192.168.0.1:80", "10.0.0.1:80"}},
		{"10.0.0.1 after 203.0.113.1", []string{"10.0.0.1:80", "203.0.113.1:80"}, []string{"203.0.113.1:80", "10.0.0.1:80"}},
		{"numbers and not their text", []string{"192.0.2.10:80", "192.0.2.9:80"}, []string{"192.0.2.9:80", "192.0.2.10:80"}},
		{"IPv6 word by word", []string{"[2001:db8::2]:80", "[2001:db8:1::1]:80", "[2001:db8::1]:80", "[fd00::1]:80"}, []string{"[fd00::1]:80", "[2001:db8::1]:80", "[2001:db8::2]:80", "[2001:db8:1::1]:80"}},
		{"a circle as the kernel lists it", []string{"10.0.0.1:80", "100.64.0.1:80", "192.168.0.1:80"}, []string{"10.0.0.1:80", "100.64.0.1:80", "192.168.0.1:80"}},
		{"a larger circle", []string{"192.168.0.1:80", "10.0.0.1:80", "100.64.0.1:80", "203.0.113.1:80", "172.16.0.1:80", "11.0.0.1:80"},
			[]string{"172.16.0.1:80", "192.168.0.1:80", "203.0.113.1:80", "10.0.0.1:80", "11.0.0.1:80", "100.64.0.1:80"}},
		{"the circle the other way", []string{"192.168.0.1:80", "100.64.0.1:80", "10.0.0.1:80"}, []string{"192.168.0.1:80", "10.0.0.1:80", "100.64.0.1:80"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var servers []Server
			for _, a := range tt.list {
				servers = append(servers, Server{Addr: netip.MustParseAddrPort(a)})
			}
			sortServers(servers)
			var got []string
			for _, s := range servers {
				got = append(got, s.Addr.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
		})
	}
}

// TestMergeSort compares with the library where the order is a total one.
func TestMergeSort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	type pair struct{ key, place int }
	for range 500 {
		s := make([]pair, r.IntN(40))
		for i := range s {
			s[i] = pair{r.IntN(10), i}
		}
		want := slices.Clone(s)
		slices.SortStableFunc(want, func(a, b pair) int { return a.key - b.key })
		mergeSort(s, func(a, b *pair) int { return a.key - b.key })
		if !slices.Equal(s, want) {
			t.Fatalf("got %v, want %v", s, want)
		}
	}
}
