package hostnet

import (
	"cmp"
	"errors"
	"net/netip"
)

// Errors of changes, to be asked for by errors.Is. All others are the kernel's.
var (
	// ErrExists says that what was to be added is there already: the address with that
	// prefix length on the device, a route of the same destination, an equal rule, a device
	// of that name.
	ErrExists = errors.New("exists already")
	// ErrNoAddress says that the device does not have the address.
	ErrNoAddress = errors.New("no such address")
	// ErrNoRoute says that there is no such route.
	ErrNoRoute = errors.New("no such route")
	// ErrNoRule says that there is no such rule.
	ErrNoRule = errors.New("no such rule")
)

// AddressFlags are the kernel's flags of an address (IFA_F_* in linux/if_addr.h).
type AddressFlags uint32

// The flags that callers read or set.
const (
	// FlagSecondary marks an IPv4 address that goes away with the primary of its subnet.
	FlagSecondary AddressFlags = 0x01
	// FlagNoDAD skips duplicate address detection.
	FlagNoDAD AddressFlags = 0x02
	// FlagDADFailed marks an IPv6 address that another host has.
	FlagDADFailed AddressFlags = 0x08
	// FlagHome marks a home address of Mobile IPv6 (RFC 6275).
	FlagHome AddressFlags = 0x10
	// FlagDeprecated marks an IPv6 address that new connections do not start from.
	FlagDeprecated AddressFlags = 0x20
	// FlagTentative marks an IPv6 address whose detection of duplicates still runs.
	FlagTentative AddressFlags = 0x40
	// FlagPermanent marks an address without a lifetime.
	FlagPermanent AddressFlags = 0x80
	// FlagManageTemp lets the kernel make temporary addresses of an IPv6 prefix (RFC 8981).
	FlagManageTemp AddressFlags = 0x100
	// FlagNoPrefixRoute adds no route for the address's subnet.
	FlagNoPrefixRoute AddressFlags = 0x200
	// FlagAutoJoin joins the multicast group that the address is.
	FlagAutoJoin AddressFlags = 0x400
)

// The scopes of an address (RT_SCOPE_* in linux/rtnetlink.h).
const (
	ScopeGlobal = 0
	ScopeLink   = 253
	ScopeHost   = 254
)

// Forever is a lifetime without an end (INFINITY_LIFE_TIME), in seconds.
const Forever = 1<<32 - 1

// An Address is one address on one device.
type Address struct {
	// Link is the index of the device.
	Link int
	// Prefix is the address with the length of its subnet, not masked: 192.0.2.7/24. With a
	// Peer it has full length.
	Prefix netip.Prefix
	// Peer is the other end of a point-to-point address, with the length of the subnet that
	// is reached there; the zero Prefix for none.
	Peer netip.Prefix
	// Broadcast and Label belong to IPv4 and may be unset.
	Broadcast netip.Addr
	Label     string
	// Scope is ScopeGlobal, ScopeLink, ScopeHost or another number of the kernel's table.
	Scope int
	Flags AddressFlags
	// PreferredLifetime and DAD are for adding IPv6 addresses; snapshots leave them zero.
	// PreferredLifetime is in seconds; 0 is for ever, unless FlagDeprecated is set or the
	// length is 128, which make it end at once. DAD asks for the detection of duplicates.
	PreferredLifetime uint32
	DAD               bool
}

// Usable reports whether the host answers for the address: IPv6 addresses do not serve
// while they are tentative or after a duplicate was found.
func (a Address) Usable() bool { return a.Flags&(FlagTentative|FlagDADFailed) == 0 }

// addressKey is what makes an address unique for the kernel.
type addressKey struct {
	link   int
	prefix netip.Prefix
	peer   netip.Prefix
}

func (a Address) key() addressKey { return addressKey{a.Link, a.Prefix, a.Peer} }

// compareAddresses orders by device, then by address, length and peer.
func compareAddresses(a, b Address) int {
	return cmp.Or(
		cmp.Compare(a.Link, b.Link),
		a.Prefix.Addr().Compare(b.Prefix.Addr()),
		cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
		a.Peer.Addr().Compare(b.Peer.Addr()),
		cmp.Compare(a.Peer.Bits(), b.Peer.Bits()),
	)
}
