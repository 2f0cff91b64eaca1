package vrrp

import (
	"net/netip"

	"uvs/internal/wire"
)

// tosControl is "internetwork control", the precedence of routing protocols (RFC 791,
// Section 3.1).
const tosControl = 0xc0

// A Message is an advert as it is sent. It may be kept and sent again; a change of the
// priority is a change of the Advert.
type Message struct {
	Advert
	// Checksum is the form in force: ChecksumOld also where ChecksumAuto has followed a peer.
	Checksum Checksum
	// Sequence is the number in the authentication header of AuthAH, 0 otherwise. It grows
	// with every packet.
	Sequence uint32
}

// AppendIPv4 appends the whole IPv4 packet, header checksum included, and returns the
// extended slice. It allocates nothing if b has room. The packet is of protocol 112, or of 51
// (AH) with AuthAH. id is not 0: the kernel would put its own in, and with it spoil the digest
// of AH.
func (m *Message) AppendIPv4(b []byte, src, dst netip.Addr, ttl uint8, id uint16) []byte {
	start := len(b)
	s, d := src.As4(), dst.As4()
	var header [wire.IPv4Len]byte
	b = append(b, header[:]...)
	protocol := uint8(protocolVRRP)
	if m.Auth == AuthAH {
		protocol = protocolAH
		b = appendAH(b, s[:], m.Sequence)
	}
	b = m.Append(b, src, dst, m.Checksum)

	ip, payload := wire.IPv4(b[start:start+wire.IPv4Len]), b[start+wire.IPv4Len:]
	ip.Init(tosControl, ttl, protocol, id, false, len(payload))
	copy(ip.Source(), s[:])
	copy(ip.Destination(), d[:])
	if m.Auth == AuthAH {
		digest := ahDigest(m.Password, ip, payload, !dst.IsMulticast())
		copy(payload[ahDigestAt:], digest[:])
	}
	ip.SetChecksum(wire.Checksum(ip))
	return b
}

// AppendIPv6 appends the payload of the IPv6 packet, protocol 112, and returns the extended
// slice. It allocates nothing if b has room.
func (m *Message) AppendIPv6(b []byte, src, dst netip.Addr) []byte {
	return m.Append(b, src, dst, m.Checksum)
}
