package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A check is one thing that must be true.
type check struct {
	name   string // as a sentence that is true if all is well
	ok     bool
	detail string // what was seen, when that tells more
}

const (
	// longestDetection is one period of a second until the next probe, one retry a second
	// later, and a margin.
	longestDetection = 2500 * time.Millisecond
	// longestComeback is one period and a margin.
	longestComeback = 2500 * time.Millisecond
	// shareMargin is how far a share may be from even.
	shareMargin = 0.05
	// leastBulk is little for any machine: the rate is for the reader to judge.
	leastBulk = 10e6
)

// allChecks returns the verdicts on all modes and on the time they took.
func allChecks(outcomes []outcome, took time.Duration) []check {
	var all []check
	for _, o := range outcomes {
		for _, c := range o.checks() {
			c.name = o.mode.String() + ": " + c.name
			all = append(all, c)
		}
	}
	return append(all, check{fmt.Sprintf("the demo takes less than %.0f s", longest.Seconds()), took < longest, seconds(took)})
}

// checks returns the verdicts on one mode, in the order of the story.
func (o *outcome) checks() []check {
	if o.err != nil {
		return []check{{"every stage comes to its end", false, oneLine(o.err.Error())}, o.siteGone()}
	}
	if o.mode == Pair {
		return o.pairChecks()
	}
	inside, outside := o.failures()
	firstOutside := ""
	if len(outside) > 0 {
		firstOutside = oneLine(outside[0].err.Error())
	}
	strangers := o.strangers()
	return []check{
		o.inOrder("IPv4", o.order4),
		o.inOrder("IPv6", o.order6),
		shared("all servers share the load", o.even, -1),
		{"servers see the client's own address", len(strangers) == 0, strings.Join(append(strangers, o.source), ", ")},
		{fmt.Sprintf("the death is known within %s", seconds(longestDetection)), o.detection() <= longestDetection, seconds(o.detection())},
		{"requests fail only until then", len(outside) == 0, counted(len(inside), len(outside), firstOutside)},
		shared("then the others share the load", o.without, victim),
		{fmt.Sprintf("the server is back within %s", seconds(longestComeback)), o.comeback() <= longestComeback, seconds(o.comeback())},
		shared("and has its share again", o.again, -1),
		o.listed(),
		{"one connection loads in bulk", o.bulk.err == nil && o.bulk.bytes >= leastBulk, gbits(o.bulk)},
		o.wayBack(),
		{"the director ends cleanly", o.stopErr == nil, errorText(o.stopErr)},
		{"no address and no steering is left", len(o.left) == 0, strings.Join(o.left, ", ")},
		o.siteGone(),
	}
}

func (o *outcome) inOrder(family string, got []string) check {
	want := slices.Repeat(o.order, max(1, len(got)/len(o.order)))
	return check{family + " answers come in the kernel's rr order", slices.Equal(got, want), numbers(got)}
}

// shared wants even shares for all servers but one, who gets nothing; -1 for nobody.
func shared(name string, counts []int, without int) check {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	ok := sum > 0
	even := 1 / float64(len(counts))
	if without >= 0 {
		even = 1 / float64(len(counts)-1)
	}
	var parts []string
	for i, n := range counts {
		part := float64(n) / float64(max(sum, 1))
		parts = append(parts, fmt.Sprintf("%.1f %%", 100*part))
		if i == without {
			ok = ok && n == 0
		} else {
			ok = ok && part > even-shareMargin && part < even+shareMargin
		}
	}
	return check{name, ok, strings.Join(parts, ", ")}
}

// listed wants ipvsadm to have told the truth in each of the three stages.
func (o *outcome) listed() check {
	const stages = 3
	wrong := slices.Concat(o.tables...)
	return check{"ipvsadm lists who is in service", len(o.tables) == stages && len(wrong) == 0, strings.Join(wrong, ", ")}
}

// wayBack wants the answers to have come through the director with NAT, and past it with
// direct routing.
func (o *outcome) wayBack() check {
	detail := megabytes(int64(o.passedOut)) + " of answers seen by the director"
	if o.mode == DR {
		return check{"answers do not pass the director", o.passedOut == 0, detail}
	}
	return check{"answers come through the director", o.passedOut >= uint64(o.bulk.bytes), detail}
}

func (o *outcome) siteGone() check {
	return check{"no process and no namespace is left", len(o.survivors) == 0, strings.Join(o.survivors, ", ")}
}

// failedNames returns the names of the checks that do not hold.
func failedNames(checks []check) []string {
	var names []string
	for _, c := range checks {
		if !c.ok {
			names = append(names, fmt.Sprintf("%q", c.name))
		}
	}
	return names
}

// counted says how many requests failed.
func counted(inside, outside int, first string) string {
	text := fmt.Sprintf("%d failed, and %d at another time", inside, outside)
	if first != "" {
		text += " (" + first + ")"
	}
	return text
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return oneLine(err.Error())
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
