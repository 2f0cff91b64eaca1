package steer

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Offsets and values of the headers that the decision reads; RFC 791 Section 3.1,
// RFC 8200 Sections 3 and 4.
const (
	etherHeaderLen = 14
	etherTypeOff   = 12
	etherTypeIPv4  = 0x0800
	etherTypeIPv6  = 0x86dd

	ipv4HeaderLen   = 20 // without options
	ipv4FragOff     = 6
	ipv4FragMask    = 0x1fff
	ipv4ProtoOff    = 9
	ipv4SrcOff      = 12
	ipv4DstOff      = 16
	ipv6HeaderLen   = 40
	ipv6NextOff     = 6
	ipv6SrcOff      = 8
	ipv6DstOff      = 24
	ipv6FragOff     = 2 // within the fragment header
	ipv6FragMask    = 0xfff8
	extHeaderMinLen = 8

	nextHopByHop = 0
	nextRouting  = 43
	nextFragment = 44
	nextAuth     = 51
	nextDestOpts = 60

	portsLen = 4 // source and destination port, the first bytes of TCP, UDP and SCTP
)

// maxExtHeaders bounds the walk over IPv6 extension headers. RFC 8200, Section 4.1
// names an order of six before the transport, one of them twice.
const maxExtHeaders = 8

// A Frame is one received Ethernet frame as the kernel's hooks see it.
type Frame struct {
	Link   int    // index of the device it came in by
	Data   []byte // from the Ethernet header on, with the VLAN tag taken out
	Host   bool   // addressed to this host: the kernel's PACKET_HOST
	Tagged bool   // came with a VLAN tag
}

// Drops reports whether the stack must not see the frame, because the director
// takes it. It is the specification of the backends, kept slow and obvious.
//
// Only untagged frames for this host that carry TCP, UDP or SCTP with readable ports are
// ever taken: of a fragmented packet that is the first fragment, and over IPv6 those
// with at most eight extension headers out of hop-by-hop options, routing,
// destination options and fragment. Lengths are not compared: a frame that is shorter
// than its headers claim is discarded by the stack as well.
//
// The nft backend differs in two cases that no sender has a use for, because the kernel
// walks the extension headers there: it knows no bound, and of two fragment headers
// it respects the first. For those of iptables, see there.
//
// Drops does not change the frame and is safe for use by many goroutines.
func (r Rules) Drops(f Frame) bool {
	if !f.Host || f.Tagged {
		return false
	}
	p, ok := parse(f.Data)
	if !ok {
		return false
	}
	if contains(r.Services, p.dst, p.dstPort, p.proto) || contains(r.BriefServices, p.dst, p.dstPort, p.proto) {
		return true
	}
	if p.proto == protoTCP && (p.dstPort == ftpDataPort || p.dstPort >= leastDataPort) && slices.Contains(r.FTPAddrs, p.dst) {
		return true
	}
	if i := slices.IndexFunc(r.Patterns, func(x Pattern) bool { return x.fits(p, f.Link) }); i >= 0 && r.Patterns[i].Take {
		return true
	}
	fromServer := contains(r.Servers, p.src, p.srcPort, p.proto) || contains(r.BriefServers, p.src, p.srcPort, p.proto)
	return fromServer && !slices.Contains(r.Locals, p.dst)
}

// Ports of FTP's data connections (RFC 959, Section 3.2): that of the service, and those that
// anybody may listen on.
const (
	ftpDataPort   = 20
	leastDataPort = 1024
)

// packet is what the decision depends on.
type packet struct {
	src, dst         netip.Addr
	srcPort, dstPort uint16
	proto            uint8
}

// contains reports whether a match of the list covers the address, port and protocol.
func contains(list []Match, addr netip.Addr, port uint16, proto uint8) bool {
	return slices.ContainsFunc(list, func(m Match) bool {
		return m.Addr == addr && m.Proto == proto && (m.Port == port || m.Port == 0)
	})
}

// parse finds the addresses and ports of an Ethernet frame; ok is false when it
// has none that can be steered.
func parse(frame []byte) (p packet, ok bool) {
	if len(frame) < etherHeaderLen {
		return packet{}, false
	}
	b := frame[etherHeaderLen:]
	var l4 int
	switch binary.BigEndian.Uint16(frame[etherTypeOff:]) {
	case etherTypeIPv4:
		p, l4, ok = parseIPv4(b)
	case etherTypeIPv6:
		p, l4, ok = parseIPv6(b)
	}
	if !ok || !steered(p.proto) || len(b) < l4+portsLen {
		return packet{}, false
	}
	p.srcPort = binary.BigEndian.Uint16(b[l4:])
	p.dstPort = binary.BigEndian.Uint16(b[l4+2:])
	return p, true
}

// parseIPv4 reads an IPv4 header with its options; l4 is where its payload starts.
func parseIPv4(b []byte) (p packet, l4 int, ok bool) {
	if len(b) < ipv4HeaderLen || b[0]>>4 != 4 {
		return packet{}, 0, false
	}
	l4 = int(b[0]&15) * 4
	if l4 < ipv4HeaderLen || binary.BigEndian.Uint16(b[ipv4FragOff:])&ipv4FragMask != 0 {
		return packet{}, 0, false
	}
	p.src = netip.AddrFrom4([4]byte(b[ipv4SrcOff:]))
	p.dst = netip.AddrFrom4([4]byte(b[ipv4DstOff:]))
	p.proto = b[ipv4ProtoOff]
	return p, l4, true
}

// parseIPv6 reads an IPv6 header and walks its extension headers; l4 is where the
// header named by p.proto starts.
func parseIPv6(b []byte) (p packet, l4 int, ok bool) {
	if len(b) < ipv6HeaderLen || b[0]>>4 != 6 {
		return packet{}, 0, false
	}
	p.src = netip.AddrFrom16([16]byte(b[ipv6SrcOff:]))
	p.dst = netip.AddrFrom16([16]byte(b[ipv6DstOff:]))
	p.proto = b[ipv6NextOff]
	l4 = ipv6HeaderLen
	for range maxExtHeaders {
		switch p.proto {
		case nextHopByHop, nextRouting, nextDestOpts, nextFragment:
		default:
			return p, l4, true
		}
		if len(b) < l4+extHeaderMinLen {
			return packet{}, 0, false
		}
		h := b[l4:]
		switch {
		case p.proto != nextFragment:
			l4 += (int(h[1]) + 1) * 8
		case binary.BigEndian.Uint16(h[ipv6FragOff:])&ipv6FragMask == 0:
			l4 += extHeaderMinLen
		default:
			return packet{}, 0, false
		}
		p.proto = h[0]
	}
	return p, l4, true
}
