package health_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"uvs/health"
)

// many returns servers with a checker each, and where they are.
func many(n int, check health.Check) (servers []health.Server, at []netip.AddrPort) {
	for i := range n {
		check.Target = netip.AddrPortFrom(web1.Addr(), uint16(i+1))
		at = append(at, check.Target)
		servers = append(servers, server(check.Target.String(), check))
	}
	return servers, at
}

// TestPromptFirstProbes: at the start all first probes run within a second, evenly, and one
// server is probed at once. A warm-up that is given keeps its time.
func TestPromptFirstProbes(t *testing.T) {
	for _, count := range []int{1, 3, 200, 5000} {
		synctestRun(t, fmt.Sprint(count), func(t *testing.T) {
			n := newSite(health.Options{})
			servers, at := many(count, health.Check{Prompt: true, Warmup: 10 * s, DelayLoop: 10 * s})
			slow := server("given", health.Check{Target: web2, Warmup: 5 * s, DelayLoop: 10 * s})
			n.set.Apply(append(slices.Clone(servers), slow))
			n.run(t, func() { n.at(25 * s) })
			for i, to := range at {
				first := s * time.Duration(i) / time.Duration(count)
				if want := []time.Duration{first, first + 10*s, first + 20*s}; !slices.Equal(n.probes[to], want) {
					t.Fatalf("checker %d is probed at %v, want %v", i, n.probes[to], want)
				}
			}
			if first := n.probes[web2][0]; first < s || first > 6*s {
				t.Errorf("the one with a warm-up is probed at %v, want 1 s to 6 s", first)
			}
		})
	}
}

// TestPromptKeepsToMaxProbes: first probes that take long wait for one another.
func TestPromptKeepsToMaxProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{MaxProbes: 4})
		n.took = 100 * ms
		servers, at := many(80, health.Check{Prompt: true, DelayLoop: 10 * s})
		n.set.Apply(servers)
		n.run(t, func() { n.at(3 * s) })
		if n.most != 4 {
			t.Errorf("%d probes at a time, want 4", n.most)
		}
		// The places are taken 12.5 ms apart, and each is good for 20 probes of 100 ms.
		if last := n.probes[at[79]]; !slices.Equal(last, []time.Duration{1937500 * time.Microsecond}) {
			t.Errorf("the last is probed at %v, want 1.9375 s", last)
		}
	})
}

// TestPromptAtReload: a server that a reload brings is probed at once, those that stay are
// not disturbed, and a new description of an old server is in no hurry, however often.
func TestPromptAtReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{Jitter: func(time.Duration) time.Duration { return 0 }})
		check := func(to netip.AddrPort, loop time.Duration) health.Check {
			return health.Check{Target: to, Prompt: true, DelayLoop: loop}
		}
		n.set.Apply([]health.Server{server("a", check(web1, 10*s))})
		n.run(t, func() {
			n.at(3 * s)
			n.set.Apply([]health.Server{server("a", check(web1, 10*s)), server("b", check(web2, 10*s))})
			n.at(4 * s)
			for i := range 100 {
				n.set.Apply([]health.Server{server("a", check(web1, time.Duration(11+i)*s)), server("b", check(web2, 10*s))})
				time.Sleep(50 * ms)
			}
			n.at(12 * s)
		})
		// The last of the hundred came at 8.95 s.
		if want := []time.Duration{0, 9950 * ms}; !slices.Equal(n.probes[web1], want) {
			t.Errorf("the old server is probed at %v, want %v", n.probes[web1], want)
		}
		if want := []time.Duration{3 * s}; !slices.Equal(n.probes[web2], want) {
			t.Errorf("the new server is probed at %v, want %v", n.probes[web2], want)
		}
	})
}

// TestPromptIsNoFlood: a dead server sees as many probes in an hour as without Prompt.
func TestPromptIsNoFlood(t *testing.T) {
	for name, x := range map[string]struct {
		check health.Check
		want  int
	}{
		"no retries":        {health.Check{DelayLoop: 10 * s}, 360},
		"a million retries": {health.Check{DelayLoop: 10 * s, Retry: 1e6}, 366},
		"http, fast_recovery": {health.Check{Kind: health.HTTP, DelayLoop: 10 * s, FastRecovery: true,
			URLs: []health.URL{{Path: "/1"}, {Path: "/2"}}}, 360},
	} {
		synctestRun(t, name, func(t *testing.T) {
			x.check.Target, x.check.Prompt = web1, true
			n := newSite(health.Options{})
			n.kill(web1, true)
			n.set.Apply([]health.Server{server("a", x.check)})
			n.run(t, func() { n.at(time.Hour - s) })
			probes := n.probes[web1]
			if len(probes) != x.want {
				t.Errorf("%d probes, want %d", len(probes), x.want)
			}
			for i := 1; i < len(probes); i++ {
				if gap := probes[i] - probes[i-1]; gap < health.MinGap {
					t.Errorf("probe %d after %v", i, gap)
				}
			}
		})
	}
}

// closed reports whether the first verdicts are there.
func closed(n *site) bool {
	select {
	case <-n.set.FirstVerdicts():
		return true
	default:
		return false
	}
}

// TestFirstVerdicts: the channel closes with the last first outcome, good or bad, after it
// was told.
func TestFirstVerdicts(t *testing.T) {
	prompt := func(to netip.AddrPort) health.Check {
		return health.Check{Target: to, Prompt: true, DelayLoop: 10 * s}
	}
	synctestRun(t, "all outcomes", func(t *testing.T) {
		var n *site
		early := false
		n = newSite(health.Options{OnEvent: func(e health.Event) { early = early || e.Kind == health.ServerDown && closed(n) }})
		n.took = 300 * ms
		n.kill(web2, true)
		n.set.Apply([]health.Server{server("a", prompt(web1)), server("b", prompt(web2)), server("unchecked")})
		n.run(t, func() {
			n.at(799 * ms)
			if closed(n) {
				t.Error("closed before the second probe has ended")
			}
			n.at(800 * ms) // begun at 500 ms
			if !closed(n) || early {
				t.Errorf("closed %t with the last outcome, %t before it was told", closed(n), early)
			}
			n.set.Apply([]health.Server{server("c", prompt(web1))})
			n.at(s)
			if !closed(n) {
				t.Error("another list opened it again")
			}
		})
	})
	synctestRun(t, "a checker that never ends is removed", func(t *testing.T) {
		n := newSite(health.Options{})
		n.hang[web2] = true
		n.set.Apply([]health.Server{server("a", prompt(web1)), server("b", prompt(web2))})
		n.run(t, func() {
			n.at(5 * s)
			if closed(n) {
				t.Error("closed while one hangs")
			}
			n.set.Apply([]health.Server{server("a", prompt(web1))})
			synctest.Wait()
			if !closed(n) {
				t.Error("open though the one that hangs is gone")
			}
		})
	})
	synctestRun(t, "nothing to check", func(t *testing.T) {
		n := newSite(health.Options{})
		n.run(t, func() {
			n.at(s)
			if closed(n) {
				t.Error("closed before there was a list")
			}
			n.set.Apply(nil)
			synctest.Wait()
			if !closed(n) {
				t.Error("open without checkers")
			}
		})
	})
	synctestRun(t, "our own side cannot probe", func(t *testing.T) {
		set := health.NewSet(health.Options{Early: punctual, Prober: proberFunc(func(health.Step) health.Outcome {
			return health.Outcome{Verdict: health.Rescheduled, Reason: health.NoSocket}
		})})
		set.Apply([]health.Server{server("a", prompt(web1))})
		ctx, cancel := context.WithTimeout(t.Context(), 5*s)
		defer cancel()
		set.Run(ctx)
		select {
		case <-set.FirstVerdicts():
		default:
			t.Error("open after an outcome")
		}
	})
}
