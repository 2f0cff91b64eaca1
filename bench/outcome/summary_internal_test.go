package outcome

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
