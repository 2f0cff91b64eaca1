package vrrp

import "net/netip"

// An Effect is something to be done: one of the types below.
type Effect interface{ effect() }

// Send sends an advert from the instance's source, to the multicast group or to each peer.
type Send struct {
	Instance string
	Message  Message
}

// Own puts the addresses, routes and rules of an instance onto the host, whatever of them is
// there already. Disown takes them away.
type Own struct{ Instance string }

// Disown is the opposite of Own.
type Disown struct{ Instance string }

// Tell sends gratuitous ARP or neighbour adverts for all addresses of an instance, in turn,
// Repeat times.
type Tell struct {
	Instance string
	Repeat   int
}

// TellElsewhere sends one gratuitous ARP or neighbour advert on each other interface than that of
// the adverts where the instance has addresses.
type TellElsewhere struct{ Instance string }

// Changed reports a new state of an instance.
type Changed struct {
	Instance string
	From, To State
	Priority uint8 // the effective one
	Reason   string
}

// MasterSeen reports that a backup hears a master, the first time since it is a backup or
// since it heard another one.
type MasterSeen struct {
	Instance string
	Master   netip.Addr
}

// Deleted reports that a reload left an instance out.
type Deleted struct {
	Instance string
	Priority uint8
}

// Renamed reports that a reload gave an instance another name, in which it goes on in its state.
// It comes before all that is said of the new name.
type Renamed struct {
	From, To string
	State    State
	Priority uint8 // the effective one
}

// GroupChanged reports a new state of a sync group.
type GroupChanged struct {
	Group    string
	From, To State
}

// PriorityChanged reports a new effective priority of an instance with NotifyPriority.
type PriorityChanged struct {
	Instance string
	State    State
	Priority uint8
}

// LowerHeard reports that a master heard an advert of lower priority
// (MASTER_RX_LOWER_PRI).
type LowerHeard struct {
	Instance string
	Priority uint8 // ours
}

// Log is a line for the log, in keepalived's words where it has some.
type Log struct {
	Level Level
	Text  string
}

// Done follows Stop when no instance owns anything any more.
type Done struct{}

func (Send) effect()            {}
func (Own) effect()             {}
func (Disown) effect()          {}
func (Tell) effect()            {}
func (Changed) effect()         {}
func (MasterSeen) effect()      {}
func (Deleted) effect()         {}
func (Renamed) effect()         {}
func (TellElsewhere) effect()   {}
func (GroupChanged) effect()    {}
func (PriorityChanged) effect() {}
func (LowerHeard) effect()      {}
func (Log) effect()             {}
func (Done) effect()            {}

// A Level is how much a line matters.
type Level uint8

// The levels.
const (
	Debug Level = iota // keepalived's -D
	Info
	Warn
)
