package daemon

import (
	"context"
	"slices"

	"uvs/config"
	"uvs/internal/hostmarks"
	"uvs/internal/table"
)

// A markSource knows where marks come from: the rules of the extra file, and behind them those of
// the host's netfilter, which are looked at once there is a service of a mark. A reload makes
// another one. It belongs to who holds director.mu.
type markSource struct {
	file  []config.MarkRule
	asked bool
	set   *markSet
	notes []string // rules of the host that mark packets and are not followed
	told  []string // notes that were logged
}

// rules returns the rules in force for services, nil as long as none of them has a mark.
func (m *markSource) rules(services []table.Service) *markSet {
	if !m.asked && slices.ContainsFunc(services, func(s table.Service) bool { return s.Key.Fwmark != 0 }) {
		host := hostmarks.Read(context.Background())
		m.asked, m.notes = true, host.Notes
		m.set = &markSet{slices.Concat(m.file, host.Rules)}
	}
	return m.set
}

// markNotes are what there is to say of a plan's services of marks on this host.
func (p *plan) markNotes() (notes []string) {
	t := table.New()
	t.Load(p.services)
	services, source := t.Services(), markSource{file: p.marks}
	for _, n := range slices.Concat(unmarked(services, source.rules(services)), source.notes) {
		notes = append(notes, "note: "+n)
	}
	return notes
}

// markNotes are what there is to say of the services of marks. d.mu is held.
func (d *director) markNotes() []string {
	e := d.effective.Load()
	return slices.Concat(unmarked(e.services, e.goal.marks), d.marks.notes)
}

// tellMarks logs what came up of that since the last time. d.mu is held.
func (d *director) tellMarks() {
	notes := d.markNotes()
	for _, n := range notes {
		if !slices.Contains(d.marks.told, n) {
			d.log.Warn(n)
		}
	}
	d.marks.told = notes
}
