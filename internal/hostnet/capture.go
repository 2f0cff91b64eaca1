package hostnet

import (
	"maps"
	"net/netip"
	"slices"
)

// CapturePoints returns the indexes of the devices on which a director must receive frames
// to serve vips and to see the replies of servers, sorted. Name as servers only those
// whose replies come back through the director (NAT).
//
// Packet taps see a frame before bridges and bonds take it and once more on each device
// above, so a point is always the device with the address or the route: never one that a
// bridge, bond or team owns (then the owner takes its place), never the loopback device.
// An address on the loopback device, on a dummy or on a VRF has no wire of its own; its
// packets may arrive at every device with an address of the family, in the VRF's case at
// every such device of that VRF. Only Ethernet devices are points, up or down: what keeps
// the stack off has to be there before the device comes up. A VIP that no device has yields
// none (Snapshot.WithAddresses adds what is about to be added).
func CapturePoints(s *Snapshot, vips, servers []netip.Addr) []int {
	points := make(map[int]struct{})
	for _, vip := range vips {
		s.pointsOfVIP(points, vip.Unmap())
	}
	for _, server := range servers {
		r, ok := s.Lookup(server)
		if !ok || r.Kind != Unicast {
			continue // unreachable, or on this host
		}
		for _, h := range r.Hops {
			s.addPoint(points, h.Link)
		}
	}
	return slices.Sorted(maps.Keys(points))
}

// pointsOfVIP adds the devices at which packets to a VIP arrive.
func (s *Snapshot) pointsOfVIP(points map[int]struct{}, vip netip.Addr) {
	held := false
	for l := range s.Holders(vip) {
		held = true
		switch {
		case l.Kind == "vrf":
			s.everyPoint(points, vip, l.Index)
		case l.placeholder():
			s.everyPoint(points, vip, 0)
		default:
			s.addPoint(points, l.Index)
		}
	}
	if !held && s.IsLocal(vip) { // by a route alone: `ip route add local 192.0.2.0/24 dev lo`
		s.everyPoint(points, vip, 0)
	}
}

// everyPoint adds all devices with an address of vip's family, of one VRF or outside all.
func (s *Snapshot) everyPoint(points map[int]struct{}, vip netip.Addr, vrf int) {
	for _, a := range s.Addresses {
		l := s.link(a.Link)
		if l == nil || a.Prefix.Addr().Is4() != vip.Is4() || l.placeholder() {
			continue
		}
		if l.MasterKind == "vrf" && l.Master != vrf || l.MasterKind != "vrf" && vrf != 0 {
			continue
		}
		s.addPoint(points, l.Index)
	}
}

// addPoint adds the device that the IP stack receives from when frames arrive at link.
func (s *Snapshot) addPoint(points map[int]struct{}, link int) {
	l := s.link(link)
	for l != nil && l.enslaved() {
		l = s.link(l.Master)
	}
	if l == nil || !l.Ethernet || l.placeholder() || l.Kind == "vrf" {
		return
	}
	points[l.Index] = struct{}{}
}
