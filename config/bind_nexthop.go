package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// nextHops binds nexthop ... nexthop ..., which ends a route.
func (d *routeDraft) nextHops() {
	if d.twoWays {
		w := d.next()
		d.fail(w, `nexthop does not go with "or"`)
		return
	}
	for d.more() && d.peek() == "nexthop" {
		d.next()
		h := NextHop{Weight: 1}
		for d.more() && d.hopWord(&h) {
		}
		d.NextHops = append(d.NextHops, h)
	}
	if d.more() {
		w := d.next()
		d.fail(w, "%q is not a word of a nexthop", w.Text)
	}
}

// hopWord binds one option of a next hop, and reports whether it was one.
func (d *routeDraft) hopWord(h *NextHop) bool {
	w := d.next()
	switch w.Text {
	case "via":
		via := d.Via
		d.via(w)
		h.Via, d.Via = d.Via, via
	case "dev":
		h.Device = d.link(w)
	case "weight":
		const most = 256
		n := d.number(w, most)
		if n == 0 && !d.bad {
			d.fail(w, "the weight of a nexthop is 1 to %d", most)
		}
		h.Weight = int(n)
	case "onlink":
		h.OnLink = true
	case "encap":
		if e, ok := d.encap(w); ok {
			h.Encap = e
		}
	case "realms":
		h.Realms = d.realms(w)
		d.settle(w, &d.family, ipv4)
	case "as":
		d.fail(w, `"as to" is not for a nexthop`)
	default:
		d.i--
		return false
	}
	return true
}

// encap binds encap KIND and its options. What is wrong in it leaves out the tunnel and keeps the route.
func (d *routeDraft) encap(w Word) (*Encap, bool) {
	if d.i == len(d.ws) {
		d.b.diags.errorf(w.Pos, w.Text, "encap needs a type after it (have: ila, ip, ip6, mpls); it is ignored")
		return nil, false
	}
	kind := d.next()
	e := &Encap{Kind: kind.Text}
	switch kind.Text {
	case "ip":
		return e, d.encapIP(e, kind, ipv4)
	case "ip6":
		return e, d.encapIP(e, kind, ipv6)
	case "mpls", "ila":
		if d.i == len(d.ws) {
			d.b.diags.errorf(kind.Pos, kind.Text, "encap %s needs a value after it; it is ignored", kind.Text)
			return nil, false
		}
		v := d.next()
		ok := e.parseLabels(v.Text)
		if kind.Text == "ila" {
			ok = e.parseLocator(v.Text)
		}
		if !ok {
			d.b.diags.errorf(v.Pos, v.Text, "encap %s %q is not one; it is ignored", kind.Text, v.Text)
		}
		return e, ok
	}
	d.b.diags.errorf(kind.Pos, kind.Text, "encap %q is not a type of tunnel (have: ila, ip, ip6, mpls); it is ignored", kind.Text)
	return nil, false
}

// encapIP binds the options of a tunnel in IPv4 or IPv6.
func (d *routeDraft) encapIP(e *Encap, kind Word, f family) bool {
	tos, ttl := "tos", "ttl"
	if f == ipv6 {
		tos, ttl = "tc", "hoplimit"
	}
	for d.i+1 < len(d.ws) {
		w, v := d.ws[d.i], d.ws[d.i+1]
		var ok bool
		switch w.Text {
		case "id":
			e.ID, ok = decimal(v.Text, math.MaxUint64)
			e.HasID = ok
		case "dst":
			e.Dest, ok = tunnelEnd(v.Text, f)
		case "src":
			e.Source, ok = tunnelEnd(v.Text, f)
		case tos:
			var n uint32
			n, ok = d.b.routeName(v, d.b.host.RouteNames.DSFields, nil, math.MaxUint8)
			e.TOS = uint8(n)
		case ttl:
			var n uint64
			n, ok = decimal(v.Text, math.MaxUint8)
			e.TTL = uint8(n)
		case "flags":
			var n uint64
			n, ok = decimal(v.Text, math.MaxUint16)
			e.Flags = uint16(n)
		default:
			return d.tunnelComplete(e, kind)
		}
		if !ok {
			d.b.diags.errorf(v.Pos, v.Text, "%s %q of encap %s cannot be used; the tunnel is ignored", w.Text, v.Text, kind.Text)
			return false
		}
		d.i += 2
	}
	return d.tunnelComplete(e, kind)
}

// tunnelComplete reports whether a tunnel has what it needs.
func (d *routeDraft) tunnelComplete(e *Encap, kind Word) bool {
	if !e.Dest.IsValid() && !e.HasID {
		d.b.diags.errorf(kind.Pos, kind.Text, "encap %s needs dst or id; it is ignored", kind.Text)
		return false
	}
	return true
}

// tunnelEnd reads the end of a tunnel of one family.
func tunnelEnd(s string, f family) (netip.Addr, bool) {
	a, ok := parseAddr(s)
	return a, ok && familyOf(a) == f
}

// parseLabels reads MPLS labels with slashes between them, at most 16 of 20 bits.
func (e *Encap) parseLabels(s string) bool {
	const most, bits = 16, 20
	parts := strings.Split(s, "/")
	for _, p := range parts {
		n, ok := cUint(p, bits)
		if !ok {
			return false
		}
		e.Labels = append(e.Labels, uint32(n))
	}
	return len(parts) <= most
}

// parseLocator reads an ILA locator: four groups of hex digits with colons.
func (e *Encap) parseLocator(s string) bool {
	const groups = 4
	parts := strings.Split(strings.TrimLeft(s, blanks), ":")
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 16, 16)
		if err != nil {
			return false
		}
		e.Locator = e.Locator<<16 | n
	}
	return len(parts) == groups
}
