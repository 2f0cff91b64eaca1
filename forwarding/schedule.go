package forwarding

import (
	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// beginsAnew reports whether a packet opens a new connection on the ports of an old one
// that is over: it ended (is_new_conn_expected with conn_reuse_mode 1 in
// net/netfilter/ipvs/ip_vs_core.c), or its server takes no connections any more. IPVS goes
// on dropping the latter unless expire_nodest_conn is set; a client that comes back on the
// same port within a minute of a failure would meet the dead server again.
func (w *Worker) beginsAnew(flow *conntrack.Flow, p *Packet) bool {
	if p.TCPFlags&wire.TCPSyn == 0 || flow.Dir() != conntrack.Original {
		return false
	}
	s := flow.State()
	if s == conntrack.TimeWait || s == conntrack.Close {
		return true
	}
	d := w.engine.dests.get(flow.Server())
	// An established flow of a quiesced server is alive; a forged SYN must not move it.
	return d == nil || d.removed.Load() || d.weight.Load() == 0 && s != conntrack.Established
}

// schedule picks a server for a packet without a flow and makes the flow. After Forwarded,
// w.flow is locked.
func (w *Worker) schedule(f *Frame, p *Packet, svc *service, now mono.Time) Reason {
	if p.Tuple.Proto == wire.ProtoTCP && (p.TCPFlags&wire.TCPSyn == 0 || p.TCPFlags&wire.TCPRst != 0) {
		return DropNoFlow
	}
	if w.routes.local(&p.Tuple.Src, p.Tuple.V6) {
		return DropMartian // our own address as a remote sender (fib_validate_source)
	}
	d := svc.pick()
	if d == nil {
		return DropNoServer
	}
	from := w.stationOf(f)
	spec := conntrack.Spec{
		Server: d.id,
		Dest:   conntrack.Endpoint{Addr: d.target, Port: d.addr.Port()},
		Flags:  conntrack.Flags(d.method.Load()),
		MAC:    from.mac,
		Link:   from.flowLink(),
	}
	if svc.key.Port == 0 { // an all-ports service keeps the packet's own port
		spec.Dest.Port = p.Tuple.DstPort
	}
	if Method(d.method.Load()) != Masq {
		spec.Flags |= conntrack.FlagNoOutput
	}
	switch w.engine.flows.Insert(&p.Tuple, &spec, now, &w.flow) {
	case conntrack.Inserted:
		d.inactive.Add(1)
		d.counters[w.id].connections.Add(1)
	case conntrack.Existed: // another worker was faster
	case conntrack.TooMany:
		return DropSameClient
	default:
		return DropTableFull
	}
	return Forwarded
}
