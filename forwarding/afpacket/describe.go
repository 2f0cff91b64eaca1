package afpacket

import (
	"encoding/binary"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// describe writes a virtio_net_hdr for a frame that came without one, of which the kernel
// only says that a checksum is unfinished (TP_STATUS_CSUMNOTREADY): the field then holds the
// sum of the pseudo header, and whoever sends the frame on completes it. If the TCP or UDP
// header's field does not hold that, the unfinished checksum is of a packet inside this one;
// the result then points nowhere, so that the frame is not rewritten. Of SCTP it is always its own:
// the field holds nothing. A frame that is none of these, or is cut short, has no such header: the result
// is nil.
func describe(frame []byte, h forwarding.VnetHeader) forwarding.VnetHeader {
	start, protocol, pseudo, ok := transport(frame)
	if !ok {
		return nil
	}
	clear(h)
	h[0] = vnetNeedsChecksum
	at := wire.TCPChecksumOffset
	switch protocol {
	case wire.ProtoUDP:
		at = wire.UDPChecksumOffset
	case wire.ProtoSCTP:
		at = wire.SCTPChecksumOffset
	}
	if l4 := frame[start:]; protocol == wire.ProtoSCTP || len(l4) >= at+2 && binary.BigEndian.Uint16(l4[at:]) == pseudo {
		binary.NativeEndian.PutUint16(h[vnetChecksumStart:], uint16(start))
		binary.NativeEndian.PutUint16(h[vnetChecksumOffset:], uint16(at))
	}
	return h
}

// Parts of struct virtio_net_hdr; see forwarding.VnetHeader.
const (
	vnetNeedsChecksum  = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	vnetChecksumStart  = 6
	vnetChecksumOffset = 8
)

// transport returns the offset in a frame of its TCP, UDP or SCTP header, and the sum of that
// one's pseudo header. ok is false for anything else, fragments among it.
func transport(frame []byte) (start int, protocol uint8, pseudo uint16, ok bool) {
	if len(frame) < wire.EthernetLen {
		return 0, 0, 0, false
	}
	b := frame[wire.EthernetLen:]
	var src, dst []byte
	end := 0
	switch wire.Ethernet(frame).EtherType() {
	case wire.EtherTypeIPv4:
		if len(b) < wire.IPv4Len || wire.IPv4(b).IsFragment() {
			return 0, 0, 0, false
		}
		h := wire.IPv4(b)
		start, end, protocol = h.HeaderLen(), h.TotalLen(), h.Protocol()
		src, dst = h.Source(), h.Destination()
	case wire.EtherTypeIPv6:
		if len(b) < wire.IPv6Len {
			return 0, 0, 0, false
		}
		h := wire.IPv6(b)
		start, protocol = afterExtensions(b, h.NextHeader())
		end = wire.IPv6Len + h.PayloadLen()
		src, dst = h.Source(), h.Destination()
	}
	if protocol != wire.ProtoTCP && protocol != wire.ProtoUDP && protocol != wire.ProtoSCTP || start > end || end > len(b) {
		return 0, 0, 0, false
	}
	return wire.EthernetLen + start, protocol, wire.PseudoHeaderSum(src, dst, protocol, end-start), true
}

// afterExtensions skips the extension headers that a whole IPv6 packet may have (RFC 8200,
// Section 4) and returns where the next header begins. Routing headers change which
// destination counts and are not served.
func afterExtensions(b []byte, next uint8) (off int, protocol uint8) {
	off = wire.IPv6Len
	for next == wire.ProtoHopByHop || next == wire.ProtoDstOptions {
		if len(b) < off+8 {
			return off, wire.ProtoNone
		}
		next, off = b[off], off+8+int(b[off+1])*8
	}
	return off, next
}
