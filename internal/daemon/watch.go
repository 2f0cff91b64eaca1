package daemon

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"uvs/internal/systemd"
)

// beats are counters that parts of the director change whenever they go on, if they do not
// count for themselves.
type beats struct {
	reconciler atomic.Uint64
	table      atomic.Uint64 // d.mu was to be had
}

const (
	tableEvery = time.Second // how often the lock of the service table is tried
	// patience is for parts that go on once in a second while there is nothing to do.
	patience = 3 * time.Second
)

// watchParts starts the watch over the parts of the director.
func (d *director) watchParts(undo *undoList, fail chan<- error) {
	undo.start(fail, "service table", func(ctx context.Context) error { return d.tryTable(ctx, tableEvery) })
	undo.start(fail, "watchdog", func(ctx context.Context) error {
		return d.opts.Systemd.Watch(ctx, systemd.Watched{
			Pulses: d.pulses, Patience: patience, Status: d.statusLine, Hung: d.logHung, Failed: d.tellSystemd,
		})
	})
}

// tryTable takes the lock of the service table now and then, and shows that it was to be had.
// Whoever watches does not wait for it himself.
func (d *director) tryTable(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		d.mu.Lock()
		d.beats.table.Add(1)
		d.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// pulses are the signs of life of what a director cannot do without: the workers forward,
// the table's writer and the reconciler follow what changes, the checks find dead servers.
// All of them go on at least once in a second. The control API is not among them: a director
// that nobody can ask still forwards.
func (d *director) pulses() []systemd.Pulse {
	d.health.Nudge() // until the next look
	list := []systemd.Pulse{
		{Part: "service table", Beats: d.beats.table.Load()},
		{Part: "reconciler", Beats: d.beats.reconciler.Load()},
		{Part: "health checks", Beats: d.health.Rounds()},
	}
	for i, w := range d.engine.Workers() {
		list = append(list, systemd.Pulse{Part: fmt.Sprintf("worker %d", i), Beats: w.Rounds()})
	}
	return list
}

func (d *director) logHung(hung []systemd.Hung) {
	for _, h := range hung {
		d.log.Error("a part of uvs hangs", "part", h.Part, "for", h.For.Round(time.Millisecond))
	}
	if len(hung) == 0 {
		d.log.Info("all parts of uvs go on again")
	}
}

// statusLine is what `systemctl status` shows.
func (d *director) statusLine() string {
	servers, up := 0, 0
	services := d.effective.Load().services
	for _, s := range services {
		for _, r := range s.Servers {
			if r.Sorry {
				continue
			}
			servers++
			if !r.Down {
				up++
			}
		}
	}
	return fmt.Sprintf("%s, %d of %s up, %s", plural(len(services), "service"), up, plural(servers, "server"), plural(d.engine.Flows().Len(), "connection"))
}

// tellSystemd logs why systemd was not told something; nothing else depends on it.
func (d *director) tellSystemd(err error) {
	if err != nil {
		d.log.Warn("systemd does not hear of this uvs", "error", err)
	}
}
