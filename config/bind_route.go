package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Numbers of linux/rtnetlink.h that routes need.
const (
	tableMain       = 254
	typeUnicast     = 1
	protoKeepalived = 18
	maxTable        = math.MaxUint32
)

// routeTypes are the words for RTN_ numbers, routeTables and routeProtocols those that iproute2 has built in.
var (
	routeTypes = map[string]uint32{
		"unicast": 1, "local": 2, "broadcast": 3, "brd": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
		"unreachable": 7, "prohibit": 8, "throw": 9, "nat": 10, "xresolve": 11,
	}
	routeTables    = map[string]uint32{"default": 253, "main": tableMain, "local": 255}
	routeProtocols = map[string]uint32{
		"none": 0, "redirect": 1, "kernel": 2, "boot": 3, "static": 4, "gated": 8, "ra": 9, "mrt": 10, "zebra": 11,
		"bird": 12, "dnrouted": 13, "xorp": 14, "ntk": 15, "dhcp": 16, "babel": 42,
	}
)

// A metricKind says how the value of a route metric is read.
type metricKind uint8

const (
	plainMetric  metricKind = iota
	byteMetric              // 0 to 255
	flagMetric              // 0 or 1
	timeMetric8             // a time in 1/8 ms
	timeMetric4             // a time in 1/4 ms
	timeMetric1             // a time in ms
	lockedMetric            // plain, "lock" may stand before the value
)

// routeMetrics are the words for RTAX_ numbers.
var routeMetrics = map[string]struct {
	attribute uint8
	kind      metricKind
}{
	"mtu": {2, lockedMetric}, "window": {3, plainMetric}, "rtt": {4, timeMetric8}, "rttvar": {5, timeMetric4},
	"ssthresh": {6, lockedMetric}, "cwnd": {7, lockedMetric}, "advmss": {8, lockedMetric}, "reordering": {9, lockedMetric},
	"hoplimit": {10, byteMetric}, "initcwnd": {11, plainMetric}, "rto_min": {13, timeMetric1}, "initrwnd": {14, plainMetric},
	"quickack": {15, flagMetric}, "fastopen_no_cookie": {17, flagMetric},
}

// A routeDraft is a route being read.
type routeDraft struct {
	*wordReader
	Route
	family family
	dest   *Word
	static bool
	// twoWays is the old "or": then there are no further next hops.
	twoWays bool
}

// route binds one line of virtual_routes or static_routes.
func (b *binder) route(s *Statement, static bool) (Route, bool) {
	if !b.line(s, "routes") {
		return Route{}, false
	}
	d := &routeDraft{
		wordReader: b.newWordReader(s, "route"),
		Route:      Route{Pos: s.Pos, Type: typeUnicast, Table: tableMain},
		static:     static,
	}
	for d.more() {
		w := d.next()
		if w.Text == "nexthop" {
			d.i--
			d.nextHops()
			break
		}
		if d.where(w) || d.how(w) || d.metric(w) || d.special(w) {
			continue
		}
		d.destination(w)
	}
	if d.bad || !d.finish(s) {
		return Route{}, false
	}
	return d.Route, true
}

// where binds the words that say where the route goes.
func (d *routeDraft) where(w Word) bool {
	switch w.Text {
	case "inet":
		d.settle(w, &d.family, ipv4)
	case "inet6":
		d.settle(w, &d.family, ipv6)
	case "src":
		d.Source = d.addr(w, &d.family)
	case "via", "gw":
		if w.Text == "gw" {
			d.b.diags.warnf(w.Pos, w.Text, `gw is deprecated: write "via"`)
		}
		d.via(w)
	case "from":
		if v, ok := d.value(w); ok {
			p, ok := d.prefix(v, &d.family)
			switch {
			case !ok:
				d.fail(v, "from %q is not an IPv6 network", v.Text)
			case !p.IsValid() || p.Addr().Is4():
				d.fail(v, "from %s is not an IPv6 network, and IPv4 routes have no from", v.Text)
			}
			d.From = p
		}
	case "dev", "oif":
		d.Device = d.link(w)
	case "onlink":
		d.OnLink = true
	case "table":
		d.Table = d.named(w, d.b.host.RouteNames.Tables, routeTables, maxTable)
	case "vrf":
		d.vrf(w)
	default:
		return false
	}
	return true
}

// via binds [inet|inet6] ADDR after via.
func (d *routeDraft) via(w Word) {
	switch d.peek() {
	case "inet":
		d.settle(d.next(), &d.family, ipv4)
	case "inet6":
		d.settle(d.next(), &d.family, ipv6)
	}
	if !d.bad {
		d.Via = d.addr(w, &d.family)
	}
}

// vrf binds the table of a VRF device. A host that is not known wholly is taken at its word.
func (d *routeDraft) vrf(w Word) {
	v, ok := d.value(w)
	if !ok {
		return
	}
	switch l, exists := d.b.host.linkNamed(v.Text); {
	case !exists:
		d.fail(v, "vrf %q does not exist on this host", v.Text)
	case d.b.host.known(v.Text) && l.Kind != "vrf":
		d.fail(v, "vrf %s is an interface of another type", v.Text)
	default:
		d.Table = l.Table
	}
}

// how binds the words that say what kind of route it is.
func (d *routeDraft) how(w Word) bool {
	switch w.Text {
	case "tos", "dsfield":
		d.TOS = uint8(d.named(w, d.b.host.RouteNames.DSFields, nil, math.MaxUint8))
	case "protocol":
		d.Protocol, d.HasProtocol = uint8(d.named(w, d.b.host.RouteNames.Protocols, routeProtocols, math.MaxUint8)), true
	case "scope":
		d.Scope, d.HasScope = uint8(d.named(w, d.b.host.RouteNames.Scopes, scopes, math.MaxUint8)), true
	case "metric", "priority", "preference":
		d.Metric, d.HasMetric = uint32(d.number(w, math.MaxUint32)), true
	case "realms":
		d.Realms = d.realms(w)
		d.settle(w, &d.family, ipv4)
	case "expires":
		d.settle(w, &d.family, ipv6)
		d.Expires, d.HasExpires = uint32(d.number(w, math.MaxUint32)), true
	case "pref":
		d.settle(w, &d.family, ipv6)
		d.preference(w)
	case "ttl-propagate":
		if v, ok := d.value(w); ok {
			if v.Text != "enabled" && v.Text != "disabled" {
				d.b.diags.errorf(v.Pos, v.Text, `ttl-propagate %q is not "enabled" or "disabled"; it is disabled`, v.Text)
			}
			d.TTLPropagate, d.HasTTLPropagate = v.Text == "enabled", true
		}
	case "add":
		d.Place = RouteAdd
	case "prepend":
		d.Place = RoutePrepend
	case "append":
		d.Place = RouteAppend
	case "no_track":
		d.NoTrack = true
	default:
		return false
	}
	return true
}

// preference binds the router preference of an IPv6 route.
func (d *routeDraft) preference(w Word) {
	v, ok := d.value(w)
	if !ok {
		return
	}
	words := map[string]uint8{"low": 3, "medium": 0, "high": 1}
	n, named := words[v.Text]
	if !named {
		m, ok := decimal(v.Text, math.MaxUint8)
		if !ok {
			d.fail(v, "pref %q is not one of low, medium, high, 0 to 255", v.Text)
			return
		}
		n = uint8(m)
	}
	d.Preference, d.HasPreference = n, true
}

// metric binds one of the metrics.
func (d *routeDraft) metric(w Word) bool {
	m, ok := routeMetrics[w.Text]
	if !ok {
		return false
	}
	out := RouteMetric{Attribute: m.attribute}
	if m.kind >= timeMetric8 && d.peek() == "lock" {
		d.next()
		out.Locked = true
	}
	switch m.kind {
	case byteMetric:
		out.Value = uint32(d.number(w, math.MaxUint8))
	case flagMetric:
		out.Value = uint32(d.number(w, 1))
	case timeMetric8:
		out.Value = d.roundTrip(w, 8)
	case timeMetric4:
		out.Value = d.roundTrip(w, 4)
	case timeMetric1:
		out.Value = d.roundTrip(w, 1)
	default:
		out.Value = uint32(d.number(w, math.MaxUint32))
	}
	d.Metrics = append(d.Metrics, out)
	return true
}

// roundTrip returns the time after w in units of 1/perMilli ms: a bare number has that unit, others end in s or ms.
func (d *routeDraft) roundTrip(w Word, perMilli uint64) uint32 {
	v, ok := d.value(w)
	if !ok {
		return 0
	}
	const least, most = 200, 120000 // of the kernel's TCP, in ms
	n, ok := parseRoundTrip(v.Text, perMilli, most*perMilli)
	if !ok {
		d.fail(v, "%s %q is not a time up to %d ms (a number with s or ms, or of 1/%d ms)", w.Text, v.Text, most, perMilli)
		return 0
	}
	fit := min(max(n, least*perMilli), most*perMilli)
	if fit != n {
		d.b.diags.warnf(v.Pos, v.Text, "%s %s is set to %d ms", w.Text, v.Text, fit/perMilli).silent()
	}
	return uint32(fit)
}

// parseRoundTrip reads a time in units of 1/perMilli ms.
func parseRoundTrip(s string, perMilli, most uint64) (uint64, bool) {
	s = strings.TrimLeft(s, blanks)
	i := strings.IndexAny(s, "sS")
	if i < 0 {
		return decimal(s, most)
	}
	switch strings.ToLower(s[i:]) {
	case "s", "sec", "secs":
	default:
		return 0, false
	}
	number, unit := s[:i], time.Second
	if strings.HasSuffix(strings.ToLower(number), "m") {
		number, unit = number[:len(number)-1], time.Millisecond
	}
	whole, frac, _ := strings.Cut(number, ".")
	if unit == time.Millisecond && frac != "" || len(frac) > 3 {
		return 0, false
	}
	n, err := strconv.ParseUint(whole+(frac + "000")[:len(strconv.FormatInt(unit.Milliseconds(), 10))-1], 10, 32)
	return n * perMilli, err == nil && n <= most
}

// special binds the words that are neither place nor number.
func (d *routeDraft) special(w Word) bool {
	switch w.Text {
	case "encap":
		if e, ok := d.encap(w); ok {
			d.Encap = e
		}
	case "features":
		if v, ok := d.value(w); ok {
			const ecn = 1
			if v.Text == "ecn" {
				d.Metrics = append(d.Metrics, RouteMetric{Attribute: 12, Value: ecn})
			} else {
				d.b.diags.errorf(v.Pos, v.Text, "features %q is not known (have: ecn); it is ignored", v.Text)
			}
		}
	case "congctl":
		if d.peek() == "lock" {
			d.next()
			d.CongestionLocked = true
		}
		if v, ok := d.value(w); ok {
			d.CongestionControl = v.Text
		}
	case "as":
		v, ok := d.value(w)
		if ok && v.Text == "to" {
			_, ok = d.value(v)
		}
		if ok {
			d.b.diags.errorf(w.Pos, w.Text, `"as to" is for MPLS and is ignored`)
		}
	case "or":
		d.or(w)
	case "track_group":
		if !d.static {
			return false
		}
		if v, ok := d.value(w); ok {
			d.b.followStatic(&d.TrackGroup, v)
		}
	default:
		return false
	}
	return true
}

// or binds the second gateway of the old grammar: via A or B.
func (d *routeDraft) or(w Word) {
	d.b.diags.warnf(w.Pos, w.Text, `"or" is deprecated: write "nexthop via" for each gateway`)
	first := d.Via
	if d.twoWays {
		d.b.diags.errorf(w.Pos, w.Text, `a route takes one "or"; this one is ignored`)
		d.value(w)
		return
	}
	if a := d.addr(w, &d.family); !d.bad {
		d.twoWays = true
		d.Via = netip.Addr{}
		for _, via := range []netip.Addr{first, a} {
			if via.IsValid() {
				d.NextHops = append(d.NextHops, NextHop{Via: via, Weight: 1})
			}
		}
	}
}

// destination binds [to] [TYPE] NETWORK.
func (d *routeDraft) destination(w Word) {
	var ok bool
	if w.Text == "to" {
		if w, ok = d.value(w); !ok {
			return
		}
	}
	if n, known := d.b.routeName(w, nil, routeTypes, math.MaxUint8); known {
		d.Type = uint8(n)
		if w, ok = d.value(w); !ok {
			return
		}
	}
	p, ok := d.prefix(w, &d.family)
	if !ok {
		d.fail(w, "%q is neither a word of a route nor a network", w.Text)
		return
	}
	d.Dest, d.dest = p, &w
}

// finish settles what depends on the whole line.
func (d *routeDraft) finish(s *Statement) bool {
	if d.dest == nil {
		d.b.diags.errorf(s.Pos, s.Keyword, "a route needs a destination; it is ignored")
		return false
	}
	d.IPv6 = d.family == ipv6
	if !d.Dest.IsValid() {
		d.Dest = everything(d.family)
	}
	if !d.NoTrack {
		if d.HasProtocol && d.Protocol != protoKeepalived {
			d.b.diags.warnf(s.Pos, s.Keyword, "protocol %d is set to %d (keepalived): a route of another cannot be tracked; no_track keeps it", d.Protocol, protoKeepalived)
		}
		d.Protocol, d.HasProtocol = protoKeepalived, true
		if d.Device == "" {
			d.b.diags.warnf(d.dest.Pos, d.dest.Text, "the route to %s has no dev and cannot be tracked; write no_track", d.dest.Text)
			d.NoTrack = true
		}
	}
	if d.TrackGroup != "" && d.Device == "" {
		d.b.diags.errorf(s.Pos, s.Keyword, "track_group needs dev; it is ignored")
		d.TrackGroup = ""
	}
	return true
}
