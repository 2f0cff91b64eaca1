package parity

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"

	"uvs/internal/wire"
)

// Describe returns the text of an IP packet. The text makes the same packet again, but for
// identifications; a packet for which that cannot be is told by its bytes.
func Describe(ip []byte) string {
	ip = slices.Clone(ip)
	normalise(ip)
	p := readPacket(ip)
	if p == nil {
		return "raw " + hex.EncodeToString(ip)
	}
	if !bytes.Equal(p.Bytes(), ip) {
		p.takeSums(ip)
	}
	if !bytes.Equal(p.Bytes(), ip) {
		return "raw " + hex.EncodeToString(ip)
	}
	return p.String()
}

// normalise clears identifications in a packet and all that it carries, and keeps right the
// checksums over them that were right.
func normalise(ip []byte) {
	inner, outer := carried(ip)
	switch {
	case outer < 0:
		return
	case ip[0]>>4 == 4:
		h := wire.IPv4(ip)
		if wire.Checksum(ip[:outer]) == 0 {
			ip[4], ip[5] = 0, 0
			h.SetChecksum(0)
			h.SetChecksum(wire.Checksum(ip[:outer]))
		}
	case ip[6] == wire.ProtoFragment && len(ip) >= wire.IPv6Len+wire.IPv6FragmentLen:
		clear(ip[wire.IPv6Len+4 : wire.IPv6Len+wire.IPv6FragmentLen])
	}
	if inner == nil {
		return
	}
	message := ip[outer:]
	isICMP := len(message) != len(inner)
	right := isICMP && wire.Sum(message, icmpPseudo(ip, message)) == 0xffff
	normalise(inner)
	if right {
		h := wire.ICMP(message)
		h.SetChecksum(0)
		h.SetChecksum(^wire.Sum(message, icmpPseudo(ip, message)))
	}
}

// carried returns the packet that is inside another one, nil if there is none, and the offset
// of what follows the outer one's IP header, or a negative one if that is malformed.
func carried(ip []byte) (inner []byte, offset int) {
	if len(ip) < wire.IPv4Len {
		return nil, -1
	}
	proto := ip[9]
	switch ip[0] >> 4 {
	case 4:
		h := wire.IPv4(ip)
		offset = h.HeaderLen()
		if h.IsFragment() {
			proto = wire.ProtoNone
		}
	case 6:
		offset, proto = wire.IPv6Len, ip[6]
	default:
		return nil, -1
	}
	if offset < wire.IPv4Len || len(ip) < offset {
		return nil, -1
	}
	body := ip[offset:]
	switch proto {
	case protoIPIP, protoIPv6:
		return body, offset
	case wire.ProtoICMP, wire.ProtoICMPv6:
		if len(body) > wire.ICMPLen && isError(proto, body[0]) {
			return body[wire.ICMPLen:], offset
		}
	}
	return nil, offset
}

// isError reports whether an ICMP message quotes a packet.
func isError(proto, kind uint8) bool {
	if proto == wire.ProtoICMPv6 {
		return kind < wire.ICMPv6Informational
	}
	const redirect, parameterProblem = 5, 12
	switch kind {
	case wire.ICMPUnreachable, wire.ICMPSourceQuench, redirect, wire.ICMPTimeExceeded, parameterProblem:
		return true
	}
	return false
}

func icmpPseudo(ip, message []byte) uint16 {
	if ip[0]>>4 == 4 {
		return 0
	}
	h := wire.IPv6(ip)
	return wire.PseudoHeaderSum(h.Source(), h.Destination(), wire.ProtoICMPv6, len(message))
}

// readPacket reads a packet as far as a Packet can hold it, nil if it cannot. Checksums are
// not looked at.
func readPacket(ip []byte) *Packet {
	_, offset := carried(ip)
	if offset < 0 {
		return nil
	}
	p := &Packet{}
	var src, dst []byte
	var whole int // length of the payload by the header
	if ip[0]>>4 == 4 {
		h := wire.IPv4(ip)
		src, dst, whole = h.Source(), h.Destination(), h.TotalLen()-offset
		p.TTL, p.TOS, p.Proto, p.DF = ip[8], ip[1], ip[9], h.DontFragment()
		if offset > wire.IPv4Len {
			p.Options = ip[wire.IPv4Len:offset]
		}
		if h.IsFragment() {
			p.Fragment = &Fragment{Offset: h.FragmentOffset(), More: h.MoreFragments()}
		}
	} else {
		h := wire.IPv6(ip)
		src, dst, whole = h.Source(), h.Destination(), h.PayloadLen()
		word := binary.BigEndian.Uint32(ip)
		p.TTL, p.TOS, p.Flow, p.Proto = ip[7], uint8(word>>20), word&0xfffff, ip[6]
		if p.Proto == wire.ProtoFragment && len(ip) >= wire.IPv6Len+wire.IPv6FragmentLen {
			f := wire.IPv6Fragment(ip[wire.IPv6Len:])
			p.Fragment, p.Proto = &Fragment{Offset: f.Offset(), More: f.MoreFragments()}, f.NextHeader()
			offset, whole = offset+wire.IPv6FragmentLen, whole-wire.IPv6FragmentLen
		}
	}
	a, _ := netip.AddrFromSlice(src)
	b, _ := netip.AddrFromSlice(dst)
	p.Src, p.Dst = netip.AddrPortFrom(a, 0), netip.AddrPortFrom(b, 0)
	body := ip[offset:]
	if whole > len(body) {
		p.Cut = len(body)
		body = p.complete(body, whole)
	}
	if p.Fragment != nil {
		p.Data = body
		return p
	}
	if !p.readBody(body) {
		return nil
	}
	return p
}

// complete makes a body of n bytes of one that was cut: a header has the values that a text
// leaves out, and data is the pattern.
func (p *Packet) complete(cut []byte, n int) []byte {
	full := (&Packet{Src: p.Src, Dst: p.Dst, Proto: p.Proto, Window: standardWindow}).body()
	switch {
	case p.Proto == wire.ProtoTCP && len(cut) >= wire.TCPLen:
		full = full[:min(max(wire.TCP(cut).HeaderLen(), wire.TCPLen), len(full))]
	case len(full) > n:
		return slices.Clone(cut)
	}
	full = append(full, Pattern(n-len(full))...)
	copy(full, cut)
	return full
}

func (p *Packet) readBody(b []byte) bool {
	head := 0
	switch p.Proto {
	case wire.ProtoTCP:
		if len(b) < wire.TCPLen {
			return false
		}
		h := wire.TCP(b)
		if head = h.HeaderLen(); head < wire.TCPLen || head > len(b) {
			return false
		}
		p.Flags, p.Seq, p.Ack = h.Flags(), h.Seq(), h.Ack()
		p.Window, p.Urgent = binary.BigEndian.Uint16(b[14:]), binary.BigEndian.Uint16(b[18:])
		if head > wire.TCPLen {
			p.TCPOptions = b[wire.TCPLen:head]
		}
		p.takePorts(b)
	case wire.ProtoUDP:
		if head = wire.UDPLen; len(b) < head {
			return false
		}
		p.takePorts(b)
	case wire.ProtoSCTP:
		if head = wire.SCTPLen + wire.SCTPChunkLen; len(b) < head {
			return false
		}
		p.takePorts(b)
		p.Rest, p.Kind, p.Code = binary.BigEndian.Uint32(b[4:]), b[12], b[13]
		if n := int(binary.BigEndian.Uint16(b[14:])) + wire.SCTPLen; n >= head && n <= len(b) {
			b = b[:n]
		}
	case wire.ProtoICMP, wire.ProtoICMPv6:
		if head = wire.ICMPLen; len(b) < head {
			return false
		}
		p.Kind, p.Code, p.Rest = b[0], b[1], binary.BigEndian.Uint32(b[4:])
		if isError(p.Proto, p.Kind) && len(b) > head {
			p.Inner = readPacket(b[head:])
			return p.Inner != nil
		}
	case protoIPIP, protoIPv6:
		p.Inner = readPacket(b)
		return p.Inner != nil
	}
	p.Data = b[head:]
	if p.Cut > 0 { // the rest of the data is what the pattern has there, or the text does not fit
		p.Data = Pattern(len(p.Data))
	}
	return true
}

func (p *Packet) takePorts(b []byte) {
	p.Src = netip.AddrPortFrom(p.Src.Addr(), wire.SourcePort(b))
	p.Dst = netip.AddrPortFrom(p.Dst.Addr(), wire.DestinationPort(b))
}

// takeSums notes checksums of a packet and of what it carries that are not as Bytes would
// make them. ip is what the packet was read from.
func (p *Packet) takeSums(ip []byte) {
	inner, offset := carried(ip)
	if p.Inner != nil {
		p.Inner.takeSums(inner)
	}
	at, known := map[uint8]int{
		wire.ProtoTCP: wire.TCPChecksumOffset, wire.ProtoUDP: wire.UDPChecksumOffset,
		wire.ProtoICMP: wire.ICMPChecksumOffset, wire.ProtoICMPv6: wire.ICMPChecksumOffset,
	}[p.Proto]
	if !known || p.Fragment != nil || len(ip) < offset+at+2 {
		return
	}
	sum := binary.BigEndian.Uint16(ip[offset+at:])
	if made := p.body(); binary.BigEndian.Uint16(made[at:]) != sum {
		p.Sum = &sum
	}
}
