package hostnet

// A Link is a network device. It is a plain value; the zero Link is no device.
type Link struct {
	// Index is the interface index, unique in the namespace while the device exists.
	Index int
	Name  string
	// MAC is the hardware address. It is zero if the device has none of six bytes.
	MAC [6]byte
	// MTU is in bytes, without the link-layer header.
	MTU int
	// Admin says that the device is set up (IFF_UP), Up that it can also carry frames:
	// carrier is present and the operational state (RFC 2863) is up, unknown or dormant.
	Admin, Up bool
	// Running and LowerUp are the kernel's IFF_RUNNING and IFF_LOWER_UP: the device is
	// operational (RFC 2863), its driver has carrier. keepalived goes by Running.
	Running, LowerUp bool
	// Loopback, Ethernet and NoARP: the device is the loopback device, has Ethernet
	// framing (ARPHRD_ETHER), resolves no neighbours (IFF_NOARP).
	Loopback, Ethernet, NoARP bool
	// Kind is the kernel's name for a virtual device ("veth", "bridge", "bond", "vlan",
	// "macvlan", "vrf" …), empty for a physical one.
	Kind string
	// Private says that a macvlan talks to none beside it.
	Private bool
	// Master is the index of the bridge, bond, team or VRF that owns the device, or 0.
	// MasterKind is that owner's kind.
	Master     int
	MasterKind string
	// Parent is the index of the device below a VLAN, macvlan, ipvlan and the like, or 0.
	// It is 0 too for a veth, whose peer is beside it, and when the parent lives in
	// another namespace.
	Parent int
	// VLAN is the tag of a device of kind "vlan", 1 to 4094, else 0.
	VLAN uint16
	// Table is the routing table of a device of kind "vrf", else 0.
	Table int
}

// enslaved reports whether the device hands what it receives to a master instead of to
// the IP stack. A VRF is a master too, but it only chooses the routing table.
func (l Link) enslaved() bool { return l.Master != 0 && l.MasterKind != "vrf" }

// placeholder reports whether addresses on the device are reached through other devices:
// the loopback device and dummies transmit to nobody.
func (l Link) placeholder() bool { return l.Loopback || l.Kind == "dummy" }
