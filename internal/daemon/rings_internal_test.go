package daemon

import (
	"fmt"
	"testing"
)

// describePlan is "shape receivers×memory".
func describePlan(p ringPlan) string {
	return fmt.Sprintf("%s %d×%s", name(p.shape), p.receivers, mebibytes(p.memory))
}

func TestPlanRings(t *testing.T) {
	for _, tt := range []struct {
		name       string
		asked      string
		machine    uint64 // MiB
		workers    int
		interfaces int
		mtu        int
		want       string
		reason     string
	}{
		{"small machine", "auto", 64, 1, 2, 1500, "v2 1×1.3 MiB", ""},
		{"small machine, two workers", "auto", 64, 2, 2, 1500, "v3 2×0.7 MiB", "v2 does not fit 1.3 MiB"},
		{"small machine, many workers", "auto", 64, 64, 2, 1500, "v3 2×0.7 MiB",
			"v2 does not fit 1.3 MiB; 2 of 64 workers receive, which is what fits 1.3 MiB"},
		{"small machine, many interfaces", "auto", 64, 1, 40, 1500, "plain 1×0.1 MiB", "v2 does not fit 0.1 MiB"},
		{"small machine, many of both", "auto", 64, 64, 40, 1500, "plain 1×0.1 MiB",
			"v2 does not fit 0.1 MiB; 1 of 64 workers receive, which is what fits 0.1 MiB"},
		{"small machine, long frames", "auto", 64, 1, 12, 9000, "plain 1×0.2 MiB", "v2 does not fit 0.2 MiB"},
		{"usual container", "auto", 512, 2, 2, 1500, "v2 2×5.3 MiB", ""},
		{"usual machine", "auto", 16384, 2, 2, 1500, "v2 2×24 MiB", ""},
		{"usual machine, one worker", "auto", 16384, 1, 1, 1500, "v2 1×24 MiB", ""},
		{"large machine", "auto", 256 << 10, 16, 2, 1500, "v2 16×5.3 MiB", ""},
		{"large machine, many workers", "auto", 256 << 10, 64, 2, 1500, "v2 64×1.3 MiB", ""},
		{"large machine, many of both", "auto", 256 << 10, 64, 40, 1500, "v3 7×0.6 MiB",
			"v2 does not fit 3.9 MiB; 7 of 64 workers receive, which is what fits 3.9 MiB"},
		{"v2 asked for", "v2", 16384, 2, 2, 1500, "v2 2×24 MiB", ""},
		{"v2 asked for, for some workers", "v2", 256 << 10, 64, 40, 1500, "v2 3×1.3 MiB",
			"3 of 64 workers receive, which is what fits 3.9 MiB"},
		{"v2 asked for, short", "v2", 64, 2, 2, 1500, "v2 1×1.3 MiB", "1 of 2 workers receive, which is what fits 1.3 MiB"},
		{"v2 asked for, too little", "v2", 64, 2, 12, 1500, "plain 1×0.2 MiB",
			"v2 does not fit 0.2 MiB; 1 of 2 workers receive, which is what fits 0.2 MiB"},
		{"v3 asked for", "v3", 16384, 2, 2, 1500, "v3 2×42 MiB", ""},
		{"recvmmsg asked for", "recvmmsg", 16384, 2, 2, 1500, "recvmmsg 2×12 MiB", ""},
		{"plain asked for", "plain", 16384, 2, 2, 1500, "plain 2×8.0 MiB", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			budget := newRingBudget(0, memory{bytes: tt.machine << 20, source: "the test"})
			plans := planRings(tt.asked, ringShare(budget.bytes, tt.interfaces), tt.workers, tt.mtu+14)
			if len(plans) == 0 {
				t.Fatal("no plan")
			}
			if got := describePlan(plans[0]); got != tt.want || plans[0].reason != tt.reason {
				t.Errorf("got %s (%s), want %s (%s)", got, plans[0].reason, tt.want, tt.reason)
			}
		})
	}
}

// TestRingsStayInTheirBudget: whatever the machine, the workers, the interfaces and the
// wish, and however the number of interfaces grew to what it is, and every interface has a
// plan.
func TestRingsStayInTheirBudget(t *testing.T) {
	for mib := uint64(64); mib <= 256<<10; mib *= 2 {
		budget := newRingBudget(0, memory{bytes: mib << 20}).bytes
		if budget > ringMost || budget > mib<<20/ringFraction {
			t.Fatalf("%d MiB: budget of %d bytes", mib, budget)
		}
		for workers := 1; workers <= 64; workers++ {
			for _, asked := range []string{"auto", "v2", "v3", "recvmmsg", "plain"} {
				before := 0 // of each interface, when there was one less
				for interfaces := 1; interfaces <= 40; interfaces++ {
					plans := planRings(asked, ringShare(budget, interfaces), workers, 1514)
					if len(plans) == 0 {
						t.Fatalf("%d MiB, %d workers, %d interfaces, %s: no plan", mib, workers, interfaces, asked)
					}
					least, most := plans[0].bytes(), 0
					for _, p := range plans {
						most = max(most, p.bytes())
						if p.receivers < 1 || p.receivers > workers || p.memory < p.shape.Least() || p.memory > p.shape.Most() {
							t.Fatalf("%d MiB, %d workers, %d interfaces, %s: %s", mib, workers, interfaces, asked, describePlan(p))
						}
					}
					// All but the new one were larger; they are replaced one after the other.
					held := uint64(before)*uint64(interfaces-1) + uint64(least)
					if all := uint64(most) * uint64(interfaces); all > budget || held > budget {
						t.Fatalf("%d MiB, %d workers, %d interfaces, %s: %d bytes, %d on the way there, in a budget of %d",
							mib, workers, interfaces, asked, all, held, budget)
					}
					before = most
				}
			}
		}
	}
}

// TestRingFallback: what cannot be opened is followed by the next best.
func TestRingFallback(t *testing.T) {
	for _, tt := range []struct{ asked, want string }{
		{"auto", "[v2 v3 recvmmsg plain plain recvmmsg]"},
		{"afxdp", "[v2 v3 recvmmsg plain plain recvmmsg]"},
		{"v2", "[v2 v3 recvmmsg plain plain recvmmsg]"},
		{"v3", "[v3 v2 recvmmsg plain plain recvmmsg]"},
		{"recvmmsg", "[recvmmsg v2 v3 plain plain recvmmsg]"},
		{"plain", "[plain plain recvmmsg v2 v3 recvmmsg]"},
	} {
		var got []string
		for _, p := range planRings(tt.asked, 64<<20, 2, 1514) {
			got = append(got, name(p.shape))
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%s: got %v, want %s", tt.asked, got, tt.want)
		}
	}
}

func TestRingBudget(t *testing.T) {
	for _, tt := range []struct {
		asked uint64
		m     memory
		want  ringBudget
	}{
		{0, memory{512 << 20, "512 MiB of /sys/fs/cgroup/memory.max"}, ringBudget{32 << 20, "1/16 of 512 MiB of /sys/fs/cgroup/memory.max"}},
		{0, memory{8 << 30, "8192 MiB of the machine"}, ringBudget{256 << 20, "at most 256 MiB"}},
		{1 << 30, memory{512 << 20, ""}, ringBudget{1 << 30, "--ring-memory"}},
	} {
		if got := newRingBudget(tt.asked, tt.m); got != tt.want {
			t.Errorf("asked for %d with %d: got %v, want %v", tt.asked, tt.m.bytes, got, tt.want)
		}
	}
	if plans := planRings("auto", ringShare(4<<20, 1000), 4, 1514); plans != nil {
		t.Errorf("a thousand interfaces in 4 MiB: got %v", plans)
	}
}
