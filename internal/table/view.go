package table

import (
	"net/netip"
	"slices"
)

// A Service is a copy of an entry for listing.
type Service struct {
	Key      Key
	Settings ServiceSettings
	Extra    Extra
	FromFile bool // the configuration has it
	Edited   bool // an operator changed what the configuration says
	// Unserved says why the data plane takes no packet for it, one phrase each.
	Unserved []string
	// NoQuorum, Quorum, Hysteresis: of a service of the configuration.
	NoQuorum           bool
	Quorum, Hysteresis int
	Group              string
	Naming             Naming
	// Servers are in IPVS's order, the newest first; behind them those that are configured and
	// not in the list now.
	Servers []Server

	as *Service // the listing that it is a copy of
}

// A Server is a copy of an entry for listing.
type Server struct {
	Addr     netip.AddrPort
	Settings ServerSettings
	FromFile bool
	Edited   bool
	Sorry    bool
	// Listed: it is in IPVS's list, with the effective Weight.
	Listed bool
	Weight int
	living int // what it weighs while its checks succeed
	// Down: its checks fail. Inhibit: that sets its weight to 0.
	Down, Inhibit bool
}

// Services lists the table. Nobody changes the lists in it: what has not changed is listed as before.
func (t *Table) Services() []Service {
	out := make([]Service, 0, len(t.services))
	for _, s := range t.services {
		if s.deleted {
			continue
		}
		if s.view == nil {
			s.view = s.list()
		}
		x := *s.view
		x.Extra, x.as = t.extras.Services[s.key], s.view
		out = append(out, x)
	}
	return out
}

// Same reports whether nothing has changed between two listings of a service, without looking at all of it: true is
// certain, and false may be said of what was changed and changed back.
func (s *Service) Same(o *Service) bool { return s.as != nil && s.as == o.as && s.Extra == o.Extra }

// list makes the service's listing.
func (s *service) list() *Service {
	x := &Service{
		Key: s.key, Settings: s.set, FromFile: s.file != nil, Edited: s.edited, Unserved: s.unserved(),
		Naming: s.naming(), NoQuorum: s.quorum.lost, Quorum: s.quorum.needed, Hysteresis: s.quorum.hysteresis,
	}
	if s.file != nil {
		x.Group = s.file.Group
	}
	servers := slices.Clone(s.servers)
	slices.SortStableFunc(servers, func(a, b *server) int {
		if a.listed != b.listed {
			if a.listed {
				return -1
			}
			return 1
		}
		return byStamp(a, b)
	})
	for _, r := range servers {
		if !r.deleted {
			x.Servers = append(x.Servers, s.describe(r))
		}
	}
	return x
}

// describe makes a server's part of it.
func (s *service) describe(r *server) Server {
	x := Server{
		Addr: r.addr, Settings: r.set, FromFile: r.file != nil, Edited: r.edited, Sorry: r.sorry,
		Listed: r.listed, Down: r.down, Inhibit: r.file != nil && r.file.Inhibit,
	}
	x.living = r.balances()
	if r.listed {
		x.Weight = s.weight(r)
	}
	return x
}

// unserved says what of a service the data plane does not do.
func (s *service) unserved() []string {
	var list []string
	if a := s.key.Addr; a.IsValid() {
		switch {
		case a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			list = append(list, a.String()+" is no unicast address, which IPVS lists and gets no packets for")
		case a.IsLoopback():
			list = append(list, a.String()+" is a loopback address, for which no packets come from outside")
		}
	}
	if s.set.Engine != "" && s.key.Protocol != UDP && s.key.Fwmark == 0 {
		list = append(list, "persistence engine "+s.set.Engine+" reads UDP alone, and IPVS drops all else")
	}
	return list
}

// Alive returns the weights of the living servers of the configuration together.
func (s *Service) Alive() uint64 {
	sum := uint64(0)
	for _, r := range s.Servers {
		if r.FromFile && !r.Sorry && !r.Down {
			sum += uint64(r.living)
		}
	}
	return sum
}
