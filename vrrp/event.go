package vrrp

import "net/netip"

// An Event is something that happened: one of the types below.
type Event interface{ event() }

// Start begins. What the instances track, and where they send from, is told before.
type Start struct{}

// Tick says that Deadline has come, or that time has passed at all.
type Tick struct{}

// Received is a packet that arrived where an instance listens, for its VRID and family. The
// Machine keeps nothing of the Packet.
type Received struct {
	Instance string
	Packet   *Packet
}

// Stray is a packet for a VRID that no instance of its family listens for.
type Stray struct {
	Device string // that it came in by
	VRID   uint8
	Source netip.Addr
}

// ObjectChanged tells the state of a tracked object. An object that nobody told of is not
// known: instances that it could take to FAULT wait for it before they begin.
type ObjectChanged struct {
	Object Object
	Up     bool
	// Value is the number of a file.
	Value int
	// Reason says more of an object that is down, "" if the name is enough: "exited with
	// status 1".
	Reason string
}

// SourceChanged tells the address that an instance sends from, the zero Addr while it has
// none. It is told before Start, and also stands for the Object of KindSource of that name.
type SourceChanged struct {
	Instance string
	Addr     netip.Addr
}

// Release ends HoldPreempt.
type Release struct{}

// Stop leaves: masters say so, and stay in charge of their addresses until they hear a
// successor or nobody has come. Done follows.
type Stop struct{}

func (Start) event()         {}
func (Tick) event()          {}
func (Received) event()      {}
func (Stray) event()         {}
func (ObjectChanged) event() {}
func (SourceChanged) event() {}
func (Release) event()       {}
func (Stop) event()          {}
