package config

import (
	"fmt"
	"net/netip"
)

// An Address is one line of virtual_ipaddress, virtual_ipaddress_excluded or static_ipaddress.
type Address struct {
	Pos Pos
	// Prefix is the address with the length of its network (that of Peer, where there is one); without /LEN in the
	// file /32 or /128.
	Prefix netip.Prefix
	// Device is the interface that gets the address. It is never "".
	Device string
	// Broadcast is the zero Addr where none is to be set.
	Broadcast netip.Addr
	// Peer is the other end of a point-to-point address, the zero Addr for none.
	Peer netip.Addr
	// Label is the address label, "" for none; at most 15 bytes, never with IPv6.
	Label string
	// Scope is the route scope, rtnetlink(7): 0 global, 200 site, 253 link, 254 host. Always 0 with IPv6.
	Scope uint8
	// PreferredLifetime is in seconds, Forever without an end; 0 makes the address deprecated, as IPv6 addresses with
	// /128 are unless they say otherwise. It means nothing with IPv4.
	PreferredLifetime uint32
	// Home, NoDAD, ManageTemp, NoPrefixRoute and AutoJoin are IFA_F_ flags of if_addr.h.
	Home, NoDAD, ManageTemp, NoPrefixRoute, AutoJoin bool
	// NoTrack leaves the instance alone when the device of the address goes down.
	NoTrack bool
	// MAC says whether the address goes onto a virtual MAC device above Device.
	MAC AddressMAC
	// TrackGroup names the TrackGroup that follows a static address, "" for none.
	TrackGroup string
}

// AddressMAC says which virtual MAC device gets an address.
type AddressMAC uint8

// The virtual MAC devices of an address.
const (
	// NoMAC puts the address onto Device itself.
	NoMAC AddressMAC = iota
	// InstanceMAC puts it onto the VirtualMAC of its instance, whose Interface is Device.
	InstanceMAC
	// OwnMAC puts it onto a device of its own: the MAC of the instance's VRID on top of Device.
	OwnMAC
)

// String returns "none", "instance" or "own".
func (m AddressMAC) String() string {
	switch m {
	case InstanceMAC:
		return "instance"
	case OwnMAC:
		return "own"
	}
	return "none"
}

// Forever is the PreferredLifetime of an address that is never deprecated.
const Forever = 1<<32 - 1

// A Route is one line of virtual_routes or static_routes: ip-route(8) without abbreviations.
type Route struct {
	Pos  Pos
	IPv6 bool
	// Type is the RTN_ number of rtnetlink(7): 1 unicast, 6 blackhole, 7 unreachable, 8 prohibit, 9 throw.
	Type uint8
	// Dest is never the zero Prefix: "default" is 0.0.0.0/0 or ::/0.
	Dest netip.Prefix
	// From bounds the source of packets (IPv6), the zero Prefix for none.
	From netip.Prefix
	// Via is the gateway and Source the preferred source address, the zero Addr for none. The gateway of an IPv4 route
	// may not be IPv6.
	Via, Source netip.Addr
	// Device is the interface to send by, "" where the gateway decides.
	Device string
	// Table is the number of the routing table, 254 is main.
	Table uint32
	// Metric of the route, if HasMetric.
	Metric    uint32
	HasMetric bool
	// Scope and Protocol are the RTN_ numbers, if HasScope and HasProtocol. A tracked route has the protocol 18.
	Scope, Protocol       uint8
	HasScope, HasProtocol bool
	TOS                   uint8
	OnLink                bool
	// Place is how the route is put beside those of the same destination.
	Place RoutePlace
	// Metrics are the RTA_METRICS, in the order of the file.
	Metrics []RouteMetric
	// CongestionControl is the algorithm of congctl, "" for none; CongestionLocked keeps the stack from changing it.
	CongestionControl string
	CongestionLocked  bool
	// Realms is source realm << 16 | destination realm.
	Realms uint32
	// Expires is in seconds (IPv6), if HasExpires.
	Expires    uint32
	HasExpires bool
	// Preference is the ICMPv6 router preference, if HasPreference: 0 medium, 1 high, 3 low.
	Preference    uint8
	HasPreference bool
	// TTLPropagate of MPLS, if HasTTLPropagate.
	TTLPropagate    bool
	HasTTLPropagate bool
	// Encap is a light-weight tunnel, nil for none.
	Encap *Encap
	// NextHops are the ways of a multipath route; then Via and Device are not set.
	NextHops []NextHop
	// NoTrack leaves the instance alone when the route vanishes. A route without Device is never tracked.
	NoTrack bool
	// TrackGroup names the TrackGroup that follows a static route, "" for none.
	TrackGroup string
}

// RoutePlace is how a route is put beside others of the same destination.
type RoutePlace uint8

// The places of a route.
const (
	// RoutePrepend puts the route before the others: what the kernel does when it is told nothing.
	RoutePrepend RoutePlace = iota
	// RouteAdd fails if there is one already: what ip-route(8) does.
	RouteAdd
	// RouteAppend puts it behind the others.
	RouteAppend
)

// String returns "prepend", "add" or "append".
func (p RoutePlace) String() string {
	switch p {
	case RouteAdd:
		return "add"
	case RouteAppend:
		return "append"
	}
	return "prepend"
}

// A RouteMetric is one of RTA_METRICS.
type RouteMetric struct {
	// Attribute is the RTAX_ number of linux/rtnetlink.h: 2 MTU, 3 window, 4 RTT …
	Attribute uint8
	// Value is in the kernel's units: RTT in 1/8 ms, RTTVAR in 1/4 ms, RTO_MIN in ms.
	Value uint32
	// Locked keeps the stack from changing it.
	Locked bool
}

// A NextHop is one way of a multipath route.
type NextHop struct {
	Via    netip.Addr
	Device string
	// Weight is 1 to 256.
	Weight int
	OnLink bool
	Realms uint32
	Encap  *Encap
}

// An Encap is the light-weight tunnel of a route or next hop.
type Encap struct {
	// Kind is "ip", "ip6", "mpls" or "ila".
	Kind string
	// ID, Source, Dest, TOS, TTL (hop limit) and Flags are those of ip and ip6.
	ID           uint64
	HasID        bool
	Source, Dest netip.Addr
	TOS, TTL     uint8
	Flags        uint16
	// Labels are those of mpls, outermost first; PropagateTTL its ttl, if not 0.
	Labels       []uint32
	PropagateTTL uint8
	// Locator is that of ila.
	Locator uint64
}

// A Rule is one line of virtual_rules or static_rules: ip-rule(8) without abbreviations.
type Rule struct {
	Pos  Pos
	IPv6 bool
	// Not inverts the match.
	Not bool
	// From and To are the zero Prefix where the rule does not ask.
	From, To netip.Prefix
	// Priority orders the rules; without one in the file keepalived counts down from 16384.
	Priority uint32
	// Action says what a match does; Table and Goto are its operands.
	Action RuleAction
	Table  uint32
	Goto   uint32
	// L3MDev looks into the table of the packet's VRF.
	L3MDev bool
	TOS    uint8
	// Mark is compared under Mask, if HasMark; without a mask in the file Mask is all ones.
	Mark, Mask uint32
	HasMark    bool
	Realms     uint32
	// SuppressPrefixLength refuses routes of at most that length, -1 for none; SuppressGroup those by interfaces of
	// that group, -1 for none.
	SuppressPrefixLength, SuppressGroup int32
	// InInterface and OutInterface are "" where the rule does not ask.
	InInterface, OutInterface string
	TunnelID                  uint64
	// UIDs, SourcePorts and DestPorts are both ends included; the zero Range where the rule does not ask.
	UIDs, SourcePorts, DestPorts *Range
	// IPProtocol is 0 where the rule does not ask.
	IPProtocol uint8
	// Protocol is who made the rule; a tracked rule has 18.
	Protocol    uint8
	HasProtocol bool
	NoTrack     bool
	// TrackGroup names the TrackGroup that follows a static rule, "" for none.
	TrackGroup string
}

// A Range is a range of numbers, both ends included.
type Range struct{ First, Last uint32 }

// RuleAction is what a rule does with a packet that it matches, by its FR_ACT_ number in linux/fib_rules.h.
type RuleAction uint8

// The actions of a rule.
const (
	RuleTable       RuleAction = 1
	RuleGoto        RuleAction = 2
	RuleNop         RuleAction = 3
	RuleBlackhole   RuleAction = 6
	RuleUnreachable RuleAction = 7
	RuleProhibit    RuleAction = 8
)

// String returns the word of ip-rule(8).
func (a RuleAction) String() string {
	switch a {
	case RuleTable:
		return "table"
	case RuleGoto:
		return "goto"
	case RuleNop:
		return "nop"
	case RuleBlackhole:
		return "blackhole"
	case RuleUnreachable:
		return "unreachable"
	case RuleProhibit:
		return "prohibit"
	}
	return "none"
}

// String returns "first-last".
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }
