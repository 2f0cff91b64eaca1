package daemon

import (
	"cmp"
	"fmt"
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
	engine   []engineService
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
	for _, s := range services {
		if len(s.Unserved) > 0 {
			continue
		}
		x := engineService{
			key: engineKey(s.Key),
			spec: forwarding.ServiceSpec{
				Scheduler: s.Settings.Scheduler, Flags: sched.Flags(s.Settings.Flags),
				Persistence: s.Settings.Persistence, Netmask: s.Settings.Netmask, Together: s.Settings.Together,
				CallID: s.Settings.Engine == "sip", OnePacket: s.Settings.OnePacket,
				ReplyByUplink: s.Extra.ReplyByUplink, Pool: forwarding.Pool(s.Extra.Pool),
			},
		}
		if s.Key.Port == ftpPort && s.Key.Protocol == table.TCP && s.Settings.Persistence != 0 {
			e.goal.ftpAddrs = append(e.goal.ftpAddrs, s.Key.Addr)
		}
		served[x.key] = true
		if s.Key.Fwmark == 0 {
			e.goal.services = append(e.goal.services, steer.Match{Addr: s.Key.Addr, Port: s.Key.Port, Proto: s.Key.Protocol})
		}
		e.goal.pools = append(e.goal.pools, x.spec.Pool.Addrs()...)
		for _, r := range s.Servers {
			// Servers that a failing check took out stay in: their connections are still ours.
			switch r.Settings.Method {
			case table.NAT:
				if s.Key.Fwmark != 0 {
					e.goal.servers = append(e.goal.servers, marks.markedServers(&s, r.Addr)...)
					break
				}
				e.goal.servers = append(e.goal.servers, steer.Match{Addr: r.Addr.Addr(), Port: r.Addr.Port(), Proto: s.Key.Protocol})
			case table.TUN:
				e.goal.tunnels = append(e.goal.tunnels, r.Addr.Addr())
			}
			if r.Settings.Method != table.NAT {
				e.goal.direct = append(e.goal.direct, directPair{endOfService(s.Key), r.Addr.Addr()})
			}
			if r.Listed {
				x.servers = append(x.servers, engineServerOf(r))
			}
		}
		e.engine = append(e.engine, x)
	}
	e.goal.takeMarks(marks, func(mark uint32, v6 bool) bool { return served[forwarding.MarkKey(mark, v6)] })
	e.goal.normal()
	return e
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

func (g *goal) normal() {
	byAddr := func(a, b steer.Match) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto))
	}
	for _, list := range []*[]steer.Match{&g.services, &g.servers} {
		slices.SortFunc(*list, byAddr)
		*list = slices.Compact(*list)
	}
	for _, list := range []*[]netip.Addr{&g.tunnels, &g.ftpAddrs, &g.pools} {
		slices.SortFunc(*list, netip.Addr.Compare)
		*list = slices.Compact(*list)
	}
	slices.SortFunc(g.direct, func(a, b directPair) int { return cmp.Or(byAddr(a.service, b.service), a.server.Compare(b.server)) })
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

// sync brings the engine's services in line. Servers are added oldest first: each comes to
// the head of the list. What becomes of the connections of servers that leave says fate.
func (e *effective) sync(tx *forwarding.Tx, current []forwarding.ServiceInfo, fate fateOf) error {
	have := make(map[forwarding.ServiceKey]*forwarding.ServiceInfo, len(current))
	for i := range current {
		have[current[i].Key] = &current[i]
	}
	want := make(map[forwarding.ServiceKey]bool, len(e.engine))
	for _, s := range e.engine {
		want[s.key] = true
	}
	for _, s := range current {
		if !want[s.Key] {
			for i := range s.Servers {
				tx.Retire(s.Key, s.Servers[i].Addr, fate(s.Key, s.Servers[i].Addr))
			}
			if err := tx.DeleteService(s.Key); err != nil {
				return fmt.Errorf("service %s: %w", s.Key, err)
			}
		}
	}
	for i := range e.engine {
		if err := e.engine[i].sync(tx, have[e.engine[i].key], fate); err != nil {
			return fmt.Errorf("service %s: %w", e.engine[i].key, err)
		}
	}
	return nil
}

func (s *engineService) sync(tx *forwarding.Tx, have *forwarding.ServiceInfo, fate fateOf) error {
	if have == nil {
		if err := tx.AddService(s.key, s.spec); err != nil {
			return err
		}
		have = &forwarding.ServiceInfo{}
	} else if have.Spec != s.spec {
		if err := tx.EditService(s.key, s.spec); err != nil {
			return err
		}
	}
	old := have.Servers
	for i := range old {
		if s.find(old[i].Addr) == nil {
			tx.Retire(s.key, old[i].Addr, fate(s.key, old[i].Addr))
		}
	}
	if !s.sameOrder(old) {
		// Servers that leave and return within one change stay themselves.
		for _, r := range old {
			if err := tx.DeleteServer(s.key, r.Addr); err != nil {
				return fmt.Errorf("server %s: %w", r.Addr, err)
			}
		}
		old = nil
	}
	for _, r := range old {
		if s.find(r.Addr) == nil {
			if err := tx.DeleteServer(s.key, r.Addr); err != nil {
				return fmt.Errorf("server %s: %w", r.Addr, err)
			}
		}
	}
	for _, r := range slices.Backward(s.servers) {
		i := slices.IndexFunc(old, func(x forwarding.ServerInfo) bool { return x.Addr == r.addr })
		var err error
		switch {
		case i < 0:
			err = tx.AddServer(s.key, r.addr, r.spec)
		case old[i].Spec != r.spec:
			err = tx.EditServer(s.key, r.addr, r.spec)
		}
		if err != nil {
			return fmt.Errorf("server %s: %w", r.addr, err)
		}
	}
	return nil
}

func (s *engineService) find(a netip.AddrPort) *engineServer {
	for i := range s.servers {
		if s.servers[i].addr == a {
			return &s.servers[i]
		}
	}
	return nil
}

// sameOrder reports whether the servers that stay stand in the order wanted, behind those
// that come.
func (s *engineService) sameOrder(old []forwarding.ServerInfo) bool {
	var stay, want []netip.AddrPort
	for _, r := range old {
		if s.find(r.Addr) != nil {
			stay = append(stay, r.Addr)
		}
	}
	fresh := false
	for _, r := range slices.Backward(s.servers) {
		if slices.Contains(stay, r.addr) {
			if fresh {
				return false
			}
			want = append(want, r.addr)
		} else {
			fresh = true
		}
	}
	slices.Reverse(want)
	return slices.Equal(stay, want)
}
