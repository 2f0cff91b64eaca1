package main

import (
	"fmt"
	"slices"
)

// A Summary is what rounds gave: their median and their spread.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// summary of at least one value. The median of an even number is the mean of the middle two.
func summary(values []float64) Summary {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return Summary{}
	}
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return Summary{Median: median, Min: v[0], Max: v[len(v)-1]}
}

// A Verdict compares a ratio with what we want of it.
type Verdict struct {
	AtLeast float64 `json:"at_least"`
	Rounds  int     `json:"rounds"`  // that were measured
	Reached int     `json:"reached"` // rounds at or above AtLeast
	Word    string  `json:"verdict"` // "reached", "not reached" or "within spread"
}

// judge returns the verdict on the ratios of all rounds: reached if the median is, not
// reached if no round is, and within spread if only some are.
func judge(atLeast float64, ratios []float64) Verdict {
	v := Verdict{AtLeast: atLeast, Rounds: len(ratios)}
	for _, r := range ratios {
		if r >= atLeast {
			v.Reached++
		}
	}
	switch {
	case summary(ratios).Median >= atLeast:
		v.Word = "reached"
	case v.Reached == 0:
		v.Word = "not reached"
	default:
		v.Word = "within spread"
	}
	return v
}

// String returns the verdict for people.
func (v Verdict) String() string {
	return fmt.Sprintf("target %.2g: %s (%d of %d rounds)", v.AtLeast, v.Word, v.Reached, v.Rounds)
}
