package sched

// weightedRoundRobin goes through the list in passes and takes, in each, the servers
// whose weight is at least the pass's threshold; the threshold falls from pass to pass
// (ip_vs_wrr.c).
type weightedRoundRobin struct {
	weights
	last      int // chosen last; none at the beginning of a pass
	threshold int // of the present pass
	top       int // threshold of the first pass: the greatest weight less (step − 1), so that the last one's is 1
	step      int // greatest common divisor of the weights
}

func newWeightedRoundRobin() *weightedRoundRobin {
	return &weightedRoundRobin{last: none, step: 1}
}

func (w *weightedRoundRobin) Name() string { return "wrr" }

// Update begins the present pass anew: its threshold stays, as far as the new weights have
// such a pass (ip_vs_wrr_dest_changed).
func (w *weightedRoundRobin) Update(list []Server) {
	w.weights.Update(list)
	w.last = none
	greatest := 0
	w.step = 0
	for _, s := range list {
		greatest = max(greatest, s.Weight())
		w.step = gcd(w.step, max(0, s.Weight()))
	}
	w.step = max(1, w.step)
	w.top = greatest - (w.step - 1)
	switch {
	case w.threshold > w.top || w.threshold == 0:
		w.threshold = w.top
	case w.step > 1:
		w.threshold = w.threshold/w.step*w.step + 1
	}
}

// Pick goes on behind the server chosen last. It gives up when all servers were tried with
// the threshold of the last pass.
func (w *weightedRoundRobin) Pick(Request) int {
	if w.top == 0 {
		return none
	}
	begin := w.last
	stop := none // if not found, give up as if behind this one
	lastPass, restarted := false, false
	for {
		if at := w.next(w.last+1, w.threshold); at != none {
			w.last = at
			return at
		}
		if stop != none {
			w.last = stop
			return none
		}
		w.last = none
		w.threshold -= w.step
		w.skip()
		if w.threshold <= 0 {
			w.threshold = w.top
			if lastPass || begin == none {
				return none
			}
			restarted = true
		}
		lastPass = w.threshold <= w.step
		if lastPass && restarted {
			// The first pass tried only the servers behind begin with that threshold. Of those
			// nobody will be found now.
			stop = begin
		}
	}
}

// skip leaves out passes that are in vain because no server has as much weight, except the
// last one. The kernel goes through them all: up to 65535 if weights differ that much.
func (w *weightedRoundRobin) skip() {
	if above := w.threshold - max(1, w.all().greatest); above > 0 {
		w.threshold -= (above + w.step - 1) / w.step * w.step
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
