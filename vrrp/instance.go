package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

// Spec is what a Machine runs. Names of instances are unique, and so are those of groups.
// The Machine keeps the slices and does not change them.
type Spec struct {
	Instances []Instance
	Groups    []Group
	// StartupDelay puts off all takeovers after the start (vrrp_startup_delay).
	StartupDelay time.Duration
	// HoldPreempt leaves a living master of lower priority alone until Release arrives: the
	// host is not ready to serve yet. Takeovers without a master are not delayed.
	HoldPreempt bool
	// LogUnknownVRIDs logs the first Stray of each source and VRID.
	LogUnknownVRIDs bool
}

// An Instance is one virtual router as it is configured (vrrp_instance).
type Instance struct {
	Name string
	// Version is 2 or 3; IPv6 only with 3.
	Version uint8
	IPv6    bool
	// Interface is where its adverts go, "" for unicast without one. It is part of its identity.
	Interface string
	// VRID is 1 to 255.
	VRID uint8
	// Priority is 1 to 255; 255 owns the addresses: it is MASTER at once and its priority
	// never changes.
	Priority uint8
	// AdvertInterval is 1 to 255 whole seconds in version 2, 10 ms to 40.95 s in steps of
	// 10 ms in version 3.
	AdvertInterval time.Duration
	// DownTimerAdverts is how many intervals without an advert end a master, 1 to 100.
	DownTimerAdverts int
	// NoPreempt leaves a living master of lower priority alone; PreemptDelay (0 to 1000 s)
	// does so for that time, counted from its first advert. Never both.
	NoPreempt    bool
	PreemptDelay time.Duration

	// Addresses are those of the advert, in its order: all of one family, at most 255.
	Addresses []netip.Addr

	// Auth is AuthNone unless Version is 2. Password is padded with zeros.
	Auth     Auth
	Password [8]byte
	Checksum Checksum

	// Peers are the routers of unicast; none means multicast.
	Peers []Peer
	// CheckPeers drops adverts that do not come from a peer.
	CheckPeers bool
	// SkipAddressCheck compares addresses only with the first advert of a master.
	SkipAddressCheck bool
	// OwnerIgnoresAdverts lets an owner (Priority 255) ignore all adverts.
	OwnerIgnoresAdverts bool
	// LowerPrioNoAdvert leaves lower adverts unanswered; HigherPrioSendAdvert sends a last
	// advert before yielding.
	LowerPrioNoAdvert, HigherPrioSendAdvert bool
	// TimerExpiredBackup makes a master whose own advert is late by so many intervals a
	// backup, 0 for never: others have taken over meanwhile.
	TimerExpiredBackup int

	Announce Announce
	// Track is what decides about priority and FAULT. The interface, the devices of the
	// addresses and the source address of the instance are among it, with weight 0.
	Track []Tracked
	// Faults keep the instance in FAULT for its configuration, one phrase each.
	Faults []string
	// NotifyPriority reports changes of the effective priority.
	NotifyPriority bool
}

// Unicast reports whether adverts go to peers one by one.
func (i *Instance) Unicast() bool { return len(i.Peers) > 0 }

// A Peer is another router of a unicast instance.
type Peer struct {
	Addr netip.Addr
	// MinTTL and MaxTTL bound the TTL of its adverts; 0 and 255 take all.
	MinTTL, MaxTTL uint8
}

// Announce says how often gratuitous ARP and unsolicited neighbour adverts are sent.
type Announce struct {
	// Repeat are sent for each address on becoming MASTER, and again after Delay (0: not
	// again).
	Repeat int
	Delay  time.Duration
	// RefreshRepeat are sent every Refresh while MASTER, 0 for never.
	Refresh       time.Duration
	RefreshRepeat int
	// LowerPrioRepeat are sent after a lower advert (0: none), and again after LowerPrioDelay.
	LowerPrioRepeat int
	LowerPrioDelay  time.Duration
	// Extra is how often, while MASTER, addresses on other interfaces than that of the adverts are
	// told of, 0 for never: no advert keeps switches in mind of these.
	Extra time.Duration
}

// A Group is a sync group: its instances become MASTER together, and leave it together.
type Group struct {
	Name string
	// Members are names of instances. An instance is in one group at most.
	Members []string
	// Track concerns all members.
	Track []Tracked
}

// A Kind is a kind of tracked object.
type Kind uint8

// The kinds of tracked objects.
const (
	KindInterface Kind = iota // up while the link is up
	KindSource                // the address that the instance of that name sends from; up while there is one
	KindScript
	KindFile // has a number instead of a state
	KindProcess
	KindBFD
)

// String returns the word of keepalived's messages: "interface", "script".
func (k Kind) String() string {
	switch k {
	case KindInterface:
		return "interface"
	case KindSource:
		return "source address"
	case KindScript:
		return "script"
	case KindFile:
		return "file"
	case KindProcess:
		return "process"
	case KindBFD:
		return "BFD"
	}
	return "unknown"
}

// An Object names what can be tracked.
type Object struct {
	Kind Kind
	Name string
}

// A Tracked is an object and what it does to an instance. Weight 0 takes the instance to
// FAULT while the object is down. Otherwise a positive weight adds to the priority while it
// is up, and a negative one while it is down. Reverse swaps up and down. The number of a
// file is multiplied by the weight, and by −1 with Reverse: at −254 or less the instance is in
// FAULT, and 253 is the most that counts. With weight 0 it is in FAULT at all but 0, with
// Reverse at 0 only.
type Tracked struct {
	Object  Object
	Weight  int // −254 to 254
	Reverse bool
}

// Auth is the authentication of version 2, by its number on the wire.
type Auth uint8

// The types of authentication.
const (
	AuthNone Auth = 0
	AuthPass Auth = 1
	AuthAH   Auth = 2
)

// String returns "none", "PASS", "AH", or the number.
func (a Auth) String() string {
	switch a {
	case AuthNone:
		return "none"
	case AuthPass:
		return "PASS"
	case AuthAH:
		return "AH"
	}
	return fmt.Sprintf("type %d", uint8(a))
}

// Checksum is the form of the checksum of version 3 over IPv4.
type Checksum uint8

// The forms of the checksum.
const (
	// ChecksumAuto has the pseudo header of the packet, and follows a peer that has the old
	// form (ChecksumOld).
	ChecksumAuto Checksum = iota
	// ChecksumOld always has the multicast group in the pseudo header: unicast of keepalived
	// up to 1.3.6.
	ChecksumOld
	// ChecksumNever has the pseudo header of the packet and never follows the old form.
	ChecksumNever
	// ChecksumAsV2 has no pseudo header, and takes both (v3_checksum_as_v2).
	ChecksumAsV2
)
