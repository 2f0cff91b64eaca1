package vrrp

// A group is a Group at work.
type group struct {
	Group
	members []*instance
	state   State // last told
}

// join makes the groups and puts the instances into them. A group without members is none.
func (m *Machine) join(specs []Group) {
	m.groups = nil
	for _, i := range m.instances {
		i.group = nil
	}
	for _, s := range specs {
		g := &group{Group: s}
		for _, name := range s.Members {
			if i := m.find(name); i != nil && i.group == nil {
				i.group = g
				g.members = append(g.members, i)
			}
		}
		if len(g.members) > 0 {
			m.groups = append(m.groups, g)
		}
	}
}

// ready reports whether all members are masters or want to be.
func (g *group) ready() bool {
	for _, i := range g.members {
		if i.state != Master && (i.state != Backup || !i.wants && !i.owner()) {
			return false
		}
	}
	return true
}

// current is the state of a group: the least of its members'.
func (g *group) current() State {
	least := Stopped
	for _, i := range g.members {
		s := i.state
		if s == Leaving {
			s = Stopped
		}
		least = min(least, s)
	}
	return least
}

// followToMaster makes the rest of a group master with one of it.
func (m *Machine) followToMaster(first *instance) {
	if first.group == nil {
		return
	}
	m.log(Info, "VRRP_Group(%s) Syncing instances to MASTER state", first.group.Name)
	for _, i := range first.group.members {
		if i.state == Backup {
			m.takeOver(i, "sync group "+first.group.Name)
		}
	}
}

// followToBackup takes the rest of a group out of MASTER with one of it. No priority 0 is
// sent: who is master of one instance is about to be of all.
func (m *Machine) followToBackup(first *instance) {
	if first.group == nil {
		return
	}
	m.log(Info, "VRRP_Group(%s) Syncing instances to BACKUP state", first.group.Name)
	for _, i := range first.group.members {
		if i.state == Master {
			m.backOff(i, "sync group "+first.group.Name)
		}
	}
}

// tellGroups reports the groups whose state has changed.
func (m *Machine) tellGroups() {
	for _, g := range m.groups {
		if s := g.current(); s != g.state {
			m.emit(GroupChanged{Group: g.Name, From: g.state, To: s})
			g.state = s
		}
	}
}
