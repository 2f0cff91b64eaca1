package vipcheck

import (
	"encoding/binary"
	"net/netip"

	"uvs/internal/wire"
)

// hopLimit is that of segments to a server. One that has the address takes them, or hands them to a container of its own,
// which costs one hop. One that lacks it and is a router sends them to whoever has it: they are not to be served there.
const hopLimit = 2

// What an opening segment offers.
const (
	window     = 64240
	mss4, mss6 = 1460, 1440
	mssOption  = 2 // kind (RFC 9293, Section 3.1)
	mssLen     = 4
)

// A segment is what TCP says in a packet without data.
type segment struct {
	from, to netip.AddrPort
	seq, ack uint32
	flags    uint8
}

// packet returns the IP packet of a segment. One that opens a connection has the option MSS, as firewalls take one
// without for an attack.
func (s *segment) packet() []byte {
	tcpLen := wire.TCPLen
	if s.flags&wire.TCPSyn != 0 {
		tcpLen += mssLen
	}
	v6 := s.to.Addr().Is6()
	ipLen, mss := wire.IPv4Len, uint16(mss4)
	if v6 {
		ipLen, mss = wire.IPv6Len, mss6
	}
	b := make([]byte, ipLen+tcpLen)
	tcp := wire.TCP(b[ipLen:])
	tcp.Init(s.from.Port(), s.to.Port(), s.seq, s.ack, s.flags)
	if tcpLen > wire.TCPLen {
		const dataOffset, windowAt = 12, 14
		tcp[dataOffset] = byte(tcpLen / 4 << 4)
		binary.BigEndian.PutUint16(tcp[windowAt:], window)
		tcp[wire.TCPLen], tcp[wire.TCPLen+1] = mssOption, mssLen
		binary.BigEndian.PutUint16(tcp[wire.TCPLen+2:], mss)
	}
	var source, destination []byte
	if v6 {
		h := wire.IPv6(b)
		h.Init(hopLimit, wire.ProtoTCP, tcpLen)
		source, destination = h.Source(), h.Destination()
	} else {
		h := wire.IPv4(b)
		h.Init(0, hopLimit, wire.ProtoTCP, 0, true, tcpLen)
		source, destination = h.Source(), h.Destination()
	}
	copy(source, s.from.Addr().AsSlice())
	copy(destination, s.to.Addr().AsSlice())
	if !v6 {
		wire.IPv4(b).SetChecksum(wire.Checksum(b[:ipLen]))
	}
	tcp.SetChecksum(^wire.Sum(tcp, wire.PseudoHeaderSum(source, destination, wire.ProtoTCP, tcpLen)))
	return b
}

// An ipPacket is an IP packet, or what an error quotes of one.
type ipPacket struct {
	from, to netip.Addr
	protocol uint8
	payload  []byte
}

// openIP reads an IP header; false for what is none, for later fragments, and with extension headers, which no answer has.
func openIP(b []byte) (p ipPacket, ok bool) {
	switch {
	case len(b) >= wire.IPv4Len && b[0]>>4 == 4:
		h := wire.IPv4(b)
		n := h.HeaderLen()
		if n < wire.IPv4Len || n > len(b) || h.FragmentOffset() != 0 {
			return p, false
		}
		return ipPacket{
			from: netip.AddrFrom4([4]byte(h.Source())), to: netip.AddrFrom4([4]byte(h.Destination())),
			protocol: h.Protocol(), payload: b[n:],
		}, true
	case len(b) >= wire.IPv6Len && b[0]>>4 == 6:
		h := wire.IPv6(b)
		return ipPacket{
			from: netip.AddrFrom16([16]byte(h.Source())), to: netip.AddrFrom16([16]byte(h.Destination())),
			protocol: h.NextHeader(), payload: b[wire.IPv6Len:],
		}, true
	}
	return p, false
}

// heard is what a packet tells of a question.
type heard struct {
	segment segment // what the server answers; of a refusal that of the question, as far as it is quoted
	refusal *Refusal
	quoted  ipPacket // what a refusal is about
}

// read tells what a packet says; ok is false if that is nothing about a question from this port.
func read(b []byte, port uint16) (h heard, ok bool) {
	p, ok := openIP(b)
	if !ok {
		return h, false
	}
	switch p.protocol {
	case wire.ProtoTCP:
		if len(p.payload) < wire.TCPLen || wire.DestinationPort(p.payload) != port {
			return h, false
		}
		h.segment = segmentOf(&p)
		h.segment.ack, h.segment.flags = wire.TCP(p.payload).Ack(), wire.TCP(p.payload).Flags()
		return h, true
	case wire.ProtoICMP, wire.ProtoICMPv6:
		return readError(&p, port)
	}
	return h, false
}

// segmentOf returns of a segment what the first eight bytes tell, of which an error quotes no more than that for certain.
func segmentOf(p *ipPacket) segment {
	tcp := wire.TCP(p.payload)
	return segment{
		from: netip.AddrPortFrom(p.from, wire.SourcePort(tcp)), to: netip.AddrPortFrom(p.to, wire.DestinationPort(tcp)), seq: tcp.Seq(),
	}
}

// readError reads an ICMP error about a segment or a tunnel's packet. That a packet is too long is none: ours are short.
func readError(p *ipPacket, port uint16) (h heard, ok bool) {
	const leastQuote = 8 // RFC 792
	if len(p.payload) < wire.ICMPLen {
		return h, false
	}
	m := wire.ICMP(p.payload)
	h.refusal = &Refusal{From: p.from, IPv6: p.protocol == wire.ProtoICMPv6, Type: m.Type(), Code: m.Code()}
	if !h.refusal.known() {
		return h, false
	}
	if h.quoted, ok = openIP(p.payload[wire.ICMPLen:]); !ok || len(h.quoted.payload) < leastQuote {
		return h, false
	}
	switch h.quoted.protocol {
	case wire.ProtoTCP:
		h.segment = segmentOf(&h.quoted)
		return h, h.segment.from.Port() == port
	case wire.ProtoIPIP, wire.ProtoIPv6, wire.ProtoGRE, wire.ProtoUDP:
		return h, true
	}
	return h, false
}
