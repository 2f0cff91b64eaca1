package sched

// twoChoices draws two servers by their weights and takes the one with fewer connections for
// its weight, the first drawn if they are equal (ip_vs_twos.c; Mitzenmacher, Richa and
// Sitaraman, "The Power of Two Random Choices", 2001).
type twoChoices struct {
	weights
	random func(n uint64) uint64
}

func (t *twoChoices) Name() string { return "twos" }

func (t *twoChoices) Pick(Request) int {
	sum := t.all().sum
	if sum == 0 {
		return none
	}
	// The kernel draws from 0 to the sum, both included: 0 is one chance more for the first.
	first := t.at(max(1, t.random(sum+1)))
	second := t.at(max(1, t.random(sum+1)))
	a, b := t.list[first], t.list[second]
	if (cost{overhead(b), uint64(b.Weight())}).less(cost{overhead(a), uint64(a.Weight())}) {
		return second
	}
	return first
}
