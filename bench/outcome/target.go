package outcome

import "fmt"

// A Relation is how a target compares.
type Relation string

// The relations.
const (
	Ratio      Relation = "ratio"      // value / the other's value
	Difference Relation = "difference" // value − the other's value
	Value      Relation = "value"      // value alone
)

// A Target is what we want of one contender in one case.
type Target struct {
	Number    int    `json:"number"` // of the list of targets in README.md
	Scenario  string `json:"scenario"`
	Case      string `json:"case"`
	Contender string `json:"contender"`
	// Metric is which figure counts, empty for the value.
	Metric   string   `json:"metric,omitempty"`
	Relation Relation `json:"relation"`
	// Against and AgainstCase are whom and what Ratio and Difference compare with, in the
	// same round; empty for the contender and the case themselves.
	Against     string  `json:"against,omitempty"`
	AgainstCase string  `json:"against_case,omitempty"`
	Bound       float64 `json:"bound"`
	AtMost      bool    `json:"at_most,omitempty"` // the bound is from above
	// Open: there is no bound; the figure itself is what we want to know.
	Open bool `json:"open,omitempty"`
	// Ceiling is the contender that shows what the load itself can do, with nobody in its way; empty
	// if that is not asked.
	Ceiling string `json:"ceiling,omitempty"`
	Unit    string `json:"unit,omitempty"` // of the bound
}

// A Judgement is a target and what was measured of it.
type Judgement struct {
	Target
	Measured Summary `json:"measured"`
	Rounds   int     `json:"rounds"`  // that were measured
	Reached  int     `json:"reached"` // rounds that kept the bound
	Word     string  `json:"verdict"` // "reached", "within spread", "not reached"; "measured" if open
	// Limited: somebody else than the one who is compared with was its limit.
	Limited bool `json:"limited,omitempty"`
	// Possible is what the ceiling itself has in place of Measured, if even that does not keep the bound.
	Possible float64 `json:"possible,omitempty"`
}

// judge returns the verdict: reached if the median keeps the bound, not reached if no round does, and
// within spread if only some do. It returns none if nothing was measured.
func (t Target) judge(runs []Run) []Judgement {
	against, variation := t.Against, t.AgainstCase
	if against == "" {
		against = t.Contender
	}
	if variation == "" {
		variation = t.Case
	}
	base := rounds(runs, t.Scenario, variation, against)
	values, limited := t.measured(rounds(runs, t.Scenario, t.Case, t.Contender), base)
	if len(values) == 0 {
		return nil
	}
	j := Judgement{Target: t, Rounds: len(values), Measured: summary(values), Limited: 2*limited > len(values)}
	for _, v := range values {
		if t.keeps(v) {
			j.Reached++
		}
	}
	if t.Ceiling != "" {
		if values, _ = t.measured(rounds(runs, t.Scenario, t.Case, t.Ceiling), base); len(values) > 0 && !t.keeps(summary(values).Median) {
			j.Possible = summary(values).Median
		}
	}
	switch {
	case t.Open:
		j.Word = "measured"
	case t.keeps(j.Measured.Median):
		j.Word = "reached"
	case j.Reached == 0:
		j.Word = "not reached"
	default:
		j.Word = "within spread"
	}
	return []Judgement{j}
}

// measured returns a contender's figure of each round as the target wants it, compared with that of base, and
// how many of those were limited by the load.
func (t Target) measured(mine, base map[int]Run) (values []float64, limited int) {
	for round, r := range mine {
		v, b := t.figure(r), 0.0
		if t.Relation != Value {
			other, ok := base[round]
			if !ok {
				continue
			}
			b = t.figure(other)
			if other.Limit != "" {
				limited++
			}
		}
		switch t.Relation {
		case Ratio:
			if b == 0 {
				continue
			}
			v /= b
		case Difference:
			v -= b
		}
		values = append(values, v)
	}
	return values, limited
}

func (t Target) figure(r Run) float64 {
	if t.Metric == "" {
		return r.Value
	}
	return r.Metrics[t.Metric]
}

func (t Target) keeps(v float64) bool {
	if t.AtMost {
		return v <= t.Bound
	}
	return v >= t.Bound
}

// String returns the judgement for people, in one line.
func (j Judgement) String() string {
	bound := "≥"
	if j.AtMost {
		bound = "≤"
	}
	what := j.Contender
	if j.Metric != "" {
		what += " " + j.Metric
	}
	switch {
	case j.Relation == Value:
	case j.AgainstCase != "":
		what += " of its own at " + j.AgainstCase
	case j.Relation == Difference:
		what += " above " + j.Against
	default:
		what += " of " + j.Against
	}
	measured := fmt.Sprintf("%s (%s–%s", join(digits(j.Measured.Median), j.Unit), digits(j.Measured.Min), digits(j.Measured.Max))
	text := fmt.Sprintf("%d. %s, %s: %s", j.Number, j.Scenario, j.Case, what)
	if j.Open {
		text += fmt.Sprintf(": %s; %d rounds)", measured, j.Rounds)
	} else {
		text += fmt.Sprintf(" %s %s: %s with %s; %d of %d rounds)", bound, join(digits(j.Bound), j.Unit), j.Word, measured, j.Reached, j.Rounds)
	}
	if j.Limited {
		text += "; " + j.Against + " was limited by the load"
	}
	if j.Possible != 0 {
		text += fmt.Sprintf("; beyond what the load can do: %s has %s", j.Ceiling, join(digits(j.Possible), j.Unit))
	}
	return text
}

func join(number, unit string) string {
	if unit == "" {
		return number
	}
	return number + " " + unit
}
