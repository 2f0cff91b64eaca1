//go:build netns

package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"uvs/bench/outcome"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestEveryLoad runs the whole program shortly: every scenario with those that it suits, and the
// raw data has a line for each.
func TestEveryLoad(t *testing.T) {
	netlab.Require(t)
	for _, tt := range []struct {
		scenarios, contenders string
		runs                  []string
	}{
		{"pps,cpu,syn", "kernel,uvs-dr", []string{
			"pps kernel", "pps uvs-dr", "cpu kernel", "cpu uvs-dr", "syn kernel", "syn uvs-dr",
		}},
		{"loss-free", "kernel", []string{"loss-free kernel"}},
		{"latency,scale,memory", "uvs-nat", []string{"latency uvs-nat", "scale uvs-nat", "memory uvs-nat"}},
		{"bulk", "haproxy", []string{"bulk haproxy"}},
		{"connections", "direct,nft-dnat,nginx", []string{"connections direct", "connections nft-dnat", "connections nginx"}},
		{"requests", "uvs-nat", []string{"requests uvs-nat"}},
	} {
		t.Run(tt.scenarios, func(t *testing.T) {
			dir := t.TempDir()
			var stdout, stderr strings.Builder
			args := []string{"-quick", "-o", dir, "-name", "short", "-uvs", labtest.Binary(t), "-scenarios", tt.scenarios, "-contenders", tt.contenders}
			if err := bench(t.Context(), args, &stdout, &stderr); err != nil {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			raw, err := os.ReadFile(filepath.Join(dir, "short.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			seen := make(map[string]bool)
			for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n")[1:] {
				var r outcome.Run
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				seen[r.Scenario+" "+r.Contender] = true
				if r.Value <= 0 || r.CPU <= 0 || r.Command == "" || len(r.Offloads) != 4 {
					t.Errorf("run %s", line)
				}
			}
			if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, slices.Sorted(slices.Values(tt.runs))) {
				t.Errorf("runs are %v, want %v", got, tt.runs)
			}
			for _, c := range strings.Split(tt.contenders, ",") {
				if !strings.Contains(stdout.String(), "| "+c+" |") {
					t.Errorf("report lacks %s:\n%s", c, &stdout)
				}
			}
		})
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
