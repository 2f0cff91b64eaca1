// Package preflight looks a director's machine and its neighbours over for what makes a
// good configuration fail in practice: a NAT server whose default gateway is another
// router, a DR server that answers ARP for the virtual address, a firewall rule that our
// frames do not pass, receive offloads that cannot be undone, a smaller MTU behind the
// director than in front of it.
//
// Gather collects the facts and changes nothing but what its probes leave in neighbour
// tables; Judge is pure and turns facts into findings.
package preflight

import (
	"cmp"
	"net"
	"net/netip"
	"slices"

	"uvs/internal/hostnet"
)

// A Site is what a director is to serve, as far as it matters here.
type Site struct {
	Services []Service
	// Unicast: adverts go to peers one by one.
	Unicast bool
}

// A Service is one virtual service. The address of a service is unmapped and has no zone.
type Service struct {
	Addr    netip.Addr
	Servers []Server
	// Floating: the address is not on this machine now, so another director may well have it.
	Floating bool
}

// A Server is one real server.
type Server struct {
	Addr netip.Addr
	// NAT: its answers must come back through the director. Otherwise it has the virtual
	// address itself and answers clients directly.
	NAT bool
	// Anywhere: it needs neither the director for its router nor a link in common: packets come to
	// it from the director's own address (FULLNAT), or by a tunnel.
	Anywhere bool
}

// vips returns the virtual addresses of services with a server that fits, sorted, each once.
func (s *Site) vips(fits func(Server) bool) []netip.Addr {
	var list []netip.Addr
	for _, x := range s.Services {
		if slices.ContainsFunc(x.Servers, fits) {
			list = append(list, x.Addr)
		}
	}
	return unique(list)
}

// servers returns the servers that fit, sorted, each address once.
func (s *Site) servers(fits func(Server) bool) []netip.Addr {
	var list []netip.Addr
	for _, x := range s.Services {
		for _, r := range x.Servers {
			if fits(r) {
				list = append(list, r.Addr)
			}
		}
	}
	return unique(list)
}

// floating reports whether an address is another machine's to have.
func (s *Site) floating(vip netip.Addr) bool {
	return slices.ContainsFunc(s.Services, func(x Service) bool { return x.Addr == vip && x.Floating })
}

// Equal reports whether two sites are the same.
func (s *Site) Equal(o Site) bool {
	return s.Unicast == o.Unicast && slices.EqualFunc(s.Services, o.Services, func(a, b Service) bool {
		return a.Addr == b.Addr && a.Floating == b.Floating && slices.Equal(a.Servers, b.Servers)
	})
}

func unique(list []netip.Addr) []netip.Addr {
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

func anyServer(Server) bool      { return true }
func natServer(s Server) bool    { return s.NAT && !s.Anywhere }
func farServer(s Server) bool    { return s.Anywhere }
func directServer(s Server) bool { return !s.NAT }

// Facts are what Gather found. The zero value of a part means that nothing is known.
type Facts struct {
	// Network is the machine's network, with the virtual addresses that the director would
	// add.
	Network *hostnet.Snapshot
	// StrictReversePath are the names of the interfaces whose effective rp_filter is 1.
	StrictReversePath []string
	// LargeReceive are the names of the interfaces with large receive offload on.
	LargeReceive []string
	// Claims are other hosts that answer for virtual addresses.
	Claims []Claim
	// Gateways are the answers of NAT servers to a question from off their network.
	Gateways []Gateway
	// Rules are firewall rules that mention virtual addresses.
	Rules []FirewallRule
	// Cloud is the name of the cloud that the machine is rented from, "" if it is in none.
	Cloud string
}

// A Claim is another host's answer for a virtual address, by ARP or neighbour discovery.
type Claim struct {
	VIP       netip.Addr
	Interface string
	MAC       net.HardwareAddr
	// Server is the real server that has the MAC, the zero Addr if none of the site has it.
	Server netip.Addr
}

// A Gateway tells where a server sends what is for another network.
type Gateway struct {
	Server netip.Addr
	// From is the director's address, of another network than the server's, that asked.
	From netip.Addr
	// Beside is the director's address on the server's network.
	Beside netip.Addr
	// Way is where the answer came from.
	Way Way
	// Interface is where the answer came in, for Elsewhere.
	Interface string
}

// A Way is how an answer came back.
type Way uint8

// The ways. A server that does not answer at all, as its firewall drops pings, yields no
// Gateway.
const (
	Straight  Way = iota // from the server itself: its gateway is the director
	Elsewhere            // over another router
	Nowhere              // not at all, although the server answers its neighbours
)

// A FirewallRule is one that mentions a virtual address.
type FirewallRule struct {
	VIP netip.Addr
	// Place says where it stands: "nft table inet filter chain input, handle 7" or
	// "iptables table filter chain INPUT".
	Place string
}

// A Finding is one line for an operator.
type Finding struct {
	// Problem: the site will not work as it is meant to. Otherwise it is something to know.
	Problem bool
	// Text says what was found and what to do, without a full stop.
	Text string
}

// sorted puts problems first and keeps the order otherwise.
func sorted(list []Finding) []Finding {
	slices.SortStableFunc(list, func(a, b Finding) int { return cmp.Compare(rank(a), rank(b)) })
	return list
}

func rank(f Finding) int {
	if f.Problem {
		return 0
	}
	return 1
}
