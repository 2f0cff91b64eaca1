package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestReport holds the whole way from runs to the report: the median of ratios is that of
// the rounds' own, not the ratio of medians.
func TestReport(t *testing.T) {
	var runs []Run
	for round, values := range [][]float64{{10, 7, 5}, {20, 10, 5}, {10, 8, 4}} {
		for i, name := range []string{"kernel", "uvs-nat", "haproxy"} {
			for _, direction := range (bulk{}).cases() {
				value := values[i]
				if direction == toClient && name == "uvs-nat" {
					value /= 2
				}
				runs = append(runs, Run{Round: round + 1, Scenario: "bulk", Case: direction, Contender: name, Unit: "Gbit/s",
					Value: value, CPU: 0.9, Retransmits: uint64(round)})
			}
		}
	}
	o := options{name: "golden", parameters: Parameters{Rounds: 3, Seconds: 4, WarmUp: 1, Seed: 1}}
	m := Machine{CPU: "A CPU", Cores: 2, Kernel: "6.18.0", Date: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Commit: "abc", Load: "0.1 0.2 0.3"}
	r := summarise(o, m, scenarios(), contenders([]build{{path: "bin/uvs"}}), runs)

	dir := t.TempDir()
	if err := r.save(dir, r.markdown()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"golden.md", "golden.json"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}
}
