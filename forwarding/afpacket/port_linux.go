package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// A Port is one worker's socket on an interface. It implements forwarding.Port.
type Port struct {
	link     int
	mac      wire.MAC
	fd       int   // receives, and sends unless that needs a socket of its own
	out      int   // sends
	in       input // nil: the port only sends, or is closed
	slots    int   // of the input; 0: the port only sends
	ringSize int   // bytes of the input
	sender   *sender
	crowded  bool   // the last Send ended for want of room
	onClose  func() // told once

	received, sent, ringDrops, sendErrors atomic.Uint64
	sendError                             atomic.Uint32 // the last errno

	mu     sync.Mutex // guards closed against Stats and setFilter
	closed bool
}

var _ forwarding.Port = (*Port)(nil)

// An input is a way for frames to come in: a ring or buffers. It belongs to the worker.
type input interface {
	// recv and release are those of forwarding.Port; recv counts only on frames being
	// released in the order of receipt.
	recv(fs []forwarding.Frame) (n int, err error)
	release(fs []forwarding.Frame)
	// size returns how many frames fit at the least, and the memory that takes.
	size() (slots, bytes int)
	close() error
}

// open makes the socket in the only order that loses nothing: unbound and without a
// protocol, ring and filter first, bind last (packet(7); the filter drops everything until
// the group is started).
func open(c Config, s Shape) (_ *Port, err error) {
	p := &Port{link: c.Link, mac: c.MAC, fd: -1, out: -1, sender: newSender(sendFrames), onClose: func() {}}
	defer func() {
		if err != nil {
			p.Close() //nolint:errcheck // the first error counts
		}
	}()
	if p.fd, err = newSocket(!s.Plain); err != nil {
		return nil, err
	}
	protocol := uint16(0)
	if s.Receive != SendOnly {
		if err := p.openInput(s, min(c.Memory, s.Most())); err != nil {
			return nil, err
		}
		protocol = unix.ETH_P_ALL
	}
	if err := bindTo(p.fd, protocol, c.Link); err != nil {
		return nil, err
	}
	p.out = p.fd
	if s.Plain { // what others received may need its virtio_net_hdr on the way out
		if p.out, err = newSocket(true); err != nil {
			return nil, err
		}
		if err := bindTo(p.out, 0, c.Link); err != nil {
			return nil, err
		}
	}
	size := c.SendBuffer
	if size == 0 {
		size = sendBuffer
	}
	return p, setBuffer(p.out, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, size)
}

// newSocket opens a socket with or without a virtio_net_hdr before each frame, in either
// direction. That has to be known before there is a ring.
func newSocket(vnet bool) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket AF_PACKET", err)
	}
	if !vnet {
		return fd, nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		unix.Close(fd) //nolint:errcheck // the first error counts
		return -1, os.NewSyscallError("setsockopt PACKET_VNET_HDR", err)
	}
	return fd, nil
}

func bindTo(fd int, protocol uint16, link int) error {
	address := &unix.SockaddrLinklayer{Protocol: networkOrder(protocol), Ifindex: link}
	return os.NewSyscallError("bind AF_PACKET", unix.Bind(fd, address))
}

// setBuffer sets a socket's buffer. The forced variant needs CAP_NET_ADMIN; without it
// net.core.rmem_max or wmem_max is the bound.
func setBuffer(fd, forced, bounded, bytes int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, forced, bytes) == nil {
		return nil
	}
	return os.NewSyscallError("setsockopt SO_SNDBUF or SO_RCVBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, bounded, bytes))
}

// openInput prepares receiving.
func (p *Port) openInput(s Shape, memory int) (err error) {
	if memory < s.Least() {
		return fmt.Errorf("%s in %d KiB: it needs %d KiB", s.Receive, memory>>10, s.Least()>>10)
	}
	// Before Linux 4.20 there is no such option; the filter refuses those frames as well.
	_ = unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err := p.setFilter(dropAll()); err != nil { // or frames come before bind says from where
		return err
	}
	switch s.Receive {
	case TPacketV2:
		p.in, err = asInput(openRingV2(p.fd, s, memory))
	case TPacketV3:
		p.in, err = asInput(openRingV3(p.fd, s, memory))
	case RecvMMsg:
		p.in, err = asInput(openMailbox(p.fd, s, memory))
	default:
		err = fmt.Errorf("no way to receive has the number %d", s.Receive)
	}
	if err == nil {
		p.slots, p.ringSize = p.in.size()
	}
	return err
}

// asInput keeps a nil pointer from becoming an input that is not nil.
func asInput[T input](in T, err error) (input, error) {
	if err != nil {
		return nil, err
	}
	return in, nil
}

// setFilter replaces the filter of a port that receives.
func (p *Port) setFilter(instructions []bpf.Instruction) error {
	program, err := assemble(instructions)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	err = unix.SetsockoptSockFprog(p.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program)
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
}

// Link returns the interface's index and address.
func (p *Port) Link() (int, wire.MAC) { return p.link, p.mac }

// FD returns the socket that receives, or −1 for a port that only sends.
func (p *Port) FD() int {
	if p.slots == 0 {
		return -1
	}
	return p.fd
}

// Recv takes the frames that are ready. They stay where the kernel put them, and it does
// not overwrite them, until Release. After Close it returns net.ErrClosed.
func (p *Port) Recv(fs []forwarding.Frame) (int, error) {
	if p.in == nil {
		if p.slots > 0 {
			return 0, net.ErrClosed
		}
		return 0, nil
	}
	n, err := p.in.recv(fs)
	if n > 0 {
		p.received.Add(uint64(n))
	}
	return n, err
}

// Release gives memory back to the kernel.
func (p *Port) Release(fs []forwarding.Frame) {
	if p.in != nil {
		p.in.release(fs)
	}
}

// networkOrder returns a number whose bytes in memory are v in network order (htons(3)).
func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)})
}

// Err takes the socket's pending error.
func (p *Port) Err() error {
	code, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return nil
}

// Stats returns the port's totals.
func (p *Port) Stats() forwarding.PortStats {
	p.mu.Lock()
	if !p.closed {
		p.countDrops()
	}
	p.mu.Unlock()
	s := forwarding.PortStats{
		Received:   p.received.Load(),
		Sent:       p.sent.Load(),
		RingDrops:  p.ringDrops.Load(),
		SendErrors: p.sendErrors.Load(),
		Slots:      p.slots,
		RingBytes:  p.ringSize,
	}
	if errno := p.sendError.Load(); errno != 0 {
		s.SendError = unix.Errno(errno)
	}
	return s
}

// countDrops adds up the kernel's count of frames that found no room, which starts over at
// each reading. The socket must be open.
func (p *Port) countDrops() {
	if p.slots == 0 {
		return
	}
	if s, err := unix.GetsockoptTpacketStats(p.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		p.ringDrops.Add(uint64(s.Drops))
	}
}

// Close closes the socket and gives the memory back. A second Close does nothing.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.countDrops()
	var errs []error
	if p.in != nil {
		errs = append(errs, p.in.close())
		p.in = nil
	}
	if p.out != p.fd {
		errs = append(errs, closeSocket(p.out))
	}
	errs = append(errs, closeSocket(p.fd))
	p.onClose()
	return errors.Join(errs...)
}

// closeSocket closes a socket if it was opened.
func closeSocket(fd int) error {
	if fd < 0 {
		return nil
	}
	return os.NewSyscallError("close", unix.Close(fd))
}
