package main

import (
	"slices"
	"testing"
)

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		want   Summary
	}{
		{"one", []float64{3}, Summary{3, 3, 3}},
		{"odd, unsorted", []float64{5, 1, 9}, Summary{5, 1, 9}},
		{"even", []float64{4, 1, 2, 9}, Summary{3, 1, 9}},
		{"one round far off does not move the median", []float64{2, 2, 2, 2, 100}, Summary{2, 2, 100}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.values)
			if got := summary(tt.values); got != tt.want {
				t.Errorf("summary(%v) = %+v, want %+v", tt.values, got, tt.want)
			}
			if !slices.Equal(tt.values, before) {
				t.Errorf("summary changed its argument to %v", tt.values)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ratios []float64
		want   string
	}{
		{"every round", []float64{0.7, 0.8, 0.6}, "target 0.6: reached (3 of 3 rounds)"},
		{"the median, not every round", []float64{0.5, 0.7, 0.6}, "target 0.6: reached (2 of 3 rounds)"},
		{"some rounds, not the median", []float64{0.5, 0.7, 0.55}, "target 0.6: within spread (1 of 3 rounds)"},
		{"no round", []float64{0.5, 0.59, 0.4}, "target 0.6: not reached (0 of 3 rounds)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := judge(0.6, tt.ratios).String(); got != tt.want {
				t.Errorf("judge(0.6, %v): %q, want %q", tt.ratios, got, tt.want)
			}
		})
	}
}

// TestOrder: the order is drawn from seed and round alone, holds everyone once, and lets
// nobody always be first.
func TestOrder(t *testing.T) {
	first := make(map[int]int)
	for round := range 300 {
		got := order(1, round, 3)
		if !slices.Equal(got, order(1, round, 3)) {
			t.Fatalf("round %d is drawn differently the second time", round)
		}
		first[got[0]]++
		slices.Sort(got)
		if !slices.Equal(got, []int{0, 1, 2}) {
			t.Fatalf("round %d: %v, want each of 0, 1, 2 once", round, got)
		}
	}
	for i := range 3 {
		if first[i] < 50 {
			t.Errorf("contender %d was first in %d of 300 rounds", i, first[i])
		}
	}
}
