package outcome

import "slices"

// A Summary is what rounds gave: their median and their spread.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// summary of any number of values. The median of an even number is the mean of the middle two.
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

// apart tells that two summaries have no value in common.
func (s Summary) apart(t Summary) bool { return s.Max < t.Min || t.Max < s.Min }
