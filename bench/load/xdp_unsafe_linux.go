package load

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The shape of the AF_XDP socket: as many frames as the rings have places, each of the
// least size that the kernel takes.
const (
	xdpFrames    = 4096
	xdpFrameSize = 2048
)

// The kernel's fixed offsets for mmap(2) (linux/if_xdp.h).
const (
	pgoffTx         = 0x80000000
	pgoffCompletion = 0x180000000
)

// xdp sends by a transmit-only AF_XDP socket in copy mode: the kernel copies a frame and
// gives it back when what became of it was freed.
type xdp struct {
	fd       int
	umem     []byte
	tx, done ring
	free     []uint64 // offsets in umem of frames that are ours
	given    [][]byte // of the last room, with their offsets
	offsets  []uint64
	length   int
}

// A ring is one of the kernel's, mapped.
type ring struct {
	memory             []byte
	producer, consumer *uint32
	entries            unsafe.Pointer
	size               uint32
}

func newXDP(ifindex int, template []byte) (_ *xdp, err error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	x := &xdp{fd: fd, length: len(template), given: make([][]byte, 0, burst), offsets: make([]uint64, 0, burst)}
	defer func() {
		if err != nil {
			_ = x.close() // the first error is the one that tells
		}
	}()
	if x.umem, err = unix.Mmap(-1, 0, xdpFrames*xdpFrameSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE); err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	for i := range uint64(xdpFrames) {
		copy(x.umem[i*xdpFrameSize:], template)
		x.free = append(x.free, i*xdpFrameSize)
	}
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&x.umem[0]))), Len: uint64(len(x.umem)), Size: xdpFrameSize}
	if err := setsockopt(fd, unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Sizeof(reg)); err != nil {
		return nil, err
	}
	// bind wants a fill ring too, though nothing is received.
	for _, option := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_TX_RING} {
		if err := unix.SetsockoptInt(fd, unix.SOL_XDP, option, xdpFrames); err != nil {
			return nil, fmt.Errorf("AF_XDP ring %d: %w", option, os.NewSyscallError("setsockopt", err))
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer); err != nil {
		return nil, os.NewSyscallError("SO_SNDBUFFORCE", err)
	}
	var at unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(at))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
		return nil, os.NewSyscallError("XDP_MMAP_OFFSETS", errno)
	}
	if x.tx, err = mapRing(fd, pgoffTx, at.Tx, unsafe.Sizeof(unix.XDPDesc{})); err != nil {
		return nil, err
	}
	if x.done, err = mapRing(fd, pgoffCompletion, at.Cr, 8); err != nil {
		return nil, err
	}
	err = unix.Bind(fd, &unix.SockaddrXDP{Ifindex: uint32(ifindex), Flags: unix.XDP_COPY})
	return x, os.NewSyscallError("bind", err)
}

func setsockopt(fd, option int, value unsafe.Pointer, size uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0); errno != 0 {
		return fmt.Errorf("AF_XDP option %d: %w", option, os.NewSyscallError("setsockopt", errno))
	}
	return nil
}

func mapRing(fd int, offset int64, at unix.XDPRingOffset, entry uintptr) (ring, error) {
	m, err := unix.Mmap(fd, offset, int(at.Desc)+xdpFrames*int(entry), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring{}, os.NewSyscallError("mmap", err)
	}
	return ring{
		memory:   m,
		producer: (*uint32)(unsafe.Pointer(&m[at.Producer])),
		consumer: (*uint32)(unsafe.Pointer(&m[at.Consumer])),
		entries:  unsafe.Pointer(&m[at.Desc]),
		size:     xdpFrames,
	}, nil
}

// descriptor returns the place of entry n in the transmit ring.
func (r *ring) descriptor(n uint32) *unix.XDPDesc {
	return (*unix.XDPDesc)(unsafe.Add(r.entries, uintptr(n&(r.size-1))*unsafe.Sizeof(unix.XDPDesc{})))
}

// address returns entry n of the completion ring.
func (r *ring) address(n uint32) uint64 {
	return *(*uint64)(unsafe.Add(r.entries, uintptr(n&(r.size-1))*8))
}

// reap takes back what the kernel has done with.
func (x *xdp) reap() {
	from, to := atomic.LoadUint32(x.done.consumer), atomic.LoadUint32(x.done.producer)
	for ; from != to; from++ {
		x.free = append(x.free, x.done.address(from))
	}
	atomic.StoreUint32(x.done.consumer, from)
}

func (x *xdp) room() [][]byte {
	if len(x.free) < burst {
		x.reap()
	}
	x.given, x.offsets = x.given[:0], x.offsets[:0]
	for _, offset := range x.free[max(0, len(x.free)-burst):] {
		x.given = append(x.given, x.umem[offset:][:x.length:x.length])
		x.offsets = append(x.offsets, offset)
	}
	return x.given
}

func (x *xdp) send(n int) error {
	producer := atomic.LoadUint32(x.tx.producer)
	for i, offset := range x.offsets[:n] {
		*x.tx.descriptor(producer + uint32(i)) = unix.XDPDesc{Addr: offset, Len: uint32(x.length)}
	}
	// room gave the end of free; what was not sent stays in front of what others give back.
	x.free = append(x.free[:len(x.free)-len(x.offsets)], x.offsets[n:]...)
	atomic.StoreUint32(x.tx.producer, producer+uint32(n))
	// A kick sends 32 frames; without room for completions it sends none, until reap.
	for atomic.LoadUint32(x.tx.consumer) != producer+uint32(n) {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(x.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		if err := sendError(errno); err != nil {
			return err
		}
		x.reap()
	}
	return nil
}

func (x *xdp) close() error {
	err := os.NewSyscallError("close", unix.Close(x.fd))
	for _, m := range [][]byte{x.tx.memory, x.done.memory, x.umem} {
		if m != nil {
			_ = unix.Munmap(m) // nothing else maps there
		}
	}
	return err
}
