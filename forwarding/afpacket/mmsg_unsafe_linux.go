package afpacket

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

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

// longCall is from how many frames on a call may take so long that the runtime is to be told
// of it: the collector stops all goroutines, and waits for one in a raw system call until that
// returns. 64 frames took 80 to 350 µs, and the collector as long; told, it waits 1 µs. Telling
// it costs 0.15 µs, a tenth of what one frame takes.
const longCall = 8

// send passes the frames from place i to place n to the kernel and returns how many it
// took. It never blocks, hence the raw system call for a few.
func (s *sender) send(fd, i, n int) (sent int, errno unix.Errno) {
	var r uintptr
	if n-i < longCall {
		r, _, errno = unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.msgs[i])),
			uintptr(n-i), unix.MSG_DONTWAIT, 0, 0)
	} else {
		r, _, errno = unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.msgs[i])),
			uintptr(n-i), unix.MSG_DONTWAIT, 0, 0)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}

// auxControl is room for one control message with a struct tpacket_auxdata (cmsg(3)).
type auxControl struct {
	hdr  unix.Cmsghdr
	data [auxLen]byte
	_    [4]byte // CMSG_SPACE is a multiple of a word
}

// A receiver holds the arrays that recvmmsg fills: for each frame an iovec, and room for
// auxiliary data.
type receiver struct {
	msgs     []mmsghdr
	iovecs   []unix.Iovec
	controls []auxControl
}

func newReceiver(frames int) *receiver {
	return &receiver{
		msgs:     make([]mmsghdr, frames),
		iovecs:   make([]unix.Iovec, frames),
		controls: make([]auxControl, frames),
	}
}

func (r *receiver) len() int { return len(r.msgs) }

// set gives place i the memory for a frame, and for the virtio_net_hdr before it if there
// is one.
func (r *receiver) set(i int, b []byte) {
	r.iovecs[i].Base = &b[0]
	r.iovecs[i].SetLen(len(b))
	h := &r.msgs[i].hdr
	h.Iov = &r.iovecs[i]
	h.SetIovlen(1)
	h.Control = (*byte)(unsafe.Pointer(&r.controls[i]))
}

// receive fills up to n places from place i on and returns how many. It never blocks, hence
// the raw system call.
func (r *receiver) receive(fd, i, n int) (got int, errno unix.Errno) {
	for j := i; j < i+n; j++ {
		r.msgs[j].hdr.SetControllen(int(unsafe.Sizeof(auxControl{})))
	}
	k, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.msgs[i])),
		uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(k), 0
}

// get returns how many bytes came in place i, and what the auxiliary data says, nothing if
// there is none.
func (r *receiver) get(i int) (length int, s state) {
	m, c := &r.msgs[i], &r.controls[i]
	if m.hdr.Controllen > 0 && c.hdr.Level == unix.SOL_PACKET && c.hdr.Type == unix.PACKET_AUXDATA {
		s = state{slotUint32(c.data[:], auxStatus), slotUint16(c.data[:], auxVLANTCI), slotUint16(c.data[:], auxVLANTPID)}
	}
	return int(m.len), s
}
