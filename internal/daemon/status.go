package daemon

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"uvs/conntrack"
	"uvs/control"
	"uvs/forwarding"
	"uvs/health"
	"uvs/internal/hostnet"
	"uvs/internal/mono"
	"uvs/internal/steer"
	"uvs/internal/table"
	"uvs/internal/wire"
)

// tableSize is what ipvsadm prints as the size of IPVS's connection hash. Ours has no such
// fixed size; scripts that compare the line expect the kernel's default.
const tableSize = 4096

var _ control.Director = (*director)(nil)

// Status implements control.Director.
func (d *director) Status(ctx context.Context) (control.Status, error) {
	s := control.Status{
		Version:   d.opts.Version,
		PID:       os.Getpid(),
		State:     d.state.Load().(control.State),
		Started:   d.started,
		Uptime:    control.Seconds(time.Since(d.started)),
		RunDir:    d.opts.RunDir,
		Steering:  d.steering(),
		Addresses: d.holdings.list(),
		VRRP:      d.floating.status(ctx),
		Host:      d.host.status(),
		Drops:     make(map[string]uint64),
		Passed:    make(map[string]uint64),
		Made:      make(map[string]uint64),
	}
	d.mu.Lock()
	s.Config, s.Notes = d.config.status(), slices.Concat(d.config.notes, d.troubles(), d.stack.notes(), d.absentVIPs(), d.markNotes(), partingNotes(d.engine))
	plan := d.plan
	d.mu.Unlock()
	network := d.network.Snapshot()
	s.Services = d.configuredServices(&plan, network)
	for _, x := range s.Services {
		s.Flows.Created += x.Counters.Conns
	}
	s.Flows.Current = uint64(d.engine.Flows().Len())
	s.Flows.Max, s.Flows.MaxSource = uint64(d.maxFlows), d.flowsFrom
	if s.Flows.Created > s.Flows.Current {
		s.Flows.Expired = s.Flows.Created - s.Flows.Current
	}
	var workers []forwarding.WorkerInfo
	for _, w := range d.engine.Workers() {
		workers = append(workers, w.Info())
	}
	for _, w := range workers {
		worker := control.Worker{ID: w.ID, CPU: w.CPU}
		for r, n := range w.Reasons {
			worker.Packets += n
			switch {
			case r.Pass():
				s.Passed[r.String()] += n
			case r != forwarding.Forwarded:
				s.Drops[r.String()] += n
			}
		}
		for m, n := range w.Made {
			s.Made[m.String()] += n
		}
		s.Workers = append(s.Workers, worker)
	}
	s.Interfaces, s.Rings = d.capture.interfaces(network), d.capture.rings()
	return s, nil
}

// steering names the backend, why it is not the best one, and what that means.
func (d *director) steering() control.Steering {
	use := d.steer.Backend()
	s := control.Steering{Backend: string(use)}
	switch {
	case d.opts.Steer != string(steer.Auto):
		s.Reason = "asked for by --steer"
	case use == steer.Bare:
		s.Reason = "nothing else works here"
	case len(d.steer.PassedOver()) > 0:
		s.Reason = "the best of what works here"
	}
	for _, p := range d.steer.PassedOver() {
		s.PassedOver = append(s.PassedOver, control.PassedOver{Backend: string(p.Backend), Reason: p.Err.Error()})
	}
	if use == steer.Bare {
		s.Limits = bareLimits()
	}
	return s
}

// An engineView finds what the data plane knows of services and servers.
type engineView struct {
	services map[forwarding.ServiceKey]*forwarding.ServiceInfo
}

func viewOf(e *forwarding.Engine) engineView {
	list := e.Services()
	v := engineView{make(map[forwarding.ServiceKey]*forwarding.ServiceInfo, len(list))}
	for i := range list {
		v.services[list[i].Key] = &list[i]
	}
	return v
}

// find returns nil for what the data plane does not have.
func (v engineView) find(k table.Key) *forwarding.ServiceInfo {
	return v.services[engineKey(k)]
}

// serverOf returns nil for what the data plane does not have.
func serverOf(s *forwarding.ServiceInfo, a netip.AddrPort) *forwarding.ServerInfo {
	if s == nil {
		return nil
	}
	for i := range s.Servers {
		if s.Servers[i].Addr == a {
			return &s.Servers[i]
		}
	}
	return nil
}

// configuredServices lists every service and server of the effective table, whether or not
// the server is in IPVS's list now.
func (d *director) configuredServices(p *plan, network *hostnet.Snapshot) []control.Service {
	view := viewOf(d.engine)
	checks := make(map[health.Key]health.Status)
	for _, s := range d.health.Snapshot() {
		checks[s.Key] = s
	}
	type server struct {
		group string
		addr  netip.AddrPort
	}
	keys := make(map[server]health.Key, len(p.checked))
	for _, c := range p.checked {
		keys[server{c.group, c.server}] = c.health.Key
	}
	now := mono.Now()
	table := d.effective.Load().services
	list := make([]control.Service, 0, len(table))
	for _, s := range table {
		info := view.find(s.Key)
		x := serviceStatus(s, info)
		for _, r := range s.Servers {
			y := serverStatus(r, serverOf(info, r.Addr), network)
			if k, ok := keys[server{s.Group, r.Addr}]; ok && !r.Sorry {
				y.Checks = checkStatus(checks[k], now)
				x.Panic = x.Panic || checks[k].Kept
			}
			x.Servers = append(x.Servers, y)
		}
		list = append(list, x)
	}
	return list
}

// Services implements control.Director: the table as IPVS would list it.
func (d *director) Services(context.Context) (control.ServiceList, error) {
	return listed(d.effective.Load().services, d.engine, d.network.Snapshot()), nil
}

// listed lists a table with what the engine knows of it.
func listed(table []table.Service, e *forwarding.Engine, network *hostnet.Snapshot) control.ServiceList {
	view := viewOf(e)
	tcp, tcpFin, udp := e.Timeouts()
	list := control.ServiceList{
		TableSize: tableSize,
		Timeouts:  control.Timeouts{TCP: inSeconds(tcp), TCPFin: inSeconds(tcpFin), UDP: inSeconds(udp)},
		Services:  make([]control.Service, 0, len(table)),
	}
	for _, s := range table {
		info := view.find(s.Key)
		x := serviceStatus(s, info)
		for _, r := range s.Servers {
			if r.Listed {
				x.Servers = append(x.Servers, serverStatus(r, serverOf(info, r.Addr), network))
			}
		}
		list.Services = append(list.Services, x)
	}
	return list
}

func inSeconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// serviceStatus describes a service without its servers. info is nil if the data plane does
// not have it.
func serviceStatus(s table.Service, info *forwarding.ServiceInfo) control.Service {
	x := control.Service{
		Fwmark: s.Key.Fwmark, IPv6: s.Key.IPv6, Address: s.Key.Addr, Port: s.Key.Port,
		Scheduler: s.Settings.Scheduler, Flags: flagNames(s.Settings.Scheduler, s.Settings.Flags),
		Persistence: inSeconds(s.Settings.Persistence), Netmask: formatNetmask(s.Settings.Netmask, s.Settings.Together, s.Key.IPv6 || s.Key.Addr.Is6()),
		PersistenceEngine: s.Settings.Engine, OnePacket: s.Settings.OnePacket, ReplyByUplink: s.Extra.ReplyByUplink,
		Origin: originOf(s.FromFile), Edited: s.Edited, Unserved: s.Unserved,
		Servers: []control.Server{},
	}
	if s.Key.Fwmark == 0 {
		x.Protocol = protocolWord(s.Key.Protocol)
	}
	if s.FromFile && (s.Quorum > 1 || s.NoQuorum || slices.ContainsFunc(s.Servers, func(r table.Server) bool { return r.Sorry })) {
		x.Quorum = &control.Quorum{Required: uint(s.Quorum), Hysteresis: uint(s.Hysteresis), Weight: s.Alive(), Up: !s.NoQuorum}
	}
	if info != nil {
		x.Counters, x.Rates = countersOf(info.Total), ratesOf(info.Rates)
	}
	return x
}

func originOf(file bool) control.Origin {
	if file {
		return control.FromFile
	}
	return control.FromOperator
}

// serverStatus describes a server. info is nil if the data plane does not have it.
func serverStatus(r table.Server, info *forwarding.ServerInfo, network *hostnet.Snapshot) control.Server {
	s := control.Server{
		Address: r.Addr.Addr(), Port: r.Addr.Port(), Method: methodWord(r.Settings.Method),
		Weight: r.Settings.Weight, EffectiveWeight: r.Weight, State: stateOf(r),
		UpperThreshold: r.Settings.Upper, LowerThreshold: r.Settings.Lower,
		Sorry: r.Sorry, Origin: originOf(r.FromFile), Edited: r.Edited,
		Local: network != nil && network.IsLocal(r.Addr.Addr()),
	}
	if r.Settings.Method == table.TUN {
		s.Tunnel = &control.Tunnel{Type: r.Settings.Tunnel.Type, Port: r.Settings.Tunnel.Port, Checksum: r.Settings.Tunnel.Checksum}
	}
	if info == nil {
		return s
	}
	if s.Local && info.Hop == nil {
		s.Unserved = []string{"its address is this machine's own, and nothing leads into its stack"}
	}
	s.Active, s.Inactive = uint64(max(info.Active, 0)), uint64(max(info.Inactive, 0))
	s.Persistent, s.Overloaded = uint64(max(info.Persistent, 0)), info.Overloaded
	s.Counters, s.Rates = countersOf(info.Total), ratesOf(info.Rates)
	if info.Hop != nil {
		if l, ok := network.LinkByIndex(info.Hop.Link); ok {
			s.NextHop.Interface = l.Name
		}
		if info.Hop.Addr != r.Addr.Addr() {
			s.NextHop.Gateway = info.Hop.Addr
		}
		if info.Hop.Resolved() {
			s.NextHop.MAC = net.HardwareAddr(info.Hop.Dst[:]).String()
		}
	}
	return s
}

func stateOf(r table.Server) control.ServerState {
	switch {
	case !r.Listed:
		return control.ServerRemoved
	case r.Down && r.Inhibit:
		return control.ServerInhibited
	case r.Down:
		return control.ServerDown
	}
	return control.ServerUp
}

func ratesOf(r forwarding.Rates) control.Rates {
	return control.Rates{Conns: r.Connections, InPackets: r.PacketsIn, OutPackets: r.PacketsOut, InBytes: r.BytesIn, OutBytes: r.BytesOut}
}

func countersOf(t forwarding.Totals) control.Counters {
	return control.Counters{Conns: t.Connections, InPackets: t.PacketsIn, OutPackets: t.PacketsOut, InBytes: t.BytesIn, OutBytes: t.BytesOut}
}

func checkStatus(s health.Status, now mono.Time) []control.Check {
	list := make([]control.Check, 0, len(s.Checks))
	for _, c := range s.Checks {
		check := control.Check{Kind: c.Word, State: control.CheckUp, LastError: c.LastError}
		switch {
		case !c.Up:
			check.State = control.CheckDown
		case !c.Ran:
			check.State = control.CheckPending
		}
		if s.Since != 0 {
			check.Since = time.Now().Add(-now.Sub(s.Since))
		}
		list = append(list, check)
	}
	return list
}

// Connections implements control.Director.
func (d *director) Connections(ctx context.Context, yield func(control.Connection) error) error {
	var failed error
	d.engine.Flows().Each(mono.Now(), func(e *conntrack.Entry) bool {
		failed = ctx.Err()
		if failed == nil {
			engine := ""
			if e.Data != "" {
				engine = "sip"
			}
			failed = yield(control.Connection{
				PersistenceEngine: engine, PersistenceData: e.Data,
				Protocol: protocolOf(e),
				Template: e.Flags&conntrack.FlagTemplate != 0,
				State:    e.State.String(),
				Expires:  control.Seconds(e.Remaining),
				Client:   e.Client,
				Virtual:  e.Virtual,
				Server:   d.serverOf(e),
				Local:    e.Local,
			})
		}
		return failed == nil
	})
	return failed
}

// serverOf returns the server of a flow or template. An entry of the one family has no room for
// an address of the other, where tunnels may lead.
func (d *director) serverOf(e *conntrack.Entry) netip.AddrPort {
	if e.Flags.Method() == conntrack.Tunnel {
		if addr, _, ok := d.engine.Server(e.Server); ok {
			return netip.AddrPortFrom(addr.Addr(), e.Dest.Port())
		}
	}
	return e.Dest
}

// protocolOf returns the protocol of an entry: of a mark's template none in particular.
func protocolOf(e *conntrack.Entry) control.Protocol {
	if e.Template && e.Proto == 0 {
		return control.IP
	}
	return protocolWord(e.Proto)
}

func protocolWord(p uint8) control.Protocol {
	switch p {
	case wire.ProtoUDP:
		return control.UDP
	case table.SCTP:
		return control.SCTP
	}
	return control.TCP
}

func methodWord(m table.Method) control.Method {
	switch m {
	case table.DR:
		return control.DR
	case table.TUN:
		return control.TUN
	}
	return control.NAT
}

// canonical drops what a packet does not carry: the zone and the IPv4-in-IPv6 form.
func canonical(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
