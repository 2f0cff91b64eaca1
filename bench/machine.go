package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A Machine is where and with what a run took place.
type Machine struct {
	CPU      string            `json:"cpu"`   // model
	Cores    int               `json:"cores"` // that we may use
	Memory   string            `json:"memory"`
	Kernel   string            `json:"kernel"`
	Date     time.Time         `json:"date"`
	Commit   string            `json:"commit"` // of the working tree, "-dirty" when changed
	Go       string            `json:"go"`
	Load     string            `json:"load"`     // load averages when the run began
	Programs map[string]string `json:"programs"` // versions
}

// thisMachine describes the machine; what cannot be found out is "unknown".
func thisMachine(ctx context.Context) Machine {
	return Machine{
		CPU:    fieldOf("/proc/cpuinfo", "model name"),
		Cores:  runtime.NumCPU(),
		Memory: fieldOf("/proc/meminfo", "MemTotal"),
		Kernel: strings.TrimSpace(textOf("/proc/sys/kernel/osrelease")),
		Date:   time.Now().UTC().Truncate(time.Second),
		Commit: firstLine(ctx, "git", "describe", "--tags", "--always", "--dirty"),
		Go:     runtime.Version(),
		Load:   loadAverage(),
		Programs: map[string]string{
			"haproxy": firstLine(ctx, "haproxy", "-v"),
			"iperf3":  firstLine(ctx, "iperf3", "--version"),
		},
	}
}

func textOf(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	return string(b)
}

// fieldOf returns the first value of a name in a file with lines like "name : value".
func fieldOf(file, name string) string {
	for line := range strings.Lines(textOf(file)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func firstLine(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil || line == "" {
		return "unknown"
	}
	return line
}

// loadAverage returns the three load averages.
func loadAverage() string {
	fields := strings.Fields(textOf("/proc/loadavg"))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// cpuTimes are the machine's CPU times since it started, in ticks.
type cpuTimes struct{ busy, steal, total uint64 }

func readCPU() (cpuTimes, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuTimes{}, err
	}
	return parseCPU(string(b))
}

// parseCPU reads the first line of /proc/stat (proc(5)): user, nice, system, idle, iowait,
// irq, softirq, steal. Guest times, which follow, are part of user.
func parseCPU(stat string) (t cpuTimes, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return t, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, text := range fields[1:9] {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return t, fmt.Errorf("/proc/stat: %w", err)
		}
		t.total += n
		switch i {
		case 3, 4: // idle, waiting for a disk
		case 7:
			t.steal += n
		default:
			t.busy += n
		}
	}
	return t, nil
}

// since returns which part of all CPUs' time was used, and which part the hypervisor gave
// to others.
func (t cpuTimes) since(before cpuTimes) (busy, steal float64) {
	total := float64(t.total - before.total)
	if total == 0 {
		return 0, 0
	}
	return float64(t.busy-before.busy) / total, float64(t.steal-before.steal) / total
}
