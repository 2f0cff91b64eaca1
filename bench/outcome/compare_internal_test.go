package outcome

import "testing"

// TestCompare: what counts is a difference of medians above the tolerance without a common
// value, in the ratio to the reference where there is one.
func TestCompare(t *testing.T) {
	result := func(kernel string, rows ...Row) *Results {
		return &Results{Machine: Machine{CPU: "A", Cores: 2, Kernel: kernel}, Rows: rows, Loads: []Load{
			{Name: "pps"}, {Name: "latency", LessIsBetter: true},
		}}
	}
	row := func(scenario, contender string, value, ratio *Summary) Row {
		r := Row{Scenario: scenario, Case: "c", Contender: contender, Ratio: ratio}
		if value != nil {
			r.Value = *value
		}
		return r
	}
	s := func(min, median, max float64) *Summary { return &Summary{median, min, max} }
	floodOnly := result("6", row("pps", "uvs-nat", nil, s(.1, .1, .1)))
	floodOnly.Loads[0].Metrics = []Metric{{"offered", "M"}}
	for _, tt := range []struct {
		name          string
		before, after *Results
		want          string
	}{
		{"the same", result("6", row("pps", "uvs-nat", s(1, 2, 3), s(.7, .8, .9))), result("6", row("pps", "uvs-nat", s(1, 2, 3), s(.7, .8, .9))),
			"1 rows compared: 0 worse, 0 better, the rest within spread or tolerance\n"},
		{"a lower ratio, apart", result("6", row("pps", "uvs-nat", s(1, 2, 3), s(.7, .8, .9))), result("6", row("pps", "uvs-nat", s(1, 2, 3), s(.5, .6, .65))),
			"WORSE   pps, c, uvs-nat: ratio 0.80 (0.70–0.90) → 0.60 (0.50–0.65), ×0.75\n1 rows compared: 1 worse, 0 better, the rest within spread or tolerance\n"},
		{"a lower ratio within spread", result("6", row("pps", "uvs-nat", nil, s(.7, .8, .9))), result("6", row("pps", "uvs-nat", nil, s(.5, .6, .75))),
			"1 rows compared: 0 worse, 0 better, the rest within spread or tolerance\n"},
		{"a lower ratio within tolerance", result("6", row("pps", "uvs-nat", nil, s(.8, .8, .8))), result("6", row("pps", "uvs-nat", nil, s(.78, .78, .78))),
			"1 rows compared: 0 worse, 0 better, the rest within spread or tolerance\n"},
		{"a machine that is slower for all", result("6", row("pps", "uvs-nat", s(8, 8, 8), s(.8, .8, .8))), result("6", row("pps", "uvs-nat", s(4, 4, 4), s(.8, .8, .8))),
			"1 rows compared: 0 worse, 0 better, the rest within spread or tolerance\n"},
		{"more of what should be little", result("6", row("latency", "uvs-nat", nil, s(2, 2, 2))), result("6", row("latency", "uvs-nat", nil, s(3, 3, 3))),
			"WORSE   latency, c, uvs-nat: ratio 2 (2–2) → 3 (3–3), ×1.50\n1 rows compared: 1 worse, 0 better, the rest within spread or tolerance\n"},
		{"better", result("6", row("pps", "uvs-nat", nil, s(2, 2, 2))), result("6", row("pps", "uvs-nat", nil, s(3, 3, 3))),
			"better  pps, c, uvs-nat: ratio 2 (2–2) → 3 (3–3), ×1.50\n1 rows compared: 0 worse, 1 better, the rest within spread or tolerance\n"},
		{"no ratio, one machine", result("6", row("pps", "uvs-nat", s(4, 4, 4), nil)), result("6", row("pps", "uvs-nat", s(2, 2, 2), nil)),
			"WORSE   pps, c, uvs-nat: value 4 (4–4) → 2 (2–2), ×0.50\n1 rows compared: 1 worse, 0 better, the rest within spread or tolerance\n"},
		{"no ratio, two machines", result("6", row("pps", "uvs-nat", s(4, 4, 4), nil)), result("7", row("pps", "uvs-nat", s(2, 2, 2), nil)),
			"not compared  pps, c, uvs-nat: no ratio, and the machines differ\n0 rows compared: 0 worse, 0 better, the rest within spread or tolerance\n"},
		{"the reference", result("6", row("pps", "kernel", s(4, 4, 4), nil)), result("6", row("pps", "kernel", s(2, 2, 2), nil)),
			"0 rows compared: 0 worse, 0 better, the rest within spread or tolerance\n"},
		{"a load that has changed", floodOnly, result("6", row("pps", "uvs-nat", nil, s(.8, .8, .8))),
			"not compared  pps, c, uvs-nat: not measured alike, as its figures tell\n0 rows compared: 0 worse, 0 better, the rest within spread or tolerance\n"},
		{"a row that is new", result("6"), result("6", row("pps", "uvs-nat", s(2, 2, 2), s(1, 1, 1))),
			"0 rows compared: 0 worse, 0 better, the rest within spread or tolerance\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Compare(tt.before, tt.after, 0.05).String(); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}
