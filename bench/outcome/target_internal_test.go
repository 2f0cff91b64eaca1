package outcome

import "testing"

// series makes the runs of one contender in one case, a round each.
func series(contender, variation string, values ...float64) []Run {
	var runs []Run
	for i, v := range values {
		runs = append(runs, Run{Round: i + 1, Scenario: "pps", Case: variation, Contender: contender, Value: v, Metrics: map[string]float64{"p99": 2 * v}})
	}
	return runs
}

func TestJudge(t *testing.T) {
	base := Target{Number: 1, Scenario: "pps", Case: "a", Contender: "uvs-nat", Relation: Ratio, Against: "kernel", Bound: 0.6}
	with := func(change func(*Target)) Target {
		t := base
		change(&t)
		return t
	}
	for _, tt := range []struct {
		name   string
		target Target
		values []float64
		other  []float64
		want   string
	}{
		{"every round", base, []float64{7, 8, 6}, []float64{10, 10, 10},
			"1. pps, a: uvs-nat of kernel ≥ 0.60: reached with 0.70 (0.60–0.80; 3 of 3 rounds)"},
		{"the median, not every round", base, []float64{5, 7, 6}, []float64{10, 10, 10},
			"1. pps, a: uvs-nat of kernel ≥ 0.60: reached with 0.60 (0.50–0.70; 2 of 3 rounds)"},
		{"some rounds, not the median", base, []float64{5, 7, 5.5}, []float64{10, 10, 10},
			"1. pps, a: uvs-nat of kernel ≥ 0.60: within spread with 0.55 (0.50–0.70; 1 of 3 rounds)"},
		{"no round", base, []float64{5, 5.9, 4}, []float64{10, 10, 10},
			"1. pps, a: uvs-nat of kernel ≥ 0.60: not reached with 0.50 (0.40–0.59; 0 of 3 rounds)"},
		{"each round has its own reference", base, []float64{6, 12}, []float64{10, 20},
			"1. pps, a: uvs-nat of kernel ≥ 0.60: reached with 0.60 (0.60–0.60; 2 of 2 rounds)"},
		{"at most, as a difference", with(func(t *Target) { t.Relation, t.Bound, t.AtMost, t.Unit = Difference, 5, true, "µs" }),
			[]float64{14, 16, 13}, []float64{10, 10, 10},
			"1. pps, a: uvs-nat above kernel ≤ 5 µs: reached with 4 µs (3–6; 2 of 3 rounds)"},
		{"a metric alone", with(func(t *Target) { t.Relation, t.Against, t.Metric, t.Bound, t.AtMost = Value, "", "p99", 10, true }),
			[]float64{6, 7, 8}, nil,
			"1. pps, a: uvs-nat p99 ≤ 10: not reached with 14 (12–16; 0 of 3 rounds)"},
		{"against another case of its own", with(func(t *Target) { t.Against, t.AgainstCase = "", "b" }),
			[]float64{8, 8}, nil,
			"1. pps, a: uvs-nat of its own at b ≥ 0.60: reached with 2 (2–2; 2 of 2 rounds)"},
		{"no bound", with(func(t *Target) { t.Open = true }), []float64{8}, []float64{4},
			"1. pps, a: uvs-nat of kernel: 2 (2–2; 1 rounds)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runs := append(series("uvs-nat", "a", tt.values...), series("kernel", "a", tt.other...)...)
			runs = append(runs, series("uvs-nat", "b", 4, 4)...)
			got := tt.target.judge(runs)
			if len(got) != 1 || got[0].String() != tt.want {
				t.Errorf("got  %v\nwant %s", got, tt.want)
			}
		})
	}
	if got := base.judge(series("kernel", "a", 1, 2)); len(got) > 0 {
		t.Errorf("verdict without a measurement: %v", got)
	}
}

// TestLimitedReference: a verdict says so if the load was the limit of what it compares with.
func TestLimitedReference(t *testing.T) {
	kernel := series("kernel", "a", 10, 10, 10)
	kernel[0].Limit, kernel[2].Limit = "generator", "generator"
	target := Target{Number: 1, Scenario: "pps", Case: "a", Contender: "uvs-nat", Relation: Ratio, Against: "kernel", Bound: 0.6}
	got := target.judge(append(kernel, series("uvs-nat", "a", 7, 7, 7)...))
	if want := "1. pps, a: uvs-nat of kernel ≥ 0.60: reached with 0.70 (0.70–0.70; 3 of 3 rounds); kernel was limited by the load"; got[0].String() != want {
		t.Errorf("got  %s\nwant %s", got[0], want)
	}
}

// TestCeiling: a verdict says so if the bound is beyond what the load can do with nobody in its way.
func TestCeiling(t *testing.T) {
	target := Target{Number: 3, Scenario: "pps", Case: "a", Contender: "uvs-nat", Relation: Ratio, Against: "haproxy", Bound: 3, Ceiling: "direct"}
	runs := append(series("haproxy", "a", 10, 10, 10), series("uvs-nat", "a", 15, 16, 17)...)
	want := "3. pps, a: uvs-nat of haproxy ≥ 3: not reached with 1.60 (1.50–1.70; 0 of 3 rounds)"
	if got := target.judge(append(runs, series("direct", "a", 31, 30, 32)...)); got[0].String() != want {
		t.Errorf("got  %s\nwant %s", got[0], want)
	}
	want += "; beyond what the load can do: direct has 2.80"
	if got := target.judge(append(runs, series("direct", "a", 28, 29, 27)...)); got[0].String() != want {
		t.Errorf("got  %s\nwant %s", got[0], want)
	}
}
