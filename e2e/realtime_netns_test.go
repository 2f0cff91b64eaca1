//go:build netns

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestRealtime: one thread, that of VRRP, has a real-time priority: the flag's, or that of the
// configuration. Without the right to it, the director runs all the same and says so.
func TestRealtime(t *testing.T) {
	top := labtest.OneArm(t, netlab.Plan{Servers: 1, NoVIP: true})
	config := modes()[1].config(top)
	for _, c := range []struct {
		name, global string
		args         []string
		want         []int
	}{
		{"by itself", "", nil, []int{1}},
		{"by the flag", "", []string{"--vrrp-realtime", "5"}, []int{5}},
		{"not", "", []string{"--vrrp-realtime", "0"}, nil},
		{"by the configuration", "global_defs {\n vrrp_rt_priority 7\n}\n", []string{"--vrrp-realtime", "0"}, []int{7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := startDirector(t, top.Directors[0], c.global+config, c.args...)
			if got := realtimeThreads(t, d.proc.Pid()); !slices.Equal(got, c.want) {
				t.Errorf("threads with a real-time priority: %v, want %v", got, c.want)
			}
			d.stop()
		})
	}
	t.Run("without the right", func(t *testing.T) {
		d := launchBy(t, top.Directors[0], fewRights, config)
		waitLog(t, d, "VRRP timers are not real-time and may be late on a busy machine (needs CAP_SYS_NICE): sched_setattr: operation not permitted")
		if got := realtimeThreads(t, d.proc.Pid()); len(got) > 0 {
			t.Errorf("threads with a real-time priority: %v, want none", got)
		}
		d.stop()
	})
}

// realtimeThreads lists the real-time priorities of the threads that have one (proc(5), field
// 40 of stat).
func realtimeThreads(t *testing.T, pid int) (list []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of %d: %v, %v", pid, files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		_, after, _ := strings.Cut(string(b), ") ") // field 3 on
		const priority = 40 - 3
		n, err := strconv.Atoi(strings.Fields(after)[priority])
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			list = append(list, n)
		}
	}
	return list
}
