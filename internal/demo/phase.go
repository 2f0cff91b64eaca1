package demo

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A phase is what happened to a pair of directors, and what came of it.
type phase struct {
	began time.Time // when something was done to a director
	taken time.Time // when the other, or the one that came back, said that it is master
	ended time.Time
	heir  int // index of that one
}

// lateRequest is less than a request takes of which a packet is lost: TCP sends it again
// after 200 ms at the earliest, and the first one after a second.
const lateRequest = 190 * time.Millisecond

// service tells what clients had of it: the longest time for which requests were begun in
// vain, so that they failed or were answered late; and how many were.
func (p *phase) service(rs []request) (gap time.Duration, failed, late int) {
	rs = slices.DeleteFunc(slices.Clone(rs), func(r request) bool { return r.end.Before(p.began) || r.start.After(p.ended) })
	slices.SortFunc(rs, func(a, b request) int { return a.start.Compare(b.start) })
	since := time.Time{} // the first one in vain
	for _, r := range rs {
		vain := true
		switch {
		case r.err != nil:
			failed++
		case r.end.Sub(r.start) > lateRequest:
			late++
		default:
			vain = false
		}
		if since.IsZero() && vain {
			since = r.start
		}
		if !since.IsZero() {
			gap = max(gap, r.start.Sub(since))
		}
		if !vain {
			since = time.Time{}
		}
	}
	return gap, failed, late
}

const (
	pairInterval = 100 * time.Millisecond
	// gapMargin is what handing over may take, crashMargin what a busy machine may add to the
	// timers after a crash.
	gapMargin   = 50 * time.Millisecond
	crashMargin = 100 * time.Millisecond
)

// longestGap is how long requests may be begun in vain in a phase: after a crash until
// three adverts are missing and the skew of the heir is over (RFC 9568, Section 6.1). On a
// return and a planned stop the old master serves until it hears the new one.
func (p plan) longestGap(n int) time.Duration {
	if n != 1 {
		return gapMargin
	}
	skew := pairInterval * time.Duration(256-p.priority(1)) / 256
	return 3*pairInterval + skew + crashMargin
}

// priority is that of a director: the first one is master while it lives.
func (p plan) priority(director int) int {
	if p.mode != Pair {
		return 255
	}
	return []int{150, 100}[director]
}

// phaseNames are what the phases are called in the summary.
func phaseNames() []string {
	return []string{"calm", "crash of the master", "its return", "its planned stop"}
}

// pairChecks are the verdicts on two directors.
func (o *outcome) pairChecks() []check {
	names := phaseNames()
	checks := []check{{"every phase comes to its end", len(o.phases) == len(names), fmt.Sprint(len(o.phases))}}
	failed := 0
	for n, p := range o.phases {
		gap, f, _ := p.service(o.requests)
		failed += f
		limit := plan{mode: Pair}.longestGap(n)
		checks = append(checks, check{
			fmt.Sprintf("%s: no longer without service than %s", names[n], millis(limit)), gap <= limit, millis(gap),
		})
	}
	strangers := o.strangers()
	return append(checks,
		check{"no request fails", failed == 0 && len(o.requests) > 0, fmt.Sprintf("%d of %d%s", failed, len(o.requests), o.firstFailure())},
		check{"servers see the client's own address", len(strangers) == 0, strings.Join(append(strangers, o.source), ", ")},
		check{"the directors end cleanly", o.stopErr == nil, errorText(o.stopErr)},
		check{"no address and no steering is left", len(o.left) == 0, strings.Join(o.left, ", ")},
		o.siteGone(),
	)
}

// firstFailure says why the first of the failed requests failed.
func (o *outcome) firstFailure() string {
	for _, r := range o.requests {
		if r.err != nil {
			return fmt.Sprintf(" (%s)", oneLine(r.err.Error()))
		}
	}
	return ""
}

// pairTable returns the numbers of two directors, a column for each phase; nothing without
// them.
func pairTable(o *outcome) string {
	if o.mode != Pair || o.err != nil {
		return ""
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
	row := func(name string, cell func(*phase) string) {
		cells := []string{name}
		for n := range o.phases {
			cells = append(cells, cell(&o.phases[n]))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	fmt.Fprintln(w, strings.Join(append([]string{"two directors"}, phaseNames()...), "\t"))
	row("new master", func(p *phase) string { return fmt.Sprintf("director%d", p.heir+1) })
	row("master after", func(p *phase) string { return millis(p.taken.Sub(p.began)) })
	row("longest time without service", func(p *phase) string { gap, _, _ := p.service(o.requests); return millis(gap) })
	row("failed requests", func(p *phase) string { _, failed, _ := p.service(o.requests); return fmt.Sprint(failed) })
	row("answered late", func(p *phase) string { _, _, late := p.service(o.requests); return fmt.Sprint(late) })
	_ = w.Flush() // into memory
	return b.String()
}
