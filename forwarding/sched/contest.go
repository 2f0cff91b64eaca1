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
// equal: what the kernel finds by going through the list for each connection. Here a tree of
// matches remembers who won, and a server that changes only plays its own again, so that a
// choice costs the logarithm of the number of servers.
type contest struct {
	name string
	of   func(Server) cost
	list []Server
	// won[1] is the final's winner; won[n] that of won[2n] and won[2n+1]. The second half are the
	// servers themselves, by their index, and nobody where there are no more.
	won []player
}

// A player is a server with its cost. Nobody has none.
type player struct {
	cost
	index int
}

func (c *contest) Name() string   { return c.name }
func (c *contest) Watches() Watch { return WatchCounts }

// Update plays all matches.
func (c *contest) Update(list []Server) {
	c.list = list
	half := treeSize(len(list))
	c.won = make([]player, 2*half)
	for i, s := range list {
		c.won[half+i] = player{c.of(s), i}
	}
	for n := half - 1; n > 0; n-- {
		c.won[n] = play(c.won[2*n], c.won[2*n+1])
	}
}

// Changed has a server play again, as far up as that makes a difference.
func (c *contest) Changed(i int) {
	n := len(c.won)/2 + i
	winner := player{c.of(c.list[i]), i}
	c.won[n] = winner
	for ; n > 1; n /= 2 {
		if n%2 == 0 {
			winner = play(winner, c.won[n+1])
		} else {
			winner = play(c.won[n-1], winner)
		}
		if before := &c.won[n/2]; before.index == winner.index && winner.index != i {
			return
		}
		c.won[n/2] = winner
	}
}

// play returns the winner of a match: of equals the left one, who is in front.
func play(left, right player) player {
	if right.less(left.cost) {
		return right
	}
	return left
}

func (c *contest) Pick(Request) int {
	if len(c.won) == 0 || c.won[1].weight == 0 {
		return none
	}
	return c.won[1].index
}

// treeSize returns the number of leaves of a tree for n servers: a power of two.
func treeSize(n int) int { return 1 << bits.Len(uint(max(n, 2)-1)) }
