package demo

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// renderChecks returns a line for each check.
func renderChecks(checks []check, g glyphs) string {
	var b strings.Builder
	for _, c := range checks {
		mark := g.ok
		if !c.ok {
			mark = g.fail
		}
		fmt.Fprintf(&b, "%s %s", mark, c.name)
		if c.detail != "" {
			fmt.Fprintf(&b, ": %s", c.detail)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// summary returns all numbers.
func summary(outcomes []outcome) string {
	var b strings.Builder
	var single []outcome
	for i := range outcomes {
		if outcomes[i].mode != Pair {
			single = append(single, outcomes[i])
		}
	}
	if len(single) > 0 {
		b.WriteString(summaryTable(single) + "\n")
	}
	for i := range outcomes {
		if table := pairTable(&outcomes[i]); table != "" {
			b.WriteString(table + "\n")
		}
	}
	return b.String()
}

// summaryTable returns the numbers, a column for each mode of one director.
func summaryTable(outcomes []outcome) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
	row := func(name string, cell func(*outcome) string) {
		cells := []string{name}
		for i := range outcomes {
			text := "-"
			if o := &outcomes[i]; o.err == nil || name == "" {
				text = cell(o)
			}
			cells = append(cells, text)
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), " "))
	}
	row("", func(o *outcome) string { return o.mode.String() })
	row("director ready", func(o *outcome) string { return seconds(o.ready) })
	row("order of answers", func(o *outcome) string { return numbers(o.order4) })
	row("requests", func(o *outcome) string { return fmt.Sprint(len(o.requests)) })
	row("failed before the detection", func(o *outcome) string { in, _ := o.failures(); return fmt.Sprint(len(in)) })
	row("failed at any other time", func(o *outcome) string { _, out := o.failures(); return fmt.Sprint(len(out)) })
	row("detection", func(o *outcome) string { return seconds(o.detection()) })
	row("return", func(o *outcome) string { return seconds(o.comeback()) })
	row("throughput, one connection", func(o *outcome) string { return gbits(o.bulk) })
	_ = w.Flush() // into memory
	return b.String()
}

// numbers shortens names of servers: "3 2 1 3 2 1".
func numbers(names []string) string {
	return strings.ReplaceAll(strings.Join(names, " "), "server", "")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

func gbits(t transfer) string {
	if t.err != nil {
		return oneLine(t.err.Error())
	}
	return fmt.Sprintf("%.2f Gbit/s", t.gbits())
}

func orNothing(lines []string, nothing string) string {
	if len(lines) == 0 {
		return nothing
	}
	return strings.Join(lines, "\n")
}
