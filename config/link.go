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
	// Loopback, NoMulticast and NotEthernet are what VRRP cannot or can hardly run on.
	Loopback, NoMulticast, NotEthernet bool
	// Kind is the kernel's word for the type: "", "vlan", "macvlan", "ipvlan", "vrf" …
	Kind string
	// Base is the interface below a macvlan or ipvlan, "" for none. Private tells a macvlan in private mode.
	Base    string
	Private bool
	MAC     [6]byte // of an Ethernet device
	// Table is the routing table of a VRF.
	Table uint32
	// Addrs are the addresses, in the kernel's order.
	Addrs []netip.Addr
}

// RouteNames are the names of iproute2's tables: rt_tables, rt_dsfield, rt_realms, rt_protos, rt_scopes and group.
// What iproute2 has built in need not be there; nil maps are fine.
type RouteNames struct {
	Tables, DSFields, Realms, Protocols, Scopes, Groups map[string]uint32
}

// linkNamed returns what is known of an interface. Where that is only its name, it is an Ethernet device; exists is
// false where there is none of that name.
func (h *Host) linkNamed(name string) (l Link, exists bool) {
	for i := range h.Links {
		if h.Links[i].Name == name {
			return h.Links[i], true
		}
	}
	return Link{Name: name, Loopback: name == "lo"}, h.AnyInterface || slices.Contains(h.Interfaces, name)
}

// known reports whether the properties of an interface are known.
func (h *Host) known(name string) bool {
	return slices.ContainsFunc(h.Links, func(l Link) bool { return l.Name == name })
}

// linkExists reports whether there is an interface of that name.
func (b *binder) linkExists(name string) bool {
	_, exists := b.host.linkNamed(name)
	return exists
}
