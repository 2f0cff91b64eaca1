package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// An outcome is what was seen of one mode.
type outcome struct {
	mode  Mode
	err   error         // what broke it off
	ready time.Duration // until the director forwarded

	order          []string // the kernel's, one round
	order4, order6 []string // who answered requests that came one by one
	source         string   // the client's address

	requests             []request  // of the load
	died, known          time.Time  // when the server was killed, and when it was out of the table
	started, back        time.Time  // when it was started again, and when it was back
	even, without, again []int      // who answered in the stages, by server
	tables               [][]string // what was wrong with ipvsadm's listing in each stage

	phases []phase // of two directors

	bulk      transfer
	passedOut uint64 // bytes of the download that came through the director

	stopErr   error    // of the director's end
	left      []string // what it left on its host
	survivors []string // what was left of the site
}

// detection returns how long the death was unknown.
func (o *outcome) detection() time.Duration { return o.known.Sub(o.died) }

// comeback returns how long the started server was not used.
func (o *outcome) comeback() time.Duration { return o.back.Sub(o.started) }

// failures tells requests that failed while the death was unknown from all other failed
// ones. A request counts for the window if any part of it was inside.
func (o *outcome) failures() (inside, outside []request) {
	for _, r := range o.requests {
		switch {
		case r.err == nil:
		case !o.died.IsZero() && r.end.After(o.died) && r.start.Before(o.known):
			inside = append(inside, r)
		default:
			outside = append(outside, r)
		}
	}
	return inside, outside
}

// strangers returns the addresses other than the client's that servers saw.
func (o *outcome) strangers() []string {
	var found []string
	for _, r := range o.requests {
		if r.err == nil && r.client != o.source && !slices.Contains(found, r.client) {
			found = append(found, r.client)
		}
	}
	return found
}

// answers counts by server the answered requests that were begun after a time.
func answers(rs []request, after time.Time, servers int) []int {
	counts := make([]int, servers)
	for _, r := range rs {
		if i := serverIndex(r.server, servers); r.err == nil && i >= 0 && r.start.After(after) {
			counts[i]++
		}
	}
	return counts
}

// wrongRows returns what is wrong with ipvsadm's listing: each server must have its rows,
// but for the missing one, by index, which must have none.
func wrongRows(text string, rows [][]string, missing int) []string {
	wrong := []string{} // not nil: the listing was looked at
	for i, services := range rows {
		for _, row := range services {
			there := strings.Contains(text, row)
			switch {
			case there && i == missing:
				wrong = append(wrong, fmt.Sprintf("%s is listed", strings.TrimSpace(row)))
			case !there && i != missing:
				wrong = append(wrong, fmt.Sprintf("%s is not listed", strings.TrimSpace(row)))
			}
		}
	}
	return wrong
}
