package vrrp

import (
	"net/netip"
	"time"

	"uvs/internal/mono"
)

// Priorities with a meaning of their own.
const (
	ownerPriority = 255 // of who owns the addresses; nothing changes it
	stopPriority  = 0   // sent by a master that leaves
	maxEffective  = 254 // of all but an owner
)

// An instance is an Instance at work. A time of zero is not waited for.
type instance struct {
	Instance
	group *group
	state State
	since mono.Time // of state
	why   string    // it is in state
	// wants says that the timer ended while others of the group were not ready to follow.
	wants     bool
	effective uint8
	source    netip.Addr

	// down is when a backup takes over, with interval the master's: version 3 learns it.
	down     mono.Time
	interval time.Duration
	// preempt is when PreemptDelay ends.
	preempt mono.Time
	// master is who sent the last good advert, its priority, and when that was heard.
	master         netip.Addr
	masterPriority uint8
	heard          mono.Time
	seen           netip.Addr // that MasterSeen was reported of, since it is a backup
	// advert is when a master sends its next one, leave when one that leaves has waited enough.
	advert, leave mono.Time
	// again, lowerGone, lowerAgain and refresh are when the addresses are told of once more, extra when those
	// elsewhere are.
	again, lowerGone, lowerAgain, refresh, extra mono.Time

	receiver receiver
	sequence uint32 // of AH: the last one sent
	rejected rejections
	refused  refusal
	conflict Conflict
	counters Counters
}

func newInstance(spec Instance) *instance {
	return &instance{Instance: spec, interval: spec.AdvertInterval, effective: spec.Priority}
}

// sameRouter reports whether a reload goes on with the instance.
func (i *instance) sameRouter(s *Instance) bool {
	return i.Name == s.Name && i.Interface == s.Interface && i.VRID == s.VRID && i.IPv6 == s.IPv6
}

// owner reports whether the instance owns the addresses.
func (i *instance) owner() bool { return i.Priority == ownerPriority }

// skew is Skew_Time of a priority: the higher, the shorter (RFC 3768 and RFC 9568, Section
// 6.1).
func (i *instance) skew(priority uint8) time.Duration {
	unit := time.Second
	if i.Version == 3 {
		unit = i.interval
	}
	return time.Duration(ownerPriority+1-int(priority)) * unit / (ownerPriority + 1)
}

// masterDown is Master_Down_Interval of a priority.
func (i *instance) masterDown(priority uint8) time.Duration {
	return time.Duration(i.DownTimerAdverts)*i.interval + i.skew(priority)
}

// deadline is the earliest time that the instance waits for.
func (i *instance) deadline() mono.Time {
	switch i.state {
	case Backup:
		return i.down
	case Leaving:
		return i.leave
	case Master:
		return earliest(i.advert, i.again, i.lowerGone, i.lowerAgain, i.refresh, i.extra)
	}
	return 0
}

// earliest returns the first of the times that are waited for, 0 if none is.
func earliest(times ...mono.Time) mono.Time {
	var first mono.Time
	for _, t := range times {
		if t != 0 && (first == 0 || t.Before(first)) {
			first = t
		}
	}
	return first
}

// due reports whether a time is waited for and has come.
func due(t, now mono.Time) bool { return t != 0 && !t.After(now) }

// after is the time d from now, or never if d is 0.
func after(now mono.Time, d time.Duration) mono.Time {
	if d == 0 {
		return 0
	}
	return now.Add(d)
}
