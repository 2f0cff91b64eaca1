package capture

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// errDown is what sending on an interface that is down returns.
const errDown = unix.ENETDOWN

// sendMarker sends a marker frame out of an interface of the calling thread's network
// namespace.
func sendMarker(ifname string, mark []byte) error {
	ifi, err := net.InterfaceByName(ifname)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, markerFrame(mark), 0, &unix.SockaddrLinklayer{Ifindex: ifi.Index}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	return nil
}
