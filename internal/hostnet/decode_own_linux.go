package hostnet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// isOwnRoute reports whether a message is about a route of VRRP.
func isOwnRoute(kind uint16, b []byte) bool {
	return (kind == unix.RTM_NEWROUTE || kind == unix.RTM_DELROUTE) && len(b) >= unix.SizeofRtMsg && b[5] == ProtocolKeepalived
}

// decodeOwnRoute reads a route of VRRP, whichever table it is in, as far as it takes to
// know it again and to delete it. It reports false for others and for malformed ones.
func decodeOwnRoute(b []byte) (RouteSpec, bool) {
	if !isOwnRoute(unix.RTM_NEWROUTE, b) || !isIP(b[0]) || binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return RouteSpec{}, false
	}
	r := RouteSpec{TOS: b[3], Table: uint32(b[4]), Protocol: b[5], Scope: b[6], Kind: RouteKind(b[7])}
	dst, from := netip.IPv4Unspecified(), netip.Addr{}
	if b[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	var single Hop
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			dst = address(v)
		case unix.RTA_SRC:
			from = address(v)
		case unix.RTA_TABLE:
			r.Table = number(v)
		case unix.RTA_PRIORITY:
			r.Metric = number(v)
		case unix.RTA_PREFSRC:
			r.Source = address(v)
		case unix.RTA_MULTIPATH:
			r.Hops = decodeHopSpecs(v)
		default:
			single.decode(kind, v)
		}
	}
	var err error
	if r.Dst, err = dst.Prefix(int(b[1])); err != nil {
		return RouteSpec{}, false
	}
	if r.From, err = from.Prefix(int(b[2])); from.IsValid() && err != nil {
		return RouteSpec{}, false
	}
	switch {
	case r.Kind >= Blackhole:
		r.Hops = nil // IPv6 names the loopback device
	case single.Link != 0:
		r.Hops = []HopSpec{{Link: single.Link, Gateway: single.Gateway}}
	}
	return r, true
}

// decodeHopSpecs reads RTA_MULTIPATH, the dead ways, too.
func decodeHopSpecs(b []byte) (hops []HopSpec) {
	for len(b) >= unix.SizeofRtNexthop {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtNexthop || length > len(b) {
			break
		}
		h := Hop{Link: int(int32(binary.NativeEndian.Uint32(b[4:])))}
		for kind, v := range attributes(b[unix.SizeofRtNexthop:length]) {
			h.decode(kind, v)
		}
		hops = append(hops, HopSpec{Link: h.Link, Gateway: h.Gateway, Weight: int(b[3]) + 1})
		b = b[min(align(length), len(b)):]
	}
	return hops
}
