package health_test

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"uvs/health"
	"uvs/internal/mono"
)

// TestOtherMachines has transcripts of the checkers beside TCP_CHECK and HTTP_GET: their lines,
// and what they do while they are down.
func TestOtherMachines(t *testing.T) {
	check := func(k health.Kind, retry int) health.Check {
		return health.Check{Kind: k, Retry: retry, DelayBeforeRetry: s, DelayLoop: 10 * s, Target: netip.MustParseAddrPort("192.0.2.1:80"), Program: health.Program{Args: []string{"/bin/ask", "x"}}}
	}
	const (
		subject = "Misc check for [[10.0.0.1]:tcp:80 VS [192.0.2.1]:tcp:80] by [/bin/ask] "
		on      = " on service [10.0.0.1]:tcp:80 "
	)
	exit1 := health.Outcome{Reason: health.ExitStatus, Code: 1, Err: errors.New("exited with status 1")}
	killed := health.Outcome{Reason: health.Killed, Err: errors.New("timed out")}
	for _, tr := range []transcript{
		{"UDP waits delay_loop while it is down", check(health.UDP, 2), []turn{
			{ok, 10 * s, true, 0, say("UDP connection to [10.0.0.1]:tcp:80 success.")},
			{fail, s, true, 0, nil},
			{fail, s, true, 0, nil},
			{fail, 10 * s, false, 0, say("UDP_CHECK" + on + "failed after 2 retries.")},
			{fail, 10 * s, false, 0, nil},
			{fail, 10 * s, false, 0, nil},
			{ok, 10 * s, true, 0, say("UDP connection to [10.0.0.1]:tcp:80 success.")},
		}},
		{"so does PING", check(health.Ping, 1), []turn{
			{fail, 10 * s, false, 0, say("ICMP CHECK" + on + "failed.")},
			{fail, 10 * s, false, 0, nil},
			{ok, 10 * s, true, 0, say("ICMP connection to [10.0.0.1]:tcp:80 success.")},
		}},
		{"and DNS", check(health.DNS, 1), []turn{
			{fail, 10 * s, false, 0, say("DNS_CHECK" + on + "failed.")},
			{fail, 10 * s, false, 0, nil},
			{ok, 10 * s, true, 0, say("DNS_CHECK of [10.0.0.1]:tcp:80 success.")},
		}},
		{"and check_vip", check(health.VIP, 1), []turn{
			{ok, 10 * s, true, 0, say("check_vip of [10.0.0.1]:tcp:80 success: it answers for 192.0.2.1:80.")},
			{fail, s, true, 0, nil},
			{fail, 10 * s, false, 0, say("check_vip" + on + "failed after 1 retries.")},
			{fail, 10 * s, false, 0, nil},
			{ok, 10 * s, true, 0, say("check_vip of [10.0.0.1]:tcp:80 success: it answers for 192.0.2.1:80.")},
		}},
		{"SMTP goes in circles, as TCP does", check(health.SMTP, 1), []turn{
			{ok, 10 * s, true, 0, say("Remote SMTP server [10.0.0.1]:tcp:80 succeed on service.")},
			{fail, s, true, 0, nil},
			{fail, 10 * s, false, 0, say("SMTP_CHECK" + on + "failed after 1 retries.")},
			{fail, s, false, 0, nil},
			{fail, 10 * s, false, 0, nil},
		}},
		{"a program that fails", check(health.Misc, 1), []turn{
			{ok, 10 * s, true, 0, say(subject + "succeeded")},
			{exit1, s, true, 0, nil},
			{exit1, 10 * s, false, 0, say(subject + "failed after 1 retries (exited with status 1)")},
			{exit1, 10 * s, false, 0, nil},
			{ok, 10 * s, true, 0, say(subject + "succeeded")},
		}},
		{"a program that takes too long at first", check(health.Misc, 0), []turn{
			{killed, 10 * s, false, 0, say(subject + "timed out")},
			{ok, 10 * s, true, 0, say(subject + "succeeded")},
		}},
	} {
		t.Run(tr.name, tr.run)
	}
}

// TestProgramsPeriod: a program's period counts from its start.
func TestProgramsPeriod(t *testing.T) {
	c := health.Check{Kind: health.Misc, DelayLoop: 10 * s, Retry: 1, DelayBeforeRetry: 4 * s}
	m := health.NewMachine(key, &c)
	now := mono.Time(1000 * s)
	for _, step := range []struct {
		outcome health.Outcome
		took    time.Duration
		wait    time.Duration
	}{
		{ok, 3 * s, 7 * s},
		{fail, 3 * s, s},
		{ok, 15 * s, health.MinGap},
	} {
		step.outcome.Began = now
		end := now.Add(step.took)
		next, _ := m.Step(end, step.outcome)
		if got := next.Sub(end); got != step.wait {
			t.Errorf("a program of %v is run again after %v, want %v", step.took, got, step.wait)
		}
		now = next
	}
}

// TestObserve: what a session and a file say, and what a reload makes of it.
func TestObserve(t *testing.T) {
	withFile := func(weight int) health.Server {
		return server("f", health.Check{Kind: health.File, Name: "number", Weight: weight})
	}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var weights []health.Weight
		n := newSite(health.Options{OnEvent: func(e health.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == health.ServerWeight {
				weights = append(weights, e.Weight)
			}
		}})
		up := func(i int) bool { return n.set.Snapshot()[i].Up }
		n.set.Observe(health.File, "number", health.Observation{Up: true, Value: 3})
		n.set.Apply([]health.Server{withFile(2), server("b", health.Check{Kind: health.BFD, Name: "peer"})})
		n.run(t, func() {
			n.at(s)
			n.set.Observe(health.BFD, "peer", health.Observation{})
			n.at(2 * s)
			if !up(0) || up(1) {
				t.Errorf("up: file %t, session %t, want true and false", up(0), up(1))
			}
			n.set.Observe(health.BFD, "peer", health.Observation{Up: true})
			n.set.Observe(health.File, "number", health.Observation{Up: true, Value: -127})
			n.at(3 * s)
			if up(0) || !up(1) {
				t.Errorf("up: file %t, session %t, want false and true", up(0), up(1))
			}
			n.set.Apply([]health.Server{withFile(1)}) // another checker, which is told what is known
			n.at(4 * s)
			if !up(0) {
				t.Error("with the factor 1 the file takes the server down")
			}
		})
		if want := []health.Weight{{Add: 6}, {Add: -254}, {Add: -127}}; !slices.Equal(weights, want) {
			t.Errorf("weights %+v, want %+v", weights, want)
		}
	})
}

// TestRegex: where a match may begin, and what no match means.
func TestRegex(t *testing.T) {
	for _, tc := range []struct {
		expr     string
		no       bool
		min, max int
		want     bool
	}{
		{"b+", false, 0, 0, true},
		{"b+", true, 0, 0, false},
		{"x", false, 0, 0, false},
		{"x", true, 0, 0, true},
		{"b", false, 3, 0, true},
		{"b", false, 4, 0, false},
		{"b", false, 0, 2, false},
		{"b", false, 0, 3, true},
		{"b", false, 99, 0, false},
	} {
		a := health.Regex{Expr: regexp.MustCompile(tc.expr), NoMatch: tc.no, Min: tc.min, Max: tc.max}
		if got := a.Fits([]byte("aabbc")); got != tc.want {
			t.Errorf("%+v fits %t, want %t", tc, got, tc.want)
		}
	}
}
