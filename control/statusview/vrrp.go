package statusview

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"uvs/control"
)

// redundancy writes what VRRP does: a line for each instance, and below it what deserves a
// look.
func redundancy(b *bytes.Buffer, s *control.Status) {
	if s.VRRP == nil {
		return
	}
	now := s.Started.Add(s.Uptime.Duration())
	section(b, "VRRP\tInterface\tVRID\tState\tFor\tPriority\tMaster\tReason", s.VRRP.Instances,
		func(i control.VRRPInstance) []any { return instanceRow(&i, now) })
	for n := range s.VRRP.Instances {
		remarks(b, &s.VRRP.Instances[n], now)
	}
	for _, g := range s.VRRP.Groups {
		fmt.Fprintf(b, "  group %s (%s) is %s\n", g.Name, strings.Join(g.Members, ", "), g.State)
	}
	if t := s.VRRP.Timers; t.Deadlines > 0 {
		fmt.Fprintf(b, "  timers late by %s on the average, %s at worst, %s in the last minute\n",
			late(t.Mean), late(t.Worst), late(t.Recent))
	}
}

func instanceRow(i *control.VRRPInstance, now time.Time) []any {
	age, priority, master := "-", fmt.Sprint(i.Effective), "-"
	if !i.Since.IsZero() {
		age = span(max(now.Sub(i.Since), 0))
	}
	if i.Effective != i.Priority {
		priority += fmt.Sprintf("(%d)", i.Priority)
	}
	switch {
	case i.State == "MASTER":
		master = "this one"
	case i.Master.IsValid():
		master = fmt.Sprintf("%s (%d)", i.Master, i.MasterPriority)
	}
	device := i.Interface
	if device == "" {
		device = "any"
	}
	return []any{i.Name, device, i.VRID, i.State, age, priority, master, oneLine(i.Reason)}
}

func remarks(b *bytes.Buffer, i *control.VRRPInstance, now time.Time) {
	if c := i.Conflict; c != nil {
		fmt.Fprintf(b, "  %s: two masters: %s is MASTER, too, for %s (%s, the last %s ago): %s\n",
			i.Name, c.Peer, span(now.Sub(c.Since)), count(int(c.Adverts), "advert"), span(now.Sub(c.LastHeard)), oneLine(c.Reason))
	}
	if len(i.Rejected) > 0 {
		var list []string
		for _, cause := range slices.Sorted(maps.Keys(i.Rejected)) {
			list = append(list, fmt.Sprintf("%s %d", oneLine(cause), i.Rejected[cause]))
		}
		fmt.Fprintf(b, "  %s: refused adverts: %s\n", i.Name, strings.Join(list, ", "))
	}
}

// late prints how late a timer was: "0.14 ms".
func late(s control.ExactDuration) string {
	return fmt.Sprintf("%.2f ms", float64(s.Duration())/float64(time.Millisecond))
}
