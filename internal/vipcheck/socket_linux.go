package vipcheck

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"uvs/internal/wire"
)

// sockets opens the kernel's.
type sockets struct{}

// guard listens on a port of the kernel's choice, on all addresses of both families, and has its filter drop whatever
// comes: before tcp_v4_rcv and tcp_v6_rcv look at the state, so that nothing is answered.
func (sockets) guard() (net.Listener, error) {
	l := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		var err error
		ctlErr := rc.Control(func(fd uintptr) { err = attach(int(fd), []bpf.Instruction{bpf.RetConstant{Val: 0}}) })
		if err == nil {
			err = ctlErr
		}
		return err
	}}
	return l.Listen(context.Background(), "tcp", ":0")
}

// packetSocket is a tap of the kernel's.
type packetSocket struct{ *os.File }

// tap opens a socket that receives nothing before its filter is there.
func (sockets) tap(v6 bool, port uint16) (tap, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", os.NewSyscallError("socket", err))
	}
	protocol := uint16(wire.EtherTypeIPv4)
	if v6 {
		protocol = wire.EtherTypeIPv6
	}
	if err = attach(fd, filter(v6, port)); err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(protocol)}))
	}
	if err != nil {
		unix.Close(fd) //nolint:errcheck // it was never used
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	return packetSocket{os.NewFile(uintptr(fd), "packet socket")}, nil
}

// attach gives a socket a filter of classic BPF.
func attach(fd int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	list := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		list[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER",
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(list)), Filter: &list[0]}))
}

// send implements tap. The kernel writes the Ethernet header.
func (s packetSocket) send(link int, to wire.MAC, etherType uint16, packet []byte) error {
	rc, err := s.SyscallConn()
	if err != nil {
		return err
	}
	address := &unix.SockaddrLinklayer{Protocol: networkOrder(etherType), Ifindex: link, Halen: uint8(len(to))}
	copy(address.Addr[:], to[:])
	var sent error
	if err := rc.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), packet, 0, address)
		return sent != unix.EAGAIN
	}); err != nil {
		return err
	}
	return os.NewSyscallError("sendto", sent)
}

// networkOrder returns a number whose bytes in memory are v in network order (htons(3)).
func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
