package daemon

import (
	"net/netip"
	"slices"

	"uvs/forwarding"
	"uvs/internal/hostnet"
)

// networkOf is the data plane's view of a snapshot: unicast routes in the order in which
// the kernel would find them, resolved neighbours, the host's addresses.
func networkOf(s *hostnet.Snapshot) forwarding.Network {
	n := forwarding.Network{
		Locals:      s.LocalAddrs(),
		Forwarding4: s.Forwarding4,
		Forwarding6: s.Forwarding6,
	}
	for _, l := range s.Links {
		if sendable(l) {
			n.Links = append(n.Links, forwarding.Link{Index: l.Index, MAC: l.MAC, MTU: l.MTU})
		}
	}
	for _, x := range s.Neighbours {
		if x.Usable {
			n.Neighbours = append(n.Neighbours, forwarding.Neighbour{Link: x.Link, Addr: x.Addr, MAC: x.MAC})
		}
	}
	for r := range s.Routes() {
		if spec, ok := routeSpec(s, r); ok {
			n.Routes = append(n.Routes, spec)
		}
	}
	return n
}

// routeSpec translates a route. A refusing route (blackhole and its like) becomes one
// without hops; local and multicast ones are not for frames that we send.
func routeSpec(s *hostnet.Snapshot, r hostnet.Route) (forwarding.RouteSpec, bool) {
	spec := forwarding.RouteSpec{Prefix: r.Dst}
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
	return spec, len(spec.Hops) > 0
}

// sendable reports whether frames can be sent on a device by us.
func sendable(l hostnet.Link) bool { return l.Ethernet && l.Up && !l.Loopback }

// A portPlan says which devices need ports: those that are captured, and those that
// packets may only leave by.
type portPlan struct {
	captured []int
	sendOnly []int
}

// portsFor derives the devices from the network, the virtual addresses and the servers
// that answer through us. Anything else that has a route may carry answers to clients.
func portsFor(s *hostnet.Snapshot, vips, natServers []netip.Addr) portPlan {
	p := portPlan{captured: hostnet.CapturePoints(s, vips, natServers)}
	for r := range s.Routes() {
		if r.Kind != hostnet.Unicast {
			continue
		}
		for _, h := range r.Hops {
			l, ok := s.LinkByIndex(h.Link)
			if ok && sendable(l) && !slices.Contains(p.captured, h.Link) && !slices.Contains(p.sendOnly, h.Link) {
				p.sendOnly = append(p.sendOnly, h.Link)
			}
		}
	}
	slices.Sort(p.sendOnly)
	return p
}
