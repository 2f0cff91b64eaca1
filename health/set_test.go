package health_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"uvs/health"
	"uvs/internal/mono"
)

// A site is a Set over a fake network, in the virtual time of a synctest bubble.
type site struct {
	set *health.Set

	mu      sync.Mutex // guards all below
	dead    map[netip.AddrPort]bool
	hang    map[netip.AddrPort]bool // does not end before its context does
	probes  map[netip.AddrPort][]time.Duration
	running int
	most    int // of running, at any time
	events  []health.Event

	begun time.Time
	took  time.Duration // of each probe
}

// punctual has no probe come early.
func punctual(time.Duration) time.Duration { return 0 }

func newSite(opts health.Options) *site {
	n := &site{
		dead: map[netip.AddrPort]bool{}, hang: map[netip.AddrPort]bool{},
		probes: map[netip.AddrPort][]time.Duration{}, begun: time.Now(),
	}
	opts.Prober = n
	if opts.Early == nil { // most tests ask for exact times
		opts.Early = punctual
	}
	if opts.OnEvent == nil {
		opts.OnEvent = func(e health.Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
		}
	}
	n.set = health.NewSet(opts)
	return n
}

func (n *site) Probe(ctx context.Context, step health.Step) health.Outcome {
	n.mu.Lock()
	to := step.Check.Target
	n.probes[to] = append(n.probes[to], time.Since(n.begun))
	n.running++
	n.most = max(n.most, n.running)
	hang := n.hang[to]
	n.mu.Unlock()
	if hang {
		<-ctx.Done()
	}
	time.Sleep(n.took) // virtual
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running--
	if n.dead[to] {
		return fail
	}
	return ok
}

func (n *site) kill(to netip.AddrPort, dead bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead[to] = dead
}

// told returns the events so far that are about servers, in short, and forgets them.
func (n *site) told() (short []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Kind != health.ServerUp && e.Kind != health.ServerDown {
			continue
		}
		text := fmt.Sprintf("%v %v", e.Server, e.Kind)
		if e.Initial {
			text += " initially"
		}
		short = append(short, text)
	}
	n.events = nil
	return short
}

// run runs the set during f, inside a bubble.
func (n *site) run(t *testing.T, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.set.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	f()
	cancel()
	wg.Wait()
	if n.running != 0 {
		t.Errorf("%d probes under way after Run", n.running)
	}
}

// at lets virtual time pass until d after the start, and all that is due then happen.
func (n *site) at(d time.Duration) {
	time.Sleep(d - time.Since(n.begun))
	synctest.Wait()
}

// synctestRun runs f as a subtest in virtual time.
func synctestRun(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

var (
	web1 = netip.MustParseAddrPort("10.0.0.1:80")
	web2 = netip.MustParseAddrPort("10.0.0.2:80")
)

func server(name string, checks ...health.Check) health.Server {
	return health.Server{Key: health.Key{Service: "vs", Server: name}, Checks: checks}
}

func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestDelayLoopLeftOutProbesOnceAMinute: keepalived 1.x probed without pause then.
func TestDelayLoopLeftOutProbesOnceAMinute(t *testing.T) {
	for _, kind := range []health.Kind{health.TCP, health.HTTP} {
		synctestRun(t, kind.String(), func(t *testing.T) {
			n := newSite(health.Options{})
			n.set.Apply([]health.Server{server("a", health.Check{Kind: kind, Target: web1, Warmup: time.Minute})})
			n.run(t, func() { n.at(time.Hour) })
			probes := n.probes[web1]
			if first := probes[0]; first < time.Second || first > 61*time.Second {
				t.Errorf("first probe at %v, want 1 s to 61 s", first)
			}
			for i := 1; i < len(probes); i++ {
				if gap := probes[i] - probes[i-1]; gap != time.Minute {
					t.Errorf("probe %d after %v, want 1m", i, gap)
				}
			}
			if len(probes) < 59 || len(probes) > 60 {
				t.Errorf("%d probes in an hour, want 59 or 60", len(probes))
			}
		})
	}
}

// TestWarmupSpreadsFirstProbes: the warm-up is at the start, and nowhere else.
func TestWarmupSpreadsFirstProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{})
		var servers []health.Server
		for i := range 200 {
			to := netip.AddrPortFrom(web1.Addr(), uint16(i+1))
			servers = append(servers, server(to.String(),
				health.Check{Target: to, Warmup: 10 * time.Second, DelayLoop: 10 * time.Second}))
		}
		n.set.Apply(servers)
		n.run(t, func() { n.at(100 * time.Second) })
		var tenth [10]int
		for to, probes := range n.probes {
			tenth[min(int((probes[0]-time.Second)/time.Second), 9)]++
			for i := 1; i < len(probes); i++ {
				if gap := probes[i] - probes[i-1]; gap != 10*time.Second {
					t.Fatalf("%v: probe %d after %v, want 10s", to, i, gap)
				}
			}
		}
		for i, count := range tenth {
			if count == 0 {
				t.Errorf("no first probe in second %d of the warm-up: %v", i+1, tenth)
			}
		}
	})
}

// TestDeadServerIsNotFlooded counts the probes at a dead server in an hour, for files
// that leave delay_before_retry out or set it to 0. keepalived 1.2.1 sent 700 a second.
func TestDeadServerIsNotFlooded(t *testing.T) {
	urls := []health.URL{{Path: "/1"}, {Path: "/2"}}
	for _, tc := range []struct {
		name  string
		check health.Check
		want  int
	}{
		{"tcp, no retries", health.Check{DelayLoop: 10 * s}, 360},
		// One each delay_loop, and while the gap grows to that length 100 ms, 200 ms, …
		// 6.4 s: seven more, for which there is a loop or so less.
		{"tcp, 3 retries", health.Check{DelayLoop: 10 * s, Retry: 3}, 366},
		{"tcp, a million retries", health.Check{DelayLoop: 10 * s, Retry: 1e6}, 366},
		{"tcp, all left out", health.Check{Retry: 1}, 69},
		{"http", health.Check{Kind: health.HTTP, DelayLoop: 10 * s, Retry: 3, URLs: urls}, 360},
		{"http, fast_recovery", health.Check{Kind: health.HTTP, DelayLoop: 10 * s, URLs: urls, FastRecovery: true}, 360},
	} {
		synctestRun(t, tc.name, func(t *testing.T) {
			tc.check.Target = web1
			n := newSite(health.Options{})
			n.kill(web1, true)
			n.set.Apply([]health.Server{server("a", tc.check)})
			n.run(t, func() { n.at(time.Hour) })
			probes := n.probes[web1]
			if len(probes) != tc.want {
				t.Errorf("%d probes in an hour, want %d; the first at %v", len(probes), tc.want, probes[:15])
			}
			for i := 1; i < len(probes); i++ {
				if gap := probes[i] - probes[i-1]; gap < health.MinGap {
					t.Errorf("probe %d after %v", i, gap)
				}
			}
		})
	}
}

// TestReCheckIsNotFlooded: the url that took the server down answers again, another one
// does not. With delay_before_retry 0 even keepalived 2.2.7 probes without pause then.
func TestReCheckIsNotFlooded(t *testing.T) {
	for _, fast := range []bool{false, true} {
		synctestRun(t, fmt.Sprintf("fast_recovery %v", fast), func(t *testing.T) {
			c := health.Check{Kind: health.HTTP, Target: web1, DelayLoop: 10 * s, FastRecovery: fast,
				URLs: []health.URL{{Path: "/1"}, {Path: "/2"}}}
			count := 0
			set := health.NewSet(health.Options{Early: punctual, Prober: proberFunc(func(step health.Step) health.Outcome {
				// First everything fails once, then only the second url does.
				if count++; count == 1 || step.URL == 1 {
					return fail
				}
				return ok
			})})
			set.Apply([]health.Server{server("a", c)})
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			set.Run(ctx)
			if count < 360 || count > 370 {
				t.Errorf("%d probes in an hour, want about 365", count)
			}
		})
	}
}

type proberFunc func(health.Step) health.Outcome

func (f proberFunc) Probe(_ context.Context, step health.Step) health.Outcome { return f(step) }

// TestHealthyPeriodIsDelayLoop: 1.2.1 added delay_before_retry, 15 s instead of 10. The
// period counts from the end of a probe, as in keepalived.
func TestHealthyPeriodIsDelayLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{})
		n.took = 20 * ms
		n.set.Apply([]health.Server{server("a", health.Check{Kind: health.HTTP, Target: web1,
			DelayLoop: 10 * s, DelayBeforeRetry: 5 * s, URLs: []health.URL{{Path: "/"}}})})
		n.run(t, func() { n.at(60 * s) })
		want := []time.Duration{s, 11*s + 20*ms, 21*s + 40*ms, 31*s + 60*ms, 41*s + 80*ms, 51*s + 100*ms}
		if !slices.Equal(n.probes[web1], want) {
			t.Errorf("probes at %v, want %v", n.probes[web1], want)
		}
	})
}

// TestDetectionTime: from the failing probe a server is down retry × delay_before_retry
// later, and one success brings it back.
func TestDetectionTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{})
		n.set.Apply([]health.Server{server("a", health.Check{Target: web1,
			DelayLoop: 10 * s, Retry: 3, DelayBeforeRetry: 2 * s})})
		n.run(t, func() {
			n.at(2 * s)
			expect(t, "at first", n.told(), []string{"a server up initially"})
			n.kill(web1, true)
			n.at(17*s - 1)
			expect(t, "before", n.told(), nil)
			n.at(17 * s) // the probe of 11 s and three retries
			n.mu.Lock()
			down := n.events[len(n.events)-1]
			n.mu.Unlock()
			if down.Since != down.Time.Add(-6*s) || down.Reason != fail.Err.Error() {
				t.Errorf("down event %+v, want since 6 s for %q", down, fail.Err)
			}
			expect(t, "after", n.told(), []string{"a server down"})
			n.kill(web1, false)
			n.at(27 * s)
			expect(t, "recovered", n.told(), []string{"a server up"})
		})
	})
}

// TestServerIsUpWhenAllCheckersAre counts a server with two checkers.
func TestServerIsUpWhenAllCheckersAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{})
		n.set.Apply([]health.Server{
			server("a", health.Check{Target: web1, DelayLoop: 10 * s}, health.Check{Target: web2, DelayLoop: 10 * s}),
			server("unchecked"),
		})
		n.run(t, func() {
			n.at(5 * s)
			expect(t, "at first", n.told(), []string{"a server up initially", "unchecked server up initially"})
			n.kill(web1, true)
			n.at(15 * s)
			expect(t, "one failed", n.told(), []string{"a server down"})
			n.kill(web2, true)
			n.at(25 * s)
			expect(t, "both failed", n.told(), nil)
			n.kill(web1, false)
			n.at(35 * s)
			expect(t, "one back", n.told(), nil)
			n.kill(web2, false)
			n.at(45 * s)
			expect(t, "both back", n.told(), []string{"a server up"})
		})
	})
}

func TestAlphaStartsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{})
		srv := server("a", health.Check{Target: web1, Alpha: true}, health.Check{Target: web2})
		if srv.StartsUp() {
			t.Error("StartsUp with alpha")
		}
		n.set.Apply([]health.Server{srv})
		n.run(t, func() {
			n.at(500 * ms)
			expect(t, "before the first probe", n.told(), []string{"a server down initially"})
			n.at(s)
			expect(t, "after it", n.told(), []string{"a server up"})
		})
	})
}

func TestApply(t *testing.T) {
	every := func(d time.Duration, to netip.AddrPort) health.Check {
		return health.Check{Target: to, DelayLoop: d}
	}
	for _, tc := range []struct {
		name          string
		before, after []health.Server
		want          []string        // events of the second Apply, at 15 s
		probes        []time.Duration // at web1, which is dead from 5 s on, to 40 s
	}{
		{"the same: goes on undisturbed",
			[]health.Server{server("a", every(10*s, web1))},
			[]health.Server{server("a", every(10*s, web1))},
			nil, []time.Duration{s, 11 * s, 21 * s, 31 * s}},
		{"removed: stops",
			[]health.Server{server("a", every(10*s, web1))}, nil,
			nil, []time.Duration{s, 11 * s}},
		{"another description: starts anew, and a dead server stays dead",
			[]health.Server{server("a", every(10*s, web1))},
			[]health.Server{server("a", every(20*s, web1))},
			nil, []time.Duration{s, 11 * s, 16 * s, 36 * s}},
		{"its failed checker is gone",
			[]health.Server{server("a", every(10*s, web1), every(10*s, web2))},
			[]health.Server{server("a", every(10*s, web2))},
			[]string{"a server up"}, []time.Duration{s, 11 * s}},
		{"all checkers gone",
			[]health.Server{server("a", every(10*s, web1))},
			[]health.Server{server("a")},
			[]string{"a server up"}, []time.Duration{s, 11 * s}},
		{"another server",
			[]health.Server{server("a", every(10*s, web1))},
			[]health.Server{server("a", every(10*s, web1)), server("b", every(10*s, web2))},
			[]string{"b server up initially"}, []time.Duration{s, 11 * s, 21 * s, 31 * s}},
		{"equal checkers are counted",
			[]health.Server{server("a", every(10*s, web1))},
			[]health.Server{server("a", every(10*s, web1), every(10*s, web1))},
			nil, []time.Duration{s, 11 * s, 16 * s, 21 * s, 26 * s, 31 * s, 36 * s}},
		{"one key twice: the first counts",
			[]health.Server{server("a", every(10*s, web1))},
			[]health.Server{server("a", every(10*s, web1)), server("a", every(9*s, web2))},
			nil, []time.Duration{s, 11 * s, 21 * s, 31 * s}},
	} {
		synctestRun(t, tc.name, func(t *testing.T) {
			n := newSite(health.Options{})
			n.set.Apply(tc.before)
			n.run(t, func() {
				n.at(5 * s)
				n.kill(web1, true)
				n.at(15 * s)
				expect(t, "before", n.told(), []string{"a server up initially", "a server down"})
				n.set.Apply(tc.after)
				synctest.Wait()
				expect(t, "after", n.told(), tc.want)
				n.at(40 * s)
			})
			if !slices.Equal(n.probes[web1], tc.probes) {
				t.Errorf("probes at %v, want %v", n.probes[web1], tc.probes)
			}
		})
	}
}

// TestApplyTwiceAtOnce: a server that goes and comes back between two looks of the loop
// starts afresh, and says so.
func TestApplyTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{})
		list := []health.Server{server("a", health.Check{Target: web1, DelayLoop: 10 * s})}
		n.kill(web1, true)
		n.set.Apply(list)
		n.run(t, func() {
			n.at(5 * s)
			n.told()
			n.set.Apply(nil)
			n.set.Apply(list)
			synctest.Wait()
			expect(t, "after", n.told(), []string{"a server up initially"})
		})
	})
}

// TestRemovedProbeIsCancelled: a probe that hangs ends with its checker, and nobody
// hears of its outcome.
func TestRemovedProbeIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{})
		n.hang[web1], n.dead[web1] = true, true
		n.set.Apply([]health.Server{server("a", health.Check{Target: web1})})
		n.run(t, func() {
			n.at(5 * s)
			if !n.set.Snapshot()[0].Checks[0].Probing {
				t.Error("no probe under way")
			}
			n.told()
			n.set.Apply(nil)
			synctest.Wait()
			n.mu.Lock()
			if n.running != 0 {
				t.Errorf("%d probes under way", n.running)
			}
			n.mu.Unlock()
			expect(t, "after", n.told(), nil)
		})
	})
}

// TestMaxProbes: the cap holds, what waits is done in the order in which it was due, and
// a hanging probe takes one place only.
func TestMaxProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{MaxProbes: 4})
		n.took = 100 * ms
		var servers []health.Server
		for i := range 20 {
			to := netip.AddrPortFrom(web1.Addr(), uint16(i+1))
			servers = append(servers, server(to.String(), health.Check{Target: to, DelayLoop: 10 * s}))
		}
		n.hang[netip.AddrPortFrom(web1.Addr(), 1)] = true
		n.set.Apply(servers)
		n.run(t, func() { n.at(9 * s) })
		if n.most != 4 {
			t.Errorf("%d probes at a time, want 4", n.most)
		}
		for to, probes := range n.probes {
			if len(probes) != 1 || probes[0] > s+700*ms {
				t.Errorf("%v: probes at %v, want one by 1.7s", to, probes)
			}
		}
		if len(n.probes) != 20 {
			t.Errorf("%d servers probed, want 20", len(n.probes))
		}
	})
}

// TestOnEventMayCallTheSet: the owner reacts to an event by a new list, at once.
func TestOnEventMayCallTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n *site
		n = newSite(health.Options{OnEvent: func(e health.Event) {
			if e.Kind == health.ServerDown && len(n.set.Snapshot()) == 1 {
				n.set.Apply(nil)
			}
		}})
		n.kill(web1, true)
		n.set.Apply([]health.Server{server("a", health.Check{Target: web1})})
		n.run(t, func() {
			n.at(2 * s)
			if got := n.set.Snapshot(); len(got) != 0 {
				t.Errorf("servers %+v, want none", got)
			}
		})
	})
}

func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSite(health.Options{})
		n.took = 30 * ms
		list := []health.Server{
			server("a", health.Check{Kind: health.HTTP, Target: web1, DelayLoop: 10 * s, Retry: 3,
				DelayBeforeRetry: 4 * s, URLs: []health.URL{{Path: "/1"}}}),
			server("b"),
		}
		n.set.Apply(list)
		n.run(t, func() {
			n.at(500 * ms)
			origin := mono.Now().Add(-500 * ms)
			before := n.set.Snapshot()
			want := health.CheckStatus{Kind: health.HTTP, Word: "HTTP_GET", Target: web1, Path: "/1", Up: true,
				Retry: 3, Next: origin.Add(s)}
			if got := before[0].Checks[0]; got != want {
				t.Errorf("before the first probe: %+v, want %+v", got, want)
			}
			if len(before) != 2 || before[1].Server != "b" || !before[1].Up || before[1].Checks != nil {
				t.Errorf("snapshot %+v, want a and b", before)
			}

			n.at(2 * s)
			n.kill(web1, true)
			n.at(12 * s)
			last := origin.Add(11*s + 60*ms)
			want.Ran, want.Fails, want.LastError = true, 1, "connect: connection refused"
			want.Last, want.RoundTrip, want.Next = last, 30*ms, last.Add(4*s)
			if got := n.set.Snapshot()[0].Checks[0]; got != want {
				t.Errorf("after a failure: %+v, want %+v", got, want)
			}

			n.at(40 * s)
			n.set.Apply(slices.Clone(list)) // changes nothing
			n.at(41 * s)
			st := n.set.Snapshot()[0]
			if st.Up || st.Since.Sub(origin) != 23*s+150*ms {
				t.Errorf("up = %v since %v, want down since 23.15s", st.Up, st.Since.Sub(origin))
			}
		})
	})
}
