package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// mostDatagrams is how many packets of a socket are read before timers are looked at: more than a second of 20
	// sessions at 10 ms, but no flood stops the clock.
	mostDatagrams = 4096
	// receiveBuffer is what a receiving socket can hold, in bytes: some 1300 packets.
	receiveBuffer = 1 << 20
	// classSelector6 is the DSCP of network control, as a traffic class (RFC 4594, Section 3.1).
	classSelector6 = 0xc0

	// firstPort and ports are the range of source ports: RFC 5881, Section 4.
	firstPort = 49152
	ports     = 65536 - firstPort
	// portDraws is how many source ports are tried.
	portDraws = 64
)

// A wire is what the thread waits for: receiving sockets and a waker.
type wire struct {
	fds [inlets]int // −1: not open
	buf [512]byte
	oob [256]byte

	mu    sync.Mutex // guards waker
	waker int        // −1 after close
}

func openWire() (*wire, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &wire{fds: [inlets]int{-1, -1, -1, -1}, waker: fd}, nil
}

// wake ends the wait, or the next one. Safe for use by many goroutines, and after close.
func (w *wire) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waker >= 0 {
		one := [8]byte{1}
		unix.Write(w.waker, one[:]) //nolint:errcheck // EAGAIN: a wake-up is pending already
	}
}

func (w *wire) close() {
	for i := range w.fds {
		w.unlisten(inlet(i))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	unix.Close(w.waker) //nolint:errcheck // an eventfd has nothing to lose
	w.waker = -1
}

// listen opens a receiving socket.
func (w *wire) listen(i inlet) error {
	family := unix.AF_INET
	if i.is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := bindInlet(fd, i); err != nil {
		unix.Close(fd) //nolint:errcheck // the first error is the one that tells
		return err
	}
	w.fds[i] = fd
	return nil
}

// bindInlet has the kernel say with each packet which TTL it had and where it went.
func bindInlet(fd int, i inlet) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) //nolint:errcheck // what there is will do
	}
	level, options := unix.IPPROTO_IP, []int{unix.IP_RECVTTL, unix.IP_PKTINFO}
	var local unix.Sockaddr = &unix.SockaddrInet4{Port: i.port()}
	if i.is6() {
		level, options = unix.IPPROTO_IPV6, []int{unix.IPV6_V6ONLY, unix.IPV6_RECVHOPLIMIT, unix.IPV6_RECVPKTINFO}
		local = &unix.SockaddrInet6{Port: i.port()}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, level, o, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	switch err := unix.Bind(fd, local); {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("UDP port %d is in use: another program speaks BFD here", i.port())
	case err != nil:
		return fmt.Errorf("bind UDP port %d: %w", i.port(), err)
	}
	return nil
}

// unlisten closes a receiving socket, if it is open.
func (w *wire) unlisten(i inlet) {
	if w.fds[i] >= 0 {
		unix.Close(w.fds[i]) //nolint:errcheck // nothing is written by it
		w.fds[i] = -1
	}
}

// wait blocks until a packet has come, wake is called, or the time is over.
func (w *wire) wait(d time.Duration) error {
	fds := [1 + inlets]unix.PollFd{{Fd: int32(w.waker), Events: unix.POLLIN}}
	for i, fd := range w.fds {
		fds[1+i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} // ppoll skips −1
	}
	timeout := unix.NsecToTimespec(int64(d))
	n, err := unix.Ppoll(fds[:], &timeout, nil)
	if err != nil && err != unix.EINTR && err != unix.EAGAIN {
		return os.NewSyscallError("ppoll", err)
	}
	if n > 0 && fds[0].Revents != 0 {
		var buf [8]byte
		unix.Read(w.waker, buf[:]) //nolint:errcheck // EAGAIN: it was read before
	}
	return nil
}

// receive hands out what has come. It does not wait.
func (w *wire) receive(f func(datagram)) {
	for i, fd := range w.fds {
		if fd < 0 {
			continue
		}
		for range mostDatagrams {
			n, oobn, _, from, err := unix.Recvmsg(fd, w.buf[:], w.oob[:], unix.MSG_DONTWAIT)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				break // EAGAIN; an error of the socket has been read by this, and the socket lives on
			}
			d := datagram{ttl: -1, multiHop: inlet(i).multiHop(), payload: w.buf[:n]}
			d.setSender(from)
			d.setControl(w.oob[:oobn])
			f(d)
		}
	}
}

func (d *datagram) setSender(from unix.Sockaddr) {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		d.from = netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		d.from = netip.AddrFrom16(a.Addr)
	}
}

// setControl reads the control messages of a packet: int for the TTL, struct in_pktinfo of linux/in.h and struct
// in6_pktinfo of linux/ipv6.h for the destination.
func (d *datagram) setControl(oob []byte) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return // the TTL is unknown then, and counted as such
	}
	for _, m := range messages {
		switch b := m.Data; {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_TTL && len(b) >= 4,
			m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT && len(b) >= 4:
			d.ttl = int(binary.NativeEndian.Uint32(b))
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(b) >= unix.SizeofInet4Pktinfo:
			d.zone = int(binary.NativeEndian.Uint32(b))
			d.to = netip.AddrFrom4([4]byte(b[8:12]))
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(b) >= unix.SizeofInet6Pktinfo:
			d.to = netip.AddrFrom16([16]byte(b[:16]))
			d.zone = int(binary.NativeEndian.Uint32(b[16:]))
		}
	}
}

// An outlet is the socket that a session sends by.
type outlet struct {
	fd   int
	is6  bool
	to   unix.Sockaddr
	zone int // of a link-local peer
}

// openOutlet opens the socket of a session. The port is one of its own and stays the same: RFC 5881, Section 4.
func openOutlet(c *Config) (*outlet, error) {
	o := &outlet{is6: c.Peer.Is6()}
	if zone := c.Peer.Zone(); zone != "" {
		ifi, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", zone, err)
		}
		o.zone = ifi.Index
	}
	o.to = sockaddr(c.Peer, portOf(c.MultiHop), o.zone)
	family := unix.AF_INET
	if o.is6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	o.fd = fd
	if err := o.setUp(c); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *outlet) setUp(c *Config) error {
	unix.SetsockoptInt(o.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0) //nolint:errcheck // nothing is read from it
	level, option := unix.IPPROTO_IP, unix.IP_TOS
	if o.is6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	if err := unix.SetsockoptInt(o.fd, level, option, classSelector6); err != nil {
		return os.NewSyscallError("setsockopt traffic class", err)
	}
	if err := o.setTTL(c.TTL); err != nil {
		return err
	}
	source := c.Source
	if !source.IsValid() {
		source = netip.IPv4Unspecified()
		if o.is6 {
			source = netip.IPv6Unspecified()
		}
	}
	var err error
	for range portDraws {
		err = unix.Bind(o.fd, sockaddr(source, firstPort+rand.IntN(ports), o.zone))
		if err != unix.EADDRINUSE {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	return nil
}

// setTTL sets the TTL of packets sent. An outlet that is nil is given it when it is opened.
func (o *outlet) setTTL(ttl uint8) error {
	if o == nil {
		return nil
	}
	level, option := unix.IPPROTO_IP, unix.IP_TTL
	if o.is6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS
	}
	if err := unix.SetsockoptInt(o.fd, level, option, int(ttl)); err != nil {
		return os.NewSyscallError("setsockopt TTL", err)
	}
	return nil
}

// send sends a packet. It does not wait: a full queue is an error like any other.
func (o *outlet) send(b []byte) error {
	return os.NewSyscallError("sendto", unix.Sendto(o.fd, b, 0, o.to))
}

// isStale reports whether a socket may have been bound to an address or interface that is gone: the kernel has many
// errors for that. A full queue and a filter's refusal are none of them.
func isStale(err error) bool {
	return err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EPERM)
}

func (o *outlet) close() {
	if o != nil {
		unix.Close(o.fd) //nolint:errcheck // what is sent is sent
	}
}

func sockaddr(a netip.Addr, port, zone int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: a.As16(), ZoneId: uint32(zone)}
}

// mayCome reports whether a socket could not be had for what the host does not have yet.
func mayCome(err error) bool {
	var op *net.OpError
	return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) || errors.As(err, &op) // of net.InterfaceByName
}
