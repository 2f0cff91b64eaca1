package demo

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// goodPair is what is seen of two directors when all goes well: a request each 5 ms, and 350 ms
// in vain after the crash.
func goodPair() outcome {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	o := outcome{
		mode: Pair, ready: 400 * time.Millisecond, source: "198.51.100.101",
		phases: []phase{
			{began: at(0), taken: at(0), ended: at(2000)},
			{began: at(2000), taken: at(2360), ended: at(5000), heir: 1},
			{began: at(5000), taken: at(5400), ended: at(8000)},
			{began: at(8000), taken: at(8040), ended: at(10500), heir: 1},
		},
	}
	for ms := 0; ms < 10500; ms += 5 {
		r := request{start: at(ms), end: at(ms + 2), server: serverName(ms % 3), client: o.source}
		if ms > 2000 && ms <= 2350 {
			r.end = at(ms + 1002)
		}
		o.requests = append(o.requests, r)
	}
	return o
}

func TestPairSummary(t *testing.T) {
	broken := goodPair()
	broken.err = errors.New("wait until director2 is master: time is over")
	for name, list := range map[string][]outcome{
		"pair-good":   {goodPair()},
		"pair-broken": {good(NAT), broken},
	} {
		checks := allChecks(list, 38*time.Second)
		golden(t, "summary-"+name, summary(list)+renderChecks(checks, glyphsFor(true)))
	}
}

// TestPairChecksFail breaks one thing at a time; exactly its check must say so.
func TestPairChecksFail(t *testing.T) {
	late := func(from, to int) func(*outcome) {
		return func(o *outcome) {
			for n := from / 5; n < to/5; n++ {
				o.requests[n].end = o.requests[n].start.Add(time.Second)
			}
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*outcome)
		want  string
	}{
		{"a machine that stalls", late(500, 600), "calm: no longer without service than 50 ms"},
		{"a slow takeover", late(2000, 2500), "crash of the master: no longer without service than 460 ms"},
		{"a return that tears a hole", late(5400, 5460), "its return: no longer without service than 50 ms"},
		{"a stop that tears a hole", late(8000, 8060), "its planned stop: no longer without service than 50 ms"},
		{"a failure", func(o *outcome) { o.requests[1500].err = errors.New("reset") }, "no request fails"},
		{"no requests", func(o *outcome) { o.requests = nil }, "no request fails"},
		{"a phase less", func(o *outcome) { o.phases = o.phases[:3] }, "every phase comes to its end"},
		{"another client address", func(o *outcome) { o.requests[0].client = "192.0.2.1" }, "servers see the client's own address"},
		{"unclean end", func(o *outcome) { o.stopErr = errors.New("exit status 1") }, "the directors end cleanly"},
		{"a VIP is left", func(o *outcome) { o.left = []string{"address 198.51.100.80/24"} }, "no address and no steering is left"},
		{"a process is left", func(o *outcome) { o.survivors = []string{"/proc/4711/ns/net of client1"} }, "no process and no namespace is left"},
		{"the story breaks off", func(o *outcome) { o.err = errTimeout }, "every stage comes to its end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := goodPair()
			c.spoil(&o)
			var failed []string
			for _, check := range o.checks() {
				if !check.ok {
					failed = append(failed, check.name)
				}
			}
			if !slices.Equal(failed, []string{c.want}) {
				t.Errorf("failed checks are %q, want %q", failed, c.want)
			}
		})
	}
}

// TestService: a gap is from the first request in vain to the next one that is not, in the
// order in which they were begun, and to the last one of the phase at least.
func TestService(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	quick := func(ms int) request { return request{start: at(ms), end: at(ms + 2)} }
	slow := func(ms int) request { return request{start: at(ms), end: at(ms + 1000)} }
	failed := func(ms int) request { return request{start: at(ms), end: at(ms + 2000), err: errTimeout} }
	for _, c := range []struct {
		name         string
		requests     []request
		gap          time.Duration
		failed, late int
	}{
		{"nothing in vain", []request{quick(10), quick(20)}, 0, 0, 0},
		{"one in vain", []request{quick(10), slow(20), quick(30)}, 10 * time.Millisecond, 0, 1},
		{"three, which end in another order", []request{quick(40), quick(5), failed(10), slow(20), slow(30)}, 30 * time.Millisecond, 1, 2},
		{"two gaps", []request{slow(10), quick(20), failed(30), failed(40), quick(60)}, 30 * time.Millisecond, 2, 1},
		{"to the end", []request{quick(10), failed(20), failed(80)}, 60 * time.Millisecond, 2, 0},
		{"before and after", []request{quick(-50), {start: at(-3000), end: at(-1000), err: errTimeout}, failed(200)}, 0, 0, 0},
	} {
		p := phase{began: began, ended: at(100)}
		if gap, failed, late := p.service(c.requests); gap != c.gap || failed != c.failed || late != c.late {
			t.Errorf("%s: gap %v, %d failed, %d late; want %v, %d, %d", c.name, gap, failed, late, c.gap, c.failed, c.late)
		}
	}
}
