package vrrp

import (
	"crypto/md5"
	"encoding/binary"

	"uvs/internal/wire"
)

// The authentication header as keepalived fills it (RFC 4302, Section 2, with HMAC-MD5-96 of
// RFC 2403): next header 0, length in words less two 1, reserved 2–4, SPI 4–8, which is the
// source address, sequence number 8–12, digest 12–24.
const (
	ahLen       = 24
	ahWords     = ahLen/4 - 2
	ahDigestAt  = 12
	ahDigestLen = ahLen - ahDigestAt
)

// appendAH appends a header with a zero digest.
func appendAH(b []byte, source []byte, sequence uint32) []byte {
	b = append(b, protocolVRRP, ahWords, 0, 0)
	b = append(b, source...)
	b = binary.BigEndian.AppendUint32(b, sequence)
	return append(b, make([]byte, ahDigestLen)...)
}

// ahDigest returns the digest of a packet: IPv4 header, and payload beginning with the
// authentication header. What routers change is taken as zero: TOS, fragment field, checksum,
// and the digest itself. A TTL is taken as zero in unicast only: keepalived has it so, as
// multicast always arrives with 255. The payload is at most as long as 255 addresses make it.
// A header that is missing is taken as zero. It allocates nothing.
func ahDigest(key [authDataLen]byte, header, payload []byte, unicast bool) [ahDigestLen]byte {
	const (
		block       = 64
		inner       = 0x36
		outer       = 0x5c
		maxIPHeader = 60
		maxMessage  = headerLen + 255*4 + authDataLen
	)
	var room [block + maxIPHeader + ahLen + maxMessage]byte
	b := room[:block]
	copy(b, key[:])
	for i := range b {
		b[i] ^= inner
	}
	if len(header) < wire.IPv4Len {
		header = make([]byte, wire.IPv4Len)
	}
	b = append(b, header...)
	ip := wire.IPv4(b[block:])
	ip.SetTOS(0)
	ip.SetFragment(0, 0)
	ip.SetChecksum(0)
	if unicast {
		ip[8] = 0
	}
	digestAt := len(b) + ahDigestAt
	b = append(b, payload...)
	clear(b[digestAt : digestAt+ahDigestLen])

	hash := md5.Sum(b) //nolint:gosec // keepalived's authentication is what it is

	b = b[:block]
	for i := range b {
		b[i] ^= inner ^ outer
	}
	hash = md5.Sum(append(b, hash[:]...)) //nolint:gosec // as above
	return [ahDigestLen]byte(hash[:ahDigestLen])
}
