package daemon

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"uvs/forwarding"
	"uvs/health"
	"uvs/internal/steer"
)

// A plan is a configuration in the engines' own terms: what is to run. It is a value that
// nobody changes after translate made it.
type plan struct {
	services  []servicePlan
	addresses []addressPlan
	notes     []string // what is in the configuration and is not run, a line each
}

// A servicePlan is a virtual service with its servers in the order of the file.
type servicePlan struct {
	key     forwarding.ServiceKey
	spec    forwarding.ServiceSpec
	servers []serverPlan
}

// A serverPlan is a real server and what a failing check does to it.
type serverPlan struct {
	addr    netip.AddrPort
	spec    forwarding.ServerSpec
	inhibit bool // a failing check sets the weight to 0 instead of removing the server
	health  health.Server
}

// An addressPlan is a virtual address to put on an interface.
type addressPlan struct {
	instance  string // the vrrp_instance that names it, for the log
	device    string
	prefix    netip.Prefix
	broadcast netip.Addr
	label     string
	scope     int
	position  string // file:line:column
}

// vips returns the addresses of the services, sorted, each once.
func (p *plan) vips() []netip.Addr {
	var vips []netip.Addr
	for _, s := range p.services {
		vips = append(vips, s.key.Addr)
	}
	slices.SortFunc(vips, netip.Addr.Compare)
	return slices.Compact(vips)
}

// natServerAddrs returns the addresses of the servers whose answers come back through us.
func (p *plan) natServerAddrs() []netip.Addr {
	var addrs []netip.Addr
	for _, s := range p.services {
		for _, r := range s.servers {
			if r.spec.Method == forwarding.Masq {
				addrs = append(addrs, r.addr.Addr())
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// steering returns what the kernel's stack must keep its hands off. Servers that a failing
// check took out stay in: their connections are still ours.
func (p *plan) steering() (services, servers []steer.Match) {
	for _, s := range p.services {
		services = append(services, steer.Match{Addr: s.key.Addr, Port: s.key.Port, Proto: s.key.Protocol})
		for _, r := range s.servers {
			if r.spec.Method == forwarding.Masq {
				servers = append(servers, steer.Match{Addr: r.addr.Addr(), Port: r.addr.Port(), Proto: s.key.Protocol})
			}
		}
	}
	byAddr := func(a, b steer.Match) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto))
	}
	slices.SortFunc(servers, byAddr)
	return services, slices.Compact(servers)
}

// apply enters the plan's services into an empty table. Servers are added in the order of
// the file; as IPVS puts each at the head, the last one is asked first.
func (p *plan) apply(tx *forwarding.Tx, alive func(forwarding.ServiceKey, netip.AddrPort) bool) error {
	for _, s := range p.services {
		if err := tx.AddService(s.key, s.spec); err != nil {
			return fmt.Errorf("service %s: %w", s.key, err)
		}
		for _, r := range s.servers {
			spec := r.spec
			if !alive(s.key, r.addr) {
				if !r.inhibit {
					continue
				}
				spec.Weight = 0
			}
			if err := tx.AddServer(s.key, r.addr, spec); err != nil {
				return fmt.Errorf("service %s, server %s: %w", s.key, r.addr, err)
			}
		}
	}
	return nil
}
