package sched_test

import (
	"encoding/binary"
	"testing"
	"time"

	"uvs/forwarding/sched"
	"uvs/internal/mono"
)

// to is a packet for the n-th address at a time.
func to(n int, now mono.Time) sched.Request {
	r := sched.Request{Now: now}
	binary.BigEndian.PutUint32(r.Virtual[:], uint32(n))
	return r
}

// visit sends a connection to an address and returns the server's name.
func (s *site) visit(n int, now mono.Time) string {
	if i := s.Pick(to(n, now)); i >= 0 {
		return s.list[i].name
	}
	return "-"
}

// stays reports whether an address is remembered: it keeps its server although another one has
// less to do.
func (s *site) stays(n int, now mono.Time) bool {
	s.t.Helper()
	a, b := s.list[0], s.list[1]
	before := [2]int{a.inactive, b.inactive}
	defer func() { a.inactive, b.inactive = before[0], before[1] }()
	a.inactive, b.inactive = 0, 1
	s.update(s.list...)
	return s.visit(n, now) == b.name
}

func TestLocality(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		t.Run(name, func(t *testing.T) {
			l := weighted(2, 2)
			a, b := l[0], l[1]
			s := newSite(t, name, l...)
			expect := func(when, lblc, lblcr string) {
				t.Helper()
				want := map[string]string{"lblc": lblc, "lblcr": lblcr}[name]
				s.update(s.list...) // counts have changed
				if got := s.visit(1, 1) + s.visit(2, 1); got != want {
					t.Errorf("%s: addresses 1 and 2 go to %s, want %s", when, got, want)
				}
			}
			a.active = 1
			expect("new", "BB", "BB")
			a.active, b.active = 0, 2
			expect("no more than its weight", "BB", "BB")
			b.active = 3
			expect("too much to do, and another has less than half of its weight", "AA", "AA")
			a.active, b.active = 3, 1
			expect("too much to do, and nobody has little", "AA", "BB")
			a.active = 0
			s.update(b)
			expect("its server left", "BB", "BB")
			s.update(a, b)
			expect("it is back, and still in the sets", "BB", "AA")
			a.weight = 0
			expect("weight 0", "BB", "BB")
		})
	}
}

// TestLocalityForgets: each half hour what was not used for a day goes.
func TestLocalityForgets(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		t.Run(name, func(t *testing.T) {
			l := weighted(1, 1)
			s := newSite(t, name, l...)
			l[0].inactive = 1
			s.update(l...)
			c := s.Scheduler.(sched.Collector)
			s.visit(1, 1) // B
			now := mono.Time(1)
			minutes := func(n int) {
				for range n {
					now = now.Add(time.Minute)
					c.Collect(now)
				}
			}
			minutes(24*60 - 1)
			if !s.stays(1, now) {
				t.Error("forgotten before a day was over")
			}
			minutes(24*60 - 30)
			if !s.stays(1, now) {
				t.Error("forgotten within a day of its last use")
			}
			minutes(24*60 + 30)
			if s.stays(1, now) {
				t.Error("remembered for longer than a day and half an hour")
			}
		})
	}
}

// TestLocalityIsBounded: beyond 16384 addresses those that are idle go, beyond 24576 new ones are
// not remembered, and served all the same.
func TestLocalityIsBounded(t *testing.T) {
	const full, most = 16384, 24576
	for _, name := range []string{"lblc", "lblcr"} {
		t.Run(name, func(t *testing.T) {
			l := weighted(1, 1)
			s := newSite(t, name, l...)
			l[0].inactive = 1
			s.update(l...)
			c := s.Scheduler.(sched.Collector)
			known := func(n int, now mono.Time) (count int) {
				l[0].inactive, l[1].inactive = 0, 1
				s.update(l...)
				defer func() {
					l[0].inactive, l[1].inactive = 1, 0
					s.update(l...)
				}()
				for i := range n {
					if s.visit(i, now) == "B" {
						count++
					}
				}
				return count
			}
			fill := func(n int, now mono.Time) {
				for i := range n {
					if got := s.visit(i, now); got != "B" {
						t.Fatalf("address %d goes to %s", i, got)
					}
				}
			}
			fill(most+1000, 1)
			// A tenth of what is over, and not idle for long enough.
			c.Collect(mono.Time(1).Add(5 * time.Minute))
			if got := known(most+1000, 2); got != most {
				t.Errorf("%d addresses are remembered, want %d", got, most)
			}
			later := mono.Time(2).Add(6 * time.Minute)
			c.Collect(later)
			// A third more than is over, but no more than half of what is full, to the end of a bucket.
			if got := known(most, later); got > most-full/2 || got < most-full/2-64 {
				t.Errorf("%d addresses are remembered, want about %d", got, most-full/2)
			}
		})
	}
}
