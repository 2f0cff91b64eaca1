package afpacket

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// loadStatus reads a slot's status word. It is an acquire: after it shows statusUser the
// frame may be read.
func loadStatus(slot []byte) uint32 {
	_ = slot[slotStatus+3]
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&slot[slotStatus])))
}

// storeStatus writes a slot's status word. It is a release: the kernel may overwrite the
// frame after it shows statusKernel.
func storeStatus(slot []byte, status uint32) {
	_ = slot[slotStatus+3]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&slot[slotStatus])), status)
}

func slotUint32(slot []byte, off int) uint32 { return binary.NativeEndian.Uint32(slot[off:]) }

func slotUint16(slot []byte, off int) uint16 { return binary.NativeEndian.Uint16(slot[off:]) }

// mmsghdr is the kernel's struct mmsghdr (sendmmsg(2)): 64 bytes on 64-bit machines, 32 on
// others.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// frameParts is the most parts that a frame is sent in: the virtio_net_hdr and the data,
// which a VLAN tag divides behind the addresses.
const frameParts = 4

// A sender holds the arrays that sendmmsg reads.
type sender struct {
	msgs   []mmsghdr
	iovecs []unix.Iovec // frameParts for each message
	tagged []tagged
	plain  [forwarding.VnetLen]byte // the virtio_net_hdr of a frame without one
}

// A tagged holds what is sent with a tagged frame and is not in its memory.
type tagged struct {
	vnet [forwarding.VnetLen]byte
	tag  [wire.VLANLen]byte
}

func newSender(frames int) *sender {
	s := &sender{msgs: make([]mmsghdr, frames), iovecs: make([]unix.Iovec, frameParts*frames), tagged: make([]tagged, frames)}
	for i := range s.msgs {
		s.msgs[i].hdr.Iov = &s.iovecs[frameParts*i]
	}
	return s
}

// set puts a frame in place i. Its bytes must stay valid until send.
func (s *sender) set(i int, f *forwarding.Frame) {
	vnet := []byte(f.Vnet)
	if vnet == nil {
		vnet = s.plain[:]
	}
	parts := s.iovecs[frameParts*i:][:frameParts]
	s.msgs[i].hdr.SetIovlen(2)
	data := f.Data
	if f.VLAN.Present() {
		t := &s.tagged[i]
		vnet = t.fill(vnet, f.VLAN)
		s.msgs[i].hdr.SetIovlen(frameParts)
		point(&parts[1], data[:wire.MACsLen])
		point(&parts[2], t.tag[:])
		parts, data = parts[2:], data[wire.MACsLen:]
	}
	point(&s.iovecs[frameParts*i], vnet)
	point(&parts[1], data)
}

func point(v *unix.Iovec, b []byte) {
	v.Base = &b[0]
	v.SetLen(len(b))
}

// send passes the frames from place i to place n to the kernel and returns how many it
// took. It never blocks, hence the raw system call.
func (s *sender) send(fd, i, n int) (sent int, errno unix.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.msgs[i])),
		uintptr(n-i), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}

// setRing is setsockopt(PACKET_RX_RING) with a struct tpacket_req.
func setRing(fd, blocks int) error {
	return unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{
		Block_size: blockBytes,
		Block_nr:   uint32(blocks),
		Frame_size: slotBytes,
		Frame_nr:   uint32(blocks * slotsPerBlock),
	})
}
