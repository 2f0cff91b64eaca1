package config

import (
	"net/netip"
	"time"
)

// An Instance is one vrrp_instance with all that its group, global_defs and the rest of the file decide about it. An
// instance that keepalived would keep in FAULT for its configuration has Faults; all others can run.
type Instance struct {
	Pos  Pos
	Name string
	// Group is the vrrp_sync_group that the instance is a member of, "" for none.
	Group string
	// Interface is where adverts go, and the device of addresses that name none. It is "" only for unicast with a
	// Source of its own.
	Interface string
	// VRF is the device that sockets of an instance without Interface are bound to, "" for none.
	VRF string
	// Version of the protocol is 2 or 3; IPv6 tells the family of the adverts, which is that of Addresses.
	Version uint8
	IPv6    bool
	// Master says that the instance begins as MASTER; a preference only, unless Priority is 255.
	Master bool
	// VRID is the virtual router id, 1 to 255.
	VRID uint8
	// Priority is 1 to 255; 255 owns the addresses.
	Priority uint8
	// AdvertInterval is 1 to 255 whole seconds in version 2, 10 ms to 40.95 s in steps of 10 ms in version 3.
	AdvertInterval time.Duration
	// DownTimerAdverts is how many intervals without an advert make a backup take over, 1 to 100.
	DownTimerAdverts int
	// NoPreempt leaves a working master of lower priority alone; PreemptDelay (0 to 1000 s) waits before it is
	// replaced. Both are only ever set where the instance begins as BACKUP, and never both.
	NoPreempt    bool
	PreemptDelay time.Duration

	// Addresses are advertised, at most 255 and no more than fit a packet, all of one family; Excluded ones are only
	// set. Both are set while the instance is MASTER.
	Addresses, Excluded []Address
	// Routes and Rules are set while the instance is MASTER.
	Routes []Route
	Rules  []Rule

	// Auth is AuthNone unless Version is 2. Password is cut to 8 bytes and padded with zeros.
	Auth     AuthType
	Password [8]byte
	// HMAC is the trailer of keepalived 2.4, nil for none.
	HMAC *HMAC

	Send    Send
	Receive Receive
	// Announce says when gratuitous ARP and neighbour adverts are sent for the addresses.
	Announce Announce
	// Accept lets this machine take packets to the addresses though it does not own them (Priority below 255).
	Accept bool
	// Strict holds the instance to the letter of the RFC; its effects are resolved in the other fields.
	Strict bool
	// LowerPrioNoAdvert leaves a lower advert unanswered; HigherPrioSendAdvert sends one last advert before yielding.
	LowerPrioNoAdvert, HigherPrioSendAdvert bool
	// TimerExpiredBackup makes an instance whose timer was late by this many adverts a backup, 0 for never.
	TimerExpiredBackup int

	// Track is what the instance follows; that of its group is in the SyncGroup, not here.
	Track Track
	// TrackPrimary takes the instance to FAULT when Interface goes down; dont_track_primary clears it.
	TrackPrimary bool
	Notify       Notify

	// MAC is the virtual MAC device, nil for none; then Interface is the device below it.
	MAC *VirtualMAC
	// IPVLAN is the ipvlan device, nil for none.
	IPVLAN *IPVLAN
	// MACForOthers gives addresses on further interfaces a virtual MAC device, too (use_vmac_addr).
	MACForOthers bool
	// PromoteSecondaries sets the sysctl of that name on Interface.
	PromoteSecondaries bool

	// Faults are the reasons for which keepalived would load the instance and keep it in FAULT, one phrase each.
	Faults []string

	at map[string]Pos // where each word stands, the last time
}

// Where returns the place of a word in the block of the instance, the last one if it stands there more than once, or
// that of the block itself.
func (i *Instance) Where(word string) Pos {
	if p, ok := i.at[word]; ok {
		return p
	}
	return i.Pos
}

// AuthType is the authentication of VRRP version 2.
type AuthType uint8

// The types of authentication, with their numbers on the wire.
const (
	AuthNone AuthType = 0
	AuthPass AuthType = 1
	AuthAH   AuthType = 2
)

// String returns "none", "PASS" or "AH".
func (a AuthType) String() string {
	switch a {
	case AuthPass:
		return "PASS"
	case AuthAH:
		return "AH"
	}
	return "none"
}

// An HMAC is the auth_hmac block of keepalived 2.4: an HMAC-SHA256 trailer after the advert.
type HMAC struct {
	// Keys are in the order of the file, no ID twice; Active is the one that signs.
	Keys   []HMACKey
	Active uint8
	// Replay says how repeated packets are found: "time" or "monotonic". Window bounds the difference of clocks, 1 to
	// 300 s.
	Replay string
	Window time.Duration
	// Mode is "enforce", "permissive" or "receive-only".
	Mode string
}

// An HMACKey is one key of an HMAC: either Secret, 32 to 64 bytes, or the File that holds it.
type HMACKey struct {
	ID     uint8
	Secret []byte
	File   string
}

// Send says where adverts go and from where.
type Send struct {
	// Source is mcast_src_ip or unicast_src_ip, the zero Addr for the first address of the interface (IPv6: its
	// link-local address). Track takes the instance to FAULT while Source is not on this machine.
	Source netip.Addr
	Track  bool
	// Group is the multicast group, the zero Addr for unicast.
	Group netip.Addr
	// Peers are the routers that adverts go to one by one; any makes the instance unicast.
	Peers []Peer
	// TTL of unicast packets is 0 to 255 (IPv4), -1 for the kernel's own (IPv6).
	TTL int
	// Checksum is the form of the checksum of version 3.
	Checksum ChecksumMode
	// FromBase sends adverts by the interface below the virtual MAC device.
	FromBase bool
}

// Unicast reports whether adverts go to Peers instead of a multicast group.
func (s *Send) Unicast() bool { return len(s.Peers) > 0 }

// A Peer is one line of unicast_peer.
type Peer struct {
	Pos  Pos
	Addr netip.Addr
	// MinTTL and MaxTTL bound the TTL of received packets; 0 and 255 take all.
	MinTTL, MaxTTL uint8
}

// ChecksumMode is how an instance of version 3 and IPv4 computes its checksum.
type ChecksumMode uint8

// The checksums of version 3.
const (
	// ChecksumAuto begins with the pseudo header of the packet and follows a peer that used the old form.
	ChecksumAuto ChecksumMode = iota
	// ChecksumOld always has the multicast group in the pseudo header (unicast of keepalived 1.3.6 and before).
	ChecksumOld
	// ChecksumNever never follows the old form.
	ChecksumNever
	// ChecksumAsV2 leaves the pseudo header out.
	ChecksumAsV2
)

// String returns "auto", "old", "never" or "as v2".
func (m ChecksumMode) String() string {
	switch m {
	case ChecksumOld:
		return "old"
	case ChecksumNever:
		return "never"
	case ChecksumAsV2:
		return "as v2"
	}
	return "auto"
}

// Receive says what adverts of others must be like.
type Receive struct {
	// CheckPeers drops adverts that do not come from a configured peer.
	CheckPeers bool
	// SkipAddressCheck compares the address list only with the first advert of a new master.
	SkipAddressCheck bool
	// OwnerIgnoresAdverts lets an owner (Priority 255) ignore all adverts.
	OwnerIgnoresAdverts bool
}

// Announce is when an instance sends gratuitous ARP and unsolicited neighbour adverts.
type Announce struct {
	// Repeat is how many are sent per address on becoming MASTER, at least 1, and again after Delay (0: not again).
	Repeat uint32
	Delay  time.Duration
	// RefreshRepeat (at least 1) are sent every Refresh while MASTER, 0 for never.
	Refresh       time.Duration
	RefreshRepeat uint32
	// LowerPrioRepeat are sent after a lower advert was heard (0: none), and again after LowerPrioDelay.
	LowerPrioRepeat uint32
	LowerPrioDelay  time.Duration
	// Extra is the interval of those on further virtual MAC devices, 0 for none; ExtraAll has them on all further
	// interfaces.
	Extra    time.Duration
	ExtraAll bool
}

// A VirtualMAC is the macvlan device of an instance with use_vmac.
type VirtualMAC struct {
	// Name of the device: the configured one, or the prefix of global_defs, a dot and the VRID.
	Name string
	// Addr is the configured MAC, all zeros for that of the RFC: 00:00:5e:00:01:VRID, IPv6 00:00:5e:00:02:VRID.
	Addr [6]byte
	// NotifyLinks and Group are use_vmac's netlink_notify_msg and group.
	NotifyLinks bool
	Group       string

	given    bool // Addr
	withVRID bool // the last byte is to be the VRID
}

// An IPVLAN is the ipvlan device of an instance with use_ipvlan.
type IPVLAN struct {
	// Name of the device: the configured one, or the prefix of global_defs, a dot and the VRID.
	Name string
	// Mode is "bridge", "private" or "vepa".
	Mode string
	// Addr is set on the device; IPv4 needs it.
	Addr netip.Prefix
}

// Notify is what an instance or a group tells of its states.
type Notify struct {
	// The commands of one event each, then the one of all; nil where there is none.
	Master, Backup, Fault, Stop, Any *Command
	// Deleted is the command for an instance that a reload removes; OnDelete without it tells DELETED to Any and the
	// FIFOs instead of FAULT. MasterRxLowerPri is run when a master hears a lower advert. Both of instances only.
	Deleted, MasterRxLowerPri *Command
	OnDelete                  bool
	// PriorityChanges reports changes of the effective priority on the FIFOs.
	PriorityChanges bool
	// Mail sends mail for each state.
	Mail bool
}

// Track is what an instance or a group follows. No name stands twice in one list.
type Track struct {
	Interfaces []TrackedInterface
	// Scripts, Files, Processes and BFDs name a VRRPScript, TrackFile, TrackProcess and BFD that exists.
	Scripts, Files, Processes, BFDs []Tracked
}

// A TrackedInterface is one line of track_interface.
type TrackedInterface struct {
	Pos       Pos
	Interface string
	// Weight is -253 to 253; 0 takes the instance to FAULT when the interface is down. Reverse swaps up and down.
	Weight  int
	Reverse bool
}

// A Tracked is one line of track_script, track_file, track_process or track_bfd.
type Tracked struct {
	Pos  Pos
	Name string
	// Weight is that of the line or else that of the tracked thing: -253 to 253, of files and processes -254 to 254.
	// 0 takes the instance to FAULT when the thing is down. Reverse swaps up and down.
	Weight  int
	Reverse bool
}

// A SyncGroup is one vrrp_sync_group. It has at least one member.
type SyncGroup struct {
	Pos  Pos
	Name string
	// Members are names of Instances, in the order of the file; no instance is in two groups.
	Members []string
	Track   Track
	// TrackWeights lets weights of members and group count; without it they are 0 or gone.
	TrackWeights bool
	Notify       Notify
}

// A VRRPScript is one vrrp_script.
type VRRPScript struct {
	Pos     Pos
	Name    string
	Command Command
	// Interval and Timeout are at least 1 ms.
	Interval, Timeout time.Duration
	// Weight is the default of those who track it, -253 to 253.
	Weight  int
	Reverse bool
	// Rise and Fall are how many results in a row change the state, at least 1.
	Rise, Fall int
	// InitFail begins as down instead of unknown.
	InitFail bool
}

// A TrackFile is one track_file.
type TrackFile struct {
	Pos  Pos
	Name string
	// Path is the file whose number is multiplied by the weight.
	Path    string
	Weight  int
	Reverse bool
	// Init is what the file is created with (InitCreate), or overwritten with at start (InitOverwrite).
	Init                      int
	InitCreate, InitOverwrite bool
}

// A TrackProcess is one vrrp_track_process.
type TrackProcess struct {
	Pos  Pos
	Name string
	// Process is the name or path, Args the parameters that Match compares.
	Process string
	Args    []string
	// Match is "", "exact", "initial" or "partial"; "" compares no parameters.
	Match string
	// FullCommand compares the whole command line instead of the 15 bytes of the process name.
	FullCommand bool
	Weight      int
	Reverse     bool
	// Quorum to QuorumMax processes must run; QuorumMax is MaxProcesses without a bound. Both 0: none must run.
	Quorum, QuorumMax uint32
	// ForkDelay and TerminateDelay put off the change to up and to down, 0 to 3600 s.
	ForkDelay, TerminateDelay time.Duration
}

// MaxProcesses is the QuorumMax of a TrackProcess without a bound.
const MaxProcesses = 1<<32 - 1

// A TrackGroup is one track_group: the instances that follow static addresses, routes and rules.
type TrackGroup struct {
	Pos     Pos
	Name    string
	Members []string
}

// Static is what is set from start to stop, whatever the instances are doing.
type Static struct {
	Addresses []Address
	Routes    []Route
	Rules     []Rule
}

// A BFD is one bfd_instance.
type BFD struct {
	Pos  Pos
	Name string
	// Neighbour is the other end; Source is of the same family or the zero Addr.
	Neighbour, Source netip.Addr
	// MinRx and MinTx are at least 1 ms, IdleTx at least 1 s.
	MinRx, MinTx, IdleTx time.Duration
	// Multiplier is how many packets may be missed, 1 to 255.
	Multiplier uint8
	// Passive waits for the other end to begin.
	Passive bool
	// TTL of packets sent is 1 to 255; MaxHops bounds how many hops received ones may have made, -1 without a check.
	TTL     uint8
	MaxHops int
	// MultiHop uses port 4784 instead of 3784.
	MultiHop bool
	// Weight is the default of instances that track it.
	Weight  int
	Reverse bool
	// VRRP and Checker are who is told.
	VRRP, Checker bool
}

// A GARPGroup is a limit of the rate of gratuitous ARP and neighbour adverts that its Interfaces share, if there is
// more than one.
type GARPGroup struct {
	Pos        Pos
	Interfaces []string
	// GARPInterval and GNAInterval are the time between two packets, 0 for none.
	GARPInterval, GNAInterval time.Duration
}

// An InterfaceDelay is one line of interface_up_down_delays: a change counts when it has lasted so long.
type InterfaceDelay struct {
	Pos       Pos
	Interface string
	// Down and Up are 0 to 255 s. Down is capped by Bind at (DownTimerAdverts − 1) × AdvertInterval of the instances
	// on the interface.
	Down, Up time.Duration
}

// ClientTLS is the SSL block: what HTTPS checkers show to servers.
type ClientTLS struct {
	Password, CA, Certificate, Key string
}

// Process are the words of the top level that concern the program as a whole.
type Process struct {
	// NetNamespace is where it runs, "" for where it was started; IPVSNamespace where the data path is, HasIPVSNamespace
	// with "" for the original one.
	NetNamespace, IPVSNamespace string
	HasIPVSNamespace            bool
	// Instance is the suffix of pid and data files.
	Instance string
	// UsePIDDir puts pid files under the run directory.
	UsePIDDir bool
}

// A Command is a program to run, with its arguments.
type Command struct {
	Pos Pos
	// Args are the path and the arguments; there is at least the path.
	Args []string
	// User and Group run it; "" where neither the word nor script_user names one.
	User, Group string
}
