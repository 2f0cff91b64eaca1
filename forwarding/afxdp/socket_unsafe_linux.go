package afxdp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringOffsets says where things lie in the memory of a ring (struct xdp_ring_offset).
type ringOffsets struct{ producer, consumer, desc, flags uint64 }

// mmapOffsets is struct xdp_mmap_offsets.
type mmapOffsets struct{ rx, tx, fill, completion ringOffsets }

// umemReg is the part of struct xdp_umem_reg that every kernel knows.
type umemReg struct {
	addr, len           uint64
	chunkSize, headroom uint32
}

func setUmem(fd int, mem []byte, chunk int) error {
	reg := umemReg{addr: uint64(uintptr(unsafe.Pointer(&mem[0]))), len: uint64(len(mem)), chunkSize: uint32(chunk)}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	return asError(errno)
}

func getOffsets(fd int) (o mmapOffsets, err error) {
	size := uint32(unsafe.Sizeof(o))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&o)), uintptr(unsafe.Pointer(&size)), 0)
	if errno == 0 && size != uint32(unsafe.Sizeof(o)) {
		errno = unix.ENOSYS // Linux before 5.4 has a shorter structure
	}
	return o, asError(errno)
}

// statistics is the part of struct xdp_statistics that every kernel knows.
type statistics struct{ rxDropped, rxInvalidDescs, txInvalidDescs uint64 }

// invalidDescs returns how many entries to send the kernel has skipped.
func invalidDescs(fd int) (uint64, error) {
	var x statistics
	size := uint32(unsafe.Sizeof(x))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_STATISTICS,
		uintptr(unsafe.Pointer(&x)), uintptr(unsafe.Pointer(&size)), 0)
	return x.txInvalidDescs, asError(errno)
}

func asError(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// view returns the ring of n entries that lies in mem. The kernel aligns all of it.
func view[T any](mem []byte, o ringOffsets, n int) ring[T] {
	var entry T
	_ = mem[o.desc+uint64(n)*uint64(unsafe.Sizeof(entry))-1]
	return ring[T]{
		producer: (*uint32)(unsafe.Pointer(&mem[o.producer])),
		consumer: (*uint32)(unsafe.Pointer(&mem[o.consumer])),
		entries:  unsafe.Slice((*T)(unsafe.Pointer(&mem[o.desc])), n),
	}
}

// descSize and addrSize are what an entry of the rings takes.
const (
	descSize = unsafe.Sizeof(desc{})
	addrSize = unsafe.Sizeof(uint64(0))
)

// droppedBy returns how many frames found no room in a socket, full rings included.
func droppedBy(fd int) (uint64, error) {
	var s statistics
	size := uint32(unsafe.Sizeof(s))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_STATISTICS,
		uintptr(unsafe.Pointer(&s)), uintptr(unsafe.Pointer(&size)), 0)
	return s.rxDropped, asError(errno)
}
