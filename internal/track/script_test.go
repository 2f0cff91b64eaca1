package track_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"uvs/internal/command"
	"uvs/internal/mono"
	"uvs/internal/track"
)

// Results by one letter: "0" to "9" exit with that status, t timed out, k killed by signal 9, x not started, b no room,
// s stopped.
func result(t *testing.T, c rune) command.Result {
	t.Helper()
	switch c {
	case 't':
		return command.Result{Outcome: command.TimedOut}
	case 'k':
		return command.Result{Outcome: command.Signalled, Status: 9}
	case 'x':
		return command.Result{Err: exec.ErrNotFound}
	case 'b':
		return command.Result{Err: fmt.Errorf("fork: %w", syscall.EAGAIN)}
	case 's':
		return command.Result{Outcome: command.Stopped}
	}
	if c < '0' || c > '9' {
		t.Fatalf("no result %c", c)
	}
	return command.Result{Outcome: command.Exited, Status: int(c - '0')}
}

func TestScriptMachine(t *testing.T) {
	const (
		up  = "VRRP_Script(x) succeeded"
		one = "VRRP_Script(x) failed (exited with status 1)"
		now = "Script `x` now returning "
	)
	for _, c := range []struct {
		name       string
		rise, fall int
		start      track.State
		results    string
		states     string   // U D ?, one for each result
		said       []string // what, with "N: " before it, the Nth from 0
	}{
		{"first success decides", 3, 3, track.Unknown, "0", "U", []string{"0: " + up}},
		{"first failure decides", 3, 3, track.Unknown, "1", "D", []string{"0: " + now + "1", "0: " + one}},
		{"fall", 1, 3, track.Unknown, "0110111", "UUUUUUD", []string{"0: " + up, "1: " + now + "1", "3: " + now + "0", "4: " + now + "1", "6: " + one}},
		{"rise", 3, 1, track.Unknown, "10010001", "DDDDDDUD", []string{"0: " + now + "1", "0: " + one, "1: " + now + "0", "3: " + now + "1",
			"4: " + now + "0", "6: " + up, "7: " + now + "1", "7: " + one}},
		{"down after a reload needs rise", 2, 1, track.Down, "100", "DDU", []string{"0: " + now + "1", "1: " + now + "0", "2: " + up}},
		{"up after a reload needs fall", 1, 2, track.Up, "011", "UUD", []string{"1: " + now + "1", "2: " + one}},
		{"timeout is a failure", 1, 1, track.Unknown, "0tt0", "UDDU", []string{"0: " + up, "1: VRRP_Script(x) timed_out", "3: " + up}},
		{"signal is a failure", 1, 1, track.Unknown, "k", "D", []string{"0: VRRP_Script(x) failed (due to signal 9)"}},
		{"not found is a failure", 1, 1, track.Up, "x", "D",
			[]string{"0: VRRP_Script(x) failed (could not be started: executable file not found in $PATH)"}},
		{"statuses", 1, 5, track.Up, "233t3", "UUUUD", []string{"0: " + now + "2", "1: " + now + "3", "4: VRRP_Script(x) failed (exited with status 3)"}},
		{"no process to spare says nothing", 1, 1, track.Unknown, "b0b", "?UU", []string{
			"0: VRRP_Script(x) not run: fork: resource temporarily unavailable", "1: " + up,
			"2: VRRP_Script(x) not run: fork: resource temporarily unavailable"}},
		{"stopped says nothing", 1, 1, track.Unknown, "s0s", "?UU", []string{"1: " + up}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := track.NewScriptMachine(&track.Script{Name: "x", Rise: c.rise, Fall: c.fall, Start: c.start})
			states, before := "", m.State()
			var said []string
			for i, r := range c.results {
				for _, e := range m.Step(mono.Time(i+1), result(t, r)) {
					said = append(said, fmt.Sprintf("%d: %s", i, e.Message))
					if e.Name != "x" || e.Kind != track.KindScript || e.Time != mono.Time(i+1) || e.Up != (m.State() == track.Up) {
						t.Errorf("result %d: event %+v", i, e)
					}
					if e.Changed != (m.State() != before) && e.Message[:6] != "Script" {
						t.Errorf("result %d: Changed is %v, %v before and %v after", i, e.Changed, before, m.State())
					}
					if e.Message[:6] != "Script" && e.Changed && e.Up != (e.Reason == "") {
						t.Errorf("result %d: up %v, reason %q", i, e.Up, e.Reason)
					}
				}
				before = m.State()
				states += map[track.State]string{track.Unknown: "?", track.Up: "U", track.Down: "D"}[before]
			}
			if states != c.states {
				t.Errorf("states %s, want %s", states, c.states)
			}
			if !slices.Equal(said, c.said) {
				t.Errorf("said\n%q, want\n%q", said, c.said)
			}
		})
	}
}

// TestInitFail: the script is down and not unknown, and its first result decides all the same.
func TestInitFail(t *testing.T) {
	for results, want := range map[string]string{
		"0": "true true VRRP_Script(x) succeeded; ",
		"1": "false false Script `x` now returning 1; false false VRRP_Script(x) failed (exited with status 1); ",
		"t": "false false VRRP_Script(x) timed_out; ",
	} {
		m := track.NewScriptMachine(&track.Script{Name: "x", Rise: 3, Fall: 3, InitFail: true})
		if m.State() != track.Down {
			t.Errorf("at first %v, want down", m.State())
		}
		got := ""
		for _, r := range results {
			for _, e := range m.Step(1, result(t, r)) {
				got += fmt.Sprintf("%v %v %s; ", e.Changed, e.Up, e.Message)
			}
		}
		if got != want {
			t.Errorf("%s: changed, up, message: %s, want %s", results, got, want)
		}
	}
}

// A planned runs programs by plan: how long each takes, and what comes of it.
type planned struct {
	t     *testing.T
	took  []time.Duration
	start time.Time

	mu    sync.Mutex      // guards what follows
	began []time.Duration // since start
	open  int
}

func (p *planned) Start(ctx context.Context, pr command.Program, done func(command.Result)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.began)
	p.began = append(p.began, time.Since(p.start))
	if p.open++; p.open > 1 {
		p.t.Errorf("run %d: two at once", n)
	}
	if n >= len(p.took) {
		p.open--
		return command.ErrBusy
	}
	go func() {
		res := command.Result{Outcome: command.Exited}
		select {
		case <-time.After(min(p.took[n], pr.Timeout)):
			if p.took[n] > pr.Timeout {
				time.Sleep(command.KillDelay)
				res.Outcome = command.TimedOut
			}
		case <-ctx.Done():
			res.Outcome = command.Stopped
		}
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
		done(res)
	}()
	return nil
}

// TestScriptTimes: the interval is from start to start; a run that is late makes the next ones wait for their time.
func TestScriptTimes(t *testing.T) {
	const s = time.Second
	synctest.Test(t, func(t *testing.T) {
		p := &planned{t: t, start: time.Now(), took: []time.Duration{100 * time.Millisecond, 1500 * time.Millisecond, time.Hour, 0, time.Hour}}
		var said []string
		set := track.NewSet(track.Options{Start: p.Start, OnEvent: func(e track.Event) {
			said = append(said, fmt.Sprintf("%v %s", time.Since(p.start), e.Message))
		}}, []track.Script{{Name: "x", Program: command.Program{Args: []string{"x"}, Timeout: 3 * s}, Interval: s}}, nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- set.Run(ctx) }()
		time.Sleep(10*s + 500*time.Millisecond)
		cancel()
		synctest.Wait()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if want := []time.Duration{0, s, 3 * s, 9 * s, 10 * s}; !slices.Equal(p.began, want) {
			t.Errorf("runs began at %v, want %v", p.began, want)
		}
		want := []string{
			"100ms VRRP_Script(x) succeeded",
			"2s Track script x is already running, expect idle - skipping run",
			"4s Track script x is already running, expect idle - skipping run",
			"5s Track script x is already running, expect idle - skipping run",
			"6s Track script x is being timed out, expect idle - skipping run",
			"7s Track script x is being timed out, expect idle - skipping run",
			"8s Track script x is being timed out, expect idle - skipping run",
			"8s VRRP_Script(x) timed_out",
			"9s VRRP_Script(x) succeeded",
		}
		slices.Sort(said)
		if !slices.Equal(said, want) {
			t.Errorf("said %q, want %q", said, want)
		}
		if p.open != 0 {
			t.Errorf("Run returned with %d programs", p.open)
		}
	})
}

// TestScriptForReal is the same with processes.
func TestScriptForReal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := command.NewRunner(command.Options{})
	changes := make(chan track.Event, 10)
	set := track.NewSet(track.Options{Start: r.Start, OnEvent: func(e track.Event) {
		if e.Changed {
			changes <- e
		}
	}}, []track.Script{
		{Name: "good", Program: command.Program{Args: []string{"/bin/true"}, Timeout: time.Minute}, Interval: time.Hour},
		{Name: "bad", Program: command.Program{Args: []string{"/bin/false"}, Timeout: time.Minute}, Interval: time.Hour},
	}, nil, nil)
	ended := make(chan error, 2)
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- set.Run(ctx) }()
	got := make(map[string]bool)
	for range 2 {
		e := next(t, changes)
		got[e.Name] = e.Up
	}
	if !got["good"] || got["bad"] || len(got) != 2 {
		t.Errorf("up: %v, want good alone", got)
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// next waits for an event.
func next(t *testing.T, events <-chan track.Event) track.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event")
		return track.Event{}
	}
}
