package health_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"uvs/health"
	"uvs/internal/mono"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

var (
	key  = health.Key{Service: "[192.0.2.1]:tcp:80", Server: "[10.0.0.1]:tcp:80"}
	ok   = health.Outcome{Verdict: health.Success}
	fail = health.Outcome{Reason: health.ConnectFailed, Err: errors.New("connect: connection refused")}
	late = health.Outcome{Reason: health.ConnectTimeout, Err: errors.New("connect: timeout")}
	bind = health.Outcome{Verdict: health.Rescheduled, Reason: health.BindFailed,
		Err: errors.New("bind: cannot assign requested address")}
)

// A turn is one probe of a transcript: what comes of it, how long the machine then
// waits, whether the checker is up, which url is next, and the lines that are logged.
type turn struct {
	outcome health.Outcome
	wait    time.Duration
	up      bool
	url     int
	say     []string
}

type transcript struct {
	name  string
	check health.Check
	turns []turn
}

func (tr transcript) run(t *testing.T) {
	m := health.NewMachine(key, &tr.check)
	now := mono.Time(1000 * s)
	for i, turn := range tr.turns {
		next, events := m.Step(now, turn.outcome)
		var said []string
		for _, e := range events {
			said = append(said, e.Message)
			if e.Key != key || e.Time != now {
				t.Errorf("probe %d: event %+v, want key %v and time %v", i+1, e, key, now)
			}
		}
		if got := next.Sub(now); got != turn.wait {
			t.Errorf("probe %d: next in %v, want %v", i+1, got, turn.wait)
		}
		if m.Up() != turn.up {
			t.Errorf("probe %d: up = %v, want %v", i+1, m.Up(), turn.up)
		}
		if got := m.Pending().URL; got != turn.url {
			t.Errorf("probe %d: next url %d, want %d", i+1, got, turn.url)
		}
		if !slices.Equal(said, turn.say) {
			t.Errorf("probe %d: said %q, want %q", i+1, said, turn.say)
		}
		now = next
	}
}

func say(lines ...string) []string { return lines }

const (
	tcpUp       = "TCP connection to [10.0.0.1]:tcp:80 success."
	tcpDown     = "TCP_CHECK on service [10.0.0.1]:tcp:80 failed."
	tcpDown1    = "TCP_CHECK on service [10.0.0.1]:tcp:80 failed after 1 retries."
	tcpDown3    = "TCP_CHECK on service [10.0.0.1]:tcp:80 failed after 3 retries."
	httpUp      = "Remote Web server [10.0.0.1]:tcp:80 succeed on service."
	httpDown    = "HTTP_CHECK on service [10.0.0.1]:tcp:80 failed."
	httpDown1   = "HTTP_CHECK on service [10.0.0.1]:tcp:80 failed after 1 retries."
	httpDown2   = "HTTP_CHECK on service [10.0.0.1]:tcp:80 failed after 2 retries."
	status1     = "HTTP status code success to [10.0.0.1]:tcp:80 url(/1)"
	status2     = "HTTP status code success to [10.0.0.1]:tcp:80 url(/2)"
	status3     = "HTTP status code success to [10.0.0.1]:tcp:80 url(/3)"
	rescheduled = "TCP socket bind failed. Rescheduling."
)

// TestTCPMachine has a transcript for each row of the state table of TCP_CHECK.
func TestTCPMachine(t *testing.T) {
	tcp := func(retry int, between, loop time.Duration) health.Check {
		return health.Check{Retry: retry, DelayBeforeRetry: between, DelayLoop: loop}
	}
	alpha := tcp(1, s, 10*s)
	alpha.Alpha = true
	chatty := tcp(2, s, 10*s)
	chatty.LogAllFailures = true

	for _, tr := range []transcript{
		{"success of a new checker is told once", tcp(1, s, 10*s), []turn{
			{ok, 10 * s, true, 0, say(tcpUp)},
			{ok, 10 * s, true, 0, nil},
		}},
		{"first failure of all marks down at once", tcp(3, s, 10*s), []turn{
			{fail, 10 * s, false, 0, say(tcpDown)},
		}},
		{"retries while up, then down", tcp(3, s, 10*s), []turn{
			{ok, 10 * s, true, 0, say(tcpUp)},
			{fail, s, true, 0, nil},
			{late, s, true, 0, nil},
			{fail, s, true, 0, nil},
			{late, 10 * s, false, 0, say(tcpDown3)},
		}},
		{"success forgets failures", tcp(1, s, 10*s), []turn{
			{ok, 10 * s, true, 0, say(tcpUp)},
			{fail, s, true, 0, nil},
			{ok, 10 * s, true, 0, nil},
			{fail, s, true, 0, nil},
			{fail, 10 * s, false, 0, say(tcpDown1)},
		}},
		{"no retries", tcp(0, s, 10*s), []turn{
			{ok, 10 * s, true, 0, say(tcpUp)},
			{fail, 10 * s, false, 0, say(tcpDown)},
			{fail, 10 * s, false, 0, nil},
		}},
		{"down: the retry count cycles in silence", tcp(2, s, 10*s), []turn{
			{fail, 10 * s, false, 0, say(tcpDown)},
			{fail, s, false, 0, nil},
			{fail, s, false, 0, nil},
			{fail, 10 * s, false, 0, nil},
			{fail, s, false, 0, nil},
		}},
		{"one success brings it back at once", tcp(1, s, 10*s), []turn{
			{fail, 10 * s, false, 0, say(tcpDown)},
			{fail, s, false, 0, nil},
			{ok, 10 * s, true, 0, say(tcpUp)},
			{fail, s, true, 0, nil},
		}},
		{"alpha: down until a success", alpha, []turn{
			{fail, 10 * s, false, 0, say(tcpDown)},
			{ok, 10 * s, true, 0, say(tcpUp)},
		}},
		{"own side cannot probe: neither failure nor success", tcp(1, s, 10*s), []turn{
			{bind, 10 * s, true, 0, say(rescheduled)},
			{ok, 10 * s, true, 0, say(tcpUp)},
			{fail, s, true, 0, nil},
			{bind, 10 * s, true, 0, say(rescheduled)},
			{fail, 10 * s, false, 0, say(tcpDown1)},
			{bind, 10 * s, false, 0, say(rescheduled)},
		}},
		{"log_all_failures, while up only", chatty, []turn{
			{ok, 10 * s, true, 0, say(tcpUp)},
			{fail, s, true, 0, say("TCP connection to [10.0.0.1]:tcp:80 failed.")},
			{late, s, true, 0, say("TCP connection to [10.0.0.1]:tcp:80 timeout.")},
			{late, 10 * s, false, 0, say("TCP connection to [10.0.0.1]:tcp:80 timeout.",
				"TCP_CHECK on service [10.0.0.1]:tcp:80 failed after 2 retries.")},
			{fail, s, false, 0, nil},
		}},
		{"delay_loop left out", tcp(0, 0, 0), []turn{
			{ok, 60 * s, true, 0, say(tcpUp)},
			{fail, 60 * s, false, 0, say(tcpDown)},
		}},
		{"delay_loop near nothing", tcp(0, 0, time.Microsecond), []turn{
			{ok, 100 * ms, true, 0, say(tcpUp)},
		}},
		{"delay_before_retry 0: the floor while up, doubling while down", tcp(3, 0, s), []turn{
			{ok, s, true, 0, say(tcpUp)},
			{fail, 100 * ms, true, 0, nil},
			{fail, 100 * ms, true, 0, nil},
			{fail, 100 * ms, true, 0, nil},
			{fail, s, false, 0, say(tcpDown3)},
			{fail, 100 * ms, false, 0, nil},
			{fail, 200 * ms, false, 0, nil},
			{fail, 400 * ms, false, 0, nil},
			{fail, s, false, 0, nil},
			{fail, 800 * ms, false, 0, nil},
			{fail, s, false, 0, nil},
			{fail, s, false, 0, nil},
			{fail, s, false, 0, nil},
			{ok, s, true, 0, say(tcpUp)},
		}},
	} {
		t.Run(tr.name, tr.run)
	}
}

// TestHTTPMachine has a transcript for each row of the state table of HTTP_GET.
func TestHTTPMachine(t *testing.T) {
	get := func(urls, retry int, between, loop time.Duration) health.Check {
		c := health.Check{Kind: health.HTTP, Retry: retry, DelayBeforeRetry: between, DelayLoop: loop}
		for i := range urls {
			c.URLs = append(c.URLs, health.URL{Path: fmt.Sprintf("/%d", i+1)})
		}
		return c
	}
	with := func(c health.Check, change func(*health.Check)) health.Check {
		change(&c)
		return c
	}
	fast := func(c *health.Check) { c.FastRecovery = true }
	status500 := health.Outcome{Reason: health.StatusMismatch, Err: errors.New("HTTP status code 500")}
	short := health.Outcome{Verdict: health.Success, Announced: 10, Received: 4}

	for _, tr := range []transcript{
		{"healthy: the period is delay_loop", get(1, 1, 3*s, 10*s), []turn{
			{ok, 10 * s, true, 0, say(httpUp)},
			{ok, 10 * s, true, 0, nil},
			{ok, 10 * s, true, 0, nil},
		}},
		{"healthy: urls in turn, delay_loop apart", get(3, 1, 3*s, 10*s), []turn{
			{ok, 10 * s, true, 1, nil},
			{ok, 10 * s, true, 2, nil},
			{ok, 10 * s, true, 0, say(httpUp)},
			{ok, 10 * s, true, 1, nil},
		}},
		{"never run: first url fails", get(2, 2, 3*s, 10*s), []turn{
			{fail, 10 * s, false, 0, say(httpDown2)},
		}},
		{"never run: second url fails", get(2, 2, 3*s, 10*s), []turn{
			{ok, 10 * s, true, 1, nil},
			{fail, 10 * s, false, 1, say(httpDown2)},
		}},
		{"the same url again, then down, then that url alone", get(2, 2, 3*s, 10*s), []turn{
			{ok, 10 * s, true, 1, nil},
			{ok, 10 * s, true, 0, say(httpUp)},
			{ok, 10 * s, true, 1, nil},
			{fail, 3 * s, true, 1, nil},
			{fail, 3 * s, true, 1, nil},
			{fail, 10 * s, false, 1, say(httpDown2)},
			{fail, 10 * s, false, 1, nil},
			{fail, 10 * s, false, 1, nil},
		}},
		{"down: delay_before_retry where it is the longer", get(1, 0, 30*s, 10*s), []turn{
			{ok, 10 * s, true, 0, say(httpUp)},
			{fail, 30 * s, false, 0, say(httpDown)},
			{fail, 30 * s, false, 0, nil},
		}},
		{"recovery: the failed url, then all, then up", get(3, 1, 3*s, 10*s), []turn{
			{ok, 10 * s, true, 1, nil},
			{fail, 10 * s, false, 1, say(httpDown1)},
			{ok, 10 * s, false, 0, say(status2)},
			{ok, 10 * s, false, 1, say(status1)},
			{ok, 10 * s, false, 2, say(status2)},
			{ok, 10 * s, true, 0, say(status3, httpUp)},
		}},
		{"one url comes back by two successes", get(1, 0, 3*s, 10*s), []turn{
			{fail, 10 * s, false, 0, say(httpDown)},
			{ok, 10 * s, false, 0, say(status1)},
			{ok, 10 * s, true, 0, say(status1, httpUp)},
		}},
		{"recovery: one of the urls fails again", get(2, 1, 3*s, 10*s), []turn{
			{fail, 10 * s, false, 0, say(httpDown1)},
			{ok, 10 * s, false, 0, say(status1)},
			{ok, 10 * s, false, 1, say(status1)},
			{fail, 3 * s, false, 1, nil},
			{fail, 3 * s, false, 1, nil},
			{fail, 3 * s, false, 1, nil},
			{ok, 10 * s, true, 0, say(status2, httpUp)},
		}},
		{"recovery with delay_before_retry 0", get(2, 1, 0, s), []turn{
			{fail, s, false, 0, say(httpDown1)},
			{ok, s, false, 0, say(status1)},
			{fail, 100 * ms, false, 0, nil},
			{fail, 200 * ms, false, 0, nil},
			{fail, 400 * ms, false, 0, nil},
			{fail, 800 * ms, false, 0, nil},
			{fail, s, false, 0, nil},
			{fail, s, false, 0, nil},
			{ok, s, false, 1, say(status1)},
			{fail, 100 * ms, false, 1, nil},
		}},
		{"fast_recovery: no waiting while coming up", with(get(2, 1, 3*s, 10*s), fast), []turn{
			{ok, 100 * ms, true, 1, nil},
			{ok, 10 * s, true, 0, say(httpUp)},
			{fail, 3 * s, true, 0, nil},
			{fail, 10 * s, false, 0, say(httpDown1)},
			{ok, 100 * ms, false, 0, say(status1)},
			{ok, 100 * ms, false, 1, say(status1)},
			{ok, 10 * s, true, 0, say(status2, httpUp)},
			{ok, 10 * s, true, 1, nil},
		}},
		{"fast_recovery: a url that fails again is no flood", with(get(2, 1, 3*s, 10*s), fast), []turn{
			{fail, 10 * s, false, 0, say(httpDown1)},
			{ok, 100 * ms, false, 0, say(status1)},
			{fail, 3 * s, false, 0, nil},
			{fail, 3 * s, false, 0, nil},
		}},
		{"alpha", with(get(1, 1, 3*s, 10*s), func(c *health.Check) { c.Alpha = true }), []turn{
			{fail, 10 * s, false, 0, nil},
			{ok, 10 * s, false, 0, say(status1)},
			{ok, 10 * s, true, 0, say(status1, httpUp)},
		}},
		{"own side cannot probe", get(2, 0, 3*s, 10*s), []turn{
			{ok, 10 * s, true, 1, nil},
			{bind, 10 * s, true, 1, say("WEB socket bind failed. Rescheduling")},
			{ok, 10 * s, true, 0, say(httpUp)},
		}},
		{"digest is named", with(get(1, 0, 3*s, 10*s), func(c *health.Check) {
			c.URLs[0].Digest = health.Digest{1}
		}), []turn{
			{fail, 10 * s, false, 0, say(httpDown)},
			{ok, 10 * s, false, 0, say("MD5 digest success to [10.0.0.1]:tcp:80 url(/1)")},
		}},
		{"log_all_failures", with(get(1, 1, 3*s, 10*s), func(c *health.Check) {
			c.LogAllFailures = true
		}), []turn{
			{ok, 10 * s, true, 0, say(httpUp)},
			{status500, 3 * s, true, 0, say("HTTP status code error to server [10.0.0.1]:tcp:80.")},
			{late, 10 * s, false, 0, say("Timeout connecting server [10.0.0.1]:tcp:80.", httpDown1)},
			{late, 10 * s, false, 0, nil},
		}},
		{"length mismatch is told once", get(1, 1, 3*s, 10*s), []turn{
			{short, 10 * s, true, 0, say("http_check for RS [10.0.0.1]:tcp:80 VS [192.0.2.1]:tcp:80 url /1:"+
				" content_length (10) does not match received bytes (4)", httpUp)},
			{short, 10 * s, true, 0, nil},
			{ok, 10 * s, true, 0, nil},
			{health.Outcome{Verdict: health.Success, Announced: 10, Received: 4}, 10 * s, true, 0,
				say("http_check for RS [10.0.0.1]:tcp:80 VS [192.0.2.1]:tcp:80 url /1:" +
					" content_length (10) does not match received bytes (4)")},
		}},
		{"no urls are one", health.Check{Kind: health.HTTP, DelayLoop: 10 * s}, []turn{
			{ok, 10 * s, true, 0, say(httpUp)},
		}},
	} {
		t.Run(tr.name, tr.run)
	}
}

// TestRetriesCountEveryFailureKind: keepalived 1.2.1 went down at the first refused
// connect whatever the retry count was.
func TestRetriesCountEveryFailureKind(t *testing.T) {
	for r := health.ConnectTimeout; r <= health.DigestMismatch; r++ {
		for _, kind := range []health.Kind{health.TCP, health.HTTP} {
			m := health.NewMachine(key, &health.Check{Kind: kind, Retry: 10, DelayBeforeRetry: s})
			now := mono.Time(s)
			m.Step(now, ok)
			probes := 0
			for ; m.Up(); probes++ {
				now, _ = m.Step(now, health.Outcome{Reason: r})
			}
			if probes != 11 {
				t.Errorf("%v, %q: down after %d failures, want 11", kind, r, probes)
			}
		}
	}
}

func TestStartIsTold(t *testing.T) {
	ev := health.NewMachine(key, &health.Check{}).Start(mono.Time(s))
	want := "Activating healthchecker for service [10.0.0.1]:tcp:80 for VS [192.0.2.1]:tcp:80"
	if len(ev) != 1 || ev[0].Message != want || ev[0].Kind != health.Activated {
		t.Errorf("events %+v, want one Activated saying %q", ev, want)
	}
}

// TestEventsOfTroubleCarrySinceAndReason: trouble that passed is not part of the next.
func TestEventsOfTroubleCarrySinceAndReason(t *testing.T) {
	for _, kind := range []health.Kind{health.TCP, health.HTTP} {
		m := health.NewMachine(key, &health.Check{Kind: kind, Retry: 1, DelayBeforeRetry: 2 * s})
		m.Step(mono.Time(10*s), ok)
		m.Step(mono.Time(20*s), fail)
		m.Step(mono.Time(22*s), ok)
		m.Step(mono.Time(32*s), late)
		_, ev := m.Step(mono.Time(34*s), fail)
		if len(ev) != 1 || ev[0].Since != mono.Time(32*s) || ev[0].Reason != "connect: connection refused" {
			t.Errorf("%v: events %+v, want one since 32s for a refused connection", kind, ev)
		}
	}
}

// TestNeverFaster runs machines with random settings through random outcomes: whatever
// the file says, MinGap holds.
func TestNeverFaster(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	delays := []time.Duration{0, time.Nanosecond, 50 * ms, 100 * ms, s, 90 * s}
	pick := func() time.Duration { return delays[rng.IntN(len(delays))] }
	outcomes := []health.Outcome{ok, fail, late, bind}
	for range 2000 {
		c := health.Check{
			Kind: health.Kind(rng.IntN(2)), Retry: rng.IntN(4),
			DelayBeforeRetry: pick(), DelayLoop: pick(),
			Alpha: rng.IntN(2) == 0, FastRecovery: rng.IntN(2) == 0,
			URLs: make([]health.URL, rng.IntN(4)),
		}
		m := health.NewMachine(key, &c)
		now := mono.Time(s)
		for range 200 {
			next, _ := m.Step(now, outcomes[rng.IntN(len(outcomes))])
			if next.Sub(now) < health.MinGap {
				t.Fatalf("seed %d: %+v: next probe after %v", seed, c, next.Sub(now))
			}
			if p := m.Pending().URL; p < 0 || p >= max(len(c.URLs), 1) {
				t.Fatalf("seed %d: %+v: url %d", seed, c, p)
			}
			now = next
		}
	}
}
