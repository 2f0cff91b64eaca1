package outcome

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden are results as runs give them: three rounds, in which the median of ratios is not the
// ratio of medians.
func golden() *Results {
	loads := []Load{
		{Name: "bulk", Unit: "Gbit/s", About: "Streams.", Cases: []string{"to server", "to client"}},
		{Name: "latency", Unit: "µs", About: "Pings.", LessIsBetter: true, Cases: []string{"idle"}, Metrics: []Metric{{"p99", "µs"}}},
		{Name: "memory", Unit: "bytes", About: "Not measured.", Cases: []string{"1 M"}},
	}
	var runs []Run
	for round, values := range [][]float64{{10, 7, 5}, {20, 10, 5}, {10, 8, 4}} {
		for i, name := range []string{"kernel", "uvs-nat", "haproxy"} {
			for _, direction := range loads[0].Cases {
				r := Run{Round: round + 1, Scenario: "bulk", Case: direction, Contender: name, Unit: "Gbit/s", Value: values[i], CPU: 0.9,
					Retransmits: uint64(round), Command: "iperf3"}
				if direction == "to client" && name == "uvs-nat" {
					r.Value /= 2
				}
				if name == "kernel" {
					r.Limit = "generator"
				}
				runs = append(runs, r)
			}
			if name != "haproxy" {
				runs = append(runs, Run{Round: round + 1, Scenario: "latency", Case: "idle", Contender: name, Value: 12.34 * values[i],
					Metrics: map[string]float64{"p99": 1234}})
			}
		}
	}
	return Summarise(Results{
		Name:       "golden",
		Parameters: Parameters{Rounds: 3, Seconds: 1.5, WarmUp: 0.3, Seed: 1, Profile: "default", Softirq: "director"},
		Machine: Machine{CPU: "A CPU", Cores: 2, Memory: "4 kB", Kernel: "6.18.0", Date: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Commit: "abc",
			Load: "0.1 0.2 0.3", Command: "bench -rounds 3"},
		Contenders: []Contender{{"kernel", "the kernel"}, {"uvs-nat", "we"}, {"haproxy", "a proxy"}},
		Loads:      loads,
	}, []Target{
		{Number: 2, Scenario: "bulk", Case: "to server", Contender: "uvs-nat", Relation: Ratio, Against: "kernel", Bound: 0.7},
		{Number: 4, Scenario: "memory", Case: "1 M", Contender: "uvs-nat", Relation: Value, Bound: 96},
	}, runs)
}

// TestReport holds the whole way from runs to the report, and back from the file.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	if err := golden().Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"golden.md", "golden.json"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		hold(t, name, string(got))
	}
	back, err := Read(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Markdown(); got != golden().Markdown() {
		t.Errorf("from the file the report is\n%s", got)
	}
}

func TestPivot(t *testing.T) {
	hold(t, "pivot.md", golden().Pivot("bulk")+"\n"+golden().Pivot("latency"))
	if got := golden().Pivot("memory"); got != "" {
		t.Errorf("table of what was not measured:\n%s", got)
	}
}

// hold compares a text with a golden file.
func hold(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

// TestIncomplete: a run that ended early says so before anything else.
func TestIncomplete(t *testing.T) {
	r := golden()
	r.Incomplete = "round 2: pps: with uvs-nat:\nno packet arrived"
	if want := "\n\nINCOMPLETE: round 2: pps: with uvs-nat: no packet arrived\n\n"; !strings.Contains(r.Markdown(), want) {
		t.Errorf("report lacks %q:\n%s", want, r.Markdown())
	}
}

func TestReadRefusesOtherSchemas(t *testing.T) {
	file := filepath.Join(t.TempDir(), "old.json")
	if err := os.WriteFile(file, []byte(`{"schema": 1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil {
		t.Error("no error")
	}
}

func TestDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", 0.8: "0.80", 12.345: "12.3", 123.45: "123", 0.01234: "0.012", 1500000: "1500000", -3.456: "-3.46"} {
		if got := digits(v); got != want {
			t.Errorf("digits(%v) = %s, want %s", v, got, want)
		}
	}
}
