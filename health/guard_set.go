package health

import (
	"time"

	"uvs/internal/mono"
)

// Limit has the Set keep servers as they were when too many go down at once: limits are the
// percentages, 1 to 100, of the servers that were up, by Key.Service, and by "" for those of all
// services together. When so many of them, and at least two, go down within the longest DelayLoop
// of their checks and a second, OnEvent is told that they are up, and hears nothing of those that
// follow. Once checks succeed again the others have as long again to do so; then OnEvent is told
// of those that are down. A server whose checks have never succeeded does not count. Limits hold
// from the next Apply on. The Set keeps the map, which nobody may change any more.
func (s *Set) Limit(limits map[string]int) {
	s.mu.Lock()
	s.limits = limits
	s.mu.Unlock()
}

// members lists the servers that have checkers, for the guard, if there is one. mu is held.
func (s *Set) members() (list []member) {
	if len(s.limits) == 0 && len(s.guard.scopes) == 0 {
		return nil
	}
	for _, srv := range s.servers {
		if len(srv.checkers) == 0 {
			continue
		}
		m := member{key: srv.Key, up: srv.up(), proven: srv.up()}
		for _, c := range srv.checkers {
			m.proven = m.proven && c.machine.ran
			m.loop = max(m.loop, c.machine.check.delayLoop())
		}
		list = append(list, m)
	}
	return list
}

// guarded passes events through the guard. mu is held.
func (s *Set) guarded(events []Event) (told []Event) {
	if len(s.guard.scopes) == 0 {
		return events
	}
	for _, e := range events {
		told = append(told, s.guard.hear(e)...)
	}
	return told
}

// passTime ends panics whose time has come.
func (s *Set) passTime(now mono.Time) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guard.pass(now)
}

// soonest is a wait, or less if a panic ends before. mu is held.
func (s *Set) soonest(wait time.Duration, now mono.Time) time.Duration {
	if at := s.guard.due(); at != 0 {
		return max(0, min(wait, at.Sub(now)))
	}
	return wait
}
