package hostnet

import (
	"errors"
	"fmt"
	"net"
)

// Errors of devices.
var (
	// ErrForeign says that there is a device of that name which is another than was asked
	// for. It is left alone.
	ErrForeign = errors.New("is another device")
	// ErrNoDevice says that there is no device of that name.
	ErrNoDevice = errors.New("no such device")
)

// DeviceKind is the kind of a Device, as the kernel names it.
type DeviceKind string

// The kinds of device that VRRP makes.
const (
	Macvlan DeviceKind = "macvlan"
	IPVLAN  DeviceKind = "ipvlan"
)

// IPVLANMode says which devices above one another an ipvlan talks to (IPVLAN_F_ of
// linux/if_link.h); the layer is always 2.
type IPVLANMode uint16

// The modes of an ipvlan.
const (
	IPVLANBridge  IPVLANMode = 0
	IPVLANPrivate IPVLANMode = 1
	IPVLANVEPA    IPVLANMode = 2
)

// A Device is a device that VRRP makes on top of another: a macvlan in private mode that
// has the virtual MAC, or an ipvlan. It makes no link-local address of its own.
type Device struct {
	Name string
	Kind DeviceKind
	// Parent is the index of the device below.
	Parent int
	// MAC is that of a macvlan. An ipvlan has its parent's.
	MAC [6]byte
	// Mode is that of an ipvlan.
	Mode IPVLANMode
	// Group is the device's group in ip-link(8), 0 for the default.
	Group uint32
	// IPv4 says that a macvlan carries an IPv4 instance, and answers ARP for it. IPv6 says
	// that the device gets IPv6 addresses; without them it has IPv6 disabled. Both are for
	// making; lists leave them false.
	IPv4, IPv6 bool
}

// VirtualMAC is the MAC of a virtual router (RFC 9568, Section 7.3): 00:00:5e:00:01:VRID,
// and 00:00:5e:00:02:VRID for IPv6.
func VirtualMAC(vrid uint8, ipv6 bool) [6]byte {
	family := byte(1)
	if ipv6 {
		family = 2
	}
	return [6]byte{0, 0, 0x5e, 0, family, vrid}
}

// sysctls are what keepalived 2.2.7 sets on such a device: it answers ARP for its own
// addresses only, takes packets whatever their source and the way back to it (the subnet's
// route leads through the device below), and keeps the addresses that are left when the
// primary one goes.
func (d Device) sysctls() (list []Sysctl) {
	if d.Kind == Macvlan && d.IPv4 {
		list = append(list,
			conf4(d.Name, "arp_ignore", "1"), conf4(d.Name, "accept_local", "1"),
			conf4(d.Name, "rp_filter", "0"), conf4(d.Name, "promote_secondaries", "1"))
	}
	if !d.IPv6 {
		list = append(list, conf6(d.Name, "disable_ipv6", "1"))
	}
	return list
}

// difference says in what a device that was found is not the one that is wanted, "" for
// nothing. The group can be changed and does not count.
func (d Device) difference(found Device) string {
	switch {
	case found.Kind != d.Kind:
		if found.Kind == "" {
			return "it is no " + string(d.Kind)
		}
		return fmt.Sprintf("it is a %s, not a %s", found.Kind, d.Kind)
	case found.Parent != d.Parent:
		return fmt.Sprintf("it is above device %d, not %d", found.Parent, d.Parent)
	case d.Kind == Macvlan && found.MAC != d.MAC:
		return fmt.Sprintf("its MAC is %s, not %s", net.HardwareAddr(found.MAC[:]), net.HardwareAddr(d.MAC[:]))
	case found.Mode != d.Mode:
		return "it is in another mode"
	}
	return ""
}
