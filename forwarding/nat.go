package forwarding

import (
	"encoding/binary"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// setDestination rewrites destination address and port, as NAT does towards a server.
func (p *Packet) setDestination(f *Frame, to *conntrack.Endpoint) {
	l3, l4 := f.Data[wire.EthernetLen:], f.Data[p.l4:]
	if p.Tuple.V6 {
		p.translate(f, wire.IPv6(l3).Destination(), to.Addr[:16], l4[2:4], to.Port)
	} else {
		p.translate(f, wire.IPv4(l3).Destination(), to.Addr[:4], l4[2:4], to.Port)
	}
}

// setSource rewrites source address and port, as NAT does towards a client.
func (p *Packet) setSource(f *Frame, from *conntrack.Endpoint) {
	l3, l4 := f.Data[wire.EthernetLen:], f.Data[p.l4:]
	if p.Tuple.V6 {
		p.translate(f, wire.IPv6(l3).Source(), from.Addr[:16], l4[0:2], from.Port)
	} else {
		p.translate(f, wire.IPv4(l3).Source(), from.Addr[:4], l4[0:2], from.Port)
	}
}

// translate replaces one address and port and brings the checksums up to date.
//
// A partial transport checksum (virtio's NEEDS_CSUM) is the sum of the pseudo header only:
// it follows the address and never the port, which whoever completes it will add.
func (p *Packet) translate(f *Frame, addr, newAddr, port []byte, newPort uint16) {
	addresses := wire.Delta(0).Swap(addr, newAddr)
	copy(addr, newAddr)
	if !p.Tuple.V6 {
		h := wire.IPv4(f.Data[wire.EthernetLen:])
		h.SetChecksum(addresses.Apply(h.Checksum()))
	}
	if p.Tuple.Proto == wire.ProtoSCTP {
		p.setPortSCTP(f, port, newPort)
		return
	}
	all := addresses.Swap16(binary.BigEndian.Uint16(port), newPort)
	binary.BigEndian.PutUint16(port, newPort)
	field := p.checksumField(f)
	sum := binary.BigEndian.Uint16(field)
	switch {
	case f.Vnet.NeedsChecksum():
		sum = addresses.ApplyPartial(sum)
	case p.Tuple.Proto == wire.ProtoUDP && sum == 0 && !p.Tuple.V6:
		return // the sender chose not to have one (RFC 768)
	default:
		sum = all.Apply(sum)
		if p.Tuple.Proto == wire.ProtoUDP && sum == 0 {
			sum = 0xffff // 0 would mean "none"
		}
	}
	binary.BigEndian.PutUint16(field, sum)
}

// checksumField returns the checksum of a TCP segment or UDP datagram.
func (p *Packet) checksumField(f *Frame) []byte {
	off := p.l4 + wire.TCPChecksumOffset
	if p.Tuple.Proto == wire.ProtoUDP {
		off = p.l4 + wire.UDPChecksumOffset
	}
	return f.Data[off : off+2]
}
