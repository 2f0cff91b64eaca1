package afpacket

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
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

// A sender holds the arrays that sendmmsg reads: for each frame an iovec for its
// virtio_net_hdr and one for its data.
type sender struct {
	msgs   []mmsghdr
	iovecs []unix.Iovec
	plain  [10]byte // the virtio_net_hdr of a frame without one
}

func newSender(frames int) *sender {
	s := &sender{msgs: make([]mmsghdr, frames), iovecs: make([]unix.Iovec, 2*frames)}
	for i := range s.msgs {
		s.msgs[i].hdr.Iov = &s.iovecs[2*i]
		s.msgs[i].hdr.SetIovlen(2)
	}
	return s
}

// set puts a frame in place i. The bytes must stay valid until send.
func (s *sender) set(i int, vnet, data []byte) {
	if vnet == nil {
		vnet = s.plain[:]
	}
	v, d := &s.iovecs[2*i], &s.iovecs[2*i+1]
	v.Base, d.Base = &vnet[0], &data[0]
	v.SetLen(len(vnet))
	d.SetLen(len(data))
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
