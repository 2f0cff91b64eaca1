package daemon

import (
	"cmp"
	"net/netip"
	"slices"

	"uvs/forwarding"
	"uvs/forwarding/tap"
	"uvs/internal/hostnet"
)

// networkOf is the data plane's view of a snapshot: unicast routes in the order in which
// the kernel would find them, resolved neighbours, the host's addresses.
func networkOf(s *hostnet.Snapshot) forwarding.Network {
	n := forwarding.Network{
		Forwarding4: s.Forwarding4,
		Forwarding6: s.Forwarding6,
	}
	for _, l := range s.Links {
		if sendable(l) {
			n.Links = append(n.Links, forwarding.Link{Index: l.Index, MAC: l.MAC, MTU: l.MTU, VLANs: vlansAbove(s, l.Index), Sources: sources(s, l.Index)})
		}
	}
	for _, x := range s.Neighbours {
		if x.Usable {
			confirmed := x.State&(hostnet.Reachable|hostnet.Permanent|hostnet.NoARP) != 0
			n.Neighbours = append(n.Neighbours, forwarding.Neighbour{Link: x.Link, Addr: x.Addr, MAC: x.MAC, Stale: !confirmed})
		}
	}
	for _, a := range s.LocalAddrs() {
		n.Locals = append(n.Locals, netip.PrefixFrom(a, a.BitLen()))
	}
	for r := range s.Routes() {
		if r.Kind == hostnet.Local && !r.Dst.IsSingleIP() { // the others were listed as addresses
			n.Locals = append(n.Locals, r.Dst)
		}
		if spec, ok := routeSpec(s, r); ok {
			n.Routes = append(n.Routes, spec)
		}
	}
	return n
}

// routeSpec translates a route. A refusing route (blackhole and its like) becomes one
// without hops, and so does one over devices that we cannot send by, such as tunnels: its
// packets must not leave by a shorter prefix. Local and multicast routes are not for frames
// that we send.
func routeSpec(s *hostnet.Snapshot, r hostnet.Route) (forwarding.RouteSpec, bool) {
	spec := forwarding.RouteSpec{Prefix: r.Dst, MTU: r.MTU, Source: r.Source}
	switch r.Kind {
	case hostnet.Unicast:
	case hostnet.Blackhole, hostnet.Unreachable, hostnet.Prohibit:
		return spec, true
	default:
		return spec, false
	}
	for _, h := range r.Hops {
		if l, ok := s.LinkByIndex(h.Link); ok && sendable(l) {
			spec.Hops = append(spec.Hops, forwarding.HopSpec{Link: h.Link, Gateway: h.Gateway, Weight: h.Weight})
		}
	}
	return spec, true
}

// vlansAbove lists the VLANs that have devices of their own on a link.
func vlansAbove(s *hostnet.Snapshot, link int) []uint16 {
	var ids []uint16
	for _, l := range s.Links {
		if l.Parent == link && l.VLAN != 0 {
			ids = append(ids, l.VLAN)
		}
	}
	return ids
}

// sources lists the addresses of a link that packets of the host's own may come from. Those
// that the kernel uses last come last: secondary and deprecated ones, then, as virtual
// addresses often are, those without a subnet.
func sources(s *hostnet.Snapshot, link int) []netip.Prefix {
	var list []hostnet.Address
	for _, a := range s.AddressesOf(link) {
		if a.Usable() && (a.Scope == hostnet.ScopeGlobal || a.Prefix.Addr().IsLinkLocalUnicast()) {
			list = append(list, a)
		}
	}
	last := func(a hostnet.Address) int {
		n := 0
		if a.Flags&(hostnet.FlagSecondary|hostnet.FlagDeprecated) != 0 {
			n += 2
		}
		if a.Prefix.IsSingleIP() {
			n++
		}
		return n
	}
	slices.SortStableFunc(list, func(a, b hostnet.Address) int { return cmp.Compare(last(a), last(b)) })
	prefixes := make([]netip.Prefix, len(list))
	for i, a := range list {
		prefixes[i] = a.Prefix
	}
	return prefixes
}

// sendable reports whether frames can be sent on a device by us.
func sendable(l hostnet.Link) bool { return l.Ethernet && l.Up && !l.Loopback }

// A portPlan says which devices need ports: those that are captured, and those that
// packets may only leave by.
type portPlan struct {
	captured []int
	sendOnly []int
	loopback int        // the loopback device, to send only; 0: not there
	stack    *tap.Group // the device into the own stack; nil: there is none
}

// sendOnly lists the devices that are not captured and have a route: answers to clients may
// leave by any of them.
func sendOnly(s *hostnet.Snapshot, captured []int) []int {
	var list []int
	for r := range s.Routes() {
		if r.Kind != hostnet.Unicast {
			continue
		}
		for _, h := range r.Hops {
			l, ok := s.LinkByIndex(h.Link)
			if ok && sendable(l) && !slices.Contains(captured, h.Link) && !slices.Contains(list, h.Link) {
				list = append(list, h.Link)
			}
		}
	}
	slices.Sort(list)
	return list
}
