package sched

// twoChoices draws two servers by their weights and takes the one with fewer connections for
// its weight, the first drawn if they are equal (ip_vs_twos.c; Mitzenmacher, Richa and
// Sitaraman, "The Power of Two Random Choices", 2001).
type twoChoices struct {
	random func(n uint64) uint64
	list   []Server
}

func (t *twoChoices) Name() string         { return "twos" }
func (t *twoChoices) Update(list []Server) { t.list = list }

func (t *twoChoices) Pick(Request) int {
	total := uint64(0)
	for _, s := range t.list {
		if available(s) {
			total += uint64(s.Weight())
		}
	}
	if total == 0 {
		return none
	}
	// From 0 to total, both included: the first server has one chance more than its weight.
	first, second := t.at(t.random(total+1)), t.at(t.random(total+1))
	if first == none || second == none {
		return max(first, second) // servers became overloaded meanwhile
	}
	a, b := t.list[first], t.list[second]
	if overhead(a)*int64(b.Weight()) > overhead(b)*int64(a.Weight()) {
		return second
	}
	return first
}

// at returns the first server up to which the weights add up to r.
func (t *twoChoices) at(r uint64) int {
	sum := uint64(0)
	for i, s := range t.list {
		if !available(s) {
			continue
		}
		if sum += uint64(s.Weight()); sum >= r {
			return i
		}
	}
	return none
}
