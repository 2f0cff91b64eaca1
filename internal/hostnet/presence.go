package hostnet

import (
	"iter"
	"net/netip"
	"slices"
)

// HasAddress reports whether a device has an address, as Link, Prefix and Peer say.
func (s *Snapshot) HasAddress(a Address) bool {
	return slices.ContainsFunc(s.AddressesOf(a.Link), func(have Address) bool { return have.key() == a.key() })
}

// HasRoute reports whether a route of VRRP is there: one of its destination, table,
// metric, kind and source, which leads out by all that r names. What r asks for besides is
// not compared.
func (s *Snapshot) HasRoute(r RouteSpec) bool {
	r.Protocol = ProtocolKeepalived
	return slices.ContainsFunc(s.OwnRoutes, func(have RouteSpec) bool { return sameRoute(have, r) })
}

// HasRule reports whether a rule is there.
func (s *Snapshot) HasRule(r Rule) bool { return slices.Contains(s.Rules, r.normal()) }

// OwnRules yields the rules of VRRP (ProtocolKeepalived), by family and priority.
func (s *Snapshot) OwnRules() iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for _, r := range s.Rules {
			if r.Protocol == ProtocolKeepalived && !yield(r) {
				return
			}
		}
	}
}

// OrderedAddressesOf yields the addresses of a device in the kernel's order, the IPv4 ones
// first: of those, the first is the one that the kernel prefers as source.
func (s *Snapshot) OrderedAddressesOf(link int) iter.Seq[Address] {
	return func(yield func(Address) bool) {
		for _, a := range s.order {
			if a.Link == link && !yield(a) {
				return
			}
		}
	}
}

// SourceOf returns the address that VRRP sends adverts from on a device: the first IPv4
// address in the kernel's order, or the first usable link-local IPv6 address. Addresses
// that skip reports true for, such as virtual ones, do not count; nil skips none.
func (s *Snapshot) SourceOf(link int, ipv6 bool, skip func(netip.Addr) bool) (netip.Addr, bool) {
	for a := range s.OrderedAddressesOf(link) {
		addr := a.Prefix.Addr()
		if addr.Is6() != ipv6 || ipv6 && !addr.IsLinkLocalUnicast() || !a.Usable() || skip != nil && skip(addr) {
			continue
		}
		return addr, true
	}
	return netip.Addr{}, false
}
