package demo

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// good is what is seen when all goes well.
func good(m Mode) outcome {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	o := outcome{
		mode: m, ready: 830 * time.Millisecond,
		order: natPlan().order(), source: "198.51.100.101",
		died: at(3), known: at(4.3), started: at(6), back: at(7),
		even: []int{400, 401, 400}, without: []int{300, 0, 300}, again: []int{300, 300, 299},
		tables: [][]string{{}, {}, {}},
		bulk:   transfer{bytes: 2500e6, took: 2 * time.Second},
	}
	o.order4, o.order6 = slices.Repeat(o.order, 3), slices.Repeat(o.order, 3)
	if m == NAT {
		o.passedOut = 2600e6
	}
	for i := range 100 {
		s := float64(i) / 10
		r := request{start: at(s), end: at(s + 0.01), server: serverName(i % 3), client: o.source}
		if r.start.After(o.died) && r.start.Before(o.known) && i%3 == victim {
			r.server, r.client, r.err = "", "", errors.New("dial tcp 198.51.100.80:80: connect: connection refused")
		}
		o.requests = append(o.requests, r)
	}
	return o
}

func TestSummary(t *testing.T) {
	broken := outcome{mode: DR, err: errors.New("the director is not ready after 10s:\nno such interface")}
	for _, c := range []struct {
		name     string
		outcomes []outcome
	}{
		{"good", []outcome{good(NAT), good(DR)}},
		{"broken", []outcome{good(NAT), broken}},
	} {
		checks := allChecks(c.outcomes, 26580*time.Millisecond)
		golden(t, "summary-"+c.name, summary(c.outcomes)+renderChecks(checks, glyphsFor(true))+"\n"+renderChecks(checks[:2], glyphsFor(false)))
		if failed := failedNames(checks); (len(failed) > 0) != (c.name == "broken") {
			t.Errorf("%s: failed checks are %v", c.name, failed)
		}
	}
}

// TestChecksFail breaks one thing at a time; exactly its check must say so.
func TestChecksFail(t *testing.T) {
	for _, c := range []struct {
		name  string
		mode  Mode
		spoil func(*outcome)
		want  string
	}{
		{"another order", NAT, func(o *outcome) { o.order4[0], o.order4[1] = o.order4[1], o.order4[0] }, "IPv4 answers come in the kernel's rr order"},
		{"no answers by IPv6", NAT, func(o *outcome) { o.order6 = nil }, "IPv6 answers come in the kernel's rr order"},
		{"an idle server", NAT, func(o *outcome) { o.even[2] = 0 }, "all servers share the load"},
		{"nobody answers", NAT, func(o *outcome) { o.even = []int{0, 0, 0} }, "all servers share the load"},
		{"another client address", NAT, func(o *outcome) { o.requests[0].client = "192.0.2.1" }, "servers see the client's own address"},
		{"late detection", NAT, func(o *outcome) { o.known = o.died.Add(longestDetection + 1) }, "the death is known within 2.50 s"},
		{"failure before the death", NAT, func(o *outcome) { o.requests[10].err = errors.New("reset") }, "requests fail only until then"},
		{"failure after the detection", NAT, func(o *outcome) { o.requests[60].err = errors.New("reset") }, "requests fail only until then"},
		{"the dead answers", NAT, func(o *outcome) { o.without[victim] = 1 }, "then the others share the load"},
		{"late return", NAT, func(o *outcome) { o.back = o.started.Add(longestComeback + 1) }, "the server is back within 2.50 s"},
		{"small share afterwards", NAT, func(o *outcome) { o.again[victim] = 100 }, "and has its share again"},
		{"wrong listing", NAT, func(o *outcome) { o.tables[1] = []string{"-> 192.0.2.202:8080 is listed"} }, "ipvsadm lists who is in service"},
		{"missing listing", NAT, func(o *outcome) { o.tables = o.tables[:2] }, "ipvsadm lists who is in service"},
		{"broken download", NAT, func(o *outcome) { o.bulk.err = errors.New("reset") }, "one connection loads in bulk"},
		{"NAT past the director", NAT, func(o *outcome) { o.passedOut = 1000 }, "answers come through the director"},
		{"DR through the director", DR, func(o *outcome) { o.passedOut = 1000 }, "answers do not pass the director"},
		{"unclean end", NAT, func(o *outcome) { o.stopErr = errors.New("exit status 1") }, "the director ends cleanly"},
		{"a VIP is left", NAT, func(o *outcome) { o.left = []string{"address 198.51.100.80/24"} }, "no address and no steering is left"},
		{"a process is left", NAT, func(o *outcome) { o.survivors = []string{"/proc/4711/ns/net of client1"} }, "no process and no namespace is left"},
		{"the story breaks off", NAT, func(o *outcome) { o.err = errTimeout }, "every stage comes to its end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good(c.mode)
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

func TestDemoTakesTooLong(t *testing.T) {
	if got := failedNames(allChecks([]outcome{good(NAT)}, longest)); !slices.Equal(got, []string{`"the demo takes less than 60 s"`}) {
		t.Errorf("failed checks are %v", got)
	}
}

// TestFailures: a request belongs to the window if any part of it does.
func TestFailures(t *testing.T) {
	died := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	known := died.Add(time.Second)
	for _, c := range []struct {
		name       string
		start, end time.Duration // since the death
		inside     bool
	}{
		{"before", -20 * time.Millisecond, -10 * time.Millisecond, false},
		{"under way at the death", -10 * time.Millisecond, 10 * time.Millisecond, true},
		{"between", 500 * time.Millisecond, 501 * time.Millisecond, true},
		{"under way at the detection", 990 * time.Millisecond, 3 * time.Second, true},
		{"after", time.Second + time.Millisecond, 2 * time.Second, false},
	} {
		o := outcome{died: died, known: known, requests: []request{{start: died.Add(c.start), end: died.Add(c.end), err: errors.New("refused")}}}
		inside, outside := o.failures()
		if (len(inside) == 1) != c.inside || len(inside)+len(outside) != 1 {
			t.Errorf("%s: %d inside and %d outside, want it inside: %t", c.name, len(inside), len(outside), c.inside)
		}
	}
}

func TestWrongRows(t *testing.T) {
	const listing = `TCP  198.51.100.80:80 rr
  -> 192.0.2.201:8080             Masq    1      1          424       
  -> 192.0.2.202:8080             Masq    1      1          419       
  -> 192.0.2.203:8080             Masq    1      0          423       
TCP  [2001:db8:1::80]:80 rr
  -> [2001:db8:2::201]:8080       Masq    1      0          3         
  -> [2001:db8:2::202]:8080       Masq    1      0          3         
  -> [2001:db8:2::203]:8080       Masq    1      0          3         
`
	rows := natPlan().rows()
	without := func(text, row string) string {
		before, after, _ := strings.Cut(text, row)
		_, after, _ = strings.Cut(after, "\n")
		return before + after
	}
	dead := without(without(listing, rows[victim][0]), rows[victim][1])
	for _, c := range []struct {
		name    string
		listing string
		missing int
		want    int
	}{
		{"all are there", listing, -1, 0},
		{"the dead is gone", dead, victim, 0},
		{"the dead is there", listing, victim, 2},
		{"the living is gone", dead, -1, 2},
		{"one family only", without(listing, rows[0][1]), -1, 1},
		{"no table", "", -1, 6},
	} {
		if got := wrongRows(c.listing, rows, c.missing); len(got) != c.want {
			t.Errorf("%s: wrong are %q, want %d", c.name, got, c.want)
		}
	}
}
