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

	"uvs/bench/outcome"
)

// thisMachine describes the machine; what cannot be found out is "unknown".
func thisMachine(ctx context.Context, command string) outcome.Machine {
	return outcome.Machine{
		CPU:     fieldOf("/proc/cpuinfo", "model name"),
		Cores:   runtime.NumCPU(),
		Memory:  fieldOf("/proc/meminfo", "MemTotal"),
		Kernel:  strings.TrimSpace(textOf("/proc/sys/kernel/osrelease")),
		Date:    time.Now().UTC().Truncate(time.Second),
		Commit:  firstLine(ctx, "git", "describe", "--tags", "--always", "--dirty"),
		Go:      runtime.Version(),
		Load:    loadAverage(),
		Command: command,
		Programs: map[string]string{
			"haproxy": firstLine(ctx, "haproxy", "-v"),
			"iperf3":  firstLine(ctx, "iperf3", "--version"),
			"nft":     firstLine(ctx, "nft", "--version"),
			"nginx":   firstLine(ctx, "dpkg-query", "-W", "-f", "${Version}", "nginx-light"),
			"wrk":     firstLine(ctx, "dpkg-query", "-W", "-f", "${Version}", "wrk"),
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

func readCPU() (cpuTimes, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuTimes{}, err
	}
	return parseCPU(string(b))
}

// parseCPU reads the first lines of /proc/stat (proc(5)), for all CPUs and for each: user,
// nice, system, idle, iowait, irq, softirq, steal. Guest times, which follow, are part of user.
func parseCPU(stat string) (t cpuTimes, err error) {
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu") {
			break
		}
		busy, steal, total, err := parseTicks(fields[1:9])
		if err != nil {
			return t, err
		}
		if fields[0] == "cpu" {
			t.busy, t.steal, t.total = busy, steal, total
		} else {
			t.each = append(t.each, busy)
		}
	}
	if t.total == 0 {
		return t, fmt.Errorf("/proc/stat does not begin with CPU times")
	}
	return t, nil
}

func parseTicks(fields []string) (busy, steal, total uint64, err error) {
	for i, text := range fields {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		total += n
		switch i {
		case 3, 4: // idle, waiting for a disk
		case 7:
			steal += n
		default:
			busy += n
		}
	}
	return busy, steal, total, nil
}

// conntrackRoom makes room for all flows of a run in the kernel's conntrack, which is the
// machine's and not a namespace's, and returns the way back. Where it cannot, netfilter's
// table is as large as it was.
func conntrackRoom() (undo func()) {
	undo = func() {}
	for file, want := range map[string]int{
		"/proc/sys/net/netfilter/nf_conntrack_max":     20_000_000,
		"/sys/module/nf_conntrack/parameters/hashsize": 2_097_152,
	} {
		old, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// What is large enough was made so by somebody else, such as another run, who takes it back.
		if have, err := strconv.Atoi(strings.TrimSpace(string(old))); err != nil || have >= want {
			continue
		}
		if os.WriteFile(file, []byte(strconv.Itoa(want)), 0o644) != nil {
			continue
		}
		before := undo
		undo = func() {
			before()
			_ = os.WriteFile(file, old, 0o644) // it was writable before
		}
	}
	return undo
}
