package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// markdown returns the results for people.
func (r *Results) markdown() string {
	var b strings.Builder
	p, m := r.Parameters, r.Machine
	fmt.Fprintf(&b, "# Results: %s\n\n", r.Name)
	fmt.Fprintf(&b, "%s, %d cores, Linux %s, %s, commit %s, load %s.\n", m.CPU, m.Cores, m.Kernel, m.Date.Format("2006-01-02 15:04 MST"), m.Commit, m.Load)
	fmt.Fprintf(&b, "%d rounds, %d s each after %d s of warm-up, seed %d. Ratios are taken within a round.\n\n", p.Rounds, p.Seconds, p.WarmUp, p.Seed)
	for _, name := range slices.Sorted(maps.Keys(r.Contenders)) {
		fmt.Fprintf(&b, "- %s: %s\n", name, r.Contenders[name])
	}
	heading := ""
	for _, row := range r.Rows {
		if h := row.Scenario + ", " + row.Case; h != heading {
			heading = h
			fmt.Fprintf(&b, "\n## %s\n\n", h)
			fmt.Fprintf(&b, "| Contender | %s | min–max | of %s | min–max | CPU | Retransmits |\n|---|---:|---:|---:|---:|---:|---:|\n", row.Unit, reference)
		}
		row.print(&b)
	}
	verdicts := false
	for _, row := range r.Rows {
		if row.Goal == nil {
			continue
		}
		if !verdicts {
			verdicts = true
			b.WriteString("\n## Targets\n\n")
		}
		fmt.Fprintf(&b, "- %s, %s, %s of %s: %s\n", row.Scenario, row.Case, row.Contender, reference, row.Goal)
	}
	return b.String()
}

// print writes a row of the table: medians, and the spread where it tells something.
func (r Row) print(b *strings.Builder) {
	ratio, ratioSpread := "–", "–"
	if r.Ratio != nil && r.Contender != reference {
		ratio, ratioSpread = fmt.Sprintf("%.2f", r.Ratio.Median), spread(*r.Ratio)
	}
	fmt.Fprintf(b, "| %s | %.2f | %s | %s | %s | %.0f %% | %.0f |\n", r.Contender, r.Value.Median, spread(r.Value),
		ratio, ratioSpread, 100*r.CPU.Median, r.Retransmits.Median)
}

func spread(s Summary) string { return fmt.Sprintf("%.2f–%.2f", s.Min, s.Max) }
