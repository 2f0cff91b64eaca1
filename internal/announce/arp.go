package announce

import (
	"encoding/binary"
	"net/netip"

	"uvs/internal/wire"
)

// ARP operations (RFC 826).
const (
	arpRequest = 1
	arpReply   = 2
)

// An arp is an ARP packet for IPv4 over Ethernet: RFC 826, 28 bytes.
//
//	hardware type 0–2, protocol type 2–4, lengths 4 and 5, operation 6–8,
//	sender MAC 8–14, sender IP 14–18, target MAC 18–24, target IP 24–28
type arp struct {
	operation uint16
	senderMAC wire.MAC
	senderIP  netip.Addr // IPv4
	targetMAC wire.MAC
	targetIP  netip.Addr // IPv4
}

// arpLen is the length of an ARP packet for IPv4 over Ethernet.
const arpLen = 28

// arpStart is what such a packet begins with: hardware type Ethernet, protocol type IPv4,
// addresses of 6 and 4 bytes.
const arpStart = 0x0001_0800_0604

// bytes returns the packet as it stands behind an Ethernet header.
func (a arp) bytes() []byte {
	sender, target := a.senderIP.As4(), a.targetIP.As4()
	b := make([]byte, 8, arpLen)
	binary.BigEndian.PutUint64(b, arpStart<<16|uint64(a.operation))
	b = append(b, a.senderMAC[:]...)
	b = append(b, sender[:]...)
	b = append(b, a.targetMAC[:]...)
	return append(b, target[:]...)
}

// parseARP reads a packet. It reports false if b is too short or speaks of something else
// than IPv4 over Ethernet. What follows the packet, such as padding, is ignored.
func parseARP(b []byte) (arp, bool) {
	if len(b) < arpLen || binary.BigEndian.Uint64(b)>>16 != arpStart {
		return arp{}, false
	}
	return arp{
		operation: binary.BigEndian.Uint16(b[6:]),
		senderMAC: wire.MAC(b[8:14]),
		senderIP:  netip.AddrFrom4([4]byte(b[14:18])),
		targetMAC: wire.MAC(b[18:24]),
		targetIP:  netip.AddrFrom4([4]byte(b[24:28])),
	}, true
}

// arpProbe asks who has addr without claiming it: the sender address is unspecified, so
// that nobody learns a wrong MAC (RFC 5227, Section 1.1).
func arpProbe(mac wire.MAC, addr netip.Addr) arp {
	return arp{operation: arpRequest, senderMAC: mac, senderIP: netip.IPv4Unspecified(), targetIP: addr}
}

// arpAnnouncement tells that mac has addr. It is a request with both addresses the same
// (RFC 5227, Section 3 says why not a reply); the target MAC, which nobody reads, is
// broadcast as in keepalived's.
func arpAnnouncement(mac wire.MAC, addr netip.Addr) arp {
	return arp{operation: arpRequest, senderMAC: mac, senderIP: addr, targetMAC: broadcast, targetIP: addr}
}

// claims reports whether the packet shows that its sender has addr (RFC 5227, Section 2.1.1).
func (a arp) claims(addr netip.Addr) bool { return a.senderIP == addr }

// probes reports whether its sender probes for addr at the same time as we do.
func (a arp) probes(addr netip.Addr) bool {
	return a.operation == arpRequest && a.senderIP.IsUnspecified() && a.targetIP == addr
}
