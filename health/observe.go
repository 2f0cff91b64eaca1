package health

import (
	"fmt"

	"uvs/internal/mono"
)

// leastFileWeight takes a server down whatever its weight (check/check_file.c, IPVS's
// weights are above it).
const leastFileWeight = -254

// An Observation is the state of what observed checkers follow.
type Observation struct {
	Up    bool // BFD: the session is up
	Value int  // File: the number in the file
}

// A Weight is what checkers make of a server's weight: Value instead of the configured one if
// Set, and Add on top. The zero Weight leaves it as it is.
type Weight struct {
	Set        bool
	Value, Add int
}

// A weight is what one checker makes of a server's.
type weight struct {
	set   bool // value replaces the configured weight, else it is added
	value int
}

// Observe takes in the state of a session or file, and returns what there is to tell. Only
// checkers of the kinds BFD and File observe.
func (m *Machine) Observe(now mono.Time, o Observation) []Event {
	up, why := o.Up, "the session is down"
	if m.check.Kind == File {
		m.weight = weight{value: o.Value * m.check.Weight}
		up, why = m.weight.value > leastFileWeight, fmt.Sprintf("the file says %d", o.Value)
	}
	was, first := m.up, !m.ran
	m.up, m.ran = up, true
	switch {
	case up && (!was || first):
		m.markSuccess()
		return []Event{m.event(CheckSucceeded, now, fmt.Sprintf("%s of %s for VS %s is up: %s", m.check.Word(), m.key.Server, m.key.Service, m.check.Name))}
	case !up && was:
		m.markFailure(now)
		e := m.event(CheckFailed, now, fmt.Sprintf("%s of %s for VS %s is down: %s", m.check.Word(), m.key.Server, m.key.Service, m.check.Name))
		e.Since, e.Reason = now, why
		return []Event{e}
	}
	return nil
}

// An observedKey names what is observed.
type observedKey struct {
	kind Kind
	name string
}

// Observe tells all checkers of a kind that follow a session or a file of that name what its
// state is; those that come later are told as well. It never blocks: the loop of Run takes it
// up in its turn.
func (s *Set) Observe(kind Kind, name string, o Observation) {
	s.mu.Lock()
	s.news = append(s.news, news{observedKey{kind, name}, o})
	s.mu.Unlock()
	s.Nudge()
}

// news is an observation that the loop has not taken up yet.
type news struct {
	key observedKey
	Observation
}

// hearNews takes up what was observed. mu is held.
func (s *Set) hearNews(now mono.Time) (events []Event) {
	for _, n := range s.news {
		s.observed[n.key] = n.Observation
		for _, srv := range s.servers {
			for _, c := range srv.checkers {
				if c.machine.check.Kind == n.key.kind && c.machine.check.Name == n.key.name {
					events = append(events, s.observe(c, n.Observation, now)...)
				}
			}
		}
	}
	s.news = nil
	return events
}

// observe tells one checker. mu is held.
func (s *Set) observe(c *checker, o Observation, now mono.Time) []Event {
	was := c.machine.up
	events := c.machine.Observe(now, o)
	s.hear(c)
	c.lastEnd, c.lastText = now, ""
	if !c.machine.up && len(events) > 0 {
		c.lastText = events[0].Reason
	}
	return append(events, c.server.follow(c, was, c.lastText, now)...)
}
