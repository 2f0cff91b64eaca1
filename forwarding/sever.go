package forwarding

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// sever resets a connection of a server that was removed with Reset, by a packet of it. The flow is locked
// on entry, and on return if goesOn.
//
// A reset counts only with the very number that its receiver expects (RFC 5961, Section 3.2), and a flow does not
// know those. A segment of TCP does: its sender expects what it acknowledges, and its receiver what it begins with.
// So the sender is answered with a reset, and the segment goes on as one. A number that was overtaken by segments
// on their way makes an end say so with the right one, which is severed as well.
//
// A client's datagram of UDP is refused as by a host that nobody listens on, and SCTP is aborted; the next
// one is a new flow's.
func (w *Worker) sever(f *Frame, p *Packet, flow *conntrack.Flow, now mono.Time, out *Batch) (goesOn bool) {
	if p.Tuple.Proto == wire.ProtoTCP && p.kind == kindSegment {
		if p.ends() {
			return true
		}
		if !p.verifyTCP(f) {
			flow.Unlock()
			return false
		}
		if w.answerable(f, p) {
			w.sendReset(f, p, true, now, out)
		}
		p.becomeReset(f)
		return true
	}
	original := flow.Dir() == conntrack.Original
	if original {
		flow.Expire()
	}
	flow.Unlock()
	switch {
	case !original:
	case p.Tuple.Proto == wire.ProtoSCTP:
		w.abort(f, p, now, out)
	default:
		w.refuse(f, p, errorUnreachable(), 0, now, out)
	}
	return false
}

// becomeReset makes a segment a reset with its number. Options, data and what it acknowledges are gone.
func (p *Packet) becomeReset(f *Frame) {
	h := wire.TCP(f.Data[p.l4:])
	h.Init(p.Tuple.SrcPort, p.Tuple.DstPort, h.Seq(), 0, wire.TCPRst)
	p.ipLen -= len(f.Data) - p.l4 - wire.TCPLen
	f.Data = f.Data[:p.l4+wire.TCPLen]
	f.Vnet, p.gathered, p.limit = nil, 0, 0
	p.TCPFlags = wire.TCPRst
	b := f.Data[wire.EthernetLen:]
	if p.Tuple.V6 {
		wire.IPv6(b).SetPayloadLen(p.ipLen - wire.IPv6Len)
	} else {
		ip := wire.IPv4(b)
		ip.SetTotalLen(p.ipLen)
		ip.SetChecksum(0)
		ip.SetChecksum(wire.Checksum(b[:ip.HeaderLen()]))
	}
	p.setTransportChecksum(f)
}

// questions are the connections about which a worker is to ask.
type questions struct {
	pending atomic.Bool
	mu      sync.Mutex // guards list
	list    []probe
}

// ask has the worker ask about connections. Safe for use by many goroutines.
func (w *Worker) ask(list []probe) {
	q := &w.questions
	q.mu.Lock()
	q.list = append(q.list, list...)
	q.pending.Store(true)
	q.mu.Unlock()
	w.wake()
}

// probe asks both ends of some connections where they are: a segment that neither can expect makes them answer with
// the numbers that they are at (RFC 9293, Section 3.10.7.4), which sever waits for. Frames are valid until the
// worker's next round.
func (w *Worker) probe(now mono.Time, out *Batch) {
	q := &w.questions
	if !q.pending.Load() {
		return
	}
	q.mu.Lock()
	n := min(len(q.list), probesAtOnce)
	batch := q.list[:n:n]
	if q.list = q.list[n:]; len(q.list) == 0 {
		q.list = nil
		q.pending.Store(false)
	}
	q.mu.Unlock()
	w.scratch.reset()
	w.routes, w.full = w.engine.routes.Load(), false
	for i := range batch {
		x := &batch[i]
		d := w.engine.dests.get(x.server)
		if d == nil || Fate(d.fate.Load()) != Reset || !d.removed.Load() {
			continue // it is back
		}
		var hop NextHop
		p := &w.packet
		*p = Packet{Tuple: conntrack.Tuple{
			Src: x.virtual.Addr, SrcPort: x.virtual.Port, Dst: x.client.Addr, DstPort: x.client.Port,
			Proto: wire.ProtoTCP, V6: x.v6,
		}}
		if w.findWayBack(p, d, &x.origin, now, &hop) {
			w.sendProbe(&x.virtual, &x.client, x.v6, &hop, &x.origin, now, out)
		}
		if to := d.hop.Load(); to != nil && x.dest.Port != 0 {
			w.sendProbe(&x.from, &x.dest, x.v6, to, nil, now, out)
		}
	}
}

// sendProbe sends a segment without data, of arbitrary numbers, from one end to another.
func (w *Worker) sendProbe(
	from, to *conntrack.Endpoint, v6 bool, hop *NextHop, origin *station, now mono.Time, out *Batch,
) {
	head := wire.EthernetLen + wire.IPv4Len
	if v6 {
		head = wire.EthernetLen + wire.IPv6Len
	}
	b := w.scratch.take(head + wire.TCPLen)
	if b == nil {
		return
	}
	a := answer{frame: Frame{Data: b, Port: max(w.portOf(hop.Link), 0), made: true}, head: head}
	if v6 {
		wire.Ethernet(b).SetEtherType(wire.EtherTypeIPv6)
		h := wire.IPv6(b[wire.EthernetLen:])
		h.Init(ownTTL, wire.ProtoTCP, wire.TCPLen)
		copy(h.Source(), from.Addr[:])
		copy(h.Destination(), to.Addr[:])
	} else {
		wire.Ethernet(b).SetEtherType(wire.EtherTypeIPv4)
		h := wire.IPv4(b[wire.EthernetLen:head])
		h.Init(0, ownTTL, wire.ProtoTCP, 0, true, wire.TCPLen)
		copy(h.Source(), from.Addr[:4])
		copy(h.Destination(), to.Addr[:4])
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(h))
	}
	tcp := wire.TCP(b[head:])
	tcp.Init(from.Port, to.Port, rand.Uint32(), rand.Uint32(), wire.TCPAck)
	tcp.SetChecksum(^wire.Sum(tcp, a.pseudoSum(wire.ProtoTCP)))
	a.frame.VLAN = w.tagFor(&a.frame, hop.Link, origin)
	switch w.emit(&a.frame, hop, &to.Addr, v6, now, out) {
	case Forwarded, held:
		w.made.add(MadeProbe)
	}
}
