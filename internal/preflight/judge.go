package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"uvs/internal/hostnet"
)

// Judge turns facts into findings, problems first. It is pure.
func Judge(s Site, f Facts) []Finding {
	j := judge{site: s, facts: f}
	j.claims()
	j.gateways()
	j.routes()
	j.rules()
	j.forwarding()
	j.reversePath()
	j.offloads()
	j.mtu()
	j.firewall()
	j.cloud()
	return sorted(j.findings)
}

type judge struct {
	site     Site
	facts    Facts
	findings []Finding
}

func (j *judge) problem(format string, args ...any) {
	j.findings = append(j.findings, Finding{true, fmt.Sprintf(format, args...)})
}

func (j *judge) note(format string, args ...any) {
	j.findings = append(j.findings, Finding{false, fmt.Sprintf(format, args...)})
}

// claims: the classic of direct routing is a server that has the virtual address and tells
// so. Clients then talk to that server alone, past the director.
func (j *judge) claims() {
	direct := j.site.vips(directServer)
	for _, c := range j.facts.Claims {
		who := fmt.Sprintf("%s answers for the virtual address %s on %s", c.MAC, c.VIP, c.Interface)
		if c.Server.IsValid() {
			who = fmt.Sprintf("real server %s (%s) answers for the virtual address %s on %s", c.Server, c.MAC, c.VIP, c.Interface)
		}
		switch {
		case !c.Server.IsValid() && j.site.floating(c.VIP):
			j.note("%s, which this machine does not have now: fine if that is the master", who)
		case slices.Contains(direct, c.VIP) && c.VIP.Is4():
			j.problem("%s, so clients go past the director; set net.ipv4.conf.all.arp_ignore=1 and arp_announce=2 there, "+
				"and the address on lo", who)
		case slices.Contains(direct, c.VIP):
			j.problem("%s, so clients go past the director; put the address on lo there", who)
		default:
			j.problem("%s, so two hosts have it; take it away there", who)
		}
	}
}

// gateways: a NAT server must send its answers back through the director.
func (j *judge) gateways() {
	for _, g := range j.facts.Gateways {
		switch g.Way {
		case Elsewhere:
			j.problem("real server %s (NAT) sends what is for other networks past this machine: its answer to %s came in by %s over a router; "+
				"make %s its default gateway", g.Server, g.From, g.Interface, g.Beside)
		case Nowhere:
			j.problem("real server %s (NAT) answers %s but not %s, which is of another network: this machine is not its default gateway; "+
				"make %s that", g.Server, g.Beside, g.From, g.Beside)
		}
	}
}

// routes: a NAT server behind a router depends on that router, too.
func (j *judge) routes() {
	if j.facts.Network == nil {
		return
	}
	for _, server := range j.site.servers(anyServer) {
		r, ok := j.facts.Network.Lookup(server)
		switch {
		case !ok || r.Kind != hostnet.Unicast && r.Kind != hostnet.Local || r.Kind == hostnet.Unicast && len(r.Hops) == 0:
			j.problem("there is no route to real server %s", server)
		case r.Kind == hostnet.Local:
			if server.Is4() && !server.IsLoopback() && len(j.facts.StrictReversePath) > 0 && slices.Contains(j.site.servers(natServer), server) {
				j.note("real server %s (NAT) is this machine itself, and net.ipv4.conf.%s.rp_filter is 1: its service is served, but who comes "+
					"to its port past the service gets no answer there; set it to 2", server, j.facts.StrictReversePath[0])
			}
		case r.Hops[0].Gateway.IsValid() && slices.Contains(j.site.servers(natServer), server):
			j.note("real server %s (NAT) is behind the router %s: its answers must be routed back through this machine",
				server, r.Hops[0].Gateway)
		case r.Hops[0].Gateway.IsValid() && !slices.Contains(j.site.servers(farServer), server):
			j.problem("real server %s (DR) is behind the router %s; direct routing reaches only servers on a link of this machine",
				server, r.Hops[0].Gateway)
		}
	}
}

// rules: what UVS forwards is routed by the tables local, main and default, and by those of
// VRFs. Whoever has rules for other tables means them for the answers to clients, too.
func (j *judge) rules() {
	if j.facts.Network == nil {
		return
	}
	for _, v6 := range []bool{false, true} {
		var list []string
		for _, r := range j.facts.Network.Rules {
			if r.IPv6 == v6 && !r.L3MDev && r.Table != hostnet.TableStack {
				list = append(list, r.String())
			}
		}
		served := slices.ContainsFunc(j.site.vips(anyServer), func(a netip.Addr) bool { return a.Is6() == v6 })
		if len(list) > 0 && served {
			j.note("policy rules (%s) are not obeyed: UVS routes what it forwards by the table main and those of VRFs; "+
				"put the routes to clients and servers there", shorten(list))
		}
	}
}

// shorten joins the first of a list and counts the others.
func shorten(list []string) string {
	const shown = 3
	if len(list) <= shown {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], "; "), len(list)-shown)
}

// forwarding: UVS needs no ip_forward, what else the servers send does.
func (j *judge) forwarding() {
	if j.facts.Network == nil {
		return
	}
	for _, family := range []struct {
		name, sysctl string
		on           bool
		is           func(netip.Addr) bool
	}{
		{"IPv4", "net.ipv4.ip_forward", j.facts.Network.Forwarding4, netip.Addr.Is4},
		{"IPv6", "net.ipv6.conf.all.forwarding", j.facts.Network.Forwarding6, netip.Addr.Is6},
	} {
		nat := slices.ContainsFunc(j.site.servers(natServer), family.is)
		if nat && !family.on {
			j.note("%s is 0: UVS forwards the services itself, but no other %s connection of the NAT servers gets through this machine",
				family.sysctl, family.name)
		}
	}
}

// reversePath: frames that UVS takes face no rp_filter; the answers to health checks do. Its
// strict mode accepts them by every way that the kernel would send by itself, of several equal
// ones too (fib_info_nh_uses_dev in net/ipv4/fib_frontend.c), and by no other.
func (j *judge) reversePath() {
	n := j.facts.Network
	if n == nil {
		return
	}
	for _, server := range j.site.servers(anyServer) {
		r, ok := n.Lookup(server)
		if !ok || r.Kind != hostnet.Unicast || len(r.Hops) == 0 || !server.Is4() {
			continue
		}
		way, _ := n.LinkByIndex(r.Hops[0].Link)
		for _, l := range n.Links {
			sends := slices.ContainsFunc(r.Hops, func(h hostnet.Hop) bool { return h.Link == l.Index })
			if l.Up && !sends && inNetworkOf(n, l.Index, server) && slices.Contains(j.facts.StrictReversePath, l.Name) {
				j.note("net.ipv4.conf.%[1]s.rp_filter is 1, and real server %[2]s is on the network of %[1]s although the way to it is %[3]s: "+
					"the kernel drops answers to health checks that come in by %[1]s; set it to 2", l.Name, server, way.Name)
			}
		}
	}
}

// offloads: what LRO has merged cannot be told apart again.
func (j *judge) offloads() {
	for _, name := range j.facts.LargeReceive {
		j.problem("%s has large-receive-offload on, and frames that it merged cannot be forwarded; run: ethtool -K %[1]s lro off", name)
	}
}

// mtu compares the ways to the servers with those that requests come by.
func (j *judge) mtu() {
	if j.facts.Network == nil {
		return
	}
	for _, s := range j.site.Services {
		front, name := 0, ""
		for l := range j.facts.Network.Holders(s.Addr) {
			if !l.Loopback && l.MTU > front {
				front, name = l.MTU, l.Name
			}
		}
		for _, r := range s.Servers {
			back, by := j.mtuTo(r.Addr)
			if front > 0 && back > 0 && back < front {
				j.note("packets for %s may have %d bytes on %s but only %d on %s towards real server %s: "+
					"longer ones are fragmented or refused with 'fragmentation needed'", s.Addr, front, name, back, by, r.Addr)
			}
		}
	}
	j.findings = slices.CompactFunc(j.findings, func(a, b Finding) bool { return a == b })
}

// mtuTo returns how long packets to an address may be, and the interface they leave by; 0
// if there is no way.
func (j *judge) mtuTo(a netip.Addr) (int, string) {
	r, ok := j.facts.Network.Lookup(a)
	if !ok || len(r.Hops) == 0 {
		return 0, ""
	}
	l, _ := j.facts.Network.LinkByIndex(r.Hops[0].Link)
	if r.MTU > 0 && r.MTU < l.MTU {
		return r.MTU, l.Name
	}
	return l.MTU, l.Name
}

// firewall: our frames pass no netfilter, so a rule that means them does nothing.
func (j *judge) firewall() {
	places := make(map[netip.Addr][]string)
	for _, r := range j.facts.Rules {
		if !slices.Contains(places[r.VIP], r.Place) {
			places[r.VIP] = append(places[r.VIP], r.Place)
		}
	}
	for _, vip := range j.site.vips(anyServer) {
		list := places[vip]
		if len(list) == 0 {
			continue
		}
		j.note("firewall rules mention the virtual address %s (%s): packets that UVS forwards pass no netfilter rule; "+
			"filter in front of the director or on the servers", vip, shorten(list))
	}
}
