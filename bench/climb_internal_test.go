package main

import (
	"slices"
	"testing"
	"time"
)

// TestClimb: whatever becomes of what is too much, a window of the climb comes near to the
// highest rate, and none is above it.
func TestClimb(t *testing.T) {
	const generator = 2e6
	plateau := func(capacity float64) func(float64) float64 {
		return func(offered float64) float64 { return min(offered, capacity) }
	}
	for _, tt := range []struct {
		name    string
		forward func(offered float64) float64
		most    float64
		least   float64 // part of most that must be found
	}{
		{"drops what is too much at no cost", plateau(1e6), 1e6, 0.99},
		{"is as fast as the generator", plateau(3e6), generator, 0.99},
		{"is very slow", plateau(0.02e6), 0.02e6, 0.97},
		// Softirq takes 0.35 µs and the worker 0.5 µs of one core for each packet.
		{"drops what is too much at a cost", func(offered float64) float64 {
			return max(0, min(offered, (1-offered*0.35e-6)/0.5e-6))
		}, 1 / 0.85e-6, 0.98},
		// Forwarding takes much less than receiving: nothing comes through a flood.
		{"starves soon", func(offered float64) float64 {
			return max(0, min(offered, (1-offered*0.8e-6)/0.1e-6))
		}, 1 / 0.9e-6, 0.86},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, hiccup := range []int{-1, 2, 9} { // a step in which nothing arrives
				c := newClimber(delivery{offered: generator, rate: tt.forward(generator)})
				const step = 50 * time.Millisecond
				marks := []mark{{}}
				for i := range climbSteps {
					offered := c.rate()
					arrived := tt.forward(offered)
					if i == hiccup {
						arrived = 0
					}
					last := marks[len(marks)-1]
					marks = append(marks, mark{
						at: last.at + step, sent: last.sent + uint64(offered*step.Seconds()), arrived: last.arrived + uint64(arrived*step.Seconds()),
					})
					c.saw(offered, arrived)
				}
				got := bestWindow(marks, windowSteps)
				if got.length != windowSteps*step || got.rate > tt.most || got.rate < tt.least*tt.most {
					t.Errorf("hiccup %d: found %.0f of %.0f/s in %v", hiccup, got.rate, tt.most, got.length)
				}
			}
		})
	}
}

// TestBestWindow: the window is where most arrives, and has the CPU time of that.
func TestBestWindow(t *testing.T) {
	var marks []mark
	arrived, busy := uint64(0), uint64(0)
	for i, n := range []uint64{0, 10, 90, 70, 20, 80, 0} {
		arrived, busy = arrived+n, busy+uint64(i)
		marks = append(marks, mark{
			at: time.Duration(i) * time.Second, sent: uint64(i) * 100, arrived: arrived, cpu: cpuTimes{busy: busy, each: []uint64{busy}},
		})
	}
	got := bestWindow(marks, 2)
	if got.rate != 80 || got.offered != 100 || got.length != 2*time.Second || got.cpu.busy != 2+3 || got.cpu.usedBy(0) != 5*tick {
		t.Errorf("got %+v, want 160 that arrived in the second and third second, in which CPU 0 was busy for 5 ticks", got)
	}
	drained := []mark{{}, {at: time.Second, sent: 100, arrived: 50}, {at: 2 * time.Second, sent: 150, arrived: 150}}
	if got := bestWindow(drained, 1); got.rate != 50 {
		t.Errorf("got %v/s with 50/s offered: a full ring's frames count", got.rate)
	}
	if got := rungs(marks[:4]); !slices.Equal(got, []rung{{100, 10}, {100, 90}, {100, 70}}) {
		t.Errorf("steps for the record: %v", got)
	}
	if got := bestWindow(marks[:2], 2); got.rate != 0 {
		t.Errorf("a window of one step: %+v", got)
	}
}

// TestClimbAfterFlood: what arrives out of a full ring is no reason to offer more than that.
func TestClimbAfterFlood(t *testing.T) {
	c := newClimber(delivery{offered: 1600, rate: 50})
	if c.rate() != 150 {
		t.Fatalf("begins with %v/s, want half as much again as a sixteenth of the flood", c.rate())
	}
	c.saw(150, 800)
	if c.rate() != 225 {
		t.Errorf("offers %v/s next, want 225", c.rate())
	}
}
