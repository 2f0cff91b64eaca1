//go:build netns

package demo_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestDemo runs the whole demo and holds the numbers of its summary against what it must
// show, beside its own verdict.
func TestDemo(t *testing.T) {
	netlab.Require(t)
	began := time.Now()
	out, err := exec.CommandContext(t.Context(), labtest.Binary(t), "demo", "--plain").CombinedOutput()
	took := time.Since(began)
	if err != nil {
		t.Fatalf("uvs demo: %v\n%s", err, out)
	}
	if took > time.Minute {
		t.Errorf("the demo took %v, want less than a minute", took)
	}
	_, summary, ok := strings.Cut(string(out), "\nSummary\n")
	if !ok {
		t.Fatalf("there is no summary:\n%s", out)
	}
	for _, want := range []struct {
		row         string
		least, most float64
	}{
		{"requests", 500, 10000},
		{"failed before the detection", 1, 2000},
		{"failed at any other time", 0, 0},
		{"detection", 0.5, 2.5},
		{"return", 0, 2.5},
		{"throughput, one connection", 0.1, 1000},
	} {
		for column, n := range numbers(t, summary, want.row) {
			if n < want.least || n > want.most {
				t.Errorf("%s, column %d: %v, want %v to %v", want.row, column, n, want.least, want.most)
			}
		}
	}
	if strings.Contains(summary, "FAILED") || !strings.Contains(summary, "All 41 checks hold") {
		t.Errorf("not all checks hold:\n%s", summary)
	}
	for _, c := range []struct {
		text  string
		times int
	}{
		{"\n$ ipvsadm -Ln\nIP Virtual Server version 1.2.1 (size=4096)\n", 6},
		{"server2 is out of the table, ", 2},
		{"\n$ uvs cleanup\nnothing to remove\n", 2},
		{"\n$ uvs cleanup            # on both\nnothing to remove\n", 1},
		{" is master after ", 4},
	} {
		if n := strings.Count(string(out), c.text); n != c.times {
			t.Errorf("%q stands %d times, want %d", c.text, n, c.times)
		}
	}
	wantGaps(t, summary)
	t.Logf("took %v\n%s", took.Round(10*time.Millisecond), summary)
}

// wantGaps holds the table of two directors against what the protocol takes.
func wantGaps(t *testing.T, summary string) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^longest time without service +(\d+) ms +(\d+) ms +(\d+) ms +(\d+) ms$`).FindStringSubmatch(summary)
	if m == nil {
		t.Fatalf("the summary lacks four times without service:\n%s", summary)
	}
	// Calm, after a crash, on a return, on a planned stop. The crash comes up to an advert
	// interval of 100 ms after the last advert.
	for n, want := range [][2]int{{0, 50}, {200, 461}, {0, 50}, {0, 50}} {
		if got, err := strconv.Atoi(m[n+1]); err != nil || got < want[0] || got > want[1] {
			t.Errorf("phase %d was %s ms without service, want %d to %d", n, m[n+1], want[0], want[1])
		}
	}
	if !regexp.MustCompile(`(?m)^failed requests +0 +0 +0 +0$`).MatchString(summary) {
		t.Error("requests failed")
	}
}

// numbers returns the two numbers of a row of the summary.
func numbers(t *testing.T, summary, row string) []float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(row) + ` +([0-9.]+)(?: \S+)? +([0-9.]+)(?: \S+)?$`).FindStringSubmatch(summary)
	if m == nil {
		t.Fatalf("the summary lacks a row %q with two numbers:\n%s", row, summary)
	}
	var ns []float64
	for _, text := range m[1:] {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		ns = append(ns, n)
	}
	return ns
}

// TestInterrupt: Ctrl-C in the midst of it ends all processes, with a shell's exit status.
func TestInterrupt(t *testing.T) {
	netlab.Require(t)
	cmd := exec.CommandContext(t.Context(), labtest.Binary(t), "demo", "--mode", "nat", "--plain")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = new(bytes.Buffer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, stdout, "stage 1")
	children := childrenOf(t, cmd.Process.Pid)
	if len(children) < 5 { // the site's first process, three servers, the director
		t.Errorf("the demo has %d children, want 5 or more", len(children))
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, stdout)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("the demo ended with %v, want exit status 130", err)
	}
	if got, want := cmd.Stderr.(*bytes.Buffer).String(), "uvs: demo: interrupted; everything that was built is gone\n"; got != want {
		t.Errorf("standard error is %q, want %q", got, want)
	}
	for _, pid := range children {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d still runs (%v)", pid, err)
		}
	}
}

// readUntil reads until the text has come.
func readUntil(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var seen []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(seen, []byte(text)) {
		n, err := r.Read(buf)
		seen = append(seen, buf[:n]...)
		if err != nil {
			t.Fatalf("%q did not come: %v\n%s", text, err, seen)
		}
	}
}

// childrenOf lists the children of all threads of a process.
func childrenOf(t *testing.T, pid int) (pids []int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-o", "pid=", "--ppid", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(out)) {
		n, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, n)
	}
	return pids
}
