package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/bench/outcome"
)

// TestReport: blocks are made anew from the results, twice alike, and prose stays.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	r := outcome.Summarise(outcome.Results{
		Name: "here", Loads: []outcome.Load{{Name: "pps", Unit: "Mpackets/s", About: "Packets.", Cases: []string{"64 B, 1000 flows", "not measured"}}},
		Contenders: []outcome.Contender{{Name: "kernel"}, {Name: "uvs-nat"}, {Name: "absent"}},
	}, nil, []outcome.Run{
		{Round: 1, Scenario: "pps", Case: "64 B, 1000 flows", Contender: "kernel", Value: 2},
		{Round: 1, Scenario: "pps", Case: "64 B, 1000 flows", Contender: "uvs-nat", Value: 1.5},
	})
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "REPORT.md")
	const before = "Prose.\n<!-- bench: here.json table pps -->\nold\n<!-- bench: end -->\nMore prose.\n<!-- bench: here.json plot pps -->\n<!-- bench: end -->\nEnd.\n"
	const want = "Prose.\n<!-- bench: here.json table pps -->\n| Mpackets/s | 64 B, 1000 flows |\n|---|---:|\n| kernel | 2 (2–2) |\n| uvs-nat | 1.50 (1.50–1.50) ×0.75 |\n" +
		"<!-- bench: end -->\nMore prose.\n<!-- bench: here.json plot pps -->\n![pps, ](here-pps.svg)\n<!-- bench: end -->\nEnd.\n"
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := report([]string{file}, &strings.Builder{}); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
	picture, err := os.ReadFile(filepath.Join(dir, "here-pps.svg"))
	if err != nil || !strings.Contains(string(picture), "uvs-nat") || strings.Contains(string(picture), "absent") {
		t.Errorf("picture: %v\n%s", err, picture)
	}

	const unmeasured = "<!-- bench: here.json table bulk -->\n<!-- bench: end -->\n<!-- bench: here.json plot bulk -->\n<!-- bench: end -->\n"
	if err := os.WriteFile(file, []byte(unmeasured), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := report([]string{file}, &strings.Builder{}); err != nil {
		t.Errorf("what was not measured: %v", err)
	}
	if got, _ := os.ReadFile(file); strings.Count(string(got), "This run did not measure bulk.") != 2 {
		t.Errorf("what was not measured:\n%s", got)
	}

	for name, text := range map[string]string{
		"no such file":     "<!-- bench: none.json table pps -->\n<!-- bench: end -->\n",
		"no such word":     "<!-- bench: here.json poem pps -->\n<!-- bench: end -->\n",
		"no such scenario": "<!-- bench: here.json table music -->\n<!-- bench: end -->\n",
		"no end":           "<!-- bench: here.json table pps -->\n",
		"end of another":   "<!-- bench: here.json table pps -->\n<!-- bench: here.json table pps -->\n<!-- bench: end -->\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		err := report([]string{file}, &strings.Builder{})
		got, _ := os.ReadFile(file)
		if err == nil || string(got) != text {
			t.Errorf("%s: error %v, file is\n%s", name, err, got)
		}
	}
}

// TestCompareCommand: a regression is an error, for the exit status.
func TestCompareCommand(t *testing.T) {
	dir := t.TempDir()
	save := func(name string, value float64) string {
		r := outcome.Summarise(outcome.Results{
			Name: name, Loads: []outcome.Load{{Name: "pps", Cases: []string{"c"}}}, Contenders: []outcome.Contender{{Name: "kernel"}, {Name: "uvs-nat"}},
		}, nil, []outcome.Run{
			{Round: 1, Scenario: "pps", Case: "c", Contender: "kernel", Value: 2}, {Round: 1, Scenario: "pps", Case: "c", Contender: "uvs-nat", Value: value},
		})
		if err := r.Save(dir); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name+".json")
	}
	good, bad := save("good", 2), save("bad", 1)
	var out strings.Builder
	if err := bench(t.Context(), []string{"compare", good, good}, &out, &out); err != nil {
		t.Errorf("the same: %v", err)
	}
	if err := bench(t.Context(), []string{"compare", bad, good}, &out, &out); err != nil {
		t.Errorf("better: %v", err)
	}
	out.Reset()
	err := bench(t.Context(), []string{"compare", good, bad}, &out, &out)
	if errorText(err) != "1 of 1 rows got worse" || !strings.Contains(out.String(), "WORSE   pps, c, uvs-nat: ratio 1 (1–1) → 0.50 (0.50–0.50)") {
		t.Errorf("worse: %v\n%s", err, &out)
	}
	for _, args := range [][]string{{"compare", good}, {"compare", good, filepath.Join(dir, "none.json")}, {"draw"}} {
		if err := bench(t.Context(), args, &out, &out); err == nil {
			t.Errorf("no error for %q", args)
		}
	}
}
