package daemon

import (
	"cmp"
	"net/netip"
	"slices"

	"uvs/forwarding"
	"uvs/forwarding/sched"
	"uvs/internal/steer"
	"uvs/internal/table"
)

// An effective is the service table as it is in force, and what follows from it for the
// engines. It is a value that nobody changes.
type effective struct {
	services []table.Service
	engine   []*engineService
	at       []int // by place in services: the place in engine, −1 if the data plane does not serve it
	goal     goal
}

// An engineService is a service that the data plane serves; its servers are in IPVS's
// order, the newest first.
type engineService struct {
	key     forwarding.ServiceKey
	spec    forwarding.ServiceSpec
	servers []engineServer
}

type engineServer struct {
	addr netip.AddrPort
	spec forwarding.ServerSpec
}

// A goal is what packets the director takes. The lists are sorted, without doubles.
type goal struct {
	services []steer.Match // virtual services
	servers  []steer.Match // servers whose answers come back through us
	tunnels  []netip.Addr  // servers behind tunnels: errors about these come back to us
	ftpAddrs []netip.Addr  // where data connections of FTP come to any port: its clients persist
	direct   []directPair  // the other servers
	pools    []netip.Addr  // local ends (FULLNAT): what servers send to them is ours

	marks    *markSet      // by which packets are marked
	patterns []markPattern // what of those comes to services beside that
}

// A directPair is a server that gets packets as they are, and whose they are.
type directPair struct {
	service steer.Match
	server  netip.Addr
}

// ftpPort is the port of services whose data connections come to other ports (FTPPORT in
// include/net/ip_vs.h).
const ftpPort = 21

// effectiveOf derives all from the table and the rules of marks. It is pure.
func effectiveOf(services []table.Service, marks *markSet) *effective {
	e := &effective{services: services, goal: goal{marks: marks}}
	served := make(map[forwarding.ServiceKey]bool)
	for i := range services {
		s := &services[i]
		if len(s.Unserved) > 0 {
			e.at = append(e.at, -1)
			continue
		}
		e.at = append(e.at, len(e.engine))
		e.engine = append(e.engine, engineServiceOf(s))
		e.goal.take(s, marks)
		served[engineKey(s.Key)] = true
	}
	e.goal.takeMarks(marks, func(mark uint32, v6 bool) bool { return served[forwarding.MarkKey(mark, v6)] })
	e.goal.normal()
	return e
}

// engineServiceOf is a service as the data plane has it.
func engineServiceOf(s *table.Service) *engineService {
	x := &engineService{
		key: engineKey(s.Key),
		spec: forwarding.ServiceSpec{
			Scheduler: s.Settings.Scheduler, Flags: sched.Flags(s.Settings.Flags),
			Persistence: s.Settings.Persistence, Netmask: s.Settings.Netmask, Together: s.Settings.Together,
			CallID: s.Settings.Engine == "sip", OnePacket: s.Settings.OnePacket,
			ReplyByUplink: s.Extra.ReplyByUplink, Pool: forwarding.Pool(s.Extra.Pool),
		},
	}
	for _, r := range s.Servers {
		if r.Listed {
			x.servers = append(x.servers, engineServerOf(r))
		}
	}
	return x
}

// take adds what packets a service has the director take, marks apart.
func (g *goal) take(s *table.Service, marks *markSet) {
	if s.Key.Port == ftpPort && s.Key.Protocol == table.TCP && s.Settings.Persistence != 0 {
		g.ftpAddrs = append(g.ftpAddrs, s.Key.Addr)
	}
	if s.Key.Fwmark == 0 {
		g.services = append(g.services, steer.Match{Addr: s.Key.Addr, Port: s.Key.Port, Proto: s.Key.Protocol})
	}
	pool := forwarding.Pool(s.Extra.Pool)
	g.pools = append(g.pools, pool.Addrs()...)
	for _, r := range s.Servers {
		// Servers that a failing check took out stay in: their connections are still ours.
		switch r.Settings.Method {
		case table.NAT:
			if s.Key.Fwmark != 0 {
				g.servers = append(g.servers, marks.markedServers(s, r.Addr)...)
				break
			}
			g.servers = append(g.servers, steer.Match{Addr: r.Addr.Addr(), Port: r.Addr.Port(), Proto: s.Key.Protocol})
		case table.TUN:
			g.tunnels = append(g.tunnels, r.Addr.Addr())
		}
		if r.Settings.Method != table.NAT {
			g.direct = append(g.direct, directPair{endOfService(s.Key), r.Addr.Addr()})
		}
	}
}

// endOfService is what clients of a service speak to: unspecified for a mark, which may come to any
// address.
func endOfService(k table.Key) steer.Match {
	switch {
	case k.Fwmark == 0:
		return steer.Match{Addr: k.Addr, Port: k.Port, Proto: k.Protocol}
	case k.IPv6:
		return steer.Match{Addr: netip.IPv6Unspecified()}
	}
	return steer.Match{Addr: netip.IPv4Unspecified()}
}

// engineKey is the engine's key of a service.
func engineKey(k table.Key) forwarding.ServiceKey {
	if k.Fwmark != 0 {
		return forwarding.MarkKey(k.Fwmark, k.IPv6)
	}
	return forwarding.ServiceKey{Addr: k.Addr, Port: k.Port, Protocol: k.Protocol}
}

func engineServerOf(r table.Server) engineServer {
	x := engineServer{addr: r.Addr, spec: forwarding.ServerSpec{
		Method: forwarding.Masq, Weight: r.Weight, UpperThreshold: r.Settings.Upper, LowerThreshold: r.Settings.Lower,
	}}
	switch r.Settings.Method {
	case table.DR:
		x.spec.Method = forwarding.Route
	case table.TUN:
		x.spec.Method, x.spec.Tunnel = forwarding.Tunnel, tunnelSpec(r.Settings.Tunnel)
	}
	return x
}

// tunnelSpec is a tunnel as the engine has it.
func tunnelSpec(t table.Tunnel) forwarding.TunnelSpec {
	var spec forwarding.TunnelSpec
	switch t.Type {
	case "gue":
		spec.Type, spec.Port = forwarding.GUE, t.Port
	case "gre":
		spec.Type = forwarding.GRE
	default: // ipip has no checksum of its own
		return spec
	}
	switch t.Checksum {
	case "csum":
		spec.Checksum = forwarding.Checksum
	case "remcsum":
		spec.Checksum = forwarding.RemoteChecksum
	}
	return spec
}

// byMatch is the order of matches in a goal.
func byMatch(a, b steer.Match) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto))
}

func (g *goal) normal() {
	for _, list := range []*[]steer.Match{&g.services, &g.servers} {
		slices.SortFunc(*list, byMatch)
		*list = slices.Compact(*list)
	}
	for _, list := range []*[]netip.Addr{&g.tunnels, &g.ftpAddrs, &g.pools} {
		slices.SortFunc(*list, netip.Addr.Compare)
		*list = slices.Compact(*list)
	}
	slices.SortFunc(g.direct, func(a, b directPair) int { return cmp.Or(byMatch(a.service, b.service), a.server.Compare(b.server)) })
	g.direct = slices.Compact(g.direct)
}

// with returns what is in either goal.
func (g goal) with(o goal) goal {
	both := goal{
		services: slices.Concat(g.services, o.services), servers: slices.Concat(g.servers, o.servers),
		tunnels: slices.Concat(g.tunnels, o.tunnels), direct: slices.Concat(g.direct, o.direct),
		ftpAddrs: slices.Concat(g.ftpAddrs, o.ftpAddrs), pools: slices.Concat(g.pools, o.pools),
		marks: cmp.Or(o.marks, g.marks), patterns: unionPatterns(g.patterns, o.patterns),
	}
	both.normal()
	return both
}

func (g goal) equal(o goal) bool {
	return slices.Equal(g.services, o.services) && slices.Equal(g.servers, o.servers) && slices.Equal(g.tunnels, o.tunnels) &&
		slices.Equal(g.direct, o.direct) && slices.Equal(g.ftpAddrs, o.ftpAddrs) && slices.Equal(g.pools, o.pools) &&
		g.marks == o.marks && slices.Equal(g.patterns, o.patterns)
}

// ownEnds returns the ends by which servers that are this host itself answer: their own by NAT,
// the service's where packets come as they are. local reports whether an address is the host's.
func (g goal) ownEnds(local func(netip.Addr) bool, direct bool) []steer.Match {
	var ends []steer.Match
	for _, m := range g.servers {
		if local(m.Addr) {
			ends = append(ends, m)
		}
	}
	for _, p := range g.direct {
		if direct && local(p.server) && !slices.Contains(ends, p.service) {
			ends = append(ends, p.service)
		}
	}
	return ends
}

// vips returns the addresses of the services, each once.
func (g goal) vips() []netip.Addr { return addressesOf(g.services) }

// serverAddrs returns the addresses of the servers from whose side something comes back: answers,
// or errors about tunnels.
func (g goal) serverAddrs() []netip.Addr { return slices.Concat(addressesOf(g.servers), g.tunnels) }

func addressesOf(list []steer.Match) []netip.Addr {
	var addrs []netip.Addr
	for _, m := range list {
		addrs = append(addrs, m.Addr)
	}
	return slices.Compact(addrs) // list is sorted
}
