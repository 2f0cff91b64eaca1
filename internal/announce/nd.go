package announce

import (
	"encoding/binary"
	"net/netip"

	"uvs/internal/wire"
)

// ICMPv6 types of neighbour discovery (RFC 4861, Sections 4.3 and 4.4).
const (
	ndSolicitation  = 135
	ndAdvertisement = 136
)

// Flags of an advertisement, in its byte 4.
const (
	ndRouter    = 0x80
	ndSolicited = 0x40
	ndOverride  = 0x20
)

// Options of neighbour discovery: RFC 4861, Section 4.6 and, for the nonce, RFC 3971,
// Section 5.3.2. Lengths are in units of 8 bytes.
const (
	ndSourceMAC = 1
	ndTargetMAC = 2
	ndNonce     = 14
)

// A nonce marks our own solicitations, so that a copy that a switch sends back is not
// taken for another host (RFC 7527).
type nonce [6]byte

// An nd is an IPv6 packet with a neighbour solicitation or advertisement: an IPv6 header
// of 40 bytes, then type 0, code 1, checksum 2–4, flags 4, reserved 5–8, target 8–24 and
// options of 8 bytes each.
type nd struct {
	src, dst netip.Addr
	kind     uint8 // ndSolicitation or ndAdvertisement
	flags    uint8 // of an advertisement
	target   netip.Addr
	mac      wire.MAC // source or target link-layer address option; zero: none
	nonce    nonce    // zero: none
}

// ndLen is the length of the ICMPv6 message without options.
const ndLen = 24

// ndHopLimit is the only hop limit of a valid message: it cannot have passed a router.
const ndHopLimit = 255

// bytes returns the packet as it stands behind an Ethernet header.
func (n nd) bytes() []byte {
	ip := make([]byte, wire.IPv6Len+ndLen, wire.IPv6Len+ndLen+16)
	target := n.target.As16()
	copy(ip[wire.IPv6Len+8:], target[:])
	if n.mac != (wire.MAC{}) {
		option := byte(ndSourceMAC)
		if n.kind == ndAdvertisement {
			option = ndTargetMAC
		}
		ip = append(append(ip, option, 1), n.mac[:]...)
	}
	if n.nonce != (nonce{}) {
		ip = append(append(ip, ndNonce, 1), n.nonce[:]...)
	}

	src, dst := n.src.As16(), n.dst.As16()
	message := ip[wire.IPv6Len:]
	ip[0] = 6 << 4
	binary.BigEndian.PutUint16(ip[4:], uint16(len(message)))
	ip[6], ip[7] = wire.ProtoICMPv6, ndHopLimit
	copy(ip[8:], src[:])
	copy(ip[24:], dst[:])

	message[0], message[4] = n.kind, n.flags
	binary.BigEndian.PutUint16(message[2:], ndChecksum(ip, message))
	return ip
}

// ndChecksum is the checksum for an ICMPv6 message whose checksum field is zero, and zero
// for one whose field is right.
func ndChecksum(ip wire.IPv6, message []byte) uint16 {
	return ^wire.Sum(message, wire.PseudoHeaderSum(ip.Source(), ip.Destination(), wire.ProtoICMPv6, len(message)))
}

// parseND reads a packet that begins with an IPv6 header. It reports false unless it is a
// valid message as RFC 4861, Sections 7.1.1 and 7.1.2 define it. What follows the packet
// is ignored.
func parseND(b []byte) (nd, bool) {
	if len(b) < wire.IPv6Len+ndLen {
		return nd{}, false
	}
	ip := wire.IPv6(b)
	length := ip.PayloadLen()
	if ip.Version() != 6 || ip.NextHeader() != wire.ProtoICMPv6 || ip.HopLimit() != ndHopLimit ||
		length < ndLen || length > len(b)-wire.IPv6Len {
		return nd{}, false
	}
	message := b[wire.IPv6Len:][:length]
	n := nd{
		src:    netip.AddrFrom16([16]byte(ip.Source())),
		dst:    netip.AddrFrom16([16]byte(ip.Destination())),
		kind:   message[0],
		target: netip.AddrFrom16([16]byte(message[8:24])),
	}
	if n.kind != ndSolicitation && n.kind != ndAdvertisement || message[1] != 0 ||
		n.target.IsMulticast() || ndChecksum(ip, message) != 0 {
		return nd{}, false
	}
	if n.kind == ndAdvertisement {
		n.flags = message[4]
	}
	return n, n.parseOptions(message[ndLen:])
}

// parseOptions reads the options that matter to us and reports false if one is malformed.
func (n *nd) parseOptions(b []byte) bool {
	macOption := byte(ndSourceMAC)
	if n.kind == ndAdvertisement {
		macOption = ndTargetMAC
	}
	for len(b) > 0 {
		if len(b) < 2 || b[1] == 0 || int(b[1])*8 > len(b) {
			return false
		}
		option := b[:int(b[1])*8]
		switch {
		case len(option) != 8: // of another link layer, or with a longer nonce than ours
		case option[0] == macOption:
			n.mac = wire.MAC(option[2:8])
		case option[0] == ndNonce:
			n.nonce = nonce(option[2:8])
		}
		b = b[len(option):]
	}
	return true
}

// ndProbe asks who has addr without claiming it (RFC 4862, Section 5.4.2).
func ndProbe(addr netip.Addr, once nonce) nd {
	return nd{
		src: netip.IPv6Unspecified(), dst: solicitedNode(addr),
		kind: ndSolicitation, target: addr, nonce: once,
	}
}

// ndAnnouncement tells all nodes that mac has addr (RFC 4861, Section 7.2.6). The source
// is the address itself, as in keepalived's.
func ndAnnouncement(mac wire.MAC, addr netip.Addr, router bool) nd {
	n := nd{
		src: addr, dst: netip.IPv6LinkLocalAllNodes(),
		kind: ndAdvertisement, flags: ndOverride, target: addr, mac: mac,
	}
	if router {
		n.flags |= ndRouter
	}
	return n
}

// claims reports whether the packet shows that someone has addr (RFC 4862, Section 5.4.4).
func (n nd) claims(addr netip.Addr) bool { return n.target == addr && n.kind == ndAdvertisement }

// probes reports whether someone probes for addr at the same time as we do (RFC 4862,
// Section 5.4.3). A solicitation with a source comes from a host that looks for the owner;
// it says nothing of one.
func (n nd) probes(addr netip.Addr, ours nonce) bool {
	return n.target == addr && n.kind == ndSolicitation && n.src.IsUnspecified() && n.nonce != ours
}

// solicitedNode is the multicast group in which addr's owner listens (RFC 4291, Section
// 2.7.1).
func solicitedNode(addr netip.Addr) netip.Addr {
	a := addr.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]})
}

// groupMAC is the Ethernet address of an IPv6 multicast group (RFC 2464, Section 7).
func groupMAC(group netip.Addr) wire.MAC {
	a := group.As16()
	return wire.MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
}
