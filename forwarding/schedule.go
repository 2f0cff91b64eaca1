package forwarding

import (
	"uvs/conntrack"
	"uvs/forwarding/sched"
	"uvs/forwarding/sip"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// beginsAnew reports whether a packet opens a new connection on the ports of an old one.
//
// A SYN, or INIT of SCTP, does when the old one ended (is_new_conn_expected in
// net/netfilter/ipvs/ip_vs_core.c with conn_reuse_mode), unless a template chose its
// server, or when its server takes no connections any more. For the latter IPVS goes on
// dropping until the old entry times out; a client that comes back on the same port
// within a minute of a failure would meet the dead server again. An established connection
// of a server of weight 0 is alive, and a forged SYN must not move it.
//
// With expire_nodest_conn every packet does once the server was removed, unless a Removal says
// otherwise, and a SYN if the server has weight 0 (ip_vs_in).
func (w *Worker) beginsAnew(flow *conntrack.Flow, p *Packet) bool {
	syn := p.opens()
	if !syn && !w.sysctls.ExpireNodestConn || flow.Dir() != conntrack.Original {
		return false
	}
	d := w.engine.dests.get(flow.Server())
	if d == nil {
		return true
	}
	quiet := d.weight.Load() == 0
	if d.removed.Load() {
		switch Fate(d.fate.Load()) {
		case AsIPVS:
			return true
		case Drain:
			quiet = true
		default:
			return syn
		}
	}
	switch {
	case !syn:
		return false
	case quiet && w.sysctls.ExpireNodestConn:
		return true
	case flow.Controlled():
		return false
	case quiet && flow.State() != conntrack.Established && flow.State() != conntrack.SCTPEstablished:
		return true
	}
	switch flow.State() {
	case conntrack.TimeWait, conntrack.Close, conntrack.SCTPClosed:
		return w.sysctls.ConnReuseMode != 0
	case conntrack.FinWait:
		return w.sysctls.ConnReuseMode&2 != 0 && flow.Flags()&conntrack.FlagNoOutput != 0
	}
	return false
}

// schedulable reports whether a packet to a service without a flow may open one. What comes from
// FTP's data port never does, whatever it is for (ip_vs_schedule). What may be of a data connection
// does if clients persist, since nothing but a template tells where their control connection went.
func (w *Worker) schedulable(p *Packet, svc *service) bool {
	if p.Tuple.SrcPort == ftpDataPort || svc.lends(p) && svc.persistence.Load() == nil {
		return false
	}
	if p.kind == kindError {
		return true // only scheduleError asks
	}
	switch p.Tuple.Proto {
	case wire.ProtoTCP:
		return !p.ends() && (p.opens() || w.sysctls.SloppyTCP)
	case wire.ProtoSCTP:
		return !p.ends() && (p.opens() || w.sysctls.SloppySCTP)
	}
	return true
}

// opens reports whether a packet asks for a connection: a SYN of TCP, with or without ACK, or an
// INIT of SCTP.
func (p *Packet) opens() bool {
	if p.Tuple.Proto == wire.ProtoSCTP {
		return p.chunk == wire.SCTPInit
	}
	return p.TCPFlags&wire.TCPSyn != 0
}

// ends reports whether a packet ends a connection at once, or refuses one: RST, or ABORT of SCTP.
func (p *Packet) ends() bool {
	if p.Tuple.Proto == wire.ProtoSCTP {
		return p.chunk == wire.SCTPAbort
	}
	return p.TCPFlags&wire.TCPRst != 0
}

// schedule picks a server for a packet without a flow and makes the flow. After Forwarded,
// w.flow is locked.
func (w *Worker) schedule(f *Frame, p *Packet, svc *service, now mono.Time) Reason {
	if !w.schedulable(p, svc) {
		return DropNoFlow
	}
	if w.routes.local(&p.Tuple.Src, p.Tuple.V6) {
		return DropMartian // our own address as a remote sender (fib_validate_source)
	}
	if w.engine.defender.sheds() {
		return DropFlood
	}
	from := w.stationOf(f)
	if reason := w.circles(p, svc, &from); reason != Forwarded {
		return reason
	}
	d, control, reason := w.choose(f, p, svc, now)
	if reason != Forwarded {
		return reason
	}
	spec := conntrack.Spec{
		Server:  d.id,
		Dest:    d.endpoint(p.Tuple.V6),
		Flags:   conntrack.Flags(d.method.Load()),
		MAC:     from.mac,
		Link:    from.flowLink(),
		Control: control,
	}
	if svc.keepsPort() || svc.lends(p) || d.end.Port == 0 {
		spec.Dest.Port = p.Tuple.DstPort
	}
	switch masq := Method(d.method.Load()) == Masq; {
	case !masq:
		spec.Flags |= conntrack.FlagNoOutput
	case d.local.Load(): // the host's own stack would keep answers to one of its addresses
	case svc.pool.Load() != nil:
		spec.Pool = svc.pool.Load()
	case w.engine.helps(&p.Tuple):
		spec.Flags |= conntrack.FlagHelped
	case svc.lends(p):
		spec.Flags |= conntrack.FlagData
		p.gate = w.engine.data.add(dataKey{conntrack.Endpoint{Addr: p.Tuple.Dst, Port: p.Tuple.DstPort}, spec.Dest, p.Tuple.V6})
	}
	if p.Tuple.Proto == wire.ProtoUDP && svc.onePacket.Load() && spec.Pool == nil { // a local end is for answers
		w.engine.flows.Once(w.once, &p.Tuple, &spec, &w.flow)
		w.engine.flows.LetGo(control)
		d.counters[w.id].connections.Add(1)
		return Forwarded
	}
	result := w.engine.flows.Insert(&p.Tuple, &spec, now, &w.flow)
	if result != conntrack.Inserted {
		w.engine.flows.LetGo(control)
		if spec.Flags&conntrack.FlagData != 0 {
			w.engine.data.drop(dataKey{conntrack.Endpoint{Addr: p.Tuple.Dst, Port: p.Tuple.DstPort}, spec.Dest, p.Tuple.V6})
		}
	}
	switch result {
	case conntrack.Inserted:
		d.bound()
		d.counters[w.id].connections.Add(1)
	case conntrack.Existed: // another worker was faster
	case conntrack.TooMany:
		return DropSameClient
	case conntrack.NoLocalEnd:
		return DropPoolUsedUp
	default:
		return DropTableFull
	}
	return Forwarded
}

// keepsPort reports whether packets go to the port of a server that they were sent to, whatever
// port the server has: so it is with a service of all ports, and with that of a mark if
// connections persist (ip_vs_sched_persist).
func (s *service) keepsPort() bool {
	return s.port == 0 && (s.key.Protocol != 0 || s.persistence.Load() != nil)
}

// choose returns the server for a packet: where the service's persistence sends its client,
// else what the scheduler says. control is the template, which the caller holds.
func (w *Worker) choose(f *Frame, p *Packet, svc *service, now mono.Time) (d *dest, control conntrack.TemplateRef, reason Reason) {
	if persistence := svc.persistence.Load(); persistence != nil {
		return w.persist(f, p, svc, persistence, now)
	}
	// A batch may outlive the service that it looked up.
	if d = svc.pick(requestOf(p, now)); d == nil || d.removed.Load() {
		return nil, 0, DropNoServer
	}
	return d, 0, Forwarded
}

// requestOf returns what schedulers take of a packet.
func requestOf(p *Packet, now mono.Time) sched.Request {
	client := sched.End{Addr: sched.Fold(&p.Tuple.Src), Port: p.Tuple.SrcPort}
	return sched.Request{Client: client, Virtual: p.Tuple.Dst, Now: now}
}

// Ports of FTP. Data connections come to the data port or to any that is not privileged, and
// from the data port.
const (
	ftpPort     = 21
	ftpDataPort = 20
)

// lends reports whether a packet came to a service of FTP only because it may be of a data
// connection: its port is another one (table.lookup).
func (s *service) lends(p *Packet) bool { return s.port == ftpPort && p.Tuple.DstPort != ftpPort }

// keeps reports whether the host's stack gets none of the packets that came to a service of FTP
// only because they may be of a data connection: its clients persist, or another service has all
// ports. Then we answer in the stack's place.
func (t *table) keeps(s *service, tp *conntrack.Tuple) bool {
	all := wireKey{addr: tp.Dst, protocol: tp.Proto, v6: tp.V6}
	return s.persistence.Load() != nil || t.services.find(&all) != nil
}

// persist returns the server of the client's template, or chooses one and remembers it
// (ip_vs_sched_persist).
func (w *Worker) persist(f *Frame, p *Packet, svc *service, persistence *persistence, now mono.Time) (*dest, conntrack.TemplateRef, Reason) {
	// The template's key: the client's network and the service. Control and data connections
	// of FTP have one together.
	key := conntrack.Tuple{Src: p.Tuple.Src, Dst: p.Tuple.Dst, DstPort: svc.port, Proto: p.Tuple.Proto, V6: p.Tuple.V6}
	if svc.key.Mark() != 0 { // all that has the mark has one together, whatever its protocol
		key.Dst, key.Proto = wireAddr(svc.key.Addr), conntrack.AnyProtocol
	}
	for i := range key.Src {
		key.Src[i] &= persistence.mask[i]
	}
	if svc.port == ftpPort {
		key.DstPort = 0
	}
	var callID []byte
	if persistence.callID {
		if callID = p.callID(f); callID == nil {
			return nil, 0, DropNoCallID
		}
	}
	flows := w.engine.flows
	if t, ok := flows.Template(&key, callID, persistence.timeout, now, w.usable); ok {
		return w.engine.dests.get(t.Server), t.Ref, Forwarded
	}
	d := svc.pick(requestOf(p, now))
	if d == nil || d.removed.Load() {
		return nil, 0, DropNoServer
	}
	spec := conntrack.Spec{
		Server: d.id,
		Dest:   d.endpoint(key.V6),
		Flags:  conntrack.Flags(d.method.Load()),
	}
	if key.DstPort == 0 {
		spec.Dest.Port = 0
	}
	if svc.onePacket.Load() {
		spec.Flags |= conntrack.FlagOnePacket
	}
	t, result := flows.InsertTemplate(&key, callID, &spec, persistence.timeout, now)
	switch {
	case result == conntrack.Inserted:
		d.persistent.Add(1)
		d.loaded()
		return d, t.Ref, Forwarded
	case result != conntrack.Existed:
		return nil, 0, DropTableFull
	case w.templateUsable(t.Server): // another worker was faster; its choice counts
		return w.engine.dests.get(t.Server), t.Ref, Forwarded
	}
	flows.LetGo(t.Ref) // and its server was removed since
	return nil, 0, DropNoServer
}

// callID returns the Call-ID of a SIP message, nil if the packet has none (ip_vs_sip_fill_param).
func (p *Packet) callID(f *Frame) []byte {
	if p.Tuple.Proto != wire.ProtoUDP || p.kind != kindSegment {
		return nil
	}
	return sip.CallID(f.Data[p.l4+wire.UDPLen:])
}

// templateUsable reports whether a template's server may get a connection
// (ip_vs_check_template). Overload does not count. While it is true the server stays in the
// slab, as the template counts there.
func (w *Worker) templateUsable(id conntrack.ServerID) bool {
	d := w.engine.dests.get(id)
	return d != nil && !d.removed.Load() && !d.outOfReach() && (d.weight.Load() != 0 || !w.sysctls.ExpireQuiescentTemplate)
}
