package forwarding

import (
	"encoding/binary"

	"uvs/internal/wire"
)

// A Frame is one received Ethernet frame on its way through a Worker. It points into
// memory of the Port that received it and is valid until Release.
type Frame struct {
	// Data is the frame from its destination address on, without a VLAN tag and without FCS.
	// The worker rewrites it in place.
	Data []byte
	// Front is the memory before Data that headers may be put into: it ends where Data begins,
	// and its capacity reaches over Data. Data[:0] would do if slices grew to the front. What
	// is in there is lost, Vnet too. It may be nil.
	Front []byte
	// Vnet is the frame's virtio_net_hdr, VnetLen bytes, or nil from a port without one. It
	// is sent as it was received.
	Vnet VnetHeader
	// VLAN is the tag that the device took off the frame, or the zero VLANTag. Send puts it
	// back.
	VLAN VLANTag
	// Slot is the receiving Port's own mark; nobody else reads it.
	Slot uint32
	// Refused is what Send sets on frames that the kernel did not take.
	Refused bool

	// Port is the number of the port that received the frame, in the list that the worker got
	// by SetPorts. The worker itself sets it for what its ports receive; who calls Process sets
	// it for what comes from elsewhere.
	Port int

	made bool // the worker made it: it stands for no received frame
	own  bool // it comes from the host's own stack
}

// widen puts n bytes in front of the network header, in Front. It reports false if there is not
// that much room. Vnet is lost, and the Ethernet header is to be written anew.
func (f *Frame) widen(n int) bool {
	room := len(f.Front) - n
	if room < 0 {
		return false
	}
	f.Front, f.Data, f.Vnet = f.Front[:room], f.Front[room:len(f.Front)+len(f.Data)], nil
	return true
}

// A VLANTag is an IEEE 802.1Q tag. The zero VLANTag is none.
type VLANTag struct {
	TPID uint16 // the tag's EtherType, 0x8100 or 0x88a8; 0: there is no tag
	TCI  uint16 // priority 13–16, drop eligible 12, VLAN id 0–12
}

// Present reports whether there is a tag, of whatever id.
func (t VLANTag) Present() bool { return t.TPID != 0 }

// ID returns the VLAN id, 0 to 4095. 0 means that the tag carries only a priority.
func (t VLANTag) ID() uint16 { return t.TCI & 0x0fff }

// VnetLen is the length of struct virtio_net_hdr (include/uapi/linux/virtio_net.h).
const VnetLen = 10

// A VnetHeader is a view on a struct virtio_net_hdr in the machine's byte order, as
// AF_PACKET hands it over with PACKET_VNET_HDR: flags 0, gso_type 1, hdr_len 2–4,
// gso_size 4–6, csum_start 6–8, csum_offset 8–10. A nil VnetHeader describes a frame that
// is complete: no segmentation, checksums in place.
type VnetHeader []byte

const (
	vnetNeedsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM

	vnetTCPv4 = 1    // VIRTIO_NET_HDR_GSO_TCPV4
	vnetTCPv6 = 4    // VIRTIO_NET_HDR_GSO_TCPV6
	vnetUDP   = 5    // VIRTIO_NET_HDR_GSO_UDP_L4
	vnetECN   = 0x80 // VIRTIO_NET_HDR_GSO_ECN, beside one of the others
)

// NeedsChecksum reports whether the transport checksum is partial (the sum of the pseudo
// header) and still to be completed by the sender's side.
func (v VnetHeader) NeedsChecksum() bool { return v != nil && v[0]&vnetNeedsChecksum != 0 }

// GSO reports whether the frame stands for several segments.
func (v VnetHeader) GSO() bool { return v != nil && v[1] != 0 }

// kind returns how the frame is segmented: vnetTCPv4 and its like.
func (v VnetHeader) kind() uint8 { return v[1] &^ vnetECN }

// segment returns how much payload each of the frame's segments has but the last.
func (v VnetHeader) segment() int { return int(binary.NativeEndian.Uint16(v[4:6])) }

// ChecksumStart returns the offset in the frame from which a partial checksum counts.
func (v VnetHeader) ChecksumStart() int { return int(binary.NativeEndian.Uint16(v[6:8])) }

// ChecksumAt returns the offset in the frame of the partial checksum's field.
func (v VnetHeader) ChecksumAt() int {
	return v.ChecksumStart() + int(binary.NativeEndian.Uint16(v[8:10]))
}

// Shift moves the offsets that count from the start of the frame, as headers of n bytes are
// put in front of the network header.
func (v VnetHeader) Shift(n int) {
	shift := func(b []byte) {
		if x := binary.NativeEndian.Uint16(b); x != 0 { // 0: not given
			binary.NativeEndian.PutUint16(b, x+uint16(n))
		}
	}
	shift(v[2:4])
	if v.NeedsChecksum() {
		shift(v[6:8])
	}
}

// A Port is one captured interface and one worker's share of it. A Port is owned by one
// worker goroutine; only Stats may be called from elsewhere.
type Port interface {
	// Link returns the interface's index and address.
	Link() (index int, mac wire.MAC)
	// Recv fills fs with received frames and reports how many. It never blocks; n = 0 is
	// legal, and the worker then waits in its one ppoll. The caller owns the frames until it
	// passes them to Release. After Close, Recv returns an error.
	Recv(fs []Frame) (n int, err error)
	// Send transmits frames, which may have come from other ports, and reports how many the
	// kernel took; it has a copy of those when Send returns. Frames that it refuses are
	// skipped, marked as Refused and counted by the Port; err describes the last refusal.
	// Send does not wait for room that does not come: a full queue costs frames, not time.
	Send(fs []Frame) (sent int, err error)
	// Release gives frames back to the Port that received them, in the order of receipt.
	Release(fs []Frame)
	// FD returns the descriptor to poll for received frames, or −1 for a port that only sends.
	FD() int
	// Err takes and returns a pending error of the descriptor, which poll reports as POLLERR:
	// the interface went down, say. The port stays usable.
	Err() error
	// Stats returns totals since the port was opened, also after Close. Safe for use by many
	// goroutines.
	Stats() PortStats
	// Close releases the port. Frames not yet released become invalid. A second Close does
	// nothing.
	Close() error
}

// PortStats are a Port's totals since it was opened.
type PortStats struct {
	Received   uint64 // frames that Recv returned
	Sent       uint64 // frames that the kernel took
	RingDrops  uint64 // frames the kernel dropped because the ring was full (PACKET_STATISTICS)
	SendErrors uint64 // frames the kernel refused
	SendError  error  // the last refusal, nil if there was none
	Slots      int    // frames that fit the receive ring at the least, 0 for a port that only sends
	RingBytes  int    // memory that receiving takes
}
