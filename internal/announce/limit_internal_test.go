package announce

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLimit: bursts of several instances at once keep to the pace that their interfaces share, of
// each family by itself, and do not wait for interfaces with another limit or with none.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, other := NewLimit(Pace{GARP: 100 * time.Millisecond, NA: time.Second}), NewLimit(Pace{GARP: 300 * time.Millisecond})
		at := func(link, addr string, l *Limit) Target {
			return Target{Link: Link{Name: link}, Addr: netip.MustParseAddr(addr), Limit: l}
		}
		var mu sync.Mutex
		var sent []string
		begin := time.Now()
		send := func(x Target) error {
			mu.Lock()
			defer mu.Unlock()
			family := "ARP"
			if x.Addr.Is6() {
				family = "NA"
			}
			sent = append(sent, fmt.Sprintf("%4d %s %s", time.Since(begin).Milliseconds(), x.Link.Name, family))
			return nil
		}
		var wg sync.WaitGroup
		for _, list := range [][]Target{
			{at("eth0", "192.0.2.1", shared), at("eth1", "192.0.2.2", shared), at("eth2", "192.0.2.3", nil), at("eth3", "192.0.2.4", other)},
			{at("eth0", "192.0.2.5", shared)},
			{at("eth0", "2001:db8::1", shared)},
		} {
			wg.Go(func() {
				if err := inTurn(t.Context(), list, 2, send); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		slices.Sort(sent)
		count := make(map[string]int)
		for _, s := range sent {
			count[s[:4]+s[9:]]++
		}
		for what, want := range map[string]int{"   0 ARP": 3 + 1, " 100 ARP": 1, " 200 ARP": 1, " 300 ARP": 2, " 400 ARP": 1, " 500 ARP": 1, "   0 NA": 1, "1000 NA": 1} {
			if count[what] != want {
				t.Errorf("%q %d times, want %d; all: %q", what, count[what], want, sent)
			}
		}
	})
}

// TestLimitEnds: who waits for his turn goes when the context ends.
func TestLimitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		n := 0
		list := []Target{{Addr: netip.MustParseAddr("192.0.2.1"), Limit: NewLimit(Pace{GARP: time.Second})}}
		begin := time.Now()
		if err := inTurn(ctx, list, 10, func(Target) error { n++; return nil }); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); n != 3 || took != 2500*time.Millisecond {
			t.Errorf("%d packets in %v, want 3 in 2.5s", n, took)
		}
	})
}
