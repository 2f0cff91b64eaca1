package netlab

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolRequest is struct ethtool_value of linux/ethtool.h.
type ethtoolRequest struct {
	cmd, data uint32
}

// ifreqData is struct ifreq of linux/if.h with ifr_data; the kernel copies 40 bytes.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

func setEthtoolValue(ifname string, cmd, data uint32) error {
	_, err := ethtool(ifname, ethtoolRequest{cmd, data})
	return err
}

func ethtoolValue(ifname string, cmd uint32) (uint32, error) {
	return ethtool(ifname, ethtoolRequest{cmd: cmd})
}

// ethtool does one SIOCETHTOOL in the calling thread's network namespace.
func ethtool(ifname string, req ethtoolRequest) (uint32, error) {
	if len(ifname) >= unix.IFNAMSIZ {
		return 0, unix.ENODEV
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	ifr := ifreqData{data: unsafe.Pointer(&req)}
	copy(ifr.name[:], ifname)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr)))
	if errno != 0 {
		return 0, os.NewSyscallError("ioctl", errno)
	}
	return req.data, nil
}
