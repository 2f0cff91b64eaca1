package config

import "net/netip"

// conflicts drops an instance that uses the VRID of another on the same network and family: multicast by interface
// and group, unicast by source and peers.
func (b *binder) conflicts() {
	for i, d := range b.drafts {
		if d.dropped {
			continue
		}
		for _, first := range b.drafts[:i] {
			if first.dropped || first.VRID != d.VRID || first.IPv6 != d.IPv6 || first.Send.Unicast() != d.Send.Unicast() {
				continue
			}
			if d.Send.Unicast() && b.sameUnicast(first, d) {
				b.drop(d, d.pos("virtual_router_id"), d.Name, "and vrrp_instance %s have virtual_router_id %d, the same source and a common unicast_peer; %s is not run", first.Name, d.VRID, d.Name)
				break
			}
			if !d.Send.Unicast() && b.sameNetwork(first, d) {
				b.drop(d, d.pos("virtual_router_id"), d.Name, "and vrrp_instance %s both have virtual_router_id %d with %s on %s; %s is not run", first.Name, d.VRID, familyName(d.IPv6), d.Interface, d.Name)
				break
			}
		}
	}
}

func familyName(is6 bool) string {
	if is6 {
		return ipv6.String()
	}
	return ipv4.String()
}

// sameNetwork reports whether two multicast instances hear each other.
func (b *binder) sameNetwork(a, c *instanceDraft) bool {
	return b.base(a.Interface) == b.base(c.Interface) && a.Send.Group == c.Send.Group
}

// base returns the interface below a macvlan or ipvlan, else the interface itself.
func (b *binder) base(name string) string {
	if l, _ := b.host.linkNamed(name); l.Base != "" {
		return l.Base
	}
	return name
}

// sameUnicast reports whether two unicast instances get packets that could be for either. Sources that are not known
// yet are not compared.
func (b *binder) sameUnicast(a, c *instanceDraft) bool {
	if a.Interface != "" && c.Interface != "" && a.Interface != c.Interface {
		return false
	}
	from, other := b.source(a), b.source(c)
	if !from.IsValid() || !other.IsValid() || from != other {
		return false
	}
	for _, p := range a.Send.Peers {
		for _, q := range c.Send.Peers {
			if p.Addr == q.Addr {
				return true
			}
		}
	}
	return false
}

// source returns the address that a unicast instance sends from, the zero Addr where it is not known. Without an
// address in the file all instances of an interface have the same, whatever it is.
func (b *binder) source(d *instanceDraft) netip.Addr {
	if d.source {
		return d.Send.Source
	}
	l, _ := b.host.linkNamed(d.Interface)
	for _, a := range l.Addrs {
		if !d.IPv6 && a.Is4() || d.IPv6 && a.Is6() && a.IsLinkLocalUnicast() {
			return a
		}
	}
	if d.Interface != "" && !b.host.known(d.Interface) {
		return netip.IPv4Unspecified()
	}
	return netip.Addr{}
}
