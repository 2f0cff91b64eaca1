package health

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketControl returns what sets the socket options that c asks for, nil if it asks
// for none.
func socketControl(c *Check) func(network, address string, rc syscall.RawConn) error {
	if c.BindInterface == "" && c.Mark == 0 && c.BindPort == 0 {
		return nil
	}
	return func(_, _ string, rc syscall.RawConn) error {
		var err error
		ctlErr := rc.Control(func(fd uintptr) { err = setSocketOptions(int(fd), c) })
		if err == nil {
			err = ctlErr
		}
		if err != nil {
			return errLocal{err}
		}
		return nil
	}
}

func setSocketOptions(fd int, c *Check) error {
	if c.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(c.Mark)); err != nil {
			return os.NewSyscallError("setsockopt SO_MARK", err)
		}
	}
	if c.BindInterface != "" {
		if err := unix.BindToDevice(fd, c.BindInterface); err != nil {
			return os.NewSyscallError("setsockopt SO_BINDTODEVICE "+c.BindInterface, err)
		}
	}
	if c.BindPort != 0 {
		// The previous probe's connection may be in TIME_WAIT on this port.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
		}
	}
	return nil
}
