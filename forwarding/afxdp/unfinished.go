package afxdp

import (
	"encoding/binary"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// describe writes a virtio_net_hdr for a plain frame whose TCP or UDP checksum is the sum of its
// pseudo header, and so is unfinished (CHECKSUM_PARTIAL in include/linux/skbuff.h). For any other
// frame it returns nil.
func describe(frame []byte, h forwarding.VnetHeader) forwarding.VnetHeader {
	start, at, pseudo, ok := transport(frame)
	if !ok || binary.BigEndian.Uint16(frame[start+at:]) != pseudo {
		return nil
	}
	clear(h)
	h[0] = vnetNeedsChecksum
	binary.NativeEndian.PutUint16(h[vnetChecksumStart:], uint16(start))
	binary.NativeEndian.PutUint16(h[vnetChecksumOffset:], uint16(at))
	return h
}

// Parts of struct virtio_net_hdr; see forwarding.VnetHeader.
const (
	vnetNeedsChecksum  = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	vnetChecksumStart  = 6
	vnetChecksumOffset = 8
)

// transport returns where a plain frame's TCP or UDP header begins, where its checksum lies
// from there on, and the sum of the pseudo header. ok is false for any other frame.
func transport(frame []byte) (start, at int, pseudo uint16, ok bool) {
	if len(frame) < wire.EthernetLen+wire.IPv4Len {
		return 0, 0, 0, false
	}
	b := frame[wire.EthernetLen:]
	var src, dst []byte
	var protocol uint8
	end := 0
	switch wire.Ethernet(frame).EtherType() {
	case wire.EtherTypeIPv4:
		h := wire.IPv4(b)
		start, end, protocol = h.HeaderLen(), h.TotalLen(), h.Protocol()
		src, dst = h.Source(), h.Destination()
	case wire.EtherTypeIPv6:
		if len(b) < wire.IPv6Len {
			return 0, 0, 0, false
		}
		h := wire.IPv6(b)
		start, end, protocol = wire.IPv6Len, wire.IPv6Len+h.PayloadLen(), h.NextHeader()
		src, dst = h.Source(), h.Destination()
	}
	switch protocol {
	case wire.ProtoTCP:
		at = wire.TCPChecksumOffset
	case wire.ProtoUDP:
		at = wire.UDPChecksumOffset
	default:
		return 0, 0, 0, false
	}
	if end > len(b) || start+at+2 > end {
		return 0, 0, 0, false
	}
	return wire.EthernetLen + start, at, wire.PseudoHeaderSum(src, dst, protocol, end-start), true
}
