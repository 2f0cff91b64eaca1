package forwarding

import (
	"encoding/binary"

	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// Options of TCP that matter where sequence numbers are shifted (RFC 9293, Section 3.2; RFC
// 2018, Section 3).
const (
	tcpOptionEnd  = 0
	tcpOptionNoop = 1
	tcpOptionSACK = 5
)

// shiftNumbers brings a segment's sequence number, acknowledgement and SACK blocks in line
// with payload that was made longer or shorter on its way (nf_ct_seq_adjust, nf_ct_sack_adjust
// in net/netfilter/nf_conntrack_seqadj.c). A partial checksum does not cover them.
func (p *Packet) shiftNumbers(f *Frame, shift *[2]conntrack.SeqShift, d conntrack.Dir) {
	h := wire.TCP(f.Data[p.l4:p.payload(f)])
	forth, back := &shift[d], &shift[1-d]
	change := swap32(0, h[4:8], forth.Forth(h.Seq()))
	if h.Flags()&wire.TCPAck != 0 {
		change = swap32(change, h[8:12], back.Back(h.Ack()))
	}
	for options := h[wire.TCPLen:]; len(options) > 1 && options[0] != tcpOptionEnd; {
		if options[0] == tcpOptionNoop {
			options = options[1:]
			continue
		}
		n := int(options[1])
		if n < 2 || n > len(options) {
			break
		}
		if options[0] == tcpOptionSACK {
			// Where a block begins in a header decides how its bytes count in the sum.
			odd := (len(h)-len(options))%2 != 0
			for edge := options[2:n]; len(edge) >= 4; edge = edge[4:] {
				change = swapEdge(change, edge[:4], back.Back(binary.BigEndian.Uint32(edge)), odd)
			}
		}
		options = options[n:]
	}
	if !f.Vnet.NeedsChecksum() {
		field := p.checksumField(f)
		binary.BigEndian.PutUint16(field, change.Apply(binary.BigEndian.Uint16(field)))
	}
}

// swap32 replaces a field of four bytes at an even place.
func swap32(change wire.Delta, field []byte, to uint32) wire.Delta {
	return swapEdge(change, field, to, false)
}

// swapEdge replaces a field of four bytes. At an odd place the sum sees its bytes swapped
// (RFC 1071, Section 2 (B)).
func swapEdge(change wire.Delta, field []byte, to uint32, odd bool) wire.Delta {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], to)
	for i := 0; i < 4; i += 2 {
		was, is := binary.BigEndian.Uint16(field[i:]), binary.BigEndian.Uint16(b[i:])
		if odd {
			was, is = was<<8|was>>8, is<<8|is>>8
		}
		change = change.Swap16(was, is)
	}
	copy(field, b[:])
	return change
}

// replace puts text in the place of a part of a TCP segment's payload, and computes lengths and
// checksums anew. A segment whose length changes moves to the worker's scratch memory; false:
// there is none left.
func (w *Worker) replace(f *Frame, p *Packet, start, end int, text []byte) bool {
	at := p.payload(f)
	if change := len(text) - (end - start); change != 0 {
		b := w.scratch.take(len(f.Data) + change)
		if b == nil {
			return false
		}
		copy(b, f.Data[:at+start])
		copy(b[at+start+len(text):], f.Data[at+end:])
		f.Data = b
		p.ipLen += change
		p.setLength(f)
	}
	copy(f.Data[at+start:], text)
	if f.Vnet.NeedsChecksum() {
		binary.BigEndian.PutUint16(p.checksumField(f), p.pseudoSum(f, len(f.Data)-p.l4))
	} else {
		p.setTransportChecksum(f)
	}
	return true
}

// setLength writes the packet's length into its IP header.
func (p *Packet) setLength(f *Frame) {
	n := len(f.Data) - wire.EthernetLen
	if p.Tuple.V6 {
		wire.IPv6(f.Data[wire.EthernetLen:]).SetPayloadLen(n - wire.IPv6Len)
		return
	}
	h := wire.IPv4(f.Data[wire.EthernetLen:p.l4])
	h.SetTotalLen(n)
	h.SetChecksum(0)
	h.SetChecksum(wire.Checksum(h))
}

// sendGrown sends a segment that was made longer. If the next hop does not take it any more, it
// goes on as two: its sender kept to the MTU and could not do better if it were told.
func (w *Worker) sendGrown(f *Frame, p *Packet, hop *NextHop, target *[16]byte, now mono.Time, out *Batch) Reason {
	head := p.payload(f)
	room := hop.MTU - (head - wire.EthernetLen)
	if hop.MTU == 0 || f.Vnet.GSO() || p.limit != 0 || p.ipLen <= hop.MTU || room <= 0 {
		return w.send(f, p, hop, target, now, out)
	}
	rest := f.Data[head+room:]
	b := w.scratch.take(head + len(rest))
	if b == nil {
		return DropNoScratch
	}
	copy(b, f.Data[:head])
	copy(b[head:], rest)
	second := Frame{Data: b, VLAN: f.VLAN, Port: f.Port, made: true}
	f.Data, f.Vnet = f.Data[:head+room], nil
	cutTCP(wire.TCP(f.Data[p.l4:]), 0, false)
	cutTCP(wire.TCP(b[p.l4:]), room, true)
	if !p.Tuple.V6 {
		h := wire.IPv4(b[wire.EthernetLen:])
		h.SetID(h.ID() + 1)
	}
	for _, g := range []*Frame{f, &second} {
		p.ipLen = len(g.Data) - wire.EthernetLen
		p.setLength(g)
		p.setTransportChecksum(g)
	}
	reason := w.send(f, p, hop, target, now, out)
	if reason == Forwarded || reason == held {
		w.send(&second, p, hop, target, now, out) // one packet in has one reason: that of its first part
	}
	return reason
}
