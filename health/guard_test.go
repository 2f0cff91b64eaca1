package health_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"uvs/health"
)

// guardedSite is n servers of service "vs" with a check each that is due every 10 s, without retries.
func guardedSite(n int, limits map[string]int) (*site, []netip.AddrPort) {
	x := newSite(health.Options{})
	servers, at := many(n, health.Check{DelayLoop: 10 * s, Prompt: true}) // in turn
	x.set.Limit(limits)
	x.set.Apply(servers)
	return x, at
}

// verdicts are what is told of servers and panics, without what stands at the beginning.
func (n *site) verdicts() (list []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		switch {
		case e.Initial:
		case e.Kind == health.Note:
			list = append(list, e.Message)
		case e.Kind == health.ServerUp, e.Kind == health.ServerDown:
			list = append(list, fmt.Sprintf("%s %v", e.Server, e.Kind))
		}
	}
	n.events = nil
	return list
}

func (n *site) killAll(list []netip.AddrPort, dead bool) {
	for _, to := range list {
		n.kill(to, dead)
	}
}

// TestPanic: all servers but one of a service go down at once, and nobody hears of it for long: those that
// were told are put back. When some are back, the others have a window's time.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, at := guardedSite(4, map[string]int{"vs": 75})
		n.run(t, func() {
			n.at(15 * s)
			n.killAll(at[:3], true)
			n.at(25 * s)
			name := func(i int, what string) string { return at[i].String() + " server " + what }
			expect(t, "panic", n.verdicts(), []string{
				name(0, "down"), name(1, "down"),
				"PANIC: 3 of 4 servers of VS vs went down within 11s; they stay as they were until checks succeed again",
				name(0, "up"), name(1, "up"),
			})
			for i, st := range n.set.Snapshot() {
				if st.Kept != (i < 3) || st.Up != (i == 3) {
					t.Errorf("server %d: up %t, kept %t", i, st.Up, st.Kept)
				}
			}
			n.killAll(at[3:], true)
			n.at(200 * s)
			expect(t, "the last goes down as well", n.verdicts(), nil)
			n.killAll(at[1:2], false)
			n.at(205 * s)
			expect(t, "one is back, the others have time", n.verdicts(), nil)
			n.killAll(at[2:3], false)
			n.at(212 * s)
			got := n.verdicts()
			if len(got) != 3 {
				t.Fatalf("told %q", got)
			}
			down := map[string]bool{got[1]: true, got[2]: true}
			if got[0] != "PANIC is over for VS vs: 2 of 4 servers are up" || !down[name(0, "down")] || !down[name(3, "down")] {
				t.Errorf("told %q", got)
			}
			n.killAll(at, false)
			n.at(230 * s)
			expect(t, "all are back", n.verdicts(), []string{name(0, "up"), name(3, "up")})
		})
	})
}

// TestPanicEndsWhenAllAreBack: nobody waits for the window then, and a further panic needs further deaths.
func TestPanicEndsWhenAllAreBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, at := guardedSite(3, map[string]int{"": 100})
		n.run(t, func() {
			n.at(15 * s)
			n.killAll(at, true)
			n.at(25 * s)
			if got := n.verdicts(); len(got) != 5 {
				t.Errorf("told %q", got)
			}
			n.killAll(at, false)
			n.at(32 * s)
			expect(t, "all back", n.verdicts(), []string{"PANIC is over for all services: 3 of 3 servers are up"})
			n.killAll(at[:1], true)
			n.at(45 * s)
			expect(t, "one dead", n.verdicts(), []string{at[0].String() + " server down"})
		})
	})
}

// TestNoPanic: servers that die one by one leave, as do those of which too few die, one alone, and those
// that were never seen alive.
func TestNoPanic(t *testing.T) {
	for _, tt := range []struct {
		name  string
		n     int
		limit int
		play  func(n *site, at []netip.AddrPort)
		want  int // verdicts
	}{
		{"one by one", 3, 100, func(n *site, at []netip.AddrPort) {
			for i := range at {
				n.at(time.Duration(15+20*i) * s)
				n.kill(at[i], true)
			}
		}, 3},
		{"too few", 4, 75, func(n *site, at []netip.AddrPort) { n.at(15 * s); n.killAll(at[:2], true) }, 2},
		{"one alone", 1, 100, func(n *site, at []netip.AddrPort) { n.at(15 * s); n.killAll(at, true) }, 1},
		{"never alive", 4, 50, func(n *site, at []netip.AddrPort) { n.killAll(at, true) }, 4},
	} {
		synctestRun(t, tt.name, func(t *testing.T) {
			n, at := guardedSite(tt.n, map[string]int{"vs": tt.limit})
			if tt.name == "never alive" {
				tt.play(n, at)
			}
			n.run(t, func() {
				if tt.name != "never alive" {
					tt.play(n, at)
				}
				n.at(100 * s)
				if got := n.verdicts(); len(got) != tt.want {
					t.Errorf("told %q, want %d servers down", got, tt.want)
				}
			})
		})
	}
}

// TestPanicAndReload: a list that changes nothing leaves a panic alone; without its limit it ends.
func TestPanicAndReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, at := guardedSite(3, map[string]int{"vs": 100})
		servers, _ := many(3, health.Check{DelayLoop: 10 * s, Prompt: true})
		n.run(t, func() {
			n.at(15 * s)
			n.killAll(at, true)
			n.at(30 * s)
			n.verdicts()
			n.set.Apply(servers)
			n.at(100 * s)
			expect(t, "the same list", n.verdicts(), nil)
			n.set.Limit(nil)
			n.set.Apply(servers)
			n.at(101 * s)
			if got := n.verdicts(); len(got) != 3 {
				t.Errorf("without the limit: %q, want all servers down", got)
			}
		})
	})
}

// TestProbesComeEarly: checkers that begin in step do not stay in it; no probe is later than its time, and
// none earlier than by a twentieth.
func TestProbesComeEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{Early: rand.N[time.Duration]})
		servers, at := many(200, health.Check{DelayLoop: 10 * s})
		n.set.Apply(servers)
		n.run(t, func() { n.at(1000 * s) })
		least, most := time.Hour, time.Duration(0)
		for _, to := range at {
			probes := n.probes[to]
			for i := 1; i < len(probes); i++ {
				if gap := probes[i] - probes[i-1]; gap > 10*s || gap < 9500*ms {
					t.Fatalf("%v: probe %d after %v, want 9.5 s to 10 s", to, i, gap)
				}
			}
			least, most = min(least, probes[50]), max(most, probes[50])
		}
		if most-least < s {
			t.Errorf("the fiftieth probes of all come within %v", most-least)
		}
	})
}
