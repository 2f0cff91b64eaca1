package conntrack

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// A Tuple is what a packet says about its ends: the addresses as on the wire, an IPv4
// address in the first 4 bytes and zeros after it; the ports in host order; the IP
// protocol number.
type Tuple struct {
	Src, Dst         [16]byte
	SrcPort, DstPort uint16
	Proto            uint8
	V6               bool
}

// An Endpoint is an address, laid out as in [Tuple], and a port in host order.
type Endpoint struct {
	Addr [16]byte
	Port uint16
}

// A ServerID names a real server in its owner's slab. Gen tells successive users of a
// slot apart; a zero Gen means that the flow has no server.
type ServerID struct{ Slot, Gen uint32 }

// Dir is the direction of a packet within its flow.
type Dir uint8

const (
	// Original is the direction from the client to the virtual service.
	Original Dir = iota
	// Reply is the direction from the real server to the client.
	Reply
)

// String returns "original" or "reply".
func (d Dir) String() string {
	if d == Reply {
		return "reply"
	}
	return "original"
}

// ends returns the packet's client, if the packet goes in direction d, and its other end.
func (tp *Tuple) ends(d Dir) (client *[16]byte, clientPort uint16, other *[16]byte, otherPort uint16) {
	if d == Original {
		return &tp.Src, tp.SrcPort, &tp.Dst, tp.DstPort
	}
	return &tp.Dst, tp.DstPort, &tp.Src, tp.SrcPort
}

// Spread returns the number, taken modulo their number, that picks the worker of a client: that of the fanout
// program (afpacket's clientHash), which brings both directions of a flow to it. Frames may come to another worker,
// which then finds the flow all the same, and pays for a lock that it shares.
func Spread(addr *[16]byte, port uint16, v6 bool) uint16 {
	sum := uint32(port) + binary.BigEndian.Uint32(addr[:])
	if v6 {
		sum += binary.BigEndian.Uint32(addr[4:]) + binary.BigEndian.Uint32(addr[8:]) + binary.BigEndian.Uint32(addr[12:])
	}
	return uint16(sum * 0x9e3779b1 >> 16)
}

// hash digests the client's end. The secret stands in front, so that it has stirred the
// state before any byte that the client chooses; xxhash's one-shot call takes no seed.
// The two families have keys of different length.
func (t *Table) hash(proto uint8, addr *[16]byte, port uint16, v6 bool) uint64 {
	var key [36]byte
	copy(key[:16], t.secret[:])
	key[16] = proto
	binary.LittleEndian.PutUint16(key[18:], port)
	if v6 {
		copy(key[20:36], addr[:])
		return xxhash.Sum64(key[:36])
	}
	copy(key[20:24], addr[:4])
	return xxhash.Sum64(key[:24])
}
