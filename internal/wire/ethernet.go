package wire

import "encoding/binary"

// EtherType values (IEEE 802 numbers registry).
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeVLAN = 0x8100 // IEEE 802.1Q customer tag
	EtherTypeIPv6 = 0x86dd
)

// VLANLen is the length of an 802.1Q tag: TPID 0–2, TCI 2–4. It stands between the
// addresses and the EtherType.
const VLANLen = 4

// MACsLen is the length of both station addresses, with which a frame begins.
const MACsLen = 12

// EthernetLen is the length of an untagged Ethernet II header: destination 0–6,
// source 6–12, EtherType 12–14.
const EthernetLen = 14

// A MAC is a 48-bit Ethernet address.
type MAC [6]byte

// IsZero reports whether m is 00:00:00:00:00:00, which no station has.
func (m MAC) IsZero() bool { return m == MAC{} }

// Ethernet is a view on a frame that has at least EthernetLen bytes.
type Ethernet []byte

// Destination returns the destination address.
func (e Ethernet) Destination() MAC { return MAC(e[0:6]) }

// Source returns the source address.
func (e Ethernet) Source() MAC { return MAC(e[6:12]) }

// EtherType returns the type field of an Ethernet II header.
func (e Ethernet) EtherType() uint16 { return binary.BigEndian.Uint16(e[12:14]) }

// SetAddresses writes both station addresses.
func (e Ethernet) SetAddresses(dst, src MAC) {
	_ = e[11]
	copy(e[0:6], dst[:])
	copy(e[6:12], src[:])
}

// SetEtherType writes the type field.
func (e Ethernet) SetEtherType(t uint16) { binary.BigEndian.PutUint16(e[12:14], t) }
