package daemon

import (
	"testing"
	"time"

	"uvs/config"
	"uvs/internal/mono"
)

func TestDebouncer(t *testing.T) {
	d := newDebouncer([]config.InterfaceDelay{{Interface: "eth0", Down: 2 * time.Second, Up: 500 * time.Millisecond}})
	const start = mono.Time(time.Hour)
	for _, step := range []struct {
		at    time.Duration
		link  string
		up    bool
		want  bool
		again time.Duration
	}{
		{0, "eth0", true, true, 0},
		{0, "eth1", true, true, 0},
		{time.Second, "eth1", false, false, 0}, // without a delay
		{time.Second, "eth0", false, true, 2 * time.Second},
		{2 * time.Second, "eth0", false, true, 0},        // somebody will ask at 3 s
		{2500 * time.Millisecond, "eth0", true, true, 0}, // it was short
		{2600 * time.Millisecond, "eth0", false, true, 0},
		{3 * time.Second, "eth0", false, true, 1600 * time.Millisecond},
		{4600 * time.Millisecond, "eth0", false, false, 0},
		{5 * time.Second, "eth0", true, false, 500 * time.Millisecond},
		{5300 * time.Millisecond, "eth0", false, false, 0},
		{5400 * time.Millisecond, "eth0", true, false, 0},
		{5500 * time.Millisecond, "eth0", true, false, 400 * time.Millisecond},
		{6 * time.Second, "eth0", true, true, 0},
	} {
		if got, again := d.counts(step.link, step.up, start.Add(step.at)); got != step.want || again != step.again {
			t.Errorf("%v: %s, up %v, counts as up %v, again in %v; want %v, %v", step.at, step.link, step.up, got, again, step.want, step.again)
		}
	}
	d.gone("eth0")
	if got, again := d.counts("eth0", false, start.Add(7*time.Second)); got || again != 0 {
		t.Errorf("an interface that is gone counts as up %v, again in %v", got, again)
	}
	// A reload takes over what is under way.
	d.counts("eth1", true, start.Add(8*time.Second))
	d.configure([]config.InterfaceDelay{{Interface: "eth1", Down: time.Second}})
	if got, again := d.counts("eth1", false, start.Add(9*time.Second)); !got || again != time.Second {
		t.Errorf("after a reload eth1 counts as up %v, again in %v", got, again)
	}
}
