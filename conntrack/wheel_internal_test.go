package conntrack

import (
	"math/rand/v2"
	"testing"
)

// TestWheelComesNoLater checks the wheel's promise for each distance and position: the
// list of a deadline is worked off when the deadline comes, or before.
func TestWheelComesNoLater(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, left := range []uint32{0, 1, 24, 255, 256, 257, 7200, 1<<14 - 1, 1 << 14, 1<<20 - 1, 1 << 20, 21_427_200, span - 1, span, span + 12345} {
		for range 200 {
			now := span*2 + rng.Uint32N(1<<30)
			if rng.IntN(2) == 0 {
				now &^= 1<<(8+6*rng.IntN(4)) - 1
			}
			l := list(now+left, now)
			visited, ok := nextVisit(l, now)
			if !ok || visited > now+left {
				t.Fatalf("deadline in %d ticks at tick %d: list %d, next worked off at +%d", left, now, l, visited-now)
			}
			if left > 0 && visited == now {
				t.Fatalf("deadline in %d ticks at tick %d: list %d is being worked off, for ever", left, now, l)
			}
			if l := list(now-left, now); l != now%baseLists {
				t.Fatalf("deadline %d ticks before tick %d: list %d, want the next", left, now, l)
			}
		}
	}
}

// nextVisit returns the first tick from now on at which expire empties the list.
func nextVisit(l, now uint32) (uint32, bool) {
	for level := range levels + 1 {
		step := uint32(1)
		if level > 0 {
			step = 1 << (baseBits + (level-1)*levelBits)
		}
		at := (now + step - 1) / step * step
		for range levelLists + baseLists {
			if got, ok := listAt(at, level); ok && got == l {
				return at, true
			}
			at += step
		}
	}
	return 0, false
}
