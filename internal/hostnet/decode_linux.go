package hostnet

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Numbers of rtnetlink that golang.org/x/sys/unix does not name.
const (
	netconfIfindex    = 1          // NETCONFA_IFINDEX
	netconfForwarding = 2          // NETCONFA_FORWARDING
	netconfAll        = 0xffffffff // NETCONFA_IFINDEX_ALL

	infoKind, infoData, infoSlaveKind = 1, 2, 4 // IFLA_INFO_*
	vlanID                            = 1       // IFLA_VLAN_ID
	vrfTable                          = 1       // IFLA_VRF_TABLE

	operUnknown, operDormant, operUp = 0, 5, 6 // IF_OPER_*

	ruleInvert = 0x2 // FIB_RULE_INVERT
)

// decode turns a message of rtnetlink, without its header, into an event. flags are the
// header's. It returns nil for messages that say nothing to this package and for
// malformed ones.
func decode(kind, flags uint16, b []byte) event {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return decodeLink(kind, b)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return decodeAddress(kind, b)
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return decodeNeighbour(kind, b)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return decodeRoute(kind, flags, b)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		return rulesTouched{}
	case unix.RTM_NEWNETCONF:
		return decodeForwarding(b)
	}
	return nil
}

// attributes yields the attributes in b (struct rtattr) up to the first malformed one.
// The values are parts of b.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			length := int(binary.NativeEndian.Uint16(b))
			if length < unix.SizeofRtAttr || length > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[unix.SizeofRtAttr:length]) {
				return
			}
			b = b[min(align(length), len(b)):]
		}
	}
}

// align rounds a length up to the four bytes that netlink aligns to.
func align(n int) int { return (n + 3) &^ 3 }

// number reads a 32-bit attribute, or 0 if it is too short.
func number(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

// text reads a string attribute, with or without its final zero.
func text(v []byte) string {
	s, _, _ := strings.Cut(string(v), "\x00")
	return s
}

// address reads an address of 4 or 16 bytes; other lengths give the zero Addr.
func address(v []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(v)
	return a
}

// isIP reports whether a message's family byte is IPv4 or IPv6.
func isIP(family byte) bool { return family == unix.AF_INET || family == unix.AF_INET6 }

func decodeLink(kind uint16, b []byte) event {
	// Bridges report their ports with family AF_BRIDGE: a DELLINK of that family means that
	// the port left the bridge, not that it is gone.
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return nil
	}
	l := Link{Index: int(int32(binary.NativeEndian.Uint32(b[4:])))}
	if kind == unix.RTM_DELLINK {
		return linkGone{l.Index}
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	l.Admin = flags&unix.IFF_UP != 0
	l.Running, l.LowerUp = flags&unix.IFF_RUNNING != 0, flags&unix.IFF_LOWER_UP != 0
	l.Loopback = flags&unix.IFF_LOOPBACK != 0
	l.NoARP = flags&unix.IFF_NOARP != 0
	l.Ethernet = binary.NativeEndian.Uint16(b[2:]) == unix.ARPHRD_ETHER
	carrier, oper, elsewhere := true, byte(operUnknown), false
	for kind, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = text(v)
		case unix.IFLA_ADDRESS:
			if len(v) == len(l.MAC) {
				l.MAC = [6]byte(v)
			}
		case unix.IFLA_MTU:
			l.MTU = int(number(v))
		case unix.IFLA_MASTER:
			l.Master = int(number(v))
		case unix.IFLA_LINK:
			l.Parent = int(number(v))
		case unix.IFLA_LINK_NETNSID:
			elsewhere = true
		case unix.IFLA_CARRIER:
			carrier = len(v) > 0 && v[0] != 0
		case unix.IFLA_OPERSTATE:
			if len(v) > 0 {
				oper = v[0]
			}
		case unix.IFLA_LINKINFO:
			l.decodeInfo(v)
		}
	}
	// Only veth has IFLA_LINK for a peer; a tunnel may name itself.
	if elsewhere || l.Kind == "veth" || l.Parent == l.Index {
		l.Parent = 0
	}
	l.Up = l.Admin && carrier && (oper == operUnknown || oper == operUp || oper == operDormant)
	return linkChanged{l}
}

// decodeInfo reads IFLA_LINKINFO.
func (l *Link) decodeInfo(b []byte) {
	var data []byte
	for kind, v := range attributes(b) {
		switch kind {
		case infoKind:
			l.Kind = text(v)
		case infoData:
			data = v
		case infoSlaveKind:
			l.MasterKind = text(v)
		}
	}
	for kind, v := range attributes(data) {
		switch {
		case l.Kind == "vlan" && kind == vlanID && len(v) >= 2:
			l.VLAN = binary.NativeEndian.Uint16(v)
		case l.Kind == "macvlan" && kind == macvlanMode:
			l.Private = number(v) == macvlanPrivate
		case l.Kind == "vrf" && kind == vrfTable:
			l.Table = int(number(v))
		}
	}
}

func decodeAddress(kind uint16, b []byte) event {
	if len(b) < unix.SizeofIfAddrmsg || !isIP(b[0]) {
		return nil
	}
	length := int(b[1])
	a := Address{Scope: int(b[3]), Flags: AddressFlags(b[2]), Link: int(binary.NativeEndian.Uint32(b[4:]))}
	var own, other netip.Addr
	for kind, v := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_LOCAL:
			own = address(v)
		case unix.IFA_ADDRESS:
			other = address(v)
		case unix.IFA_BROADCAST:
			a.Broadcast = address(v)
		case unix.IFA_LABEL:
			a.Label = text(v)
		case unix.IFA_FLAGS:
			a.Flags = AddressFlags(number(v))
		}
	}
	// The length belongs to IFA_ADDRESS: that is the local address itself, or the peer.
	switch {
	case !own.IsValid():
		own = other
	case other.IsValid() && own != other:
		if own.BitLen() != other.BitLen() || length > other.BitLen() {
			return nil
		}
		a.Peer, length = netip.PrefixFrom(other, length), own.BitLen()
	}
	if !own.IsValid() || length > own.BitLen() {
		return nil
	}
	a.Prefix = netip.PrefixFrom(own, length)
	if kind == unix.RTM_DELADDR {
		return addressGone{a.key()}
	}
	return addressChanged{a}
}

// broadcast is the Ethernet broadcast address.
var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func decodeNeighbour(kind uint16, b []byte) event {
	if len(b) < unix.SizeofNdMsg || !isIP(b[0]) || b[10]&unix.NTF_PROXY != 0 {
		return nil
	}
	n := Neighbour{
		Link:  int(int32(binary.NativeEndian.Uint32(b[4:]))),
		State: NeighbourState(binary.NativeEndian.Uint16(b[8:])),
	}
	hasMAC := false
	for kind, v := range attributes(b[unix.SizeofNdMsg:]) {
		switch kind {
		case unix.NDA_DST:
			n.Addr = address(v)
		case unix.NDA_LLADDR:
			if hasMAC = len(v) == len(n.MAC); hasMAC {
				n.MAC = [6]byte(v)
			}
		}
	}
	// For a group or a broadcast the kernel makes an entry of its own when it sends there,
	// and tells nobody.
	if !n.Addr.IsValid() || n.Addr.IsMulticast() || n.MAC == broadcast {
		return nil
	}
	n.Usable = hasMAC && n.State&valid != 0
	return neighbourUpdated{neighbourChange{n, kind == unix.RTM_DELNEIGH}}
}

func decodeRoute(kind, flags uint16, b []byte) event {
	if len(b) < unix.SizeofRtMsg || !isIP(b[0]) {
		return nil
	}
	// Clones are entries of the route cache. Routes by source prefix or type of service
	// are not followed.
	if b[2] != 0 || b[3] != 0 || binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return nil
	}
	r := Route{Table: int(b[4]), Kind: RouteKind(b[7])}
	dst := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	single := Hop{Weight: 1}
	single.dead(binary.NativeEndian.Uint32(b[8:]))
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			dst = address(v)
		case unix.RTA_TABLE:
			r.Table = int(number(v))
		case unix.RTA_PRIORITY:
			r.Metric = number(v)
		case unix.RTA_PREFSRC:
			r.Source = address(v)
		case unix.RTA_METRICS:
			r.decodeMetrics(v)
		case unix.RTA_MULTIPATH:
			r.Hops = decodeHops(v)
		default:
			single.decode(kind, v)
		}
	}
	var err error
	if r.Dst, err = dst.Prefix(int(b[1])); err != nil {
		return nil
	}
	switch {
	case r.Kind >= Blackhole:
		r.Hops = nil // IPv6 names the loopback device
	case single.Link != 0 && single.Weight > 0:
		r.Hops = []Hop{single}
	}
	if kind == unix.RTM_DELROUTE {
		return routeGone{r}
	}
	return routeAdded{r, flags&unix.NLM_F_REPLACE != 0}
}

func (r *Route) decodeMetrics(b []byte) {
	for kind, v := range attributes(b) {
		if kind == unix.RTAX_MTU {
			r.MTU = int(number(v))
		}
	}
}

// decode reads an attribute that describes a hop.
func (h *Hop) decode(kind uint16, v []byte) {
	switch kind {
	case unix.RTA_OIF:
		h.Link = int(number(v))
	case unix.RTA_GATEWAY:
		h.Gateway = address(v)
	case unix.RTA_VIA: // struct rtvia: family, address
		if len(v) > 2 {
			h.Gateway = address(v[2:])
		}
	}
}

// dead takes the weight from a hop whose flags say that the kernel does not use it.
func (h *Hop) dead(flags uint32) {
	if flags&unix.RTNH_F_DEAD != 0 {
		h.Weight = 0
	}
}

// decodeHops reads RTA_MULTIPATH, an array of struct rtnexthop with attributes.
func decodeHops(b []byte) []Hop {
	var hops []Hop
	for len(b) >= unix.SizeofRtNexthop {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtNexthop || length > len(b) {
			break
		}
		h := Hop{Weight: int(b[3]) + 1, Link: int(int32(binary.NativeEndian.Uint32(b[4:])))}
		h.dead(uint32(b[2]))
		for kind, v := range attributes(b[unix.SizeofRtNexthop:length]) {
			h.decode(kind, v)
		}
		if h.Weight > 0 {
			hops = append(hops, h)
		}
		b = b[min(align(length), len(b)):]
	}
	return hops
}

func decodeForwarding(b []byte) event {
	if len(b) < align(unix.SizeofRtGenmsg) || !isIP(b[0]) { // struct netconfmsg
		return nil
	}
	device, on, told := uint32(0), false, false
	for kind, v := range attributes(b[align(unix.SizeofRtGenmsg):]) {
		switch kind {
		case netconfIfindex:
			device = number(v)
		case netconfForwarding:
			on, told = number(v) != 0, true
		}
	}
	if device != netconfAll || !told {
		return nil
	}
	return forwardingChanged{b[0] == unix.AF_INET6, on}
}
