package config

import (
	"net/netip"
	"slices"
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

// linkNamed returns what is known of an interface. Where that is only its name, it is an Ethernet device with addresses
// of both families; exists is false where there is none of that name.
func (h *Host) linkNamed(name string) (l Link, exists bool) {
	for i := range h.Links {
		if h.Links[i].Name == name {
			return h.Links[i], true
		}
	}
	l = Link{Name: name, Loopback: name == "lo", Addrs: []netip.Addr{netip.IPv4Unspecified(), netip.IPv6LinkLocalAllNodes()}}
	return l, h.AnyInterface || slices.Contains(h.Interfaces, name)
}
