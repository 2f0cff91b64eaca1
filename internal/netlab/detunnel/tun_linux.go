package detunnel

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openTUN makes a TUN device in the calling thread's network namespace. It is gone when the
// file is closed.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = os.NewSyscallError("ioctl TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, request))
	}
	if err != nil {
		unix.Close(fd) //nolint:errcheck // the first error counts
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// receiveBuffer holds a burst of segments that one large frame was cut into.
const receiveBuffer = 8 << 20

// prepare makes room in a socket for bursts, and has it take UDP over IPv6 without a checksum, as
// the kernel's own ends of tunnels do (RFC 6935).
func prepare(c net.PacketConn) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return errors.New("not a socket")
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	_, udp := c.(*net.UDPConn)
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt SO_RCVBUFFORCE", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer))
		if failed == nil && udp && isIPv6(c) {
			const noChecksumRX = 102 // UDP_NO_CHECK6_RX
			failed = os.NewSyscallError("setsockopt UDP_NO_CHECK6_RX", unix.SetsockoptInt(int(fd), unix.SOL_UDP, noChecksumRX, 1))
		}
	})
	return errors.Join(err, failed)
}

func isIPv6(c net.PacketConn) bool {
	a, ok := c.LocalAddr().(*net.UDPAddr)
	return ok && a.IP.To4() == nil
}
