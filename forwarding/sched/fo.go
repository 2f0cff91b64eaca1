package sched

// failOver takes the server of the greatest weight, as long as it is available (ip_vs_fo.c).
type failOver struct{ weights }

func (f *failOver) Name() string { return "fo" }

func (f *failOver) Pick(Request) int {
	greatest := f.all().greatest
	if greatest == 0 {
		return none
	}
	return f.next(0, greatest)
}
