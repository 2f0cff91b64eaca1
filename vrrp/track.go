package vrrp

import (
	"fmt"
	"strings"
)

// objectState is what is known of a tracked object.
type objectState struct {
	up     bool
	value  int
	reason string
}

// A file, times its weight, counts for fileMost at the most. At fileFault or less an instance is
// in FAULT.
const (
	fileFault = -254
	fileMost  = 253
)

// An influence is what tracking does to an instance.
type influence struct {
	weight  int      // on its priority
	faults  []string // why it is to be in FAULT
	waiting bool     // something that could take it to FAULT is not known yet
}

func (n *influence) add(t Tracked, s objectState, known bool) {
	switch {
	case t.Object.Kind == KindFile:
		n.addFile(t, s, known)
	case t.Weight == 0 && !known:
		n.waiting = true
	case t.Weight == 0 && s.up == t.Reverse:
		n.faults = append(n.faults, describe(t, s))
	case t.Weight == 0, !known:
	case t.Weight > 0 && s.up != t.Reverse, t.Weight < 0 && s.up == t.Reverse:
		n.weight += t.Weight
	}
}

func (n *influence) addFile(t Tracked, s objectState, known bool) {
	weight := int64(t.Weight) * int64(s.value)
	if t.Reverse {
		weight = -weight
	}
	switch {
	case !known:
		n.waiting = n.waiting || t.Weight == 0
	case t.Weight == 0 && (s.value != 0) != t.Reverse, weight <= fileFault:
		n.faults = append(n.faults, fmt.Sprintf("file %s is %d", t.Object.Name, s.value))
	default:
		n.weight += int(min(weight, fileMost))
	}
}

// describe names an object that takes an instance to FAULT.
func describe(t Tracked, s objectState) string {
	state := "down"
	if s.up {
		state = "up"
	}
	var text string
	switch t.Object.Kind {
	case KindSource:
		text = "no source address"
	default:
		text = fmt.Sprintf("%s %s %s", t.Object.Kind, t.Object.Name, state)
	}
	if s.reason != "" {
		text += ": " + s.reason
	}
	return text
}

// influenceOn adds up what tracking does to an instance by itself and by its group.
func (m *Machine) influenceOn(i *instance) influence {
	var n influence
	n.faults = append(n.faults, i.Faults...)
	lists := [][]Tracked{i.Track}
	if i.group != nil {
		lists = append(lists, i.group.Track)
	}
	for _, list := range lists {
		for _, t := range list {
			s, known := m.objects[t.Object]
			n.add(t, s, known)
		}
	}
	return n
}

func (m *Machine) setObject(o Object, s objectState) {
	if old, known := m.objects[o]; known && old == s {
		return
	}
	m.objects[o] = s
	m.settle()
}

func (m *Machine) setSource(ev SourceChanged) {
	if i := m.find(ev.Instance); i != nil {
		i.source = ev.Addr
	}
	m.setObject(Object{KindSource, ev.Instance}, objectState{up: ev.Addr.IsValid()})
}

// settle brings priorities, and who is in FAULT, in line with what is tracked. A group is in
// FAULT with any of its members, and begins when all can.
func (m *Machine) settle() {
	if !m.started || m.stopping {
		return
	}
	found := make(map[*instance]influence, len(m.instances))
	for _, i := range m.instances {
		n := m.influenceOn(i)
		found[i] = n
		m.setPriority(i, n.weight)
	}
	synced := make(map[*group]bool) // that were said to go to FAULT
	for _, i := range m.instances {
		n := found[i]
		var others []string
		if i.group != nil {
			for _, member := range i.group.members {
				n.waiting = n.waiting || found[member].waiting
				if member != i && len(found[member].faults) > 0 {
					others = append(others, member.Name)
				}
			}
		}
		if len(others) > 0 && len(n.faults) == 0 && i.state != Fault && !synced[i.group] {
			synced[i.group] = true
			m.log(Info, "VRRP_Group(%s) Syncing instances to FAULT state", i.group.Name)
		}
		m.judge(i, n, others)
	}
}

// judge moves an instance into FAULT or out of it. others are members of its group that
// cannot run.
func (m *Machine) judge(i *instance, n influence, others []string) {
	healthy := i.state == Backup || i.state == Master
	switch {
	case len(n.faults) > 0 && i.state != Fault:
		why := strings.Join(n.faults, ", ")
		m.log(Info, "(%s) entering FAULT state (%s)", i.Name, why)
		m.fail(i, why)
	case len(n.faults) > 0:
		i.why = strings.Join(n.faults, ", ")
	case len(others) > 0 && i.state != Fault:
		m.fail(i, "sync group "+i.group.Name+": "+strings.Join(others, ", "))
	case len(others) > 0, n.waiting, healthy:
	case i.state == Fault:
		m.begin(i, "its faults are cured")
	default:
		m.begin(i, "start")
	}
}

// setPriority works out the effective priority. A running timer of a backup moves by what its
// Master_Down_Interval does.
func (m *Machine) setPriority(i *instance, weight int) {
	p := i.Priority
	if !i.owner() {
		p = uint8(min(max(int(i.Priority)+weight, 1), maxEffective))
	}
	if p == i.effective {
		return
	}
	m.log(Info, "(%s) Changing effective priority from %d to %d", i.Name, i.effective, p)
	if i.down != 0 {
		i.down = i.down.Add(i.masterDown(p) - i.masterDown(i.effective))
	}
	i.effective = p
	if i.NotifyPriority && (i.state == Master || i.state == Backup) {
		m.emit(PriorityChanged{i.Name, i.state, p})
	}
}
