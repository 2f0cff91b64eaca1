package sched

import "math/bits"

// A cost is what it costs to give a server one more connection: a fraction, of which the least
// is the best. A cost without a weight is out of the question.
type cost struct{ load, weight uint64 }

// less reports whether a server of cost a is better than one of cost b.
func (a cost) less(b cost) bool {
	if a.weight == 0 || b.weight == 0 {
		return a.weight != 0
	}
	// a.load/a.weight < b.load/b.weight, without division and whatever they are.
	ah, al := bits.Mul64(a.load, b.weight)
	bh, bl := bits.Mul64(b.load, a.weight)
	return ah < bh || ah == bh && al < bl
}

// A contest chooses the server of the least cost, the first in the list of those that are
// equal: what the kernel finds by going through the list for each connection. Here a server that
// changes bids again, so that a choice costs the logarithm of the number of servers.
type contest struct {
	name string
	of   func(Server) cost
	list []Server
	bids bids
}

func (c *contest) Name() string   { return c.name }
func (c *contest) Watches() Watch { return WatchCounts }

// Update takes all bids.
func (c *contest) Update(list []Server) {
	c.list, c.bids = list, newBids(len(list))
	for i := range list {
		c.Changed(i)
	}
}

// Changed has a server bid again.
func (c *contest) Changed(i int) { c.bids.put(i, c.of(c.list[i]).bid(i)) }

func (c *contest) Pick(Request) int {
	if len(c.list) == 0 {
		return none
	}
	return c.bids.winner()
}
