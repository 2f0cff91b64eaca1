package vrrp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Candidate is a router that stands for election: an instance as its host has it
// configured, at its own priority.
type Candidate struct {
	// Router names the host for people: its file, say.
	Router string
	Instance
	// Source is where its adverts come from, the zero Addr if that is not known.
	Source netip.Addr
	// Group is the multicast group that adverts go to, the zero Addr for unicast.
	Group netip.Addr
}

// An Election is how candidates that take each other's adverts agree. Candidates are numbers
// in the list that was given to Elect.
type Election struct {
	Members []int
	// First is master once all have started at the same moment, After which time; Why it is
	// and nobody else. It is −1 if two are equal in all that is known.
	First int
	After time.Duration
	Why   string
	// Lasting are those that stay master whoever else starts, the strongest first. With one,
	// it takes over from any other; with more, whoever is master first stays.
	Lasting []int
	// Successor takes over from First, −1 if there is nobody: Crash after its last advert,
	// Stop after its good-bye. Of several at the same moment it is the one that stays.
	Successor   int
	Crash, Stop time.Duration
}

// Takeover is how long the instance waits before it takes over: after the last advert of a
// master that has the given interval and crashed, and after the good-bye of one that was
// stopped. Version 2 has its own interval in any case.
func (i *Instance) Takeover(master time.Duration) (crash, stop time.Duration) {
	r := newInstance(*i)
	if i.Version == 3 && master > 0 {
		r.interval = master
	}
	return r.masterDown(i.Priority), r.skew(i.Priority)
}

// Elect tells who of the routers of one VRID becomes master, while nothing that they track
// is down. Each election stands for itself: more than one are as many masters at a time. It
// is pure, and keeps nothing of the list.
func Elect(list []Candidate) []Election {
	var sets [][]int
	for n := range list {
		at := slices.IndexFunc(sets, func(set []int) bool {
			return !slices.ContainsFunc(set, func(m int) bool { return len(Mismatches(&list[m], &list[n])) > 0 })
		})
		if at < 0 {
			sets = append(sets, []int{n})
		} else {
			sets[at] = append(sets[at], n)
		}
	}
	out := make([]Election, len(sets))
	for n, set := range sets {
		out[n] = elect(list, set)
	}
	return out
}

func elect(list []Candidate, set []int) Election {
	e := Election{Members: set, Successor: -1}
	e.lasting(list)
	e.cold(list)
	if e.First < 0 {
		return e
	}
	rest := slices.DeleteFunc(slices.Clone(set), func(m int) bool { return m == e.First })
	if len(rest) == 0 {
		return e
	}
	interval := list[e.First].AdvertInterval
	e.Successor = soonest(list, rest, func(c *Candidate) time.Duration { crash, _ := c.Takeover(interval); return crash })
	e.Crash, _ = list[e.Successor].Takeover(interval)
	leaver := soonest(list, rest, func(c *Candidate) time.Duration { _, stop := c.Takeover(interval); return stop })
	_, e.Stop = list[leaver].Takeover(interval)
	return e
}

// lasting finds who has nobody above it that would take over.
func (e *Election) lasting(list []Candidate) {
	for _, m := range e.Members {
		if !slices.ContainsFunc(e.Members, func(o int) bool { return o != m && list[o].overtakes(&list[m]) }) {
			e.Lasting = append(e.Lasting, m)
		}
	}
	slices.SortStableFunc(e.Lasting, func(a, b int) int { return stronger(&list[a], &list[b]) })
}

// takesOverFrom reports whether a router replaces a living master that it hears.
func (c *Candidate) takesOverFrom(master *Candidate) bool {
	return !c.NoPreempt && c.Priority > master.Priority
}

// overtakes reports whether a router that starts may replace a living master: it takes over
// from it, or its own interval is so short that it is a master before it hears the other
// (version 3), and then the stronger one stays.
func (c *Candidate) overtakes(master *Candidate) bool {
	crash, _ := c.Takeover(c.AdvertInterval)
	return c.takesOverFrom(master) || crash <= master.AdvertInterval && stronger(c, master) < 0
}

// stronger orders by what two masters that hear each other go by: priority, then address.
func stronger(a, b *Candidate) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), b.Source.Compare(a.Source))
}

// soonest is the router whose timer ends first, of several the strongest.
func soonest(list []Candidate, of []int, wait func(*Candidate) time.Duration) int {
	return slices.MinFunc(of, func(a, b int) int {
		return cmp.Or(cmp.Compare(wait(&list[a]), wait(&list[b])), stronger(&list[a], &list[b]))
	})
}

// cold follows a start of all at the same moment: the first timer that ends makes a master,
// and those with a higher priority that preempt follow when theirs do.
func (e *Election) cold(list []Candidate) {
	wait := func(c *Candidate) time.Duration {
		if c.Priority == ownerPriority {
			return 0
		}
		crash, _ := c.Takeover(c.AdvertInterval)
		return crash
	}
	first := soonest(list, e.Members, wait)
	e.First, e.After = first, wait(&list[first])
	for {
		above := slices.DeleteFunc(slices.Clone(e.Members), func(m int) bool { return !list[m].takesOverFrom(&list[e.First]) })
		if len(above) == 0 {
			break
		}
		since, interval := e.After, list[e.First].AdvertInterval
		comes := func(c *Candidate) time.Duration {
			if c.PreemptDelay == 0 {
				return max(since, wait(c))
			}
			// The delay counts from the first advert of a lesser master, and the timer from the
			// last one before its end: an advert interval at most is unknown.
			crash, _ := c.Takeover(interval)
			return max(since, wait(&list[first])+c.PreemptDelay) + crash - interval
		}
		e.First = soonest(list, above, comes)
		e.After = comes(&list[e.First])
	}
	e.explain(list, first, wait)
}

// explain says why First is master. Equal timers need an address to decide.
func (e *Election) explain(list []Candidate, first int, wait func(*Candidate) time.Duration) {
	winner := &list[e.First]
	var equal, better []int
	for _, m := range e.Members {
		switch c := &list[m]; {
		case m == e.First:
		case c.Priority == winner.Priority && wait(c) == wait(winner):
			equal = append(equal, m)
		case c.Priority > winner.Priority:
			better = append(better, m)
		}
	}
	for _, m := range equal {
		if o := &list[m]; !o.Source.IsValid() || !winner.Source.IsValid() || o.Source == winner.Source {
			e.First, e.After = -1, wait(winner)
			e.Why = fmt.Sprintf("priority %d is equal, and the higher address decides", winner.Priority)
			return
		}
	}
	switch {
	case len(e.Members) == 1:
		e.Why = "it is alone"
	case winner.Priority == ownerPriority && len(equal) == 0:
		e.Why = "priority 255 owns the addresses"
	case len(equal) > 0:
		e.Why = fmt.Sprintf("priority %d is equal, and %s the higher address", winner.Priority, winner.Source)
	case len(better) > 0:
		e.Why = fmt.Sprintf("its timer ends first, and nopreempt keeps %s from replacing it", list[better[0]].Router)
	case e.First == first && slices.ContainsFunc(e.Members, func(m int) bool { return m != first && list[m].Priority == winner.Priority }):
		e.Why = fmt.Sprintf("priority %d is equal, and its timer ends first", winner.Priority)
	default:
		e.Why = fmt.Sprintf("it has the highest priority, %d", winner.Priority)
	}
}
