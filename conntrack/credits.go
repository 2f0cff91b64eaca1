package conntrack

import "sync/atomic"

// credits bounds the number of flows of a whole table exactly. A flow holds one credit.
// Shards draw from the pool in chunks, so that a new flow rarely touches memory that
// other workers write. Below the reserve credits move one at a time, and a shard that
// finds the pool empty collects what others still hold.
type credits struct {
	pool    atomic.Int64
	drained atomic.Bool // no shard holds a spare credit: an empty pool means a full table
	chunk   int64
	reserve int64
}

func (c *credits) init(flows, shards int) {
	c.chunk = min(256, max(1, int64(flows/shards/8)))
	c.reserve = 2 * c.chunk * int64(shards)
	c.pool.Store(int64(flows))
}

// draw takes up to n credits from the pool and returns how many it got.
func (c *credits) draw(n int64) int64 {
	for {
		have := c.pool.Load()
		got := min(n, have)
		if got <= 0 {
			return 0
		}
		if c.pool.CompareAndSwap(have, have-got) {
			return got
		}
	}
}

// takeCredit gets the shard a credit for one flow. The shard's lock is held.
func (t *Table) takeCredit(s *shard) bool {
	for spare := s.spare.Load(); spare > 0; spare = s.spare.Load() {
		if s.spare.CompareAndSwap(spare, spare-1) {
			return true
		}
	}
	c := &t.credits
	if c.chunk > 1 && c.pool.Load() > c.reserve {
		if got := c.draw(c.chunk); got > 0 {
			s.spare.Add(got - 1)
			c.hoarded()
			return true
		}
	}
	if c.draw(1) == 1 {
		return true
	}
	if c.drained.Load() {
		return false
	}
	// A shard that gets spare credits from now on clears drained once they can be seen, so
	// drained never stays set while there are some.
	c.drained.Store(true)
	for i := range t.shards {
		c.pool.Add(t.shards[i].spare.Swap(0))
	}
	return c.draw(1) == 1
}

// returnCredit gives back the credit of a flow that is gone. The shard's lock is held.
func (t *Table) returnCredit(s *shard) {
	c := &t.credits
	if c.chunk == 1 || c.pool.Load() <= c.reserve {
		c.pool.Add(1)
		return
	}
	spare := s.spare.Add(1)
	c.hoarded()
	if spare >= 2*c.chunk && s.spare.CompareAndSwap(spare, spare-c.chunk) {
		c.pool.Add(c.chunk)
	}
}

// hoarded takes note that a shard got spare credits.
func (c *credits) hoarded() {
	if c.drained.Load() {
		c.drained.Store(false)
	}
}
