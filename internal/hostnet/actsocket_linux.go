package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An actSocket sends many requests at a time and waits for the kernel's word on each.
type actSocket struct {
	file *os.File
	raw  syscall.RawConn

	mu  sync.Mutex // held during an exchange; guards what follows
	seq uint32
	buf []byte
}

const (
	// actTimeout bounds the wait for the answers to one datagram of requests.
	actTimeout = 3 * time.Second
	// datagram is how many requests are sent at once: the kernel answers each in a buffer of
	// its own, and as many as 200 of them fill its default for a socket.
	datagram = 64
)

func openActs() (*actSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1) // better errors; older kernels have none
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1) // answers without the request
	s := &actSocket{file: os.NewFile(uintptr(fd), "rtnetlink"), buf: make([]byte, 32<<10)}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		_ = s.file.Close()
		return nil, err
	}
	return s, nil
}

// exchange carries out requests and returns an error, or nil, for each.
func (s *actSocket) exchange(requests []request) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, 0, len(requests))
	for len(requests) > 0 {
		n := min(datagram, len(requests))
		for i, err := range s.round(requests[:n]) {
			errs = append(errs, requests[i].named(err))
		}
		requests = requests[n:]
	}
	return errs
}

// round is an exchange of one datagram of requests. The caller holds mu.
func (s *actSocket) round(requests []request) []error {
	first := s.seq + 1
	s.seq += uint32(len(requests))
	errs := make([]error, len(requests))
	fail := func(err error) []error {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	if err := s.file.SetDeadline(time.Now().Add(actTimeout)); err != nil {
		return fail(err)
	}
	var b []byte
	for i, r := range requests {
		b = appendRequest(b, r, first+uint32(i), unix.NLM_F_ACK)
	}
	if err := s.send(b); err != nil {
		return fail(err)
	}
	answered := make([]bool, len(requests))
	for left := len(requests); left > 0; {
		err := s.receive(func(m syscall.NetlinkMessage) {
			i := m.Header.Seq - first
			if m.Header.Type == unix.NLMSG_ERROR && i < uint32(len(requests)) && !answered[i] {
				answered[i], errs[i] = true, answerError(m)
				left--
			}
		})
		if err != nil {
			for i := range errs {
				if !answered[i] {
					errs[i] = err
				}
			}
			return errs
		}
	}
	return errs
}

// ask sends a request that is answered by messages, and returns their payloads.
func (s *actSocket) ask(r request) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	seq := s.seq
	if err := s.file.SetDeadline(time.Now().Add(actTimeout)); err != nil {
		return nil, err
	}
	if err := s.send(appendRequest(nil, r, seq, unix.NLM_F_ACK)); err != nil {
		return nil, err
	}
	var (
		payloads [][]byte
		done     bool
		told     error
	)
	for !done {
		err := s.receive(func(m syscall.NetlinkMessage) {
			switch {
			case m.Header.Seq != seq:
			case m.Header.Type == unix.NLMSG_DONE:
				done = true
			case m.Header.Type == unix.NLMSG_ERROR:
				done, told = true, r.named(answerError(m))
			default:
				payloads = append(payloads, append([]byte(nil), m.Data...))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return payloads, told
}

// appendRequest appends a request with its header (struct nlmsghdr).
func appendRequest(b []byte, r request, seq uint32, flags uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(r.payload)))
	b = binary.NativeEndian.AppendUint16(b, r.kind)
	b = binary.NativeEndian.AppendUint16(b, r.flags|flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // our port: the kernel knows it
	b = append(b, r.payload...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func (s *actSocket) send(b []byte) error {
	var errn error
	err := s.raw.Write(func(fd uintptr) bool {
		errn = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return !errors.Is(errn, unix.EAGAIN) && !errors.Is(errn, unix.EINTR)
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("sendto", errn)
}

// receive waits for one datagram of the kernel's and calls each for its messages.
func (s *actSocket) receive(each func(syscall.NetlinkMessage)) error {
	var (
		n    int
		from unix.Sockaddr
		errn error
	)
	err := s.raw.Read(func(fd uintptr) bool {
		n, from, errn = unix.Recvfrom(int(fd), s.buf, 0)
		return !errors.Is(errn, unix.EAGAIN) && !errors.Is(errn, unix.EINTR)
	})
	switch {
	case err != nil:
		return err
	case errn != nil:
		return os.NewSyscallError("recvfrom", errn)
	}
	if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
		return nil // not the kernel's word
	}
	messages, err := syscall.ParseNetlinkMessage(s.buf[:n])
	if err != nil {
		return fmt.Errorf("read the kernel's answer: %w", err)
	}
	for _, m := range messages {
		each(m)
	}
	return nil
}

// answerError is what an NLMSG_ERROR says: nil for success, else the error number with the
// kernel's words where it has any.
func answerError(m syscall.NetlinkMessage) error {
	const header = unix.SizeofNlMsgerr // error number and the request's header
	if len(m.Data) < 4 {
		return errors.New("the kernel's answer is cut short")
	}
	code := int32(binary.NativeEndian.Uint32(m.Data))
	if code == 0 {
		return nil
	}
	errno := unix.Errno(-code)
	if m.Header.Flags&unix.NLM_F_ACK_TLVS == 0 || len(m.Data) < header {
		return errno
	}
	for kind, v := range attributes(m.Data[header:]) {
		if kind == unix.NLMSGERR_ATTR_MSG {
			return fmt.Errorf("%w: %s", errno, text(v))
		}
	}
	return errno
}
