package load

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendBuffer is the socket's send buffer in bytes, more than all frames under way.
const sendBuffer = 64 << 20

// mmsghdr is the kernel's struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// mmsg sends by sendmmsg on a packet socket past the queueing discipline. The kernel copies
// the frames, so they are always free.
type mmsg struct {
	fd     int
	frames [][]byte
	iovecs []unix.Iovec
	msgs   []mmsghdr
}

func newMmsg(ifindex int, template []byte) (*mmsg, error) {
	// Protocol 0 receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	m := &mmsg{fd: fd, frames: make([][]byte, burst), iovecs: make([]unix.Iovec, burst), msgs: make([]mmsghdr, burst)}
	for i := range m.frames {
		m.frames[i] = append([]byte(nil), template...)
		m.iovecs[i].Base = &m.frames[i][0]
		m.iovecs[i].SetLen(len(template))
		m.msgs[i].hdr.Iov = &m.iovecs[i]
		m.msgs[i].hdr.SetIovlen(1)
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"SO_SNDBUFFORCE", func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) }},
		{"PACKET_QDISC_BYPASS", func() error { return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1) }},
		{"bind", func() error { return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}) }},
	} {
		if err := step.do(); err != nil {
			_ = unix.Close(fd) // the first error is the one that tells
			return nil, os.NewSyscallError(step.name, err)
		}
	}
	return m, nil
}

func (m *mmsg) room() [][]byte { return m.frames }

func (m *mmsg) send(n int) error {
	for i := 0; i < n; {
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(m.fd), uintptr(unsafe.Pointer(&m.msgs[i])),
			uintptr(n-i), unix.MSG_DONTWAIT, 0, 0)
		switch err := sendError(errno); {
		case err != nil:
			return err
		case errno == unix.EINTR:
		case errno != 0:
			i++ // this one is lost
		case r == 0:
			return errShort
		default:
			i += int(r)
		}
	}
	return nil
}

func (m *mmsg) close() error { return os.NewSyscallError("close", unix.Close(m.fd)) }
