package forwarding

import (
	"encoding/binary"

	"uvs/internal/mono"
	"uvs/internal/wire"
)

// decodeSCTP reads an SCTP packet up to the chunk that decides about the state. One without a
// chunk says nothing, and no SCTP sends it. virtio's header cannot describe several packets in
// one frame: the kernel does not hand them up, and nobody could tell them apart here.
func decodeSCTP(f *Frame, p *Packet) Reason {
	if len(f.Data) < p.l4+wire.SCTPLen {
		return DropTruncated
	}
	if f.Vnet.GSO() {
		return DropOffload
	}
	h := wire.SCTP(f.Data[p.l4:])
	first := h.Chunk(wire.SCTPLen)
	if first == nil {
		return DropTransport
	}
	p.chunk = first.Type()
	// Only a cookie's chunk may have an ABORT behind it that counts (set_sctp_state).
	if n := first.Len(); (p.chunk == wire.SCTPCookieEcho || p.chunk == wire.SCTPCookieAck) && n >= wire.SCTPChunkLen {
		if next := h.Chunk(wire.SCTPLen + (n+3)&^3); next != nil && next.Type() == wire.SCTPAbort {
			p.chunk = wire.SCTPAbort
		}
	}
	return decodePorts(f, p, wire.SCTPChecksumOffset)
}

// setPortSCTP writes a port of the header. The checksum covers no address, so only a port changes
// it, and by what it changes in it: a damaged packet stays one, where the kernel, which computes
// it anew, mends it. One that is still to be completed is left to send.
func (p *Packet) setPortSCTP(f *Frame, port []byte, to uint16) {
	if binary.BigEndian.Uint16(port) == to {
		return
	}
	h := wire.SCTP(f.Data[p.l4:])
	if f.Vnet.NeedsChecksum() {
		binary.BigEndian.PutUint16(port, to)
		return
	}
	before := h.Sum()
	binary.BigEndian.PutUint16(port, to)
	h.SetCRC(h.CRC() ^ before ^ h.Sum())
}

// ecnCapable says that the transport knows of congestion marks (RFC 3168): the kernel's control socket of SCTP sends all with it
// (INET_ECN_xmit).
const ecnCapable = 0x02

// abort answers an SCTP packet to a service that belongs to no association, as the host's own
// stack does for IPVS (RFC 9260, Section 8.4), but not during Config.Silence.
func (w *Worker) abort(f *Frame, p *Packet, now mono.Time, out *Batch) {
	if int64(now) < w.engine.silent.Load() || !w.answerable(f, p) {
		return
	}
	h := wire.SCTP(f.Data[p.l4:])
	chunk := uint8(wire.SCTPAbort)
	if p.chunk == wire.SCTPShutdownAck {
		chunk = wire.SCTPShutdownComplete
	}
	if h.Tag() == 0 || !mayBeAborted(h) {
		return
	}
	if !f.Vnet.NeedsChecksum() && h.Sum() != h.CRC() {
		return
	}
	if !w.limiter.allowReset(now) {
		w.made.add(MadeSuppressed)
		return
	}
	const n = wire.SCTPLen + wire.SCTPChunkLen
	var a answer
	if !w.beginAnswer(&a, f, p, n, now) {
		return
	}
	if p.Tuple.V6 {
		b := wire.IPv6(a.frame.Data[wire.EthernetLen:])
		b.Init(ownTTL, wire.ProtoSCTP, n)
		b.SetTrafficClass(ecnCapable)
	} else {
		b := wire.IPv4(a.frame.Data[wire.EthernetLen:a.head])
		b.Init(ecnCapable, ownTTL, wire.ProtoSCTP, 0, true, n)
		b.SetChecksum(wire.Checksum(b))
	}
	wire.SCTP(a.frame.Data[a.head:]).Init(p.Tuple.DstPort, p.Tuple.SrcPort, h.Tag(), chunk, wire.SCTPReflected)
	w.sendAnswer(&a, p, MadeAbort, now, out)
}

// mayBeAborted reports whether none of a packet's chunks forbids an answer: ABORT, SHUTDOWN
// COMPLETE, COOKIE ACK and an ERROR about a stale cookie do.
func mayBeAborted(h wire.SCTP) bool {
	for at := wire.SCTPLen; ; {
		c := h.Chunk(at)
		if c == nil {
			return true
		}
		switch c.Type() {
		case wire.SCTPAbort, wire.SCTPShutdownComplete, wire.SCTPCookieAck:
			return false
		case wire.SCTPError:
			if c.Cause() == wire.SCTPStaleCookie {
				return false
			}
		}
		n := c.Len()
		if n < wire.SCTPChunkLen {
			return false
		}
		at += (n + 3) &^ 3
	}
}
