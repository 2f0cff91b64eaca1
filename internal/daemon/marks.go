package daemon

import (
	"fmt"
	"net/netip"
	"slices"

	"uvs/config"
	"uvs/forwarding"
	"uvs/internal/hostnet"
	"uvs/internal/steer"
	"uvs/internal/table"
)

// A markSet is the rules by which packets get firewall marks: those of the extra file, then
// those that the host's own netfilter rules have for packets that it would see. It is a value
// that nobody changes.
type markSet struct{ rules []config.MarkRule }

// gives reports whether some rule gives a mark to packets of a family.
func (m *markSet) gives(mark uint32, v6 bool) bool {
	return m != nil && slices.ContainsFunc(m.rules, func(r config.MarkRule) bool { return r.Mark == mark && slices.Contains(familiesOf(&r), v6) })
}

// familiesOf returns whether a rule fits IPv6, IPv4, or both.
func familiesOf(r *config.MarkRule) []bool {
	switch {
	case len(r.Destinations) > 0:
		return []bool{r.Destinations[0].Addr().Is6()}
	case len(r.Sources) > 0:
		return []bool{r.Sources[0].Addr().Is6()}
	}
	return []bool{false, true}
}

// A markPattern is what of a rule steering has to know, before it is known which addresses and
// devices the host has.
type markPattern struct {
	take        bool
	v6          bool
	destination netip.Prefix // the zero Prefix: every address of the host's
	source      netip.Prefix // the zero Prefix: everywhere
	protocol    uint8
	ports       config.PortRange
	device      string
}

// unionPatterns returns patterns that take what either list does, for the time in between. What
// both leave alone may be taken by it for a moment, and is sent again. Lists that are long
// together do without that: there is room for so many.
func unionPatterns(old, next []markPattern) []markPattern {
	const room = 32
	if len(old) == 0 || slices.Equal(old, next) || len(old)+len(next) > room {
		return next
	}
	if len(next) == 0 {
		return old
	}
	return slices.DeleteFunc(slices.Concat(old, next), func(x markPattern) bool { return !x.take })
}

// maxMatches bounds the ends that a rule without source and device is steered by; one with
// more is a pattern.
const maxMatches = 256

// takeMarks adds to the goal what comes to services of marks. Rules that name single addresses,
// and only ports besides, become matches as services have them; the others are asked in order
// after these, and so is every rule behind one that keeps packets from a service.
func (g *goal) takeMarks(m *markSet, served func(mark uint32, v6 bool) bool) {
	if m == nil {
		return
	}
	keeps := make(map[bool]bool) // by family: a rule before keeps packets from services
	for i := range m.rules {
		r := &m.rules[i]
		for _, v6 := range familiesOf(r) {
			take := served(r.Mark, v6)
			if flat := flatMatches(r); flat != nil && take && !keeps[v6] {
				g.services = append(g.services, flat...)
				continue
			}
			g.patterns = append(g.patterns, patternsOf(r, v6, take)...)
			keeps[v6] = keeps[v6] || !take
		}
	}
	for n := len(g.patterns); n > 0 && !g.patterns[n-1].take; n-- {
		g.patterns = g.patterns[:n-1]
	}
}

// flatMatches returns a rule as matches, nil if it says more than they can.
func flatMatches(r *config.MarkRule) (list []steer.Match) {
	if len(r.Sources) > 0 || r.Interface != "" || len(r.Destinations) == 0 {
		return nil
	}
	ports, protocols := markPorts([]*config.MarkRule{r}), protocolsOf(r)
	tooMany := ports[0] == 0 && len(r.Ports) > 0 || len(r.Destinations)*len(protocols)*len(ports) > maxMatches
	if tooMany || slices.ContainsFunc(r.Destinations, func(p netip.Prefix) bool { return !p.IsSingleIP() }) {
		return nil
	}
	for _, d := range r.Destinations {
		for _, protocol := range protocols {
			for _, port := range ports {
				list = append(list, steer.Match{Addr: d.Addr(), Port: port, Proto: protocol})
			}
		}
	}
	return list
}

func protocolsOf(r *config.MarkRule) []uint8 {
	if r.Protocol != 0 {
		return []uint8{uint8(r.Protocol)}
	}
	return []uint8{table.TCP, table.UDP, table.SCTP}
}

// markPorts lists the ports that rules name, or 0 for all if they are many.
func markPorts(rules []*config.MarkRule) (ports []uint16) {
	for _, r := range rules {
		if len(r.Ports) == 0 {
			return []uint16{0}
		}
		for _, x := range r.Ports {
			for p := int(x.First); p <= int(x.Last); p++ {
				if ports = append(ports, uint16(p)); len(ports) > maxMatches {
					return []uint16{0}
				}
			}
		}
	}
	return ports
}

func patternsOf(r *config.MarkRule, v6, take bool) (list []markPattern) {
	orAny := func(list []netip.Prefix) []netip.Prefix {
		if len(list) == 0 {
			return []netip.Prefix{{}}
		}
		return list
	}
	ports := r.Ports
	if len(ports) == 0 {
		ports = []config.PortRange{{First: 0, Last: 0xffff}}
	}
	for _, d := range orAny(r.Destinations) {
		for _, s := range orAny(r.Sources) {
			for _, p := range ports {
				list = append(list, markPattern{take: take, v6: v6, destination: d, source: s, protocol: uint8(r.Protocol), ports: p, device: r.Interface})
			}
		}
	}
	return list
}

// markedServers lists where answers of a NAT server of a mark's service come from.
func (m *markSet) markedServers(s *table.Service, server netip.AddrPort) (list []steer.Match) {
	if m == nil {
		return nil
	}
	var rules []*config.MarkRule
	for i := range m.rules {
		if r := &m.rules[i]; r.Mark == s.Key.Fwmark && slices.Contains(familiesOf(r), s.Key.IPv6) {
			rules = append(rules, r)
		}
	}
	ports := []uint16{server.Port()}
	if server.Port() == 0 || s.Settings.Persistence != 0 { // the port that the client's packet has
		ports = markPorts(rules)
	}
	for _, r := range rules {
		for _, protocol := range protocolsOf(r) {
			for _, port := range ports {
				list = append(list, steer.Match{Addr: server.Addr(), Port: port, Proto: protocol})
			}
		}
	}
	return list
}

// localParts returns what of a pattern's destinations the host has: its addresses, and prefixes
// that a local route gives it (`ip route add local PREFIX dev lo`).
func (x *markPattern) localParts(s *hostnet.Snapshot) (parts []netip.Prefix) {
	wanted := func(p netip.Prefix) bool {
		return p.Addr().Is6() == x.v6 && !p.Addr().IsLoopback() && (!x.destination.IsValid() || x.destination.Overlaps(p))
	}
	for _, a := range s.LocalAddrs() {
		if p := netip.PrefixFrom(a, a.BitLen()); wanted(p) {
			parts = append(parts, p)
		}
	}
	for r := range s.Routes() {
		if r.Kind != hostnet.Local || r.Dst.IsSingleIP() || !wanted(r.Dst) {
			continue
		}
		p := r.Dst
		if x.destination.IsValid() && x.destination.Bits() > p.Bits() {
			p = x.destination
		}
		parts = append(parts, p)
	}
	return parts
}

// markedAddrs returns an address of each part of the host's addresses whose packets patterns
// take.
func (g *goal) markedAddrs(s *hostnet.Snapshot) (addrs []netip.Addr) {
	for i := range g.patterns {
		if g.patterns[i].take {
			for _, p := range g.patterns[i].localParts(s) {
				addrs = append(addrs, p.Addr())
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// steerPatterns puts patterns into steering's terms on a network. One of a device that is not
// there fits nothing.
func (g *goal) steerPatterns(s *hostnet.Snapshot) (list []steer.Pattern) {
	for i := range g.patterns {
		x := &g.patterns[i]
		link := 0
		if x.device != "" {
			l, ok := s.LinkByName(x.device)
			if !ok {
				continue
			}
			link = l.Index
		}
		for _, d := range x.localParts(s) {
			list = append(list, steer.Pattern{
				Take: x.take, Destination: d, Source: x.source, Proto: x.protocol, First: x.ports.First, Last: x.ports.Last, Link: link,
			})
		}
	}
	return list
}

// engineRules puts rules into the engine's terms on a network.
func (m *markSet) engineRules(s *hostnet.Snapshot) (list []forwarding.MarkRule) {
	if m == nil {
		return nil
	}
	for i := range m.rules {
		r := &m.rules[i]
		x := forwarding.MarkRule{Mark: r.Mark, Protocol: uint8(r.Protocol), Sources: r.Sources, Destinations: r.Destinations}
		for _, p := range r.Ports {
			x.Ports = append(x.Ports, forwarding.PortRange(p))
		}
		if r.Interface != "" {
			l, ok := s.LinkByName(r.Interface)
			if !ok {
				continue
			}
			x.Link = l.Index
		}
		list = append(list, x)
	}
	return list
}

// unmarked names the services of marks that no rule gives.
func unmarked(services []table.Service, m *markSet) (notes []string) {
	for _, s := range services {
		if s.Key.Fwmark != 0 && !m.gives(s.Key.Fwmark, s.Key.IPv6) {
			family := "IPv4"
			if s.Key.IPv6 {
				family = "IPv6"
			}
			notes = append(notes, fmt.Sprintf("no rule gives mark %d to %s packets, so that service %s gets none: write a mark block into the --extra file, "+
				"or a rule of iptables (table mangle, PREROUTING) or nft that sets the mark", s.Key.Fwmark, family, s.Key))
		}
	}
	return notes
}
