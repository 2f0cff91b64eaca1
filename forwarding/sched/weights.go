package sched

import "math/bits"

// weights are the weights of a list's servers that are available, 0 standing for others, in a
// tree that finds the next one of at least some weight, and the one that a sum falls to, in
// the logarithm of their number.
type weights struct {
	list []Server
	// tree[1] is of all servers; tree[n] of those of tree[2n] and tree[2n+1]. The second half are
	// the servers themselves, by their index.
	tree []weighing
}

// A weighing is of a part of the list.
type weighing struct {
	greatest int
	sum      uint64
}

// Watches is the same for all schedulers that do not mind counts.
func (w *weights) Watches() Watch { return WatchOverload }

// Update takes the service's list.
func (w *weights) Update(list []Server) {
	w.list = list
	half := treeSize(len(list))
	w.tree = make([]weighing, 2*half)
	for i, s := range list {
		w.tree[half+i] = weigh(s)
	}
	for n := half - 1; n > 0; n-- {
		w.sum(n)
	}
}

// Changed takes note of a server's overload.
func (w *weights) Changed(i int) {
	n := len(w.tree)/2 + i
	w.tree[n] = weigh(w.list[i])
	for n /= 2; n > 0; n /= 2 {
		w.sum(n)
	}
}

func weigh(s Server) weighing {
	if !available(s) {
		return weighing{}
	}
	return weighing{s.Weight(), uint64(s.Weight())}
}

func (w *weights) sum(n int) {
	a, b := w.tree[2*n], w.tree[2*n+1]
	w.tree[n] = weighing{max(a.greatest, b.greatest), a.sum + b.sum}
}

// all returns the weighing of the whole list.
func (w *weights) all() weighing {
	if len(w.list) == 0 {
		return weighing{}
	}
	return w.tree[1]
}

// next returns the index of the first server from index i on whose weight is at least least,
// which is above 0, or none.
func (w *weights) next(i, least int) int {
	if i >= len(w.list) {
		return none
	}
	half := len(w.tree) / 2
	n := half + i
	for w.tree[n].greatest < least {
		for n%2 == 1 { // up, past what has been looked at
			if n /= 2; n <= 1 {
				return none
			}
		}
		n++
	}
	for n < half { // down, to the first that has it
		if n *= 2; w.tree[n].greatest < least {
			n++
		}
	}
	return n - half
}

// at returns the index of the first server up to which the weights add up to sum, which is
// from 1 to that of all.
func (w *weights) at(sum uint64) int {
	half, n := len(w.tree)/2, 1
	for n < half {
		if n *= 2; w.tree[n].sum < sum {
			sum -= w.tree[n].sum
			n++
		}
	}
	return n - half
}

// treeSize returns the number of leaves of a tree for n servers: a power of two.
func treeSize(n int) int { return 1 << bits.Len(uint(max(n, 2)-1)) }
