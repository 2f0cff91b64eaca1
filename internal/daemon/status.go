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
	"uvs/internal/wire"
)

// tableSize is what ipvsadm prints as the size of IPVS's connection hash. Ours has no such
// fixed size; scripts that compare the line expect the kernel's default.
const tableSize = 4096

var _ control.Director = (*director)(nil)

// Status implements control.Director.
func (d *director) Status(context.Context) (control.Status, error) {
	s := control.Status{
		Version:   d.opts.Version,
		PID:       os.Getpid(),
		State:     d.state.Load().(control.State),
		Started:   d.started,
		Uptime:    control.Seconds(time.Since(d.started)),
		RunDir:    d.opts.RunDir,
		Config:    d.config.status(),
		Steering:  d.steering(),
		Addresses: d.addresses.list(),
		Drops:     make(map[string]uint64),
		Passed:    make(map[string]uint64),
		Made:      make(map[string]uint64),
		Notes:     d.config.notes,
	}
	network := d.network.Snapshot()
	s.Services = d.configuredServices(network)
	for _, x := range s.Services {
		s.Flows.Created += x.Counters.Conns
	}
	s.Flows.Current = uint64(d.engine.Flows().Len())
	s.Flows.Max = uint64(d.maxFlows())
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
	s.Interfaces = d.interfaces(workers, network)
	return s, nil
}

// steering names the backend, and why it is not the best one.
func (d *director) steering() control.Steering {
	s := control.Steering{Backend: string(d.steer.Backend())}
	if d.steer.Backend() != steer.Best {
		s.Reason = d.steer.Reason()
	}
	return s
}

func (d *director) maxFlows() int {
	if d.opts.MaxConnections > 0 {
		return d.opts.MaxConnections
	}
	return DefaultMaxConnections
}

// interfaces sums the workers' ports by interface.
func (d *director) interfaces(workers []forwarding.WorkerInfo, network *hostnet.Snapshot) []control.Interface {
	byIndex := make(map[int]*control.Interface)
	var order []int
	for _, w := range workers {
		for _, p := range w.Ports {
			x := byIndex[p.Link]
			if x == nil {
				x = &control.Interface{Index: p.Link, Mode: d.capture.mode(p.Link)}
				if l, ok := network.LinkByIndex(p.Link); ok {
					x.Name, x.Up = l.Name, l.Up
				}
				byIndex[p.Link] = x
				order = append(order, p.Link)
			}
			x.RingSlots += p.Stats.Slots
			x.RxFrames += p.Stats.Received
			x.TxFrames += p.Stats.Sent
			x.RingDrops += p.Stats.RingDrops
			x.TxErrors += p.Stats.SendErrors
		}
	}
	slices.Sort(order)
	list := make([]control.Interface, 0, len(order))
	for _, i := range order {
		list = append(list, *byIndex[i])
	}
	return list
}

// configuredServices lists every service and server of the plan in the order of the table
// (IPVS's: the last server of the file first), whether or not the server is in it now.
func (d *director) configuredServices(network *hostnet.Snapshot) []control.Service {
	table := make(map[forwarding.ServiceKey]forwarding.ServiceInfo)
	for _, s := range d.engine.Services() {
		table[s.Key] = s
	}
	checks := make(map[health.Key]health.Status)
	for _, s := range d.health.Snapshot() {
		checks[s.Key] = s
	}
	now := mono.Now()
	list := make([]control.Service, 0, len(d.plan.services))
	for _, p := range d.plan.services {
		info := table[p.key]
		s := serviceStatus(info, p.key)
		s.Servers = make([]control.Server, 0, len(p.servers))
		for _, r := range slices.Backward(p.servers) {
			i := slices.IndexFunc(info.Servers, func(x forwarding.ServerInfo) bool { return x.Addr == r.addr })
			server := control.Server{Address: r.addr.Addr(), Port: r.addr.Port(), Method: methodWord(r.spec.Method), State: control.ServerRemoved}
			if i >= 0 {
				server = serverStatus(info.Servers[i], network)
				server.State = control.ServerUp
				if !d.verdicts.alive(p.key, r.addr) {
					server.State = control.ServerDown
					if r.inhibit {
						server.State = control.ServerInhibited
					}
				}
			}
			server.Weight = r.spec.Weight
			server.Checks = checkStatus(checks[r.health.Key], now)
			s.Servers = append(s.Servers, server)
		}
		list = append(list, s)
	}
	return list
}

// Services implements control.Director: the table as it is.
func (d *director) Services(context.Context) (control.ServiceList, error) {
	table := make(map[forwarding.ServiceKey]forwarding.ServiceInfo)
	for _, s := range d.engine.Services() {
		table[s.Key] = s
	}
	network := d.network.Snapshot()
	list := control.ServiceList{TableSize: tableSize, Services: make([]control.Service, 0, len(table))}
	for _, p := range d.plan.services {
		info, ok := table[p.key]
		if !ok {
			continue
		}
		s := serviceStatus(info, p.key)
		for _, r := range info.Servers {
			s.Servers = append(s.Servers, serverStatus(r, network))
		}
		list.Services = append(list.Services, s)
	}
	return list, nil
}

func serviceStatus(info forwarding.ServiceInfo, k forwarding.ServiceKey) control.Service {
	return control.Service{
		Protocol:  protocolWord(k.Protocol),
		Address:   k.Addr,
		Port:      k.Port,
		Scheduler: info.Spec.Scheduler,
		Counters:  countersOf(info.Total),
	}
}

func serverStatus(r forwarding.ServerInfo, network *hostnet.Snapshot) control.Server {
	s := control.Server{
		Address:         r.Addr.Addr(),
		Port:            r.Addr.Port(),
		Method:          methodWord(r.Spec.Method),
		Weight:          r.Spec.Weight,
		EffectiveWeight: r.Spec.Weight,
		State:           control.ServerUp,
		Active:          uint64(max(r.Active, 0)),
		Inactive:        uint64(max(r.Inactive, 0)),
		Counters:        countersOf(r.Total),
	}
	if r.Hop != nil {
		if l, ok := network.LinkByIndex(r.Hop.Link); ok {
			s.NextHop.Interface = l.Name
		}
		if r.Hop.Addr != r.Addr.Addr() {
			s.NextHop.Gateway = r.Hop.Addr
		}
		if r.Hop.Resolved() {
			s.NextHop.MAC = net.HardwareAddr(r.Hop.Dst[:]).String()
		}
	}
	return s
}

func countersOf(t forwarding.Totals) control.Counters {
	return control.Counters{Conns: t.Connections, InPackets: t.PacketsIn, OutPackets: t.PacketsOut, InBytes: t.BytesIn, OutBytes: t.BytesOut}
}

func checkStatus(s health.Status, now mono.Time) []control.Check {
	list := make([]control.Check, 0, len(s.Checks))
	for _, c := range s.Checks {
		check := control.Check{Kind: kindWord(c.Kind), State: control.CheckUp, LastError: c.LastError}
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
			failed = yield(control.Connection{
				Protocol: protocolWord(e.Proto),
				State:    e.State.String(),
				Expires:  control.Seconds(e.Remaining),
				Client:   e.Client,
				Virtual:  e.Virtual,
				Server:   e.Dest,
			})
		}
		return failed == nil
	})
	return failed
}

func protocolWord(p uint8) control.Protocol {
	if p == wire.ProtoUDP {
		return control.UDP
	}
	return control.TCP
}

func methodWord(m forwarding.Method) control.Method {
	if m == forwarding.Route {
		return control.DR
	}
	return control.NAT
}

// canonical drops what a packet does not carry: the zone and the IPv4-in-IPv6 form.
func canonical(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
