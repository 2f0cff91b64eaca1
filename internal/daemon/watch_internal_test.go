package daemon

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"uvs/forwarding"
	"uvs/forwarding/porttest"
	"uvs/health"
	"uvs/internal/systemd"
	"uvs/internal/wire"
)

// A stickyPort is a port whose Recv does not return while it is held.
type stickyPort struct {
	*porttest.Port
	held sync.Mutex
}

func (p *stickyPort) Recv(fs []forwarding.Frame) (int, error) {
	p.held.Lock()
	defer p.held.Unlock()
	return p.Port.Recv(fs)
}

// A manager is what systemd hears.
type manager struct {
	pings  atomic.Int64
	status atomic.Value // string
}

func (m *manager) hear(state string) error {
	for line := range strings.Lines(state) {
		if strings.TrimSpace(line) == "WATCHDOG=1" {
			m.pings.Add(1)
		}
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "STATUS="); ok {
			m.status.Store(text)
		}
	}
	return nil
}

// TestWatchdogStopsWhenAPartHangs holds up each part that a director cannot do without: a real
// worker's thread, the lock of the table, the reconciler, the loop of the checks. There is no
// ping while it hangs, though all others go on, and pings again afterwards.
func TestWatchdogStopsWhenAPartHangs(t *testing.T) {
	const watchdog, every = 400 * time.Millisecond, 20 * time.Millisecond
	var m manager
	var callback sync.Mutex // the checks' events wait for it
	d := &director{
		log: slog.New(slog.DiscardHandler), engine: newEngine(t), moved: make(chan struct{}, 1), holdings: newHoldings(slog.New(slog.DiscardHandler), nil, newLinkNames(), runDir(t.TempDir())),
		opts: Options{Systemd: systemd.New(m.hear, watchdog)},
	}
	d.effective.Store(effectiveOf(nil, nil))
	d.health = health.NewSet(health.Options{OnEvent: func(health.Event) { callback.Lock(); callback.Unlock() }}) //nolint:staticcheck // it is held elsewhere
	port, err := porttest.New(1, wire.MAC{2, 0, 0, 0, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	sticky := &stickyPort{Port: port}
	d.engine.Workers()[0].SetPorts([]forwarding.Port{sticky})

	var undo undoList
	fail := make(chan error, 8)
	undo.start(fail, "forwarding", d.engine.Run)
	undo.start(fail, "health", d.health.Run)
	reconciler := make(chan struct{}) // stands for keepInLine, which needs a network
	undo.start(fail, "reconciler", func(ctx context.Context) error {
		for tick := time.NewTicker(every); ; {
			d.beats.reconciler.Add(1)
			select {
			case <-ctx.Done():
				return nil
			case <-reconciler:
				<-reconciler
			case <-tick.C:
			}
		}
	})
	undo.start(fail, "service table", func(ctx context.Context) error { return d.tryTable(ctx, every) })
	looks := make(chan []systemd.Hung) // what hangs, at each look
	undo.start(fail, "watchdog", func(ctx context.Context) error {
		var hung []systemd.Hung
		return d.opts.Systemd.Watch(ctx, systemd.Watched{
			Pulses: d.pulses, Failed: d.tellSystemd,
			Hung: func(h []systemd.Hung) { hung = h },
			Status: func() string {
				select {
				case looks <- hung:
				case <-ctx.Done():
				}
				return d.statusLine()
			},
		})
	})
	defer func() {
		if err := undo.run(); err != nil {
			t.Error(err)
		}
	}()

	// look waits for the next look at which these parts hang.
	look := func(want ...string) {
		t.Helper()
		timeout := time.After(20 * time.Second)
		for {
			select {
			case err := <-fail:
				t.Fatal(err)
			case <-timeout:
				t.Fatalf("%v should hang, and no other", want)
			case hung := <-looks:
				var parts []string
				for _, h := range hung {
					parts = append(parts, h.Part)
				}
				if slices.Equal(parts, want) {
					return
				}
			}
		}
	}
	for _, tt := range []struct {
		part        string
		hold, letGo func()
	}{
		{"worker 0", sticky.held.Lock, sticky.held.Unlock},
		{"service table", d.mu.Lock, d.mu.Unlock},
		{"reconciler", func() { reconciler <- struct{}{} }, func() { reconciler <- struct{}{} }},
		{"health checks", func() {
			callback.Lock()
			d.health.Apply([]health.Server{{Key: health.Key{Service: "s", Server: "r"}}})
		}, callback.Unlock},
	} {
		look()
		tt.hold()
		look(tt.part)
		before := m.pings.Load()
		for range 4 { // the looks of one watchdog's time
			look(tt.part)
		}
		if n := m.pings.Load() - before; n != 0 {
			t.Errorf("%s hangs, and the watchdog got %d pings", tt.part, n)
		}
		if got, want := m.status.Load(), "hangs: "+tt.part+"; the watchdog gets no ping"; got != want {
			t.Errorf("%s hangs: status %q, want %q", tt.part, got, want)
		}
		tt.letGo()
		look()
		look() // the one before has sent what it had to send
		if m.pings.Load() == before {
			t.Errorf("%s goes on, and the watchdog got no ping", tt.part)
		}
	}
	if got, want := m.status.Load(), "0 services, 0 of 0 servers up, 0 connections"; got != want {
		t.Errorf("status %q, want %q", got, want)
	}
}
