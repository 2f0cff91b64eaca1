//go:build netns

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestBulk runs the whole program for one short round: everyone forwards, in both
// directions, and the raw data has a line for each.
func TestBulk(t *testing.T) {
	netlab.Require(t)
	dir := t.TempDir()
	var stdout, stderr strings.Builder
	args := []string{"-rounds", "1", "-seconds", "1", "-o", dir, "-name", "short", "-uvs", labtest.Binary(t)}
	if err := bench(t.Context(), args, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "short.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if len(lines) != 1+3*2 {
		t.Fatalf("%d lines of raw data, want the machine and 3 contenders in 2 directions", len(lines))
	}
	seen := make(map[string]bool)
	for _, line := range lines[1:] {
		var r Run
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		seen[r.Contender+" "+r.Case] = true
		if r.Value <= 0 || r.CPU <= 0 || len(r.Output) == 0 || len(r.Offloads) != 4 {
			t.Errorf("run %s", line)
		}
	}
	if len(seen) != 6 {
		t.Errorf("runs are %v", seen)
	}
	if !strings.Contains(stdout.String(), "| uvs-nat |") {
		t.Errorf("report is\n%s", &stdout)
	}
}

// TestDirectorDoesNotStart: a contender that cannot run is an error that says why.
func TestDirectorDoesNotStart(t *testing.T) {
	netlab.Require(t)
	args := []string{"-o", t.TempDir(), "-contenders", "uvs-nat", "-uvs", labtest.Binary(t) + " --no-such-flag"}
	var stderr strings.Builder
	err := bench(t.Context(), args, &strings.Builder{}, &stderr)
	if err == nil || !strings.Contains(err.Error(), "uvs-nat") || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("got %v, want an error that names the contender and shows its words", err)
	}
}
