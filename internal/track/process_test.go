package track_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"uvs/internal/mono"
	"uvs/internal/track"
)

func TestProcessMachine(t *testing.T) {
	const s = time.Second
	type count struct {
		at   int // seconds
		n    int
		next int    // seconds, 0 never
		says string // "", "up N" or "down N reason"
	}
	for _, c := range []struct {
		name   string
		p      track.Process
		counts []count
	}{
		{"quorum", track.Process{Quorum: 1, QuorumMax: 1<<32 - 1}, []count{
			{1, 0, 0, "down 0 no process p"}, {2, 0, 0, ""}, {3, 2, 0, "up 2 "}, {4, 1, 0, ""}, {5, 0, 0, "down 0 no process p"}}},
		{"at most", track.Process{Quorum: 2, QuorumMax: 3}, []count{
			{1, 1, 0, "down 1 1 processes p, 2 must run"}, {2, 3, 0, "up 3 "}, {3, 4, 0, "down 4 4 processes p, at most 3 may run"}, {4, 2, 0, "up 2 "}}},
		{"none", track.Process{}, []count{{1, 0, 0, "up 0 "}, {2, 1, 0, "down 1 1 processes p, at most 0 may run"}}},
		{"delays", track.Process{Quorum: 1, QuorumMax: 9, ForkDelay: 3 * s, TerminateDelay: 2 * s}, []count{
			{1, 1, 0, "up 1 "}, // the first decides at once
			{2, 0, 4, ""}, {3, 0, 4, ""}, {4, 0, 0, "down 0 no process p"},
			{5, 1, 8, ""}, {6, 0, 0, ""}, // and begins anew
			{7, 1, 10, ""}, {9, 2, 10, ""}, {11, 2, 0, "up 2 "}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.p.Name, c.p.Program = "n", "p"
			m := track.NewProcessMachine(&c.p)
			for _, x := range c.counts {
				now := mono.Time(x.at) * mono.Time(s)
				next, events := m.Step(now, x.n)
				if want := mono.Time(x.next) * mono.Time(s); next != want {
					t.Errorf("at %d: next %v, want %v", x.at, next, want)
				}
				says := ""
				for _, e := range events {
					says += fmt.Sprintf("%s %d %s", map[bool]string{true: "up", false: "down"}[e.Up], e.Value, e.Reason)
				}
				if says != x.says {
					t.Errorf("at %d: says %q, want %q", x.at, says, x.says)
				}
			}
		})
	}
}

// proc makes a directory like /proc: lines of pid, name, state and words of the command line.
func proc(t *testing.T, dir string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		f := strings.Split(line, "|")
		at := filepath.Join(dir, f[0])
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		cmdline := ""
		if len(f) > 3 {
			cmdline = strings.Join(f[3:], "\x00") + "\x00"
		}
		for name, text := range map[string]string{"stat": fmt.Sprintf("%s (%s) %s 1 2 3\n", f[0], f[1], f[2]), "comm": f[1] + "\n", "cmdline": cmdline} {
			if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// run runs a set in virtual time. events returns those of a name so far.
func run(t *testing.T, o track.Options, processes []track.Process) (events func(name string) []track.Event) {
	var mu sync.Mutex
	got := make(map[string][]track.Event)
	o.OnEvent = func(e track.Event) {
		mu.Lock()
		defer mu.Unlock()
		got[e.Name] = append(got[e.Name], e)
	}
	set := track.NewSet(o, nil, nil, processes)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func(name string) []track.Event {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got[name])
	}
}

func TestProcessesAreMatched(t *testing.T) {
	dir := t.TempDir()
	proc(t, dir,
		"1|init|S|/sbin/init",
		"20|haproxy|S|/usr/sbin/haproxy|-f|/etc/haproxy.cfg",
		"21|haproxy|S|/usr/sbin/haproxy|-f|/etc/haproxy.cfg|-sf|20",
		"22|haproxy|S|haproxy",
		"23|haproxy|Z",
		"30|a-very-long-nam|R|/usr/bin/a-very-long-name-of-a-program",
		"40|odd) Z (name|S|odd",
		"50|kthread|I",
		"60|python3|S|/usr/bin/python3|/opt/app.py||x")
	proc(t, filepath.Join(dir, "sys"), "70|haproxy|S|haproxy") // not a process
	const all = 1<<32 - 1
	words := func(s string) []string { return strings.Split(s, " ") }
	cases := []struct {
		p    track.Process
		want int
	}{
		{track.Process{Program: "haproxy"}, 3},
		{track.Process{Program: "haproxy", FullCommand: true}, 1},
		{track.Process{Program: "/usr/sbin/haproxy", FullCommand: true}, 2},
		{track.Process{Program: "/usr/sbin/haproxy"}, 0},
		{track.Process{Program: "a-very-long-name-of-a-program"}, 1},
		{track.Process{Program: "odd) Z (name"}, 1},
		{track.Process{Program: "kthread"}, 1},
		{track.Process{Program: "kthread", FullCommand: true}, 0},
		{track.Process{Program: "/usr/sbin/haproxy", FullCommand: true, Match: track.MatchExact}, 0},
		{track.Process{Program: "haproxy", FullCommand: true, Match: track.MatchExact}, 1},
		{track.Process{Program: "/usr/sbin/haproxy", FullCommand: true, Match: track.MatchExact, Args: words("-f /etc/haproxy.cfg")}, 1},
		{track.Process{Program: "/usr/sbin/haproxy", FullCommand: true, Match: track.MatchPartial, Args: words("-f /etc/haproxy.cfg")}, 2},
		{track.Process{Program: "/usr/sbin/haproxy", FullCommand: true, Match: track.MatchPartial, Args: words("-f /etc/haproxy")}, 0},
		{track.Process{Program: "/usr/sbin/haproxy", FullCommand: true, Match: track.MatchInitial, Args: words("-f /etc/haproxy")}, 2},
		{track.Process{Program: "/usr/sbin/haproxy", FullCommand: true, Match: track.MatchInitial, Args: words("- /etc/haproxy.cfg")}, 0},
		{track.Process{Program: "haproxy", Match: track.MatchPartial}, 3},
		{track.Process{Program: "python3", Match: track.MatchExact, Args: []string{"/opt/app.py", "", "x"}}, 1},
	}
	synctest.Test(t, func(t *testing.T) {
		var processes []track.Process
		for i, c := range cases {
			c.p.Name, c.p.Quorum, c.p.QuorumMax = fmt.Sprint(i), 1, all
			processes = append(processes, c.p)
		}
		got := run(t, track.Options{ProcDir: dir}, processes)
		time.Sleep(time.Second)
		synctest.Wait()
		for i, c := range cases {
			if e := got(fmt.Sprint(i)); len(e) != 1 || e[0].Value != c.want || e[0].Up != (c.want > 0) {
				t.Errorf("%+v: %+v, want one event with %d", c.p, e, c.want)
			}
		}
	})
}

// TestProcessComesAndGoes: delays are kept to though nothing changes meanwhile.
func TestProcessComesAndGoes(t *testing.T) {
	dir := t.TempDir()
	proc(t, dir, "20|haproxy|S|haproxy")
	synctest.Test(t, func(t *testing.T) {
		got := run(t, track.Options{ProcDir: dir, ProcessInterval: time.Minute}, []track.Process{
			{Name: "p", Program: "haproxy", Quorum: 1, QuorumMax: 9, TerminateDelay: 5 * time.Second}})
		began := mono.Now()
		time.Sleep(30 * time.Second)
		if err := os.RemoveAll(filepath.Join(dir, "20")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		e := got("p")
		if len(e) != 2 || !e[0].Up || e[1].Up {
			t.Fatalf("events %+v, want up and down", e)
		}
		if at := e[1].Time.Sub(began); at != time.Minute+5*time.Second {
			t.Errorf("down at %v, want %v", at, time.Minute+5*time.Second)
		}
		// What cannot be counted is not 0, and said once.
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		e, said := got("p"), got("")
		if len(e) != 2 || len(said) != 1 || !strings.Contains(said[0].Message, "processes cannot be counted: open "+dir) {
			t.Errorf("without a directory: %+v, %+v", e, said)
		}
	})
}

func TestProcessForReal(t *testing.T) {
	changes := make(chan track.Event, 10)
	set := track.NewSet(track.Options{OnEvent: func(e track.Event) { changes <- e }, ProcessInterval: 2 * time.Second}, nil, nil,
		[]track.Process{{Name: "s", Program: "sleep", Match: track.MatchExact, Args: []string{"98765.4321"}, Quorum: 1, QuorumMax: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	if e := next(t, changes); e.Up || e.Value != 0 {
		t.Errorf("before: %+v", e)
	}
	cmd := exec.Command("/bin/sleep", "98765.4321")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if e := next(t, changes); !e.Up || e.Value != 1 {
		t.Errorf("with one: %+v", e)
	}
	began := time.Now()
	if err := cmd.Process.Kill(); err != nil { // and not waited for: a zombie is none
		t.Fatal(err)
	}
	if e := next(t, changes); e.Up || e.Value != 0 {
		t.Errorf("after it: %+v", e)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("its end was seen after %v, want it told", took)
	}
	_ = cmd.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
