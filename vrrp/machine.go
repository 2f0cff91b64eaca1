package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"uvs/internal/mono"
)

// A Machine decides for the instances and groups of one host. It belongs to one goroutine.
type Machine struct {
	instances []*instance
	groups    []*group
	objects   map[Object]objectState
	strays    strays

	started, stopping bool
	// startDelay is until when nobody takes over after the start, hold whether living masters
	// are left alone.
	startupDelay time.Duration
	startAt      mono.Time
	hold         bool

	now mono.Time // of the current Step
	out []Effect
}

// New returns a Machine that waits for Start.
func New(spec Spec) *Machine {
	m := &Machine{objects: make(map[Object]objectState), startupDelay: spec.StartupDelay, hold: spec.HoldPreempt, strays: strays{log: spec.LogUnknownVRIDs}}
	for _, s := range spec.Instances {
		m.instances = append(m.instances, newInstance(s))
	}
	m.join(spec.Groups)
	return m
}

// Deadline returns when the next Tick is due. It reports false if nothing is waited for.
func (m *Machine) Deadline() (mono.Time, bool) {
	var first mono.Time
	for _, i := range m.instances {
		first = earliest(first, i.deadline())
	}
	return first, first != 0
}

// Step takes an event in and returns what is to be done, in order. The slice is valid until
// the next call. With all events but Received, timers that have ended by now are served, so
// that a Tick is never late because of them. A packet serves none: of many that have come
// meanwhile, the next may be from a master that would be taken for dead. A Tick follows the last
// of them. now must not go back.
func (m *Machine) Step(now mono.Time, ev Event) []Effect {
	m.now, m.out = now, m.out[:0]
	switch ev := ev.(type) {
	case Start:
		m.start()
	case Received:
		if i := m.find(ev.Instance); i != nil {
			m.receive(i, ev.Packet)
		}
	case Stray:
		m.stray(ev)
	case ObjectChanged:
		m.setObject(ev.Object, objectState{up: ev.Up, value: ev.Value, reason: ev.Reason})
	case SourceChanged:
		m.setSource(ev)
	case Release:
		m.hold = false
	case Stop:
		m.stop()
	}
	switch ev.(type) {
	case Received, Stray:
	default:
		m.serveTimers()
	}
	m.tellGroups()
	return m.out
}

// Reload replaces what the Machine runs. An instance of the same name, interface, VRID and
// family, or that is among the Renames, goes on in its state: a master stays master, owns what it is to own now, and tells
// other routers and its neighbours at once. Others are new, and those that are gone leave at
// once. StartupDelay and HoldPreempt are not looked at. Objects and sources that only the new
// Spec has are told of before; the slice is valid until the next call.
func (m *Machine) Reload(now mono.Time, spec Spec) []Effect {
	m.now, m.out = now, m.out[:0]
	old := m.instances
	m.instances = nil
	before := make([]Instance, len(old))
	for n, i := range old {
		before[n] = i.Instance
	}
	renames := Renames(before, spec.Instances)
	var kept []*instance
	for _, s := range spec.Instances {
		at := slices.IndexFunc(old, func(i *instance) bool { return i.sameRouter(&s) || renames[i.Name] == s.Name })
		if at < 0 {
			m.instances = append(m.instances, newInstance(s))
			continue
		}
		i := old[at]
		old = slices.Delete(old, at, at+1)
		if i.Name != s.Name {
			m.rename(i, s.Name)
		}
		i.Instance = s
		if i.Version == 2 || i.state == Master {
			i.interval = i.AdvertInterval // what was learned is of version 3, and of another master
		}
		kept = append(kept, i)
		m.instances = append(m.instances, i)
	}
	for _, i := range old {
		m.remove(i)
	}
	m.strays = strays{log: spec.LogUnknownVRIDs}
	m.join(spec.Groups)
	m.settle()
	for _, i := range kept {
		switch i.state {
		case Master:
			m.emit(Own{i.Name})
			m.send(i, i.effective)
			m.emit(Tell{i.Name, i.Announce.Repeat})
			i.advert = m.now.Add(i.AdvertInterval)
			i.again = after(m.now, i.Announce.Delay)
			i.refresh, i.extra = after(m.now, i.Announce.Refresh), after(m.now, i.Announce.Extra)
		case Backup:
			m.restart(i)
		}
	}
	m.serveTimers()
	m.tellGroups()
	return m.out
}

// remove ends an instance that a reload left out.
func (m *Machine) remove(i *instance) {
	if i.state == Master {
		m.sendStop(i)
		m.disown(i)
	}
	m.emit(Deleted{i.Name, i.effective})
}

func (m *Machine) find(name string) *instance {
	for _, i := range m.instances {
		if i.Name == name {
			return i
		}
	}
	return nil
}

func (m *Machine) emit(e Effect) { m.out = append(m.out, e) }

func (m *Machine) log(l Level, format string, args ...any) {
	m.emit(Log{Level: l, Text: fmt.Sprintf(format, args...)})
}

func (m *Machine) start() {
	if m.started {
		return
	}
	m.started = true
	m.startAt = m.now.Add(m.startupDelay)
	m.settle()
}

// serveTimers does what is due.
func (m *Machine) serveTimers() {
	for _, i := range m.instances {
		switch i.state {
		case Backup:
			if due(i.down, m.now) {
				m.masterIsDown(i)
			}
		case Master:
			m.serveMaster(i)
		case Leaving:
			if due(i.leave, m.now) {
				m.left(i, "no other router took over")
			}
		}
	}
}

// serveMaster sends what a master has to send by now.
func (m *Machine) serveMaster(i *instance) {
	if due(i.advert, m.now) {
		if late := m.now.Sub(i.advert); i.TimerExpiredBackup > 0 && late > time.Duration(i.TimerExpiredBackup)*i.AdvertInterval {
			m.log(Warn, "(%s) advert timer was %.3f s late; others may have taken over", i.Name, late.Seconds())
			m.yield(i, "its advert timer was late")
			return
		}
		m.send(i, i.effective)
		// Adverts keep their rhythm whatever the delay of one; those missed are not made up.
		if i.advert = i.advert.Add(i.AdvertInterval); !i.advert.After(m.now) {
			i.advert = m.now.Add(i.AdvertInterval)
		}
	}
	if due(i.again, m.now) {
		i.again = 0
		m.emit(Tell{i.Name, i.Announce.Repeat})
	}
	if due(i.lowerGone, m.now) {
		i.lowerGone = 0
		m.emit(Tell{i.Name, i.Announce.LowerPrioRepeat})
	}
	if due(i.lowerAgain, m.now) {
		i.lowerAgain = 0
		m.emit(Tell{i.Name, i.Announce.LowerPrioRepeat})
	}
	if due(i.refresh, m.now) {
		i.refresh = after(m.now, i.Announce.Refresh)
		m.emit(Tell{i.Name, i.Announce.RefreshRepeat})
	}
	if due(i.extra, m.now) {
		i.extra = after(m.now, i.Announce.Extra)
		m.emit(TellElsewhere{i.Name})
	}
}

// send sends an advert with a priority.
func (m *Machine) send(i *instance, priority uint8) {
	if i.Auth == AuthAH {
		// One that takes over goes on from the highest sequence that peers have seen.
		i.sequence = max(i.sequence, i.receiver.highest()) + 1
	}
	i.counters.AdvertsSent++
	if priority == stopPriority {
		i.counters.PriorityZeroSent++
	}
	m.emit(Send{i.Name, Message{
		Advert: Advert{
			Version: i.Version, VRID: i.VRID, Priority: priority, Auth: i.Auth, Password: i.Password,
			Interval: i.AdvertInterval, Addresses: i.Addresses,
		},
		Checksum: i.receiver.checksum(&i.Instance),
		Sequence: i.sequence,
	}})
}

// to moves an instance to a state.
func (m *Machine) to(i *instance, s State, why string) {
	from := i.state
	i.state, i.since, i.why, i.wants, i.seen = s, m.now, why, false, netip.Addr{}
	i.down, i.advert, i.leave, i.again, i.lowerGone, i.lowerAgain, i.refresh, i.extra, i.preempt = 0, 0, 0, 0, 0, 0, 0, 0, 0
	if from == Master {
		i.conflict = Conflict{}
		i.counters.ReleasedMaster++
	}
	m.emit(Changed{Instance: i.Name, From: from, To: s, Priority: i.effective, Reason: why})
}

// restart lets a backup wait for a whole Master_Down_Interval.
func (m *Machine) restart(i *instance) { m.wait(i, i.masterDown(i.effective)) }

// wait lets a backup wait for d, and not less than until the startup delay is over.
func (m *Machine) wait(i *instance, d time.Duration) {
	begin := m.now
	if begin.Before(m.startAt) {
		begin = m.startAt
	}
	i.down = begin.Add(d)
}

// masterIsDown is the end of a backup's timer.
func (m *Machine) masterIsDown(i *instance) {
	m.log(Debug, "(%s) Receive advertisement timeout", i.Name)
	i.wants = true
	if i.group != nil && !i.group.ready() {
		// Until then it waits again: the others may hear their master.
		m.restart(i)
		return
	}
	m.takeOver(i, m.whyDown(i))
	m.followToMaster(i)
}

// whyDown says why a backup's timer ended.
func (m *Machine) whyDown(i *instance) string {
	switch {
	case !i.master.IsValid():
		return "no master was heard"
	case i.masterPriority == stopPriority:
		return fmt.Sprintf("master %s has left", i.master)
	case i.masterPriority < i.effective && m.now.Sub(i.heard) <= 2*i.interval:
		return fmt.Sprintf("master %s has lower priority %d", i.master, i.masterPriority)
	}
	return fmt.Sprintf("master %s fell silent", i.master)
}

// takeOver makes an instance master.
func (m *Machine) takeOver(i *instance, why string) {
	i.interval = i.AdvertInterval
	m.send(i, i.effective)
	m.log(Info, "(%s) Entering MASTER STATE", i.Name)
	m.log(Debug, "(%s) setting VIPs.", i.Name)
	m.emit(Own{i.Name})
	m.emit(Tell{i.Name, i.Announce.Repeat})
	m.to(i, Master, why)
	m.takeOverFrom(i, i.refused)
	i.counters.BecameMaster++
	i.advert = m.now.Add(i.AdvertInterval)
	i.again = after(m.now, i.Announce.Delay)
	i.refresh, i.extra = after(m.now, i.Announce.Refresh), after(m.now, i.Announce.Extra)
}

// yield makes a master a backup, and its group with it.
func (m *Machine) yield(i *instance, why string) {
	m.backOff(i, why)
	m.followToBackup(i)
}

// backOff makes an instance a backup.
func (m *Machine) backOff(i *instance, why string) {
	m.log(Info, "(%s) Entering BACKUP STATE%s", i.Name, initially(i))
	if i.state == Master {
		m.disown(i)
	}
	m.to(i, Backup, why)
	m.restart(i)
}

func initially(i *instance) string {
	if i.state == Init {
		return " (init)"
	}
	return ""
}

// fail takes an instance to FAULT.
func (m *Machine) fail(i *instance, why string) {
	m.log(Info, "(%s) Entering FAULT STATE", i.Name)
	if i.state == Master {
		m.sendStop(i)
		m.disown(i)
	}
	m.to(i, Fault, why)
}

func (m *Machine) disown(i *instance) {
	m.log(Debug, "(%s) removing VIPs.", i.Name)
	m.emit(Disown{i.Name})
}

func (m *Machine) sendStop(i *instance) {
	m.send(i, stopPriority)
	m.log(Debug, "(%s) sent 0 priority", i.Name)
}

// begin lets an instance take part that was kept from it until now.
func (m *Machine) begin(i *instance, why string) {
	const owns = "it owns the addresses"
	switch {
	case !i.owner():
		m.backOff(i, why)
	case m.now.Before(m.startAt):
		m.backOff(i, why)
		i.down = m.startAt
	case i.group == nil:
		m.takeOver(i, owns)
	default:
		if m.backOff(i, why); i.group.ready() {
			m.takeOver(i, owns)
			m.followToMaster(i)
		}
	}
}

// stop leaves.
func (m *Machine) stop() {
	if m.stopping {
		return
	}
	m.stopping = true
	for _, i := range m.instances {
		if i.state != Master {
			m.to(i, Stopped, "stopping")
			continue
		}
		m.sendStop(i)
		m.to(i, Leaving, "stopping")
		// The successor waits for its skew, up to an interval. Its advert may be late.
		i.leave = m.now.Add(i.skew(1) + leaveMargin)
	}
	m.finish()
}

// leaveMargin is how much later than the skew of the lowest priority a successor may be.
const leaveMargin = 100 * time.Millisecond

// left ends the time between leaving and a successor.
func (m *Machine) left(i *instance, why string) {
	m.disown(i)
	m.to(i, Stopped, why)
	m.finish()
}

// finish reports the end of all instances.
func (m *Machine) finish() {
	for _, i := range m.instances {
		if i.state != Stopped {
			return
		}
	}
	m.emit(Done{})
}
