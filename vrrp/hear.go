package vrrp

import "time"

// receive takes a packet in.
func (m *Machine) receive(i *instance, p *Packet) {
	if i.state != Backup && i.state != Master && i.state != Leaving {
		return
	}
	if i.owner() && i.OwnerIgnoresAdverts {
		return
	}
	if p.Source == i.source {
		m.hearOneself(i, p)
		return
	}
	a, bad := i.receiver.accept(&i.Instance, p)
	if bad != nil {
		m.reject(i, p, bad)
		return
	}
	i.counters.AdvertsReceived++
	i.rejected.forget(p.Source)
	i.understood(p.Source)
	if a.Priority == stopPriority {
		i.counters.PriorityZeroReceived++
	}
	switch i.state {
	case Backup:
		m.hearAsBackup(i, p, &a)
	case Master:
		m.hearAsMaster(i, p, &a)
	case Leaving:
		if a.Priority != stopPriority {
			m.left(i, p.Source.String()+" took over")
		}
	}
}

// hearOneself drops an advert from our own address. Our sockets do not hear what we send: a
// switch brings it back, or another host has the address.
func (m *Machine) hearOneself(i *instance, p *Packet) {
	own := &Rejection{Cause: CauseOwn, Theirs: p.Source.String()}
	i.counters.Rejected[CauseOwn]++
	if i.state == Master && i.rejected.news(p.Source, own) {
		m.log(Warn, "(%s) WARNING - equal priority advert received from remote host with our IP address.", i.Name)
	}
}

// hearAsBackup is RFC 9568, Section 6.4.2, with keepalived's preempt delay.
func (m *Machine) hearAsBackup(i *instance, p *Packet, a *Advert) {
	if i.seen != p.Source {
		i.seen = p.Source
		m.emit(MasterSeen{i.Name, p.Source})
	}
	i.master, i.masterPriority, i.heard = p.Source, a.Priority, m.now
	if a.Priority == stopPriority {
		m.log(Debug, "(%s) Backup received priority 0 advertisement", i.Name)
		i.wants = false
		m.wait(i, i.skew(i.effective))
		return
	}
	m.countPreemptDelay(i, a)
	lower := a.Priority < i.effective
	if lower && !i.NoPreempt && !m.hold && (i.preempt == 0 || due(i.preempt, m.now)) {
		// The timer goes on: its end is the takeover.
		m.log(Info, "(%s) received lower priority (%d) advert from %s - discarding", i.Name, a.Priority, p.Source)
		return
	}
	i.wants = false
	m.learnInterval(i, a)
	m.restart(i)
}

// countPreemptDelay begins the delay with the first lower advert, and ends it with one that
// is not.
func (m *Machine) countPreemptDelay(i *instance, a *Advert) {
	switch {
	case i.PreemptDelay == 0:
	case a.Priority >= i.effective:
		if i.preempt != 0 {
			m.log(Info, "(%s) stop preempt delay", i.Name)
		}
		i.preempt = 0
	case i.preempt == 0:
		m.log(Info, "(%s) start preempt delay (%.6f)", i.Name, i.PreemptDelay.Seconds())
		i.preempt = m.now.Add(i.PreemptDelay)
	}
}

// learnInterval takes the master's interval over (version 3).
func (m *Machine) learnInterval(i *instance, a *Advert) {
	if i.Version != 3 || a.Interval == i.interval || a.Interval == 0 {
		return
	}
	m.log(Info, "(%s) advertisement interval changed: mine=%d milli-sec, rcved=%d milli-sec",
		i.Name, i.interval/time.Millisecond, a.Interval/time.Millisecond)
	i.interval = a.Interval
}

// hearAsMaster is RFC 9568, Section 6.4.3.
func (m *Machine) hearAsMaster(i *instance, p *Packet, a *Advert) {
	if a.Priority == stopPriority {
		m.log(Debug, "(%s) Master received priority 0 message", i.Name)
		m.send(i, i.effective)
		return
	}
	if a.Priority == ownerPriority && i.owner() {
		m.log(Warn, "(%s) CONFIGURATION ERROR: local instance and a remote instance are both configured as address owner, please fix - reducing local priority", i.Name)
		i.Priority = maxEffective
		m.settle()
	}
	if a.Priority < i.effective || a.Priority == i.effective && p.Source.Compare(i.source) < 0 {
		m.hearLower(i, p, a)
		return
	}
	if a.Priority == i.effective {
		m.log(Info, "(%s) Master received advert from %s with same priority %d but higher IP address than ours", i.Name, p.Source, a.Priority)
	} else {
		m.log(Info, "(%s) Master received advert from %s with higher priority %d, ours %d", i.Name, p.Source, a.Priority, i.effective)
	}
	if i.HigherPrioSendAdvert {
		m.send(i, i.effective)
	}
	i.master, i.masterPriority, i.heard = p.Source, a.Priority, m.now
	m.learnInterval(i, a)
	m.yield(i, p.Source.String()+" is the better master")
}

// goneAdverts is how many intervals after its last advert a lesser master has yielded. Who was
// not heard meanwhile, so that neighbours took the other's word, tells them then. keepalived
// lets them wait for LowerPrioDelay.
const goneAdverts = 2

// hearLower asserts a master against a lesser one.
func (m *Machine) hearLower(i *instance, p *Packet, a *Advert) {
	election := ""
	if !i.LowerPrioNoAdvert {
		election = ", forcing new election"
	}
	m.log(Info, "(%s) Received advert from %s with lower priority %d, ours %d%s", i.Name, p.Source, a.Priority, i.effective, election)
	if !i.LowerPrioNoAdvert {
		m.send(i, i.effective)
	}
	if n := i.Announce.LowerPrioRepeat; n > 0 {
		m.emit(Tell{i.Name, n})
		i.lowerAgain = after(m.now, i.Announce.LowerPrioDelay)
		i.lowerGone = m.now.Add(goneAdverts * max(i.AdvertInterval, a.Interval))
	}
	m.emit(LowerHeard{i.Name, i.effective})
	m.noteConflict(i, p.Source, deaf)
}
