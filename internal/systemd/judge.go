package systemd

import (
	"time"

	"uvs/internal/mono"
)

// A Pulse is a sign of life of one part of the director.
type Pulse struct {
	Part string // as the log names it: "worker 0"
	// Beats is any number that the part itself changes whenever it goes on, busy or idle.
	Beats uint64
}

// A Hung is a part that does not go on.
type Hung struct {
	Part string
	For  time.Duration // since when, as far as somebody looked
}

// A Judge tells parts that go on from those that hang. What counts is time in which somebody
// looked: when the whole process stands still (a virtual machine that is paused, SIGSTOP),
// no part of it hangs. It belongs to one goroutine.
type Judge struct {
	limit time.Duration
	most  time.Duration // that counts between two looks
	last  mono.Time     // of the last look, 0 before it
	parts map[string]standing
}

// A standing is what a Judge remembers of a part.
type standing struct {
	beats uint64
	still time.Duration
}

// NewJudge returns a Judge that is to look once in every period, and calls a part hung that
// has not gone on for limit.
func NewJudge(limit, period time.Duration) *Judge {
	return &Judge{limit: limit, most: 2 * period, parts: make(map[string]standing)}
}

// Look returns the parts that hang, in the order of pulses. A part is given time from the
// first look at it; one that is not among the pulses any more is forgotten.
func (j *Judge) Look(now mono.Time, pulses []Pulse) (hung []Hung) {
	var passed time.Duration
	if j.last != 0 {
		passed = min(now.Sub(j.last), j.most)
	}
	j.last = now
	parts := make(map[string]standing, len(pulses))
	for _, p := range pulses {
		s, known := j.parts[p.Part]
		if known && s.beats == p.Beats {
			s.still += passed
		} else {
			s = standing{beats: p.Beats}
		}
		parts[p.Part] = s
		if s.still >= j.limit {
			hung = append(hung, Hung{p.Part, s.still})
		}
	}
	j.parts = parts
	return hung
}
