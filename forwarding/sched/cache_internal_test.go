package sched

import (
	"testing"
	"time"

	"uvs/internal/mono"
)

// idler is a server without connections.
type idler struct{ busy int }

func (s *idler) Weight() int      { return 1 }
func (s *idler) LastWeight() int  { return 1 }
func (s *idler) Active() int      { return s.busy }
func (s *idler) Inactive() int    { return 0 }
func (s *idler) Overloaded() bool { return false }
func (s *idler) End() End         { return End{} }

// TestCacheGivesBack: what a sweep takes out of the cache is there to be used again, and servers
// that nothing names any more are forgotten.
func TestCacheGivesBack(t *testing.T) {
	hour := func() time.Duration { return time.Hour }
	for _, name := range []string{"lblc", "lblcr"} {
		s, _ := New(name, 0, Env{LBLCExpiration: hour, LBLCRExpiration: hour})
		var c *cache
		switch x := s.(type) {
		case *localityLeastConnection:
			c = &x.cache
		case *replicatedLeastConnection:
			c = &x.cache
		}
		a, b := &idler{}, &idler{busy: 2}
		s.Update([]Server{a, b})
		visit := func(now mono.Time) {
			for i := range 1000 {
				s.Pick(Request{Virtual: [16]byte{byte(i), byte(i >> 8)}, Now: now})
			}
		}
		visit(1)
		a.busy, b.busy = 2, 0 // the sets of lblcr grow
		s.Changed(0)
		s.Changed(1)
		visit(1)
		s.Update([]Server{b})
		want := map[string]int{"lblc": 1000, "lblcr": 2000}[name]
		if c.entries.used != 1000 || c.elements.used != want {
			t.Errorf("%s: %d entries, %d servers in sets, want 1000, %d", name, c.entries.used, c.elements.used, want)
		}
		pages := len(c.elements.pages)
		c.sweep(1, mostEntries)
		if c.entries.used != 0 || c.elements.used != 0 || len(c.number) != 1 {
			t.Errorf("%s: %d entries, %d servers in sets, %d servers are left", name, c.entries.used, c.elements.used, len(c.number))
		}
		visit(2)
		if got := len(c.elements.pages); got != pages {
			t.Errorf("%s: %d pages, before %d", name, got, pages)
		}
	}
}
