package router

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"uvs/vrrp"
)

// IP protocols of adverts.
const (
	protoVRRP = 112
	protoAH   = 51
)

// A socketKey is what makes sockets different. Instances with the same key share one.
type socketKey struct {
	ipv6     bool
	protocol int
	device   Device // bound to; index 0: to none
	listens  bool
	group    netip.Addr // joined, of one that listens; the zero Addr: none
}

// keys returns the sockets that an instance listens on and sends by.
func (w way) keys() (listen, send socketKey) {
	protocol := protoVRRP
	if w.AH {
		protocol = protoAH
	}
	listen = socketKey{ipv6: w.IPv6, protocol: protocol, device: w.Listen, listens: true, group: w.Group}
	send = socketKey{ipv6: w.IPv6, protocol: protocol, device: w.Send}
	return listen, send
}

// A socket is a raw socket. It belongs to the thread once it is open.
type socket struct {
	socketKey
	fd        int
	listeners map[uint8][]string // instances by VRID
	buffer    []byte
	control   []byte
}

// openSocket opens a raw socket. One that sends receives nothing.
func openSocket(k socketKey) (*socket, error) {
	family, protocol := unix.AF_INET, k.protocol
	if k.ipv6 {
		family = unix.AF_INET6
	}
	if !k.listens && !k.ipv6 {
		protocol = unix.IPPROTO_RAW // headers are ours, and nothing is received
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{socketKey: k, fd: fd}
	if err := s.setUp(); err != nil {
		s.close()
		return nil, err
	}
	if k.listens {
		s.makeRoom()
		s.buffer, s.control = make([]byte, maxPacket), make([]byte, 128)
	}
	return s, nil
}

// maxPacket is more than the longest advert: 255 IPv6 addresses, with HMACs.
const maxPacket = 8192

// room is for what comes while the thread is held up. The kernel's default holds some 280 small
// packets of a veth, and of many drivers a third: a backup whose advert is lost takes over.
const room = 4 << 20

// makeRoom asks for it, beyond the kernel's bound where we may.
func (s *socket) makeRoom() {
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room) // then what the bound allows
	}
}

func (s *socket) close() { _ = unix.Close(s.fd) }

func (s *socket) setUp() error {
	if s.device.Index != 0 {
		if err := unix.BindToDevice(s.fd, s.device.Name); err != nil {
			return fmt.Errorf("bind to %s: %w", s.device.Name, os.NewSyscallError("setsockopt SO_BINDTODEVICE", err))
		}
	}
	if s.ipv6 {
		return s.setUp6()
	}
	return s.setUp4()
}

func (s *socket) setUp4() error {
	if !s.listens {
		return s.set(
			option{unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0, "IP_MULTICAST_LOOP"},
			option{unix.SOL_SOCKET, unix.SO_PRIORITY, prioControl, "SO_PRIORITY"},
		)
	}
	if !s.group.IsValid() {
		return nil
	}
	err := unix.SetsockoptIPMreqn(s.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
		&unix.IPMreqn{Multiaddr: s.group.As4(), Ifindex: int32(s.device.Index)})
	if err != nil {
		return fmt.Errorf("join %s on %s: %w", s.group, s.device.Name, os.NewSyscallError("setsockopt IP_ADD_MEMBERSHIP", err))
	}
	// Only groups that this socket has joined.
	return s.set(option{unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0, "IP_MULTICAST_ALL"})
}

// prioControl is TC_PRIO_CONTROL, and trafficClass the DS field of network control.
const (
	prioControl  = 7
	trafficClass = 0xc0
)

func (s *socket) setUp6() error {
	if !s.listens {
		// Its protocol would have it receive all adverts.
		nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
		if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing}); err != nil {
			return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
		}
		return s.set(
			option{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0, "IPV6_MULTICAST_LOOP"},
			option{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, multicastTTL, "IPV6_MULTICAST_HOPS"},
			option{unix.IPPROTO_IPV6, unix.IPV6_TCLASS, trafficClass, "IPV6_TCLASS"},
			option{unix.SOL_SOCKET, unix.SO_PRIORITY, prioControl, "SO_PRIORITY"},
		)
	}
	err := s.set(
		option{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"},
		option{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1, "IPV6_RECVHOPLIMIT"},
	)
	if err != nil || !s.group.IsValid() {
		return err
	}
	err = unix.SetsockoptIPv6Mreq(s.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
		&unix.IPv6Mreq{Multiaddr: s.group.As16(), Interface: uint32(s.device.Index)})
	if err != nil {
		return fmt.Errorf("join %s on %s: %w", s.group, s.device.Name, os.NewSyscallError("setsockopt IPV6_JOIN_GROUP", err))
	}
	return nil
}

// An option is a socket option with its name.
type option struct {
	level, name, value int
	text               string
}

func (s *socket) set(options ...option) error {
	for _, o := range options {
		if err := unix.SetsockoptInt(s.fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.text, err)
		}
	}
	return nil
}

// receive reads a packet and the VRID in it. It reports false if there is none. The packet is
// nil if it is too short to be for anybody, and valid until the next call.
func (s *socket) receive() (p *vrrp.Packet, vrid uint8, ok bool) {
	n, oobn, _, from, err := unix.Recvmsg(s.fd, s.buffer, s.control, 0)
	if err != nil {
		return nil, 0, err == unix.EINTR || err == unix.ENETDOWN // reading an error clears it
	}
	if s.ipv6 {
		p = packet6(s.buffer[:n], s.control[:oobn], from)
	} else {
		p = packet4(s.buffer[:n])
	}
	if p == nil {
		return nil, 0, true
	}
	at := 1
	if p.AH {
		at += ahLen
	}
	if len(p.Payload) <= at {
		return nil, 0, true
	}
	return p, p.Payload[at], true
}

// ahLen is the length of the authentication header of VRRP: with HMAC-MD5-96, 24 bytes.
const ahLen = 24

// packet4 reads what a raw IPv4 socket delivers, which begins with the IP header.
func packet4(b []byte) *vrrp.Packet {
	const least = 20
	if len(b) < least {
		return nil
	}
	header := int(b[0]&0xf) * 4
	if header < least || len(b) < header {
		return nil
	}
	return &vrrp.Packet{
		Source:      netip.AddrFrom4([4]byte(b[12:16])),
		Destination: netip.AddrFrom4([4]byte(b[16:20])),
		TTL:         int(b[8]),
		Header:      b[:header],
		AH:          b[9] == protoAH,
		Payload:     b[header:],
	}
}

// packet6 reads what a raw IPv6 socket delivers: the payload, and the rest as control
// messages.
func packet6(b, control []byte, from unix.Sockaddr) *vrrp.Packet {
	sa, ok := from.(*unix.SockaddrInet6)
	if !ok {
		return nil
	}
	p := &vrrp.Packet{Source: netip.AddrFrom16(sa.Addr), TTL: -1, Payload: b}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if m.Header.Level != unix.IPPROTO_IPV6 {
			continue
		}
		switch {
		case m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			p.Destination = netip.AddrFrom16([16]byte(m.Data[:16]))
		case m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			p.TTL = int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return p
}

// send sends a packet: for IPv4 with its header, for IPv6 the payload.
func (s *socket) send(b []byte, source, to netip.Addr, device, ttl int) error {
	if !s.ipv6 {
		_, err := unix.SendmsgN(s.fd, b, unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(device)}), &unix.SockaddrInet4{Addr: to.As4()}, unix.MSG_DONTWAIT)
		return os.NewSyscallError("sendmsg", err)
	}
	if !to.IsMulticast() {
		if err := s.set(option{unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl, "IPV6_UNICAST_HOPS"}); err != nil {
			return err
		}
	}
	info := unix.PktInfo6(&unix.Inet6Pktinfo{Addr: source.As16(), Ifindex: uint32(device)})
	dst := &unix.SockaddrInet6{Addr: to.As16()}
	if to.IsLinkLocalUnicast() || to.IsMulticast() {
		dst.ZoneId = uint32(device)
	}
	_, err := unix.SendmsgN(s.fd, b, info, dst, unix.MSG_DONTWAIT)
	return os.NewSyscallError("sendmsg", err)
}
