package forwarding

import (
	"errors"
	"net/netip"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// Reasons why there is no Path.
var (
	ErrOwnHost  = errors.New("the server is this host itself")
	ErrNoRoute  = errors.New("no route to the server")
	ErrNoSource = errors.New("this host has no address of its own that the server could answer to")
)

// ownHopLimit is the hop limit of outer packets of the host's own (net.ipv4.ip_default_ttl).
const ownHopLimit = 64

// A Path is the way of a packet of the host's own to a virtual address at one server, by direct routing or through a
// tunnel: the same that clients' packets take. It is a value that does not follow the network.
type Path struct {
	// Hop is where frames go; without a MAC while the neighbour is not resolved.
	Hop NextHop
	// Source is an address of the host's own, of the virtual address's family, for answers to come to.
	Source netip.Addr

	tunnel *tunnel // nil: packets go as they are
}

// PathTo returns the way to vip at a server with method Route or Tunnel. virtual names addresses that are no source, as
// the server, or another director, may have them. The error is ErrOwnHost, ErrNoRoute or ErrNoSource. Safe for use by many
// goroutines.
func (e *Engine) PathTo(vip, server netip.Addr, m Method, spec TunnelSpec, virtual func(netip.Addr) bool) (Path, error) {
	return e.routes.Load().pathTo(vip, server, m, spec, virtual)
}

func (r *Routes) pathTo(vip, server netip.Addr, m Method, spec TunnelSpec, virtual func(netip.Addr) bool) (p Path, err error) {
	target, v6 := wireAddr(server), server.Is6()
	if r.local(&target, v6) {
		return p, ErrOwnHost
	}
	hop, ok := r.Lookup(&target, v6, 0)
	if !ok {
		return p, ErrNoRoute
	}
	p.Hop = hop
	// Answers come from the server past its tunnel; where that has another family, the route to the virtual address
	// has to do for a source.
	towards := target
	if vip.Is6() != v6 {
		towards = wireAddr(vip)
	}
	if p.Source = r.source(&towards, vip.Is6(), &hop, virtual); !p.Source.IsValid() {
		return p, ErrNoSource
	}
	if m == Tunnel {
		if p.tunnel = r.tunnelBy(&hop, &target, v6, spec); p.tunnel == nil {
			return p, ErrNoSource
		}
	}
	return p, nil
}

// Wrap returns what is to be sent of an IP packet with finished checksums, and its EtherType: the packet itself, or an
// outer one with it inside. A packet inside may have no more bytes than the tunnel's way takes.
func (p *Path) Wrap(packet []byte) (etherType uint16, wrapped []byte) {
	in := inner{v6: packet[0]>>4 == 6, ttl: ownHopLimit, df: true}
	if p.tunnel == nil {
		if in.v6 {
			return wire.EtherTypeIPv6, packet
		}
		return wire.EtherTypeIPv4, packet
	}
	in.port = gueSource(flowHash(&conntrack.Tuple{Src: p.tunnel.source, Dst: p.tunnel.target}))
	front := wire.EthernetLen + p.tunnel.headerLen(false)
	b := make([]byte, front+len(packet))
	copy(b[front:], packet)
	p.tunnel.wrap(b, &in)
	return wire.Ethernet(b).EtherType(), b[wire.EthernetLen:]
}
