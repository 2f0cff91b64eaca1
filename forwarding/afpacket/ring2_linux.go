package afpacket

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// The layout of a TPACKET_V2 slot (include/uapi/linux/if_packet.h, struct tpacket2_hdr):
// status 0–4, length 4–8, captured length 8–12, offset of the frame 12–14, of its network
// header 14–16, VLAN tag 24–26, VLAN TPID 26–28. The virtio_net_hdr ends where the frame
// begins.
const (
	slotStatus   = 0
	slotLen      = 4
	slotSnapLen  = 8
	slotMAC      = 12
	slotVLANTCI  = 24
	slotVLANTPID = 26
)

// The status word, which slots, blocks, frames in blocks and auxiliary data share.
const (
	statusKernel        = 0
	statusUser          = 0x01
	statusCopy          = 0x02 // TP_STATUS_COPY: the whole frame waits in the socket's queue
	statusChecksumUnset = 0x08 // TP_STATUS_CSUMNOTREADY
	statusVLANValid     = 0x10
	statusVLANTPID      = 0x40
)

// ringV2 is a TPACKET_V2 ring. Slots go round in order.
type ringV2 struct {
	mem     []byte
	shape   ringShape
	slots   int
	plain   bool
	next    int   // the slot that the kernel fills next
	pending int   // slots before next that are not released yet
	long    *long // nil if plain
}

func openRingV2(fd int, s Shape, memory int) (*ringV2, error) {
	if err := prepareRing(fd, unix.TPACKET_V2); err != nil {
		return nil, err
	}
	shape := s.ring()
	blocks, buffers, queue := s.v2Parts(memory)
	r := &ringV2{shape: shape, slots: blocks * shape.slots, plain: s.Plain}
	if !s.Plain {
		var err error
		if r.long, err = openLong(fd, buffers, queue); err != nil {
			return nil, err
		}
	}
	bytes := blocks * shape.block
	err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{
		Block_size: uint32(shape.block),
		Block_nr:   uint32(blocks),
		Frame_size: uint32(shape.slot),
		Frame_nr:   uint32(r.slots),
	})
	if err == nil {
		r.mem, err = mapRing(fd, bytes)
	} else {
		err = os.NewSyscallError("setsockopt PACKET_RX_RING", err)
	}
	if err != nil {
		r.long.close() //nolint:errcheck // the first error counts
		return nil, fmt.Errorf("ring of %d KiB: %w", bytes>>10, err)
	}
	return r, nil
}

func (r *ringV2) slot(i int) []byte { return r.mem[r.shape.offset(i):][:r.shape.slot] }

// recv hands out the slots that are filled; they stay in place. Slots of long frames that no
// buffer is free for wait for the next call.
func (r *ringV2) recv(fs []forwarding.Frame) (n int, err error) { //nolint:unparam // an input may fail; a ring does not
	for n < len(fs) && r.pending < r.slots {
		slot := r.slot(r.next)
		status := loadStatus(slot, slotStatus)
		if status&statusUser == 0 || status&statusCopy != 0 && !r.long.expect(&fs[n], int(slotUint32(slot, slotLen))) {
			break
		}
		f := &fs[n]
		*f = inRing(slot, int(slotUint16(slot, slotMAC)), int(slotUint32(slot, slotSnapLen)), r.plain,
			state{status, slotUint16(slot, slotVLANTCI), slotUint16(slot, slotVLANTPID)})
		f.Slot = uint32(r.next)
		n++
		r.pending++
		if r.next++; r.next == r.slots {
			r.next = 0
		}
	}
	if r.long != nil {
		r.long.fetch()
	}
	return n, nil
}

func (r *ringV2) release(fs []forwarding.Frame) {
	for i := range fs {
		at := fs[i].Slot
		if at >= longSlot {
			r.long.release(at)
			at %= longSlot
		}
		storeStatus(r.slot(int(at)), slotStatus, statusKernel)
	}
	r.pending -= len(fs)
}

func (r *ringV2) size() (slots, bytes int) { return r.slots, len(r.mem) + r.long.size() }

func (r *ringV2) close() error {
	return errors.Join(os.NewSyscallError("munmap", unix.Munmap(r.mem)), r.long.close())
}

// prepareRing sets what has to be known before a ring is made.
func prepareRing(fd, version int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, version); err != nil {
		return os.NewSyscallError("setsockopt PACKET_VERSION", err)
	}
	err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_RESERVE, headroom)
	return os.NewSyscallError("setsockopt PACKET_RESERVE", err)
}

func mapRing(fd, bytes int) ([]byte, error) {
	mem, err := unix.Mmap(fd, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return mem, os.NewSyscallError("mmap", err)
}

// A state is what the kernel says of a frame beside its bytes.
type state struct {
	status    uint32
	tci, tpid uint16 // of a VLAN tag, if the status says that there is one
}

// vlan returns the tag that was taken off the frame. Kernels before 3.14 do not tell which
// EtherType it had.
func (s state) vlan() forwarding.VLANTag {
	if s.status&statusVLANValid == 0 {
		return forwarding.VLANTag{}
	}
	t := forwarding.VLANTag{TPID: wire.EtherTypeVLAN, TCI: s.tci}
	if s.status&statusVLANTPID != 0 {
		t.TPID = s.tpid
	}
	return t
}

// inRing returns a frame that lies in b from offset mac on, with its virtio_net_hdr before
// it; a plain one may get one there. One that a slot cut short keeps its cut length, and
// Decode refuses it.
func inRing(b []byte, mac, n int, plain bool, s state) forwarding.Frame {
	f := forwarding.Frame{Data: b[mac : mac+n : mac+n], Front: b[mac-headroom : mac : mac+n], VLAN: s.vlan()}
	vnet := forwarding.VnetHeader(b[mac-forwarding.VnetLen : mac : mac])
	switch {
	case !plain:
		f.Vnet = vnet
	case s.status&statusChecksumUnset != 0:
		f.Vnet = describe(f.Data, vnet)
	}
	return f
}
