package vrrp

import (
	"net/netip"

	"uvs/internal/mono"
)

// Counters count what an instance has done since it was made.
type Counters struct {
	AdvertsSent, AdvertsReceived           uint64 // of those refused none
	PriorityZeroSent, PriorityZeroReceived uint64
	BecameMaster, ReleasedMaster           uint64
	Conflicts                              uint64 // masters beside this one
	// Rejected counts packets that were refused, by cause.
	Rejected [causes]uint64
}

// A Status is what an instance is at the moment.
type Status struct {
	Instance string
	Group    string // "" for none
	State    State
	Since    mono.Time // of State; 0 before Start
	Reason   string    // for State
	// Priority is the configured one, Effective what tracking makes of it.
	Priority, Effective uint8
	Source              netip.Addr
	// Master sent the last good advert, with MasterPriority; the zero Addr if none was heard.
	// It is another router.
	Master         netip.Addr
	MasterPriority uint8
	// Conflict is another master, while this one is MASTER.
	Conflict Conflict
	Counters Counters
}

// Status returns the state of all instances, in the order of the Spec.
func (m *Machine) Status() []Status {
	list := make([]Status, len(m.instances))
	for n, i := range m.instances {
		s := Status{
			Instance: i.Name, State: i.state, Since: i.since, Reason: i.why,
			Priority: i.Priority, Effective: i.effective, Source: i.source,
			Master: i.master, MasterPriority: i.masterPriority, Counters: i.counters,
		}
		if i.group != nil {
			s.Group = i.group.Name
		}
		if c := i.conflict; c.Why != "" && !c.over(i, m.now) {
			s.Conflict = c
		}
		list[n] = s
	}
	return list
}
