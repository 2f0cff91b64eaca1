package parity

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"uvs/internal/wire"
)

// The site of every script: a director between a network with the clients' router and one
// with the servers. All neighbours are known beforehand, and nobody but the director has a
// stack of its own: the script speaks for all others.
//
//	clients 203.0.113.0/24, 2001:db8:9::/64 … ── router ── eth0 director eth1 ── servers 1 to 9
//
// The director has .1 in both networks, and VIPs on eth0.

// A Side is one of the director's networks.
type Side int

// Sides.
const (
	Clients Side = iota
	Servers
)

// Device is the director's interface on the side.
func (s Side) Device() string { return fmt.Sprintf("eth%d", int(s)) }

// MAC is the director's on the side.
func (s Side) MAC() wire.MAC { return wire.MAC{2, 0, 0, 0, 0, byte(1 + s)} }

// Prefixes are the director's addresses on the side, but for the VIPs.
func (s Side) Prefixes() []netip.Prefix {
	if s == Clients {
		return []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:2::1/64")}
	}
	return []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("2001:db8:5::1/64")}
}

// VIPs are the virtual addresses, which are all there from the start: .10 to .19 beside the
// director in the clients' network.
func VIPs() (list []netip.Addr) {
	for i := range byte(10) {
		list = append(list, netip.AddrFrom4([4]byte{192, 0, 2, 10 + i}))
	}
	for i := range byte(10) {
		list = append(list, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 2, 15: 0x10 + i}))
	}
	return list
}

// ServerCount is how many servers there are.
const ServerCount = 9

// A Neighbour is a host beside the director.
type Neighbour struct {
	Side  Side
	Name  string
	MAC   wire.MAC
	Addrs []netip.Addr
}

// Router is the clients' router, over which the director's default routes lead.
func Router() Neighbour {
	return Neighbour{Clients, "clients", wire.MAC{2, 0, 0, 0, 1, 0xfe}, []netip.Addr{
		netip.MustParseAddr("192.0.2.254"), netip.MustParseAddr("2001:db8:2::fe"),
	}}
}

// Server is server n, from 1.
func Server(n int) Neighbour {
	b := byte(n)
	return Neighbour{Servers, fmt.Sprintf("server%d", n), wire.MAC{2, 0, 0, 0, 2, b}, []netip.Addr{
		netip.AddrFrom4([4]byte{198, 51, 100, 10 + b}),
		netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 5, 15: 0x10 + b}),
	}}
}

// Neighbours are all of them.
func Neighbours() []Neighbour {
	list := []Neighbour{Router()}
	for n := 1; n <= ServerCount; n++ {
		list = append(list, Server(n))
	}
	return list
}

// A Frame is an Ethernet frame on one of the networks. Its receiver owns Data.
type Frame struct {
	Side Side
	Data []byte
}

// FrameTo wraps an IP packet that a neighbour sends to the director.
func FrameTo(side Side, from wire.MAC, ip []byte) Frame {
	b := make([]byte, wire.EthernetLen, wire.EthernetLen+len(ip))
	wire.Ethernet(b).SetAddresses(side.MAC(), from)
	kind := uint16(wire.EtherTypeIPv4)
	if ip[0]>>4 == 6 {
		kind = wire.EtherTypeIPv6
	}
	binary.BigEndian.PutUint16(b[wire.MACsLen:], kind)
	return Frame{side, append(b, ip...)}
}

// Relevant reports whether a frame that was seen is one of those that scripts are about: an
// IP packet, but no neighbour discovery, multicast listener report or IGMP.
func (f Frame) Relevant() bool {
	if len(f.Data) < wire.EthernetLen+wire.IPv4Len || wire.Ethernet(f.Data).Destination()[0]&1 != 0 {
		return false
	}
	switch ip := f.Data[wire.EthernetLen:]; wire.Ethernet(f.Data).EtherType() {
	case wire.EtherTypeIPv4:
		return true
	case wire.EtherTypeIPv6:
		const firstDiscovery, lastDiscovery = 133, 137
		if ip[6] == wire.ProtoICMPv6 && len(ip) > wire.IPv6Len {
			return ip[wire.IPv6Len] < firstDiscovery || ip[wire.IPv6Len] > lastDiscovery
		}
		return true
	}
	return false
}

// recipient names who gets a frame.
func (f Frame) recipient() string {
	to := wire.Ethernet(f.Data).Destination()
	for _, n := range Neighbours() {
		if n.Side == f.Side && n.MAC == to {
			return n.Name
		}
	}
	return fmt.Sprintf("%s:%s", f.Side.Device(), net.HardwareAddr(to[:]))
}
