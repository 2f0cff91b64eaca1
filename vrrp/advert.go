package vrrp

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"uvs/internal/wire"
)

// Numbers of the protocol (IANA "Assigned Internet Protocol Numbers", RFC 9568, Section 5.2).
const (
	protocolVRRP = 112
	protocolAH   = 51

	typeAdvert = 1 // the only type of message

	headerLen   = 8 // before the addresses
	authDataLen = 8 // after them, in version 2

	maxIntervalCentis = 0x0fff
)

// group4 is the multicast group of IPv4, whatever group an instance is configured with: the
// old form of the checksum always has this one (RFC 9568, Section 5.1.1.2).
var group4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})

// An Advert is a VRRP advertisement (RFC 3768, Section 5.1; RFC 9568, Section 5.2):
// version and type 0, VRID 1, priority 2, address count 3, then in version 2 authentication
// type 4 and interval in seconds 5, in version 3 interval in centiseconds 4–6 (12 bits),
// checksum 6–8, addresses of 4 or 16 bytes, and in version 2 always 8 bytes of
// authentication data.
type Advert struct {
	Version, VRID uint8 // version 2 or 3
	Priority      uint8 // 0: the sender stops being master
	Auth          Auth  // AuthNone in version 3
	// Interval is 0 to 255 whole seconds in version 2, and 0 to 40.95 s in steps of 10 ms in
	// version 3.
	Interval time.Duration
	// Password is the authentication data of AuthPass and the key of AuthAH, padded with
	// zeros. The key is never on the wire: Parse leaves it zero.
	Password [authDataLen]byte
	// Addresses are all of the family of the packet, at most 255.
	Addresses []netip.Addr
}

// Append appends the message (header, addresses, in version 2 authentication data) with its
// checksum for a packet from src to dst, and returns the extended slice. It allocates nothing
// if b has room. sum matters in version 3 over IPv4 only: version 2 has no pseudo header, and
// IPv6 always has one. Addresses of another family than src's are a mistake of the caller and
// panic.
func (a *Advert) Append(b []byte, src, dst netip.Addr, sum Checksum) []byte {
	start := len(b)
	b = append(b, a.Version<<4|typeAdvert, a.VRID, a.Priority, uint8(len(a.Addresses)))
	if a.Version == 2 {
		b = append(b, uint8(a.Auth), uint8(a.Interval/time.Second))
	} else {
		centis := uint16(a.Interval/(10*time.Millisecond)) & maxIntervalCentis
		b = binary.BigEndian.AppendUint16(b, centis)
	}
	b = append(b, 0, 0)
	for _, addr := range a.Addresses {
		b = appendAddr(b, addr, src.Is4())
	}
	if a.Version == 2 {
		var data [authDataLen]byte
		if a.Auth == AuthPass {
			data = a.Password
		}
		b = append(b, data[:]...)
	}
	m := b[start:]
	binary.BigEndian.PutUint16(m[6:8], ^messageSum(m, src, dst, sum))
	return b
}

func appendAddr(b []byte, addr netip.Addr, ipv4 bool) []byte {
	if ipv4 {
		a := addr.As4()
		return append(b, a[:]...)
	}
	a := addr.As16()
	return append(b, a[:]...)
}

// Parse reads a message, which is the whole of b. It looks at what the fields need to be
// read: exact length, version, type. Checksum, authentication and everything that a receiver
// compares with its own configuration are not looked at. Reserved bits, and authentication
// data of types without any, are ignored. The Advert keeps nothing of b.
func Parse(b []byte, ipv6 bool) (Advert, *Rejection) {
	if len(b) < headerLen {
		return Advert{}, truncated(len(b), headerLen, "")
	}
	if want := messageLen(b, ipv6); len(b) != want {
		return Advert{}, wrongLength(len(b), want)
	}
	switch version := b[0] >> 4; {
	case version == 3, version == 2 && !ipv6:
	case ipv6:
		return Advert{}, wrongVersion(version, "3")
	default:
		return Advert{}, wrongVersion(version, "2 or 3")
	}
	if kind := b[0] & 0x0f; kind != typeAdvert {
		return Advert{}, wrongType(kind)
	}
	return read(b, ipv6), nil
}

// messageLen returns the length that a message claims to have by its version and address
// count. b has headerLen bytes at least.
func messageLen(b []byte, ipv6 bool) int {
	n := headerLen + int(b[3])*addrLen(ipv6)
	if b[0]>>4 == 2 {
		n += authDataLen
	}
	return n
}

func addrLen(ipv6 bool) int {
	if ipv6 {
		return 16
	}
	return 4
}

// read reads the fields of a message that has the length it claims.
func read(b []byte, ipv6 bool) Advert {
	a := Advert{Version: b[0] >> 4, VRID: b[1], Priority: b[2]}
	size := addrLen(ipv6)
	if n := int(b[3]); n > 0 {
		a.Addresses = make([]netip.Addr, n)
		for i := range a.Addresses {
			at := headerLen + i*size
			a.Addresses[i], _ = netip.AddrFromSlice(b[at : at+size])
		}
	}
	if a.Version != 2 {
		centis := binary.BigEndian.Uint16(b[4:6]) & maxIntervalCentis
		a.Interval = time.Duration(centis) * 10 * time.Millisecond
		return a
	}
	a.Auth = Auth(b[4])
	a.Interval = time.Duration(b[5]) * time.Second
	if a.Auth == AuthPass {
		a.Password = [authDataLen]byte(b[len(b)-authDataLen:])
	}
	return a
}

// messageSum returns the ones'-complement sum that the checksum of a message is the
// complement of: pseudo header, if the form has one, and all of m. It is 0xffff where the
// field holds the right checksum.
func messageSum(m []byte, src, dst netip.Addr, form Checksum) uint16 {
	if m[0]>>4 == 2 {
		return wire.Sum(m, 0)
	}
	if src.Is4() {
		if form == ChecksumAsV2 {
			return wire.Sum(m, 0)
		}
		if form == ChecksumOld && !dst.IsMulticast() {
			dst = group4
		}
		s, d := src.As4(), dst.As4()
		return wire.Sum(m, wire.PseudoHeaderSum(s[:], d[:], protocolVRRP, len(m)))
	}
	s, d := src.As16(), dst.As16()
	return wire.Sum(m, wire.PseudoHeaderSum(s[:], d[:], protocolVRRP, len(m)))
}

// interval writes an advert interval as an operator configures it: "1s", "0.25s".
func interval(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
