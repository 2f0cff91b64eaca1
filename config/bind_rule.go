package config

import (
	"math"
	"strings"
)

// firstRulePriority is what the first rule without a priority gets; each further one gets one less.
const firstRulePriority = 16384

// A ruleDraft is a rule being read.
type ruleDraft struct {
	*wordReader
	Rule
	family      family
	static      bool
	hasPriority bool
	forTable    string // a word that only goes with a table
}

// rule binds one line of virtual_rules or static_rules.
func (b *binder) rule(s *Statement, static bool) (Rule, bool) {
	if !b.line(s, "rules") {
		return Rule{}, false
	}
	d := &ruleDraft{
		wordReader: b.newWordReader(s, "rule"),
		Rule:       Rule{Pos: s.Pos, SuppressPrefixLength: -1, SuppressGroup: -1},
		static:     static,
	}
	for d.more() {
		w := d.next()
		if !d.match(w) && !d.packet(w) && !d.option(w) {
			d.action(w)
		}
	}
	if d.bad || !d.finish(s) {
		return Rule{}, false
	}
	return d.Rule, true
}

// match binds the words that say which packets the rule is for, by address and interface.
func (d *ruleDraft) match(w Word) bool {
	switch w.Text {
	case "inet":
		d.settle(w, &d.family, ipv4)
	case "inet6":
		d.settle(w, &d.family, ipv6)
	case "from", "to":
		v, ok := d.value(w)
		if !ok {
			return true
		}
		p, ok := d.prefix(v, &d.family)
		if !ok {
			d.fail(v, "%s %q is not a network", w.Text, v.Text)
		}
		if w.Text == "from" {
			d.From = p
		} else {
			d.To = p
		}
	case "not":
		d.Not = true
	case "dev", "iif":
		d.InInterface = d.link(w)
	case "oif":
		d.OutInterface = d.link(w)
	default:
		return false
	}
	return true
}

// packet binds the words that say which packets the rule is for, by their content.
func (d *ruleDraft) packet(w Word) bool {
	switch w.Text {
	case "tos", "dsfield":
		d.TOS = uint8(d.named(w, d.b.host.RouteNames.DSFields, nil, math.MaxUint8))
	case "fwmark":
		d.mark(w)
	case "tunnel-id":
		d.TunnelID = d.number(w, math.MaxUint64)
	case "uidrange":
		if v, ok := d.value(w); ok {
			if d.UIDs = parseRange(v.Text, math.MaxUint32, true); d.UIDs == nil {
				d.fail(v, "uidrange %q is not FIRST-LAST", v.Text)
			}
		}
	case "sport":
		d.ports(w, &d.SourcePorts)
	case "dport":
		d.ports(w, &d.DestPorts)
	case "ipproto":
		if v, ok := d.value(w); ok {
			n, ok := ipProtocol(v.Text)
			if !ok {
				d.b.diags.errorf(v.Pos, v.Text, "ipproto %q is not a protocol; it is ignored", v.Text)
			}
			d.IPProtocol = n
		}
	default:
		return false
	}
	return true
}

// mark binds fwmark MARK[/MASK].
func (d *ruleDraft) mark(w Word) {
	v, ok := d.value(w)
	if !ok {
		return
	}
	text, mask, masked := strings.Cut(strings.TrimLeft(v.Text, blanks), "/")
	n, ok := cUint(text, 32)
	m := uint64(math.MaxUint32)
	if masked && ok {
		m, ok = cUint(mask, 32)
	}
	if !ok {
		d.fail(v, "fwmark %q is not MARK or MARK/MASK", v.Text)
		return
	}
	d.Mark, d.Mask, d.HasMark = uint32(n), uint32(m), true
}

// ports binds PORT or FIRST-LAST.
func (d *ruleDraft) ports(w Word, to **Range) {
	v, ok := d.value(w)
	if !ok {
		return
	}
	r := parseRange(v.Text, math.MaxUint16, false)
	if r == nil {
		d.b.diags.errorf(v.Pos, v.Text, "%s %q is not FIRST-LAST; it is ignored", w.Text, v.Text)
		return
	}
	*to = r
}

// parseRange reads FIRST-LAST, or one number unless both are asked for.
func parseRange(s string, most uint64, both bool) *Range {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, ok := decimal(first, most)
	z, fine := decimal(last, most)
	if !ok || !fine || both && !isRange {
		return nil
	}
	return &Range{uint32(a), uint32(z)}
}

// ipProtocol reads a protocol by number or by the names that iproute2 has built in.
func ipProtocol(s string) (uint8, bool) {
	if n, ok := decimal(s, math.MaxUint8); ok {
		return uint8(n), true
	}
	n, ok := map[string]uint8{
		"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "ipv6-icmp": 58, "icmpv6": 58, "gre": 47, "esp": 50, "ah": 51,
		"ospf": 89, "vrrp": 112, "sctp": 132, "udplite": 136, "ipip": 4, "ipv6": 41,
	}[strings.ToLower(s)]
	return n, ok
}

// option binds what else a rule may have.
func (d *ruleDraft) option(w Word) bool {
	switch w.Text {
	case "table", "lookup":
		d.Table = d.named(w, d.b.host.RouteNames.Tables, routeTables, maxTable)
		if d.Table == 0 && !d.bad {
			d.fail(w, "table 0 is not a table")
		}
		d.act(w, RuleTable)
	case "l3mdev":
		d.L3MDev = true
		d.act(w, RuleTable)
	case "preference", "order", "priority":
		if v, ok := d.value(w); ok {
			n, ok := cUint(strings.TrimLeft(v.Text, blanks), 32)
			if !ok {
				d.fail(v, "%s %q is not a whole number from 0 to 4294967295", w.Text, v.Text)
			}
			d.Priority, d.hasPriority = uint32(n), true
		}
	case "realms":
		d.Realms, d.forTable = d.realms(w), w.Text
		d.settle(w, &d.family, ipv4)
	case "suppress_prefixlength", "sup_pl":
		d.SuppressPrefixLength, d.forTable = int32(d.number(w, math.MaxInt32)), w.Text
	case "suppress_ifgroup", "sup_group":
		d.SuppressGroup, d.forTable = int32(d.named(w, d.b.host.RouteNames.Groups, nil, math.MaxInt32)), w.Text
	case "protocol":
		if v, ok := d.value(w); ok {
			n, ok := decimal(v.Text, math.MaxUint8)
			if !ok {
				d.b.diags.errorf(v.Pos, v.Text, "protocol %q is not a whole number from 0 to 255; it is ignored", v.Text)
				return true
			}
			d.Protocol, d.HasProtocol = uint8(n), true
		}
	case "no_track":
		d.NoTrack = true
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

// action binds [type] goto N, nop, blackhole, unreachable or prohibit.
func (d *ruleDraft) action(w Word) {
	var ok bool
	if w.Text == "type" {
		if w, ok = d.value(w); !ok {
			return
		}
	}
	switch w.Text {
	case "goto":
		d.Goto = uint32(d.number(w, math.MaxUint32))
		d.act(w, RuleGoto)
		return
	case "nop":
		d.act(w, RuleNop)
		return
	}
	n, known := d.b.routeName(w, nil, routeTypes, math.MaxUint8)
	switch a := RuleAction(n); {
	case !known:
		d.fail(w, "%q is not a word of a rule", w.Text)
	case a == RuleBlackhole || a == RuleUnreachable || a == RuleProhibit:
		d.act(w, a)
	default:
		d.fail(w, "%s is not an action of a rule (have: table, goto, nop, blackhole, unreachable, prohibit)", w.Text)
	}
}

// act sets the action, of which a rule has one.
func (d *ruleDraft) act(w Word, a RuleAction) {
	if d.Action != 0 && !d.bad {
		d.fail(w, "a rule has one action, and %s stands above already", d.Action)
		return
	}
	d.Action = a
}

// finish settles what depends on the whole line.
func (d *ruleDraft) finish(s *Statement) bool {
	why := ""
	switch {
	case d.Action == 0:
		why = "a rule needs an action: table, goto, nop, blackhole, unreachable or prohibit"
	case d.Action == RuleGoto && !d.hasPriority:
		why = "goto needs a priority"
	case d.Action == RuleGoto && d.Priority >= d.Goto:
		why = "goto must lead to a higher number than the rule's own priority"
	case d.Action != RuleTable && d.forTable != "":
		why = d.forTable + " only goes with a table"
	case d.Table != 0 && d.L3MDev:
		why = "l3mdev does not go with a table"
	}
	if why != "" {
		d.b.diags.errorf(s.Pos, s.Keyword, "%s; the rule is ignored", why)
		return false
	}
	if !d.NoTrack {
		if d.HasProtocol && d.Protocol != protoKeepalived {
			d.b.diags.warnf(s.Pos, s.Keyword, "protocol %d is set to %d (keepalived): a rule of another cannot be tracked; no_track keeps it", d.Protocol, protoKeepalived)
		}
		d.Protocol, d.HasProtocol = protoKeepalived, true
	}
	if d.TrackGroup != "" && d.InInterface == "" {
		d.b.diags.errorf(s.Pos, s.Keyword, "track_group needs iif; it is ignored")
		d.TrackGroup = ""
	}
	d.IPv6 = d.family == ipv6
	if !d.hasPriority {
		next := &d.b.nextRule4
		if d.IPv6 {
			next = &d.b.nextRule6
		}
		d.Priority = firstRulePriority - *next
		*next++
		d.b.diags.warnf(s.Pos, s.Keyword, "the rule has no priority and gets %d, which is probably not meant", d.Priority)
	}
	return true
}
