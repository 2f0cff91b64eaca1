package forwarding

import (
	"uvs/conntrack"
	"uvs/forwarding/ftp"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// FTP by NAT: what its control connections say of data connections is read here, flows are
// prepared for those, and answers that name the server's end are made to name the virtual
// address (net/netfilter/ipvs/ip_vs_ftp.c). Flows of all other services cost one test of a bit.

const (
	// leastDataPort is the first port that a server may name for a data connection: one that
	// any program may listen on. The kernel knows no such bound, with which a client that has
	// a server say what it likes reaches no other service of it.
	leastDataPort = 1024
	// dataPortTries is how many ports of the virtual address are tried for one connection.
	dataPortTries = 64
)

// A helping is what the current packet of a control connection needs. It is the worker's.
type helping struct {
	kind   ftp.Kind // that the packet speaks of; None: it speaks of nothing
	span   ftp.Span // of the server's end in the payload
	seq    uint32   // of the segment
	again  bool     // an end was written into this segment before
	reply  bool     // it is the server's
	before uint16   // port that an earlier answer named, 0 if there was none
	shift  [2]conntrack.SeqShift

	// The flow that is to be prepared.
	tuple conntrack.Tuple
	spec  conntrack.Spec

	text [24]byte // what replaces the span: at most 255,255,255,255,255,255 and |||65535|
	n    int
}

// helps reports whether flows of a service's port have their payload read.
func (e *Engine) helps(t *conntrack.Tuple) bool {
	if t.Proto != wire.ProtoTCP {
		return false
	}
	for _, p := range e.ftpPorts {
		if p == t.DstPort {
			return true
		}
	}
	return false
}

// consult reads a packet of a control connection, whose flow is locked. What is to be done
// about it is in w.help afterwards, and p.helped says that there is something.
func (w *Worker) consult(f *Frame, p *Packet, flow *conntrack.Flow) {
	x := &w.help
	x.kind, x.n = ftp.None, 0
	h := flow.Helper()
	if h != nil && flow.Flags()&conntrack.FlagOutSeq != 0 {
		x.shift, p.helped = h.Shift, true
	} else {
		x.shift = [2]conntrack.SeqShift{}
	}
	payload := f.Data[p.payload(f):]
	if len(payload) == 0 || flow.State() != conntrack.Established {
		return
	}
	if x.reply = flow.Dir() == conntrack.Reply; x.reply {
		w.consultReply(f, p, flow, h, payload)
		return
	}
	kind, end := ftp.Command(payload, p.Tuple.V6)
	if kind == ftp.None || !p.verifyTCP(f) {
		return
	}
	if h = flow.Help(); h == nil {
		return
	}
	h.Mode = uint8(kind)
	if kind != ftp.Active {
		return
	}
	// The server will connect from the port before its own (RFC 959, Section 3.2).
	x.kind, p.helped = kind, true
	w.prepare(p, flow)
	x.tuple.Src, x.tuple.SrcPort = end.Addr, end.Port
	x.tuple.DstPort--
	x.spec.Dest.Port--
	if end.Addr != p.Tuple.Src {
		x.spec.MAC, x.spec.Link = wire.MAC{}, 0 // a third host's
	}
}

// consultReply looks for the answer that the client waits for.
func (w *Worker) consultReply(f *Frame, p *Packet, flow *conntrack.Flow, h *conntrack.Helper, payload []byte) {
	if h == nil {
		return
	}
	kind := ftp.Kind(h.Mode)
	port, span, ok := ftp.Reply(payload, kind, p.Tuple.V6)
	if !ok || port < leastDataPort || !p.verifyTCP(f) {
		return
	}
	x := &w.help
	x.kind, x.span, x.seq, p.helped = kind, span, wire.TCP(f.Data[p.l4:]).Seq(), true
	w.prepare(p, flow)
	x.tuple.SrcPort, x.tuple.DstPort, x.again = 0, port, h.Port != 0 && h.Seq == x.seq
	if x.before = h.Port; x.again {
		x.tuple.DstPort = h.Port // the answer was sent before, and its copy says the same
	}
	x.spec.Dest.Port = port
	x.spec.Flags |= conntrack.FlagNoClientPort
}

// prepare makes a flow like the control connection, and controlled by it.
func (w *Worker) prepare(p *Packet, flow *conntrack.Flow) {
	client, virtual := flow.Client(), flow.Virtual()
	w.help.tuple = conntrack.Tuple{
		Src: client.Addr, SrcPort: client.Port, Dst: virtual.Addr, DstPort: virtual.Port, Proto: p.Tuple.Proto, V6: p.Tuple.V6,
	}
	w.help.spec = conntrack.Spec{
		Server: flow.Server(), Dest: flow.Dest(), Flags: conntrack.Masq | conntrack.FlagData,
		MAC: flow.MAC(), Link: flow.Link(), Helper: flow.HoldHelper(),
	}
}

// assist prepares the flow that consult found a word about, and finds what is to be written
// into an answer. The control connection's flow is not locked any more.
func (w *Worker) assist(p *Packet, d *dest, now mono.Time) Reason {
	x := &w.help
	if x.kind == ftp.None {
		return Forwarded
	}
	if x.reply && !x.again && x.before != 0 {
		w.supersede()
	}
	result := w.expect(p, d, now)
	if x.reply {
		result = w.expectElsewhere(p, d, result, now)
	}
	if result != conntrack.Inserted {
		w.engine.flows.LetGoHelper(x.spec.Helper)
	}
	switch result {
	case conntrack.TooMany:
		return DropSameClient
	case conntrack.Full:
		return DropTableFull
	}
	if x.reply {
		end := ftp.End{Addr: x.tuple.Dst, Port: x.tuple.DstPort}
		x.n = len(ftp.AppendEnd(x.text[:0], x.kind, &end))
		w.noteAnswer(p)
	}
	return Forwarded
}

// supersede ends the flow that an earlier answer on this control connection promised, if nobody came to it: the server
// has closed that port. Otherwise one connection could have all the flows that wait for a client address, as those have no
// port of it to tell them apart (conntrack's bound on one client).
func (w *Worker) supersede() {
	x, flow := &w.help, &w.child
	t := x.tuple
	t.DstPort = x.before
	if !w.engine.flows.FindExpected(&t, flow) {
		return
	}
	owner := flow.HoldHelper()
	if owner == x.spec.Helper {
		flow.Expire()
	}
	flow.Unlock()
	w.engine.flows.LetGoHelper(owner)
}

// expectElsewhere goes on to other ports of the virtual address as long as the one that was
// tried belongs to a service or to another server's connection of the same client. result is
// that of the first attempt.
func (w *Worker) expectElsewhere(p *Packet, d *dest, result conntrack.InsertResult, now mono.Time) conntrack.InsertResult {
	x := &w.help
	for range dataPortTries {
		if result != portTaken {
			return result
		}
		if x.tuple.DstPort++; x.tuple.DstPort < leastDataPort {
			x.tuple.DstPort = leastDataPort
		}
		result = w.expect(p, d, now)
	}
	if result == portTaken {
		return conntrack.TooMany
	}
	return result
}

// portTaken is a result of expect beside conntrack's: something else has that port.
const portTaken conntrack.InsertResult = 0xff

// expect inserts the flow to prepare, or has the one that is there wait anew, and returns
// what conntrack.Table.Insert does, or portTaken.
func (w *Worker) expect(p *Packet, d *dest, now mono.Time) conntrack.InsertResult {
	x := &w.help
	if x.reply && !x.again && w.table.exact(&x.tuple) != nil {
		return portTaken
	}
	end := dataKey{conntrack.Endpoint{Addr: x.tuple.Dst, Port: x.tuple.DstPort}, x.spec.Dest, x.tuple.V6}
	gate := w.engine.data.add(end)
	result := w.engine.flows.Insert(&x.tuple, &x.spec, now, &w.child)
	switch result {
	case conntrack.Inserted:
		d.bound()
	case conntrack.Existed:
		if w.child.Server() != x.spec.Server || w.child.Dest() != x.spec.Dest {
			w.child.Unlock()
			w.engine.data.drop(end)
			return portTaken
		}
		w.engine.data.drop(end) // it is counted already
	default:
		w.engine.data.drop(end)
		return result
	}
	d.moved(w.child.Listen(now))
	w.child.Unlock()
	p.gate = gate
	return result
}

// noteAnswer remembers what is written into an answer, and by how much that shifts what
// follows it.
func (w *Worker) noteAnswer(p *Packet) {
	x, flow := &w.help, &w.child
	if !w.engine.flows.Find(&p.Tuple, flow) {
		return // it ended meanwhile
	}
	if h := flow.Helper(); h != nil {
		h.Seq, h.Port = x.seq, x.tuple.DstPort
		h.Shift[conntrack.Reply].Note(x.seq, x.n-(x.span.End-x.span.Start))
		if x.shift = h.Shift; !x.shift[conntrack.Reply].Zero() {
			flow.SetFlags(flow.Flags() | conntrack.FlagOutSeq)
		}
	}
	flow.Unlock()
}

// takeUp makes of a flow that waits for a client of whatever port that of the client whose
// packet has come (ip_vs_conn_fill_cport). It reports false if none waits for it. After
// Forwarded, w.flow is locked.
func (w *Worker) takeUp(f *Frame, p *Packet, now mono.Time) (reason Reason, waited bool) {
	flow, t := &w.flow, &p.Tuple
	if p.TCPFlags&(wire.TCPSyn|wire.TCPRst) != wire.TCPSyn || !w.engine.flows.FindExpected(t, flow) {
		return Forwarded, false
	}
	at := w.stationOf(f)
	spec := conntrack.Spec{
		Server: flow.Server(), Dest: flow.Dest(), Flags: flow.Flags() &^ (conntrack.FlagNoClientPort | conntrack.FlagInactive),
		MAC: at.mac, Link: at.flowLink(), Helper: flow.HoldHelper(),
	}
	d := w.engine.dests.get(spec.Server)
	end := dataKey{flow.Virtual(), spec.Dest, t.V6}
	p.gate = w.engine.data.add(end)
	if d != nil {
		d.bound() // before the other is counted off: a server without flows may be forgotten
	}
	flow.Expire()
	flow.Unlock()
	result := w.engine.flows.Insert(t, &spec, now, flow)
	if result == conntrack.Inserted {
		return Forwarded, true
	}
	w.engine.data.drop(end)
	w.engine.flows.LetGoHelper(spec.Helper)
	if d != nil {
		d.gone(false)
	}
	switch result {
	case conntrack.Existed:
		return Forwarded, true
	case conntrack.TooMany:
		return DropSameClient, true
	}
	return DropTableFull, true
}
