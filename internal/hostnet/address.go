package hostnet

import (
	"cmp"
	"errors"
	"net/netip"
)

// Errors of [Watcher.AddAddress] and [Watcher.DeleteAddress].
var (
	// ErrExists says that the device has the address already, with that prefix length.
	ErrExists = errors.New("address exists")
	// ErrNoAddress says that the device does not have the address.
	ErrNoAddress = errors.New("no such address")
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
	// FlagDeprecated marks an IPv6 address that new connections do not start from.
	FlagDeprecated AddressFlags = 0x20
	// FlagTentative marks an IPv6 address whose detection of duplicates still runs.
	FlagTentative AddressFlags = 0x40
	// FlagPermanent marks an address without a lifetime.
	FlagPermanent AddressFlags = 0x80
	// FlagNoPrefixRoute adds no route for the address's subnet.
	FlagNoPrefixRoute AddressFlags = 0x200
)

// The scopes of an address (RT_SCOPE_* in linux/rtnetlink.h).
const (
	ScopeGlobal = 0
	ScopeLink   = 253
	ScopeHost   = 254
)

// An Address is one address on one device. The peer of a point-to-point address is not
// kept: Prefix then is the local address with full length.
type Address struct {
	// Link is the index of the device.
	Link int
	// Prefix is the address with the length of its subnet, not masked: 192.0.2.7/24.
	Prefix netip.Prefix
	// Broadcast and Label belong to IPv4 and may be unset.
	Broadcast netip.Addr
	Label     string
	// Scope is ScopeGlobal, ScopeLink, ScopeHost or another number of the kernel's table.
	Scope int
	Flags AddressFlags
}

// Usable reports whether the host answers for the address: IPv6 addresses do not serve
// while they are tentative or after a duplicate was found.
func (a Address) Usable() bool { return a.Flags&(FlagTentative|FlagDADFailed) == 0 }

// addressKey is what makes an address unique for the kernel.
type addressKey struct {
	link   int
	prefix netip.Prefix
}

func (a Address) key() addressKey { return addressKey{a.Link, a.Prefix} }

// compareAddresses orders by device, then by address and length.
func compareAddresses(a, b Address) int {
	return cmp.Or(
		cmp.Compare(a.Link, b.Link),
		a.Prefix.Addr().Compare(b.Prefix.Addr()),
		cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
	)
}
