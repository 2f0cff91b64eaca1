package forwarding

import (
	"sync/atomic"
	"time"

	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// A TunnelType is how packets are put inside others. Values are IPVS's
// (IP_VS_CONN_F_TUNNEL_TYPE_IPIP and following in include/uapi/linux/ip_vs.h).
type TunnelType uint8

// Types of tunnels.
const (
	IPIP TunnelType = 0 // right behind the outer IP header: IPv4 (RFC 2003) or IPv6 (RFC 2473, RFC 4213)
	GUE  TunnelType = 1 // generic UDP encapsulation
	GRE  TunnelType = 2 // generic routing encapsulation (RFC 2784)
)

// A TunnelChecksum says what checksum a tunnel has. Values are IPVS's
// (IP_VS_TUNNEL_ENCAP_FLAG_CSUM and its like).
type TunnelChecksum uint8

// Checksums of tunnels. IPIP has none, and to GRE RemoteChecksum is NoChecksum, as in IPVS.
const (
	NoChecksum TunnelChecksum = 0
	Checksum   TunnelChecksum = 1 // over all that is inside
	// RemoteChecksum is Checksum, and a packet whose own checksum is still to be completed
	// leaves that to the server (draft-herbert-remotecsumoffload).
	RemoteChecksum TunnelChecksum = 2
)

// A TunnelSpec says how packets get to a server with method Tunnel. The zero value is IPIP.
type TunnelSpec struct {
	Type     TunnelType
	Port     uint16 // of GUE, where the server listens; else 0
	Checksum TunnelChecksum
}

// checksum reports whether the tunnel's header has a checksum.
func (s TunnelSpec) checksum() bool {
	return s.Type == GUE && s.Checksum != NoChecksum || s.Type == GRE && s.Checksum == Checksum
}

// leavesChecksum reports whether partial checksums are left to the server.
func (s TunnelSpec) leavesChecksum() bool { return s.Type == GUE && s.Checksum == RemoteChecksum }

// A tunnel is the way to a server inside other packets. It is immutable.
type tunnel struct {
	spec   TunnelSpec
	hop    NextHop
	source [16]byte // the outer packets': the host's own address on the way
	target [16]byte // the server
	v6     bool     // of both; what is inside may be of the other family
}

// resolveTunnel points the server's tunnel at its next hop. Engine.mu is held.
func (d *dest) resolveTunnel(r *Routes) {
	hop := d.hop.Load()
	if d.tunnelled == nil || hop == nil || d.local.Load() {
		d.tunnel.Store(nil)
		return
	}
	d.tunnel.Store(r.tunnelBy(hop, &d.target, d.v6, *d.tunnelled))
}

// tunnelBy returns the tunnel to a server by its next hop, nil if the host has no address for it.
func (r *Routes) tunnelBy(hop *NextHop, target *[16]byte, v6 bool, spec TunnelSpec) *tunnel {
	source := r.source(target, v6, hop, nil)
	if !source.IsValid() {
		return nil
	}
	return &tunnel{spec: spec, hop: *hop, source: wireAddr(source), target: *target, v6: v6}
}

// endpoint returns the server's end of a flow. A flow of the other family than the server's,
// which only tunnels bring there, has no room for its address; Engine.Server knows it.
func (d *dest) endpoint(v6 bool) conntrack.Endpoint {
	if d.v6 != v6 {
		return conntrack.Endpoint{Port: d.end.Port}
	}
	return conntrack.Endpoint{Addr: d.target, Port: d.end.Port}
}

// headerLen returns how many bytes a tunnel's headers take. remote says that they leave a
// checksum to the server.
func (t *tunnel) headerLen(remote bool) int {
	n := wire.IPv4Len
	if t.v6 {
		n = wire.IPv6Len
	}
	switch t.spec.Type {
	case GUE:
		n += wire.UDPLen + wire.GUELen
		if remote {
			n += wire.GUERemoteLen
		}
	case GRE:
		n += wire.GRELen
		if t.spec.checksum() {
			n += wire.GREChecksumLen
		}
	}
	return n
}

// mtu returns the longest outer packet in bytes, as far as is known by now.
func (t *tunnel) mtu(learned *pathMTU, now mono.Time) int {
	mtu := t.hop.MTU
	if mtu == 0 {
		mtu = datagramBytes
	}
	if n := learned.load(now); n != 0 {
		mtu = min(mtu, n)
	}
	return mtu
}

// room returns the longest packet that fits inside an outer one of mtu bytes, 0 if the way is
// too narrow for a tunnel (__ip_vs_get_out_rt). IPVS sends nothing either where less than 1280
// bytes fit over IPv6 (__ip_vs_get_out_rt_v6); here senders learn of it, and outer packets are
// fragmented for those over IPv6, which are never asked for less.
func (t *tunnel) room(mtu int, remote bool) int {
	if room := mtu - t.headerLen(remote); room >= leastIPv4MTU {
		return room
	}
	return 0
}

const (
	leastIPv4MTU = 68               // every IPv4 link has it (RFC 791, Section 3.2)
	leastPathMTU = 552              // net.ipv4.route.min_pmtu: what an error can make of a path at the least
	pathMTUTime  = 10 * time.Minute // net.ipv4.route.mtu_expires
)

// A pathMTU is what errors about a tunnel's packets have told of its way. Safe for use by many
// goroutines.
type pathMTU struct {
	word atomic.Uint64 // MTU 0–16, the millisecond on mono's clock when it is forgotten 16–64
}

// load returns the MTU, 0 if none is known.
func (m *pathMTU) load(now mono.Time) int {
	word := m.word.Load()
	if word == 0 || uint64(now)/uint64(time.Millisecond) >= word>>16 {
		return 0
	}
	return int(word & 0xffff)
}

// shrink takes note of an MTU of at most 65535 bytes, unless that of t is as small already: no
// error makes it larger.
func (m *pathMTU) shrink(t *tunnel, mtu int, now mono.Time) {
	if mtu >= t.mtu(m, now) {
		return
	}
	m.word.Store(uint64(now.Add(pathMTUTime))/uint64(time.Millisecond)<<16 | uint64(mtu))
}

// An inner is what of a packet its outer ones are made from.
type inner struct {
	v6       bool
	tos, ttl uint8
	df       bool   // the outer packets are not to be fragmented
	id       uint16 // of an outer IPv4 packet that may be fragmented
	port     uint16 // of GUE, where they come from
	// remote: the checksum at offset field of the packet is left to the server; it covers
	// all from offset start on.
	remote       bool
	start, field int
}

// wrap writes a tunnel's headers, and of the Ethernet header the type. b is a frame in which the
// packet inside stands behind headerLen free bytes (ip_vs_tunnel_xmit, ip_vs_tunnel_xmit_v6,
// ipvs_gue_encap, ipvs_gre_encap).
func (t *tunnel) wrap(b []byte, in *inner) {
	etherType, protocol := uint16(wire.EtherTypeIPv4), uint8(wire.ProtoIPIP)
	if in.v6 {
		etherType, protocol = wire.EtherTypeIPv6, wire.ProtoIPv6
	}
	ip := b[wire.EthernetLen:]
	l4, n := ip[wire.IPv4Len:], 4
	if t.v6 {
		l4, n = ip[wire.IPv6Len:], 16
	}
	switch t.spec.Type {
	case GUE:
		gue := wire.GUE(l4[wire.UDPLen:])
		gue.Init(protocol)
		if in.remote {
			gue.SetRemoteChecksum(in.start, in.field)
		}
		udp := wire.UDP(l4)
		udp.Init(in.port, t.spec.Port, len(l4))
		if t.spec.checksum() {
			sum := ^wire.Sum(l4, wire.PseudoHeaderSum(t.source[:n], t.target[:n], wire.ProtoUDP, len(l4)))
			if sum == 0 {
				sum = 0xffff // 0 would mean "none"
			}
			udp.SetChecksum(sum)
		}
		protocol = wire.ProtoUDP
	case GRE:
		gre := wire.GRE(l4)
		gre.Init(etherType, t.spec.checksum())
		if t.spec.checksum() {
			gre.SetChecksum(wire.Checksum(l4))
		}
		protocol = wire.ProtoGRE
	}
	if t.v6 {
		wire.Ethernet(b).SetEtherType(wire.EtherTypeIPv6)
		h := wire.IPv6(ip)
		h.Init(in.ttl, protocol, len(l4))
		h.SetTrafficClass(in.tos)
		copy(h.Source(), t.source[:])
		copy(h.Destination(), t.target[:])
		return
	}
	wire.Ethernet(b).SetEtherType(wire.EtherTypeIPv4)
	h := wire.IPv4(ip[:wire.IPv4Len])
	h.Init(in.tos, in.ttl, protocol, in.id, in.df, len(l4))
	copy(h.Source(), t.source[:4])
	copy(h.Destination(), t.target[:4])
	h.SetChecksum(wire.Checksum(h))
}
