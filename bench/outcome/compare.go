package outcome

import (
	"fmt"
	"slices"
	"strings"
)

// A Change is one row of two results that differs by more than the tolerance.
type Change struct {
	Scenario, Case, Contender string
	// What is compared: "ratio" to the reference, or "value" for what has none.
	What          string
	Before, After Summary
	// Factor is after : before by medians. Worse tells that it is a regression.
	Factor float64
	Worse  bool
}

// A Comparison is what Compare found.
type Comparison struct {
	Changes  []Change
	Compared int // rows that both results have
	// Skipped are rows that cannot be compared, with the reason.
	Skipped []string
}

// Compare finds what changed from a to b. Rows with a ratio to the reference are compared
// by that. Those without are compared by their value, and only if both runs took place on
// machines of one kind: figures of two machines say nothing. A change counts if medians differ by more
// than tolerance (0.05 is five per cent) and no round of one reaches into the spread of the other.
func Compare(a, b *Results, tolerance float64) Comparison {
	var c Comparison
	same := a.Machine.CPU == b.Machine.CPU && a.Machine.Cores == b.Machine.Cores && a.Machine.Kernel == b.Machine.Kernel
	for _, after := range b.Rows {
		before, ok := a.Row(after.Scenario, after.Case, after.Contender)
		if !ok {
			continue
		}
		load := b.load(after.Scenario)
		change := Change{Scenario: after.Scenario, Case: after.Case, Contender: after.Contender, What: "ratio"}
		switch {
		case after.Contender == Reference:
			continue
		case !sameMetrics(a.load(after.Scenario), load):
			c.Skipped = append(c.Skipped, fmt.Sprintf("%s, %s, %s: not measured alike, as its figures tell", after.Scenario, after.Case, after.Contender))
			continue
		case before.Ratio != nil && after.Ratio != nil:
			change.Before, change.After = *before.Ratio, *after.Ratio
		case !same:
			c.Skipped = append(c.Skipped, fmt.Sprintf("%s, %s, %s: no ratio, and the machines differ", after.Scenario, after.Case, after.Contender))
			continue
		default:
			change.What, change.Before, change.After = "value", before.Value, after.Value
		}
		c.Compared++
		if change.Before.Median == 0 {
			continue
		}
		change.Factor = change.After.Median / change.Before.Median
		change.Worse = change.Factor < 1 != load.LessIsBetter
		if (change.Factor > 1+tolerance || change.Factor < 1/(1+tolerance)) && change.Before.apart(change.After) {
			c.Changes = append(c.Changes, change)
		}
	}
	return c
}

// sameMetrics tells that two loads have the same unit and figures: what is measured in another
// way has others.
func sameMetrics(a, b Load) bool { return a.Unit == b.Unit && slices.Equal(a.Metrics, b.Metrics) }

// Regressions counts what got worse.
func (c Comparison) Regressions() int {
	n := 0
	for _, change := range c.Changes {
		if change.Worse {
			n++
		}
	}
	return n
}

// String returns the comparison for people: what got worse first.
func (c Comparison) String() string {
	var b strings.Builder
	for _, worse := range []bool{true, false} {
		for _, change := range c.Changes {
			if change.Worse == worse {
				fmt.Fprintln(&b, change)
			}
		}
	}
	for _, s := range c.Skipped {
		fmt.Fprintf(&b, "not compared  %s\n", s)
	}
	fmt.Fprintf(&b, "%d rows compared: %d worse, %d better, the rest within spread or tolerance\n", c.Compared, c.Regressions(), len(c.Changes)-c.Regressions())
	return b.String()
}

// String returns the change in one line.
func (c Change) String() string {
	word := "better"
	if c.Worse {
		word = "WORSE "
	}
	return fmt.Sprintf("%s  %s, %s, %s: %s %s (%s) → %s (%s), ×%s", word, c.Scenario, c.Case, c.Contender, c.What,
		digits(c.Before.Median), spread(c.Before), digits(c.After.Median), spread(c.After), digits(c.Factor))
}
