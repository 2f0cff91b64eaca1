package outcome

import (
	"fmt"
	"math"
	"strings"
)

// Markdown returns the results for people.
func (r *Results) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Results: %s\n\n%s\n", r.Name, r.Origin())
	for _, c := range r.Contenders {
		fmt.Fprintf(&b, "- %s: %s\n", c.Name, c.About)
	}
	for _, load := range r.Loads {
		if table := r.Table(load.Name); table != "" {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s", load.Name, load.About, table)
		}
	}
	if len(r.Targets) > 0 {
		fmt.Fprintf(&b, "\n## Targets\n\n%s", r.TargetList())
	}
	return b.String()
}

// Origin says where the figures come from: machine, kernel, date, commit, command; and whether
// the run ended early.
func (r *Results) Origin() string {
	p, m := r.Parameters, r.Machine
	text := fmt.Sprintf("%s, %d cores, %s, Linux %s, %s, commit %s, load %s. Command: `%s`.\n"+
		"%d rounds, %s s each after %s s of warm-up, profile %s, receive softirq on the %s's core, seed %d. Ratios are taken within a round.\n",
		m.CPU, m.Cores, m.Memory, m.Kernel, m.Date.Format("2006-01-02 15:04 MST"), m.Commit, m.Load, m.Command,
		p.Rounds, digits(p.Seconds), digits(p.WarmUp), p.Profile, p.Softirq, p.Seed)
	if r.Incomplete != "" {
		text += "\nINCOMPLETE: " + strings.ReplaceAll(r.Incomplete, "\n", " ") + "\n"
	}
	return text
}

// TargetList returns a line for each target that was measured.
func (r *Results) TargetList() string {
	var b strings.Builder
	for _, j := range r.Targets {
		fmt.Fprintf(&b, "- %s\n", j)
	}
	return b.String()
}

// Table returns a scenario's rows in full, empty if it was not measured.
func (r *Results) Table(scenario string) string {
	load := r.load(scenario)
	var b strings.Builder
	for _, row := range r.Rows {
		if row.Scenario != scenario {
			continue
		}
		if b.Len() == 0 {
			head := []string{"Case", "Contender", load.Unit, "min–max", "of " + Reference, "min–max"}
			for _, m := range load.Metrics {
				head = append(head, strings.TrimSpace(m.Name+" "+m.Unit))
			}
			head = append(head, "CPU", "Retransmits")
			fmt.Fprintf(&b, "| %s |\n|---|---|%s\n", strings.Join(head, " | "), strings.Repeat("---:|", len(head)-2))
		}
		row.print(&b, load)
	}
	return b.String()
}

// print writes a row of the table: medians, and the spread where it tells something.
func (r Row) print(b *strings.Builder, load Load) {
	ratio, ratioSpread := "–", "–"
	if r.Ratio != nil {
		ratio, ratioSpread = digits(r.Ratio.Median), spread(*r.Ratio)
	}
	cells := []string{r.Case, r.Contender, r.bound() + digits(r.Value.Median), spread(r.Value), ratio, ratioSpread}
	for _, m := range load.Metrics {
		cell := "–"
		if s, ok := r.Metrics[m.Name]; ok {
			cell = digits(s.Median)
		}
		cells = append(cells, cell)
	}
	cells = append(cells, fmt.Sprintf("%.0f %%", 100*r.CPU.Median), fmt.Sprintf("%.0f", r.Retransmits.Median))
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// bound marks a value that the load, and not the contender, kept from being better.
func (r Row) bound() string {
	if r.limited() {
		return "≥ "
	}
	return ""
}

// Pivot returns a scenario as one line for each contender and a column for each case: the
// median, its spread, and the ratio to the reference. Empty if it was not measured.
func (r *Results) Pivot(scenario string) string {
	load := r.load(scenario)
	var cases []string
	for _, c := range load.Cases {
		for _, row := range r.Rows {
			if row.Scenario == scenario && row.Case == c {
				cases = append(cases, c)
				break
			}
		}
	}
	if len(cases) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |\n|---|%s\n", load.Unit, strings.Join(cases, " | "), strings.Repeat("---:|", len(cases)))
	for _, c := range r.Contenders {
		cells, any := []string{c.Name}, false
		for _, variation := range cases {
			row, ok := r.Row(scenario, variation, c.Name)
			any = any || ok
			cells = append(cells, row.cell(ok))
		}
		if any {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		}
	}
	return b.String()
}

func (r Row) cell(ok bool) string {
	if !ok {
		return "–"
	}
	text := fmt.Sprintf("%s%s (%s)", r.bound(), digits(r.Value.Median), spread(r.Value))
	if r.Ratio != nil {
		text += fmt.Sprintf(" ×%s", digits(r.Ratio.Median))
	}
	return text
}

func spread(s Summary) string { return digits(s.Min) + "–" + digits(s.Max) }

// digits prints a number with three digits that count, and whole numbers in full.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}
