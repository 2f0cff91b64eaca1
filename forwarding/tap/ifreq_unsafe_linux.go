package tap

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"uvs/internal/wire"
)

// hardwareRequest is struct ifreq of netdevice(7) with a struct sockaddr in it.
type hardwareRequest struct {
	name    [unix.IFNAMSIZ]byte
	family  uint16
	address [22]byte
}

// hardwareAddr returns the address of a queue's device.
func hardwareAddr(fd int) (mac wire.MAC, err error) {
	var r hardwareRequest
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFHWADDR, uintptr(unsafe.Pointer(&r)))
	if errno != 0 {
		return mac, os.NewSyscallError("ioctl SIOCGIFHWADDR", errno)
	}
	copy(mac[:], r.address[:])
	return mac, nil
}

// An envelope is the two parts that a frame is written in, and what writev(2) takes of them.
type envelope struct {
	parts [2]unix.Iovec
	plain [10]byte // the virtio_net_hdr of a frame without one
}

// write sends a frame behind its virtio_net_hdr.
func (e *envelope) write(fd int, vnet, data []byte) unix.Errno {
	if vnet == nil {
		vnet = e.plain[:]
	}
	point(&e.parts[0], vnet)
	point(&e.parts[1], data)
	_, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&e.parts[0])), uintptr(len(e.parts)))
	e.parts = [2]unix.Iovec{} // keeps nobody's memory
	return errno
}

func point(v *unix.Iovec, b []byte) {
	v.Base = unsafe.SliceData(b)
	v.SetLen(len(b))
}
