package sched

import "math/bits"

// A bid is a server's cost with its place in the list behind, as one number of 128 bits: of two
// bids the lower one wins, and of equal costs the server in front. From the top: the whole part of the
// cost in 40 bits, its fraction in 62, the place in 26. That is exact: costs that differ do so by
// 1/weight² at least, which is above 2^-62, and the load of a server is below 2^40.
type bid struct{ high, low uint64 }

// Of the fraction, as many bits are in the lower word as the place leaves.
const (
	placeBits    = 26
	fractionLow  = 64 - placeBits
	fractionHigh = 62 - fractionLow
)

// bid returns the bid of the server at a place. One that is out of the question bids more than anybody.
func (a cost) bid(place int) bid {
	if a.weight == 0 {
		return bid{^uint64(0), ^uint64(0)}
	}
	whole, rest := a.load/a.weight, a.load%a.weight
	fraction, _ := bits.Div64(rest, 0, a.weight) // in 2^-64
	fraction >>= 2
	return bid{whole<<fractionHigh | fraction>>fractionLow, fraction<<placeBits | uint64(place)}
}

// place returns where the bidder is in the list, none if it is out of the question.
func (b bid) place() int {
	if b.high == ^uint64(0) {
		return none
	}
	return int(b.low & (1<<placeBits - 1))
}

// lower returns the lower bid. Which of two that is cannot be foreseen: there is no branch.
func lower(a, b bid) bid {
	_, borrow := bits.Sub64(b.low, a.low, 0)
	_, borrow = bits.Sub64(b.high, a.high, borrow)
	take := -borrow // all ones if b is lower
	return bid{a.high ^ (a.high^b.high)&take, a.low ^ (a.low^b.low)&take}
}

// bids are those of a list in a tree that remembers the lowest one of each part of it. Nodes have
// four children, which lie on one line of the cache: 1000 servers are five levels.
//
// [1] is the lowest of all; [n] that of [4n] to [4n+3]. The second half are those of the servers
// themselves by their place, and bids that never win where nobody is. What is between is not used.
type bids []bid

// newBids returns a tree with room for n bids at least, which nobody has made yet.
func newBids(n int) bids {
	leaves := 4
	for leaves < n {
		leaves *= 4
	}
	b := make(bids, 2*leaves)
	for i := range b {
		b[i] = cost{}.bid(0)
	}
	return b
}

// room is how many bids there are at most.
func (b bids) room() int { return len(b) / 2 }

// put has the server at a place bid, and tells as far up as that makes a difference.
func (b bids) put(place int, x bid) {
	n := len(b)/2 + place
	for b[n] != x {
		b[n] = x
		if n /= 4; n == 0 {
			return
		}
		of := b[4*n : 4*n+4 : 4*n+4]
		x = lower(lower(of[0], of[1]), lower(of[2], of[3]))
	}
}

// winner returns the place of the lowest bid, none if nobody is in question.
func (b bids) winner() int { return b[1].place() }
