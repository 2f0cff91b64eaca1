package health

import (
	"net/netip"
	"time"

	"uvs/internal/mono"
)

// A Status is a server as a Set sees it at one moment.
type Status struct {
	Key
	Up     bool
	Kept   bool      // it is down, and counts as up in a panic (Set.Limit)
	Since  mono.Time // of the last change, or of the server's arrival
	Checks []CheckStatus
}

// A CheckStatus is one checker of a Status.
type CheckStatus struct {
	Kind   Kind
	Word   string // in keepalived.conf: SSL_GET, say
	Target netip.AddrPort
	Path   string // HTTP: the url that is asked for next

	Up      bool
	Ran     bool // has had a verdict; before that Up is only assumed
	Probing bool // a probe is under way

	// Fails is the number of failed probes in a row that have been forgiven, out of
	// Retry. It is 0 while the checker is down or has not run.
	Fails, Retry int

	LastError string        // what the last probe met, "" if it succeeded
	Last      mono.Time     // end of the last probe; 0 before it
	RoundTrip time.Duration // how long that took
	Next      mono.Time     // when the next probe is due, or the one under way was
}

// Snapshot returns the state of all servers, in the order of the list that was taken up
// last. The slices are the caller's.
func (s *Set) Snapshot() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.servers))
	for _, srv := range s.servers {
		st := Status{Key: srv.Key, Up: srv.up(), Kept: s.guard.keeps(srv.Key), Since: srv.changed}
		for _, c := range srv.checkers {
			st.Checks = append(st.Checks, c.status())
		}
		all = append(all, st)
	}
	return all
}

func (c *checker) status() CheckStatus {
	m := &c.machine
	st := CheckStatus{
		Kind: m.check.Kind, Word: m.check.Word(), Target: m.check.Target,
		Up: m.up, Ran: m.ran, Probing: c.cancel != nil,
		Retry:     m.check.Retry,
		LastError: c.lastText, Last: c.lastEnd, RoundTrip: c.lastTook,
		Next: c.next,
	}
	if m.check.Kind == HTTP {
		st.Path = m.check.url(m.url).Path
	}
	if m.up && m.ran {
		st.Fails = m.fails
	}
	return st
}
