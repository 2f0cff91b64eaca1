package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"uvs/bench/outcome"
	"uvs/bench/plot"
)

// report writes what result files hold between the markers of a Markdown file, and leaves all
// other text as it is:
//
//	<!-- bench: FILE.json WHAT -->
//	…
//	<!-- bench: end -->
//
// FILE is relative to the report. WHAT is "origin", "targets", "table SCENARIO" (a column for
// each case), "full SCENARIO" (every figure), or "plot SCENARIO", which makes an SVG beside the
// result file.
func report(args []string, stderr io.Writer) error {
	f := flag.NewFlagSet("bench report", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "bench report [REPORT.md]: write tables and plots of result files between the markers of a report (default bench/REPORT.md)")
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 1 {
		return fmt.Errorf("report: want one file, have %d", f.NArg())
	}
	file := f.Arg(0)
	if file == "" {
		file = "bench/REPORT.md"
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	w := reportWriter{dir: filepath.Dir(file), results: make(map[string]*outcome.Results)}
	renewed, err := w.fill(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(renewed), 0o644)
}

// markers of a block: the file, the word and what follows it.
var marker = regexp.MustCompile(`<!-- bench: (\S+) (\w+) ?(.*?) ?-->`)

const markerEnd = "<!-- bench: end -->"

type reportWriter struct {
	dir     string
	results map[string]*outcome.Results // by name of the file
}

// fill returns the text with every block made anew.
func (w *reportWriter) fill(text string) (string, error) {
	var b strings.Builder
	for {
		at := marker.FindStringSubmatchIndex(text)
		if at == nil {
			break
		}
		found := marker.FindStringSubmatch(text)
		end := strings.Index(text[at[1]:], markerEnd)
		if next := marker.FindStringIndex(text[at[1]:]); end < 0 || next != nil && next[0] < end {
			return "", fmt.Errorf("%s is not followed by %s", found[0], markerEnd)
		}
		block, err := w.block(found[1], found[2], found[3])
		if err != nil {
			return "", fmt.Errorf("%s: %w", found[0], err)
		}
		b.WriteString(text[:at[1]] + "\n" + strings.TrimRight(block, "\n") + "\n" + markerEnd)
		text = text[at[1]+end+len(markerEnd):]
	}
	b.WriteString(text)
	return b.String(), nil
}

func (w *reportWriter) block(file, what, scenario string) (string, error) {
	r := w.results[file]
	if r == nil {
		var err error
		if r, err = outcome.Read(filepath.Join(w.dir, file)); err != nil {
			return "", err
		}
		w.results[file] = r
	}
	var text string
	switch what {
	case "origin":
		return r.Origin(), nil
	case "targets":
		return r.TargetList(), nil
	case "table":
		text = r.Pivot(scenario)
	case "full":
		text = r.Table(scenario)
	case "plot":
		return w.plot(r, file, scenario)
	default:
		return "", fmt.Errorf("%q is nothing to write (have: origin, targets, table, full, plot)", what)
	}
	if text == "" {
		return unmeasured(scenario)
	}
	return text, nil
}

// unmeasured tells a scenario that a run left out from one that does not exist.
func unmeasured(name string) (string, error) {
	if !slices.ContainsFunc(scenarios(full), func(s scenario) bool { return scenarioName(s) == name }) {
		return "", fmt.Errorf("%q is not a scenario", name)
	}
	return "This run did not measure " + name + ".", nil
}

// plot writes NAME-SCENARIO.svg beside the results and returns the line that shows it.
func (w *reportWriter) plot(r *outcome.Results, file, scenario string) (string, error) {
	c, ok := chart(r, scenario)
	if !ok {
		return unmeasured(scenario)
	}
	picture := filepath.Join(filepath.Dir(file), r.Name+"-"+scenario+".svg")
	if err := os.WriteFile(filepath.Join(w.dir, picture), []byte(c.SVG()), 0o644); err != nil {
		return "", err
	}
	return fmt.Sprintf("![%s](%s)", c.Title, filepath.ToSlash(picture)), nil
}

// chart draws what was measured of a scenario.
func chart(r *outcome.Results, scenario string) (c plot.Chart, ok bool) {
	i := slices.IndexFunc(r.Loads, func(l outcome.Load) bool { return l.Name == scenario })
	if i < 0 {
		return c, false
	}
	load := r.Loads[i]
	c = plot.Chart{Title: scenario + ", " + r.Machine.Kernel, Unit: load.Unit}
	c.Points = slices.DeleteFunc(slices.Clone(load.Cases), func(variation string) bool {
		return !slices.ContainsFunc(r.Rows, func(row outcome.Row) bool { return row.Scenario == scenario && row.Case == variation })
	})
	for _, contender := range r.Contenders {
		s := plot.Series{Name: contender.Name}
		some := false
		for _, variation := range c.Points {
			row, ok := r.Row(scenario, variation, contender.Name)
			s.Values = append(s.Values, plot.Value{Median: row.Value.Median, Min: row.Value.Min, Max: row.Value.Max, Known: ok})
			some = some || ok
		}
		if some {
			c.Series = append(c.Series, s)
		}
	}
	return c, len(c.Series) > 0
}
