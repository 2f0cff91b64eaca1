package config

import (
	"net/netip"
)

// A Link is what Bind is told of an interface.
type Link struct {
	Name string
	// MTU is 0 where it is not known.
	MTU int
	// Loopback, NoMulticast, NoARP and NotEthernet are what VRRP cannot or can hardly run on.
	Loopback, NoMulticast, NoARP, NotEthernet bool
	// Kind is the kernel's word for the type: "", "vlan", "macvlan", "ipvlan", "vrf" …
	Kind string
	// Base is the interface below a macvlan or ipvlan, "" for none. Private tells a macvlan in private mode.
	Base    string
	Private bool
	// Addrs are the addresses, in the kernel's order.
	Addrs []netip.Addr
}
