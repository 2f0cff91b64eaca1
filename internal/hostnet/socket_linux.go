package hostnet

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// eventBuffer is how many bytes of events may wait for us in the kernel. A neighbour event
// takes about 1 KiB there; the kernel's default of 208 KiB overruns at once in a storm.
const eventBuffer = 8 << 20

// groups are the multicast groups of rtnetlink that a watcher joins.
var groups = [...]uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV6_NETCONF,
}

// An eventSocket receives the kernel's notifications. It differs from nl.NetlinkSocket in
// that it reuses one buffer and takes a deadline per read.
type eventSocket struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
}

// openEvents opens an event socket in the calling thread's network namespace.
func openEvents() (*eventSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	var mask uint32
	for _, g := range groups {
		mask |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: mask}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	// Without privilege the kernel's own limit holds; an overrun costs a dump, no more.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, eventBuffer)
	}
	s := &eventSocket{file: os.NewFile(uintptr(fd), "rtnetlink"), buf: make([]byte, 64<<10)}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		_ = s.file.Close()
		return nil, err
	}
	return s, nil
}

// Errors of eventSocket.receive besides those of the system call.
var (
	errOverrun = errors.New("events were lost")
	errTimeout = os.ErrDeadlineExceeded
)

// setDeadline bounds the present and the following receives; the zero time does not.
func (s *eventSocket) setDeadline(t time.Time) error { return s.file.SetReadDeadline(t) }

// receive waits for one datagram of events and calls each for its messages, with payloads
// that are valid until each returns.
func (s *eventSocket) receive(each func(kind, flags uint16, payload []byte)) error {
	var (
		n    int
		from unix.Sockaddr
		errn error
	)
	err := s.raw.Read(func(fd uintptr) bool {
		n, from, errn = unix.Recvfrom(int(fd), s.buf, 0)
		return errn != unix.EAGAIN && errn != unix.EINTR
	})
	switch {
	case err != nil:
		return err
	case errn == unix.ENOBUFS:
		return errOverrun
	case errn != nil:
		return os.NewSyscallError("recvfrom", errn)
	}
	if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != nl.PidKernel {
		return nil // not the kernel's word
	}
	messages, err := syscall.ParseNetlinkMessage(s.buf[:n])
	if err != nil {
		return errOverrun // truncated: what it said is lost
	}
	for _, m := range messages {
		each(m.Header.Type, m.Header.Flags, m.Data)
	}
	return nil
}

// drainMost bounds a drain: more datagrams than the buffer holds.
const drainMost = 1 << 16

// drain throws away what waits to be received. It reports false when more kept coming
// than the buffer holds.
func (s *eventSocket) drain() (empty bool, err error) {
	err = s.raw.Control(func(fd uintptr) {
		for range drainMost {
			_, _, errn := unix.Recvfrom(int(fd), s.buf, unix.MSG_DONTWAIT)
			// ENOBUFS tells of another loss, behind what was drained so far.
			if errn != nil && errn != unix.ENOBUFS && errn != unix.EINTR {
				empty = true
				return
			}
		}
	})
	return empty, err
}

func (s *eventSocket) close() error { return s.file.Close() }

// A requestSocket asks the kernel and waits for its answers. Safe for use by many
// goroutines, one at a time.
type requestSocket struct{ handle *nl.SocketHandle }

// requestTimeout bounds the wait for one datagram of an answer.
const requestTimeout = 10 * time.Second

// openRequests opens a request socket in the calling thread's network namespace.
func openRequests() (*requestSocket, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	timeout := unix.NsecToTimeval(int64(requestTimeout))
	_ = s.SetSendTimeout(&timeout)
	_ = s.SetReceiveTimeout(&timeout)
	_ = s.SetExtAck(true) // the kernel's words make better errors; older ones have none
	return &requestSocket{&nl.SocketHandle{Socket: s}}, nil
}

// execute sends a request and returns the payloads of the answer's messages of one kind.
func (s *requestSocket) execute(req *nl.NetlinkRequest, kind uint16) ([][]byte, error) {
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: s.handle}
	return req.Execute(unix.NETLINK_ROUTE, kind)
}

// strict turns the kernel's strict check of dump requests on and off
// (NETLINK_GET_STRICT_CHK), where it has one: Linux 4.20.
func (s *requestSocket) strict(on bool) {
	value := 0
	if on {
		value = 1
	}
	_ = unix.SetsockoptInt(s.handle.Socket.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, value)
}

func (s *requestSocket) close() { s.handle.Socket.Close() }
