package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"uvs/internal/systemd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A scene is a watch over one part, in a bubble's time, and what came of it.
type scene struct {
	start    time.Time
	patience time.Duration
	beats    atomic.Uint64
	lines    []string // what systemd and the log were told, with the second

	mu     sync.Mutex // guards what follows
	down   error      // what systemd's socket says
	status string
}

func (s *scene) set(status string, down error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.status = down, status
}

func (s *scene) get() (status string, down error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.down
}

func (s *scene) note(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf("%v ", time.Since(s.start).Seconds())+strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
}

// play runs the watch for a minute while act does something. watchdog 0 is none.
func (s *scene) play(t *testing.T, watchdog time.Duration, act func()) {
	t.Helper()
	s.start = time.Now()
	n := systemd.New(func(state string) error {
		_, down := s.get()
		if down == nil {
			s.note("%s", state)
		}
		return down
	}, watchdog)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- n.Watch(ctx, systemd.Watched{
			Pulses: func() []systemd.Pulse { return []systemd.Pulse{{Part: "worker 0", Beats: s.beats.Load()}} },
			Status: func() string { status, _ := s.get(); return status }, Patience: s.patience,
			Hung:   func(h []systemd.Hung) { s.note("hung %v", h) },
			Failed: func(err error) { s.note("failed: %v", err) },
		})
	}()
	act()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// goOn lets the part go on, ten times in a second.
func (s *scene) goOn(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		s.beats.Add(1)
	}
}

func (s *scene) wants(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(s.lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(s.lines, "\n"), strings.Join(want, "\n"))
	}
}

// TestWatchPings: a ping at every look while the part goes on, the status when it changes,
// and no ping from when the part hangs until it goes on again.
func TestWatchPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{status: "fine"}
		s.play(t, 4*time.Second, func() {
			s.goOn(1500 * time.Millisecond)
			s.set("better", nil)
			s.goOn(time.Second)
			time.Sleep(4 * time.Second) // the last beat is seen at 3 s
			s.goOn(time.Second)
		})
		s.wants(t,
			"0 WATCHDOG=1 STATUS=fine",
			"1 WATCHDOG=1",
			"2 WATCHDOG=1 STATUS=better",
			"3 WATCHDOG=1",
			"4 WATCHDOG=1",
			"5 hung [{worker 0 2s}]",
			"5 STATUS=hangs: worker 0; the watchdog gets no ping",
			"7 hung []",
			"7 WATCHDOG=1 STATUS=better",
		)
	})
}

// TestWatchIsPatient: a watchdog that is shorter than a part's rhythm makes no part hang.
func TestWatchIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{status: "fine", patience: 3 * time.Second}
		s.play(t, 4*time.Second, func() {
			s.goOn(100 * time.Millisecond)
			time.Sleep(2500 * time.Millisecond)
			s.goOn(100 * time.Millisecond)
			time.Sleep(3500 * time.Millisecond) // the last beat is seen at 3 s
		})
		s.wants(t,
			"0 WATCHDOG=1 STATUS=fine", "1 WATCHDOG=1", "2 WATCHDOG=1", "3 WATCHDOG=1", "4 WATCHDOG=1", "5 WATCHDOG=1",
			"6 hung [{worker 0 3s}]", "6 STATUS=hangs: worker 0; the watchdog gets no ping",
		)
	})
}

// TestWatchWithoutWatchdog: nobody waits for pings, and the log still tells what hangs.
func TestWatchWithoutWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{status: "fine"}
		s.play(t, 0, func() { time.Sleep(12 * time.Second) })
		s.wants(t,
			"0 STATUS=fine",
			"10 hung [{worker 0 10s}]",
			"10 STATUS=hangs: worker 0; the watchdog gets no ping",
		)
	})
}

// TestWatchGoesOnWithoutSystemd: a socket that is gone is told once, and tried again.
func TestWatchGoesOnWithoutSystemd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{status: "fine", down: errors.New("connection refused")}
		s.play(t, 4*time.Second, func() {
			s.goOn(2500 * time.Millisecond)
			s.set("fine", nil)
			s.goOn(time.Second)
		})
		s.wants(t, "0 failed: tell systemd: connection refused", "3 WATCHDOG=1 STATUS=fine")
	})
}

func TestNobodyIsTold(t *testing.T) {
	var n *systemd.Notifier
	if err := errors.Join(n.Ready("x"), n.Reloading(), n.Stopping()); err != nil {
		t.Error(err)
	}
}

// TestFromEnvironment sends each word to a socket as systemd has it.
func TestFromEnvironment(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "no")
	if _, err := systemd.FromEnvironment(); err == nil || !strings.Contains(err.Error(), "WATCHDOG_USEC") {
		t.Errorf("error %v, want one that names WATCHDOG_USEC", err)
	}
	t.Setenv("WATCHDOG_USEC", "")
	n, err := systemd.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		send func() error
		want string
	}{
		{func() error { return n.Ready("one") }, "^READY=1\nSTATUS=one$"},
		{n.Reloading, "^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*\nSTATUS="},
		{n.Stopping, "^STOPPING=1\nSTATUS=stopping$"},
	} {
		if err := step.send(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		size, err := l.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(buf[:size]); !regexp.MustCompile(step.want).MatchString(got) {
			t.Errorf("got %q, want %s", got, step.want)
		}
	}
}
