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
// Linux answers for an address at every device, whichever has it (the weak host model of
// RFC 1122, Section 3.3.4.2): clients in the servers' network reach a VIP on the outer
// device through the inner one, and with ARP's defaults any device of the same wire answers
// for it. So a VIP makes points of all devices of its VRF, or of all outside any VRF. Only
// Ethernet devices are points, up or down: what keeps the stack off has to be there before
// the device comes up. A VIP that no device has yields none (Snapshot.WithAddresses adds
// what is about to be added).
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

// pointsOfVIP adds the devices at which packets to a VIP may arrive.
func (s *Snapshot) pointsOfVIP(points map[int]struct{}, vip netip.Addr) {
	held := false
	for l := range s.Holders(vip) {
		held = true
		s.addPoint(points, l.Index)
		s.everyPoint(points, s.vrfOf(l))
	}
	if !held && s.IsLocal(vip) { // by a route alone: `ip route add local 192.0.2.0/24 dev lo`
		s.everyPoint(points, 0)
	}
}

// vrfOf returns the index of the VRF that a device belongs to, or is; 0 if there is none.
func (s *Snapshot) vrfOf(l Link) int {
	for l.enslaved() {
		m := s.link(l.Master)
		if m == nil {
			return 0
		}
		l = *m
	}
	switch {
	case l.Kind == "vrf":
		return l.Index
	case l.MasterKind == "vrf":
		return l.Master
	}
	return 0
}

// everyPoint adds all devices of one VRF, or outside all, that are set up or have an address.
func (s *Snapshot) everyPoint(points map[int]struct{}, vrf int) {
	for _, l := range s.Links {
		if !l.enslaved() && s.vrfOf(l) == vrf && (l.Admin || len(s.AddressesOf(l.Index)) > 0) {
			s.addPoint(points, l.Index)
		}
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
