package sched

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestBids: of two bids that of the lower cost is lower, whatever the numbers, and of equal costs
// that of the server in front.
func TestBids(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(most uint64) uint64 {
		switch rng.IntN(4) {
		case 0:
			return most - rng.Uint64N(4)
		case 1:
			return rng.Uint64N(most)
		}
		return rng.Uint64N(300)
	}
	const most = math.MaxInt32<<8 + math.MaxInt32 // overhead's
	const last = 1<<20 - 1                        // place of a list
	outcome := make(map[string]int)
	for range 1_000_000 {
		a := cost{draw(most), draw(math.MaxInt32)}
		b := cost{draw(most), draw(math.MaxInt32)}
		if rng.IntN(3) == 0 { // the neighbour of a fraction, or the same one
			k := 1 + rng.Uint64N(3)
			b = cost{min(a.load*k+rng.Uint64N(2), most), min(a.weight*k, math.MaxInt32)}
		}
		front, behind := a.bid(last-1), b.bid(last)
		winner, want := lower(front, behind).place(), last-1
		switch {
		case a.weight == 0 && b.weight == 0:
			want = none
			outcome["nobody"]++
		case b.less(a):
			want = last
			outcome["behind"]++
		case !a.less(b):
			outcome["equal"]++
		}
		if winner != want {
			t.Fatalf("of the costs %v and %v the winner is at %d, want %d", a, b, winner, want)
		}
		if lower(behind, front) != lower(front, behind) {
			t.Fatalf("of the costs %v and %v the lower bid depends on the order", a, b)
		}
	}
	for _, what := range []string{"nobody", "behind", "equal"} {
		if outcome[what] < 50 {
			t.Errorf("only %d cases of %q", outcome[what], what)
		}
	}
}
