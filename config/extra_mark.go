package config

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A MarkRule is a mark block of the extra file: packets that fit all that it says have a firewall mark. Of several rules
// the first that fits counts.
type MarkRule struct {
	// Pos is where the block begins.
	Pos Pos
	// Mark is 0 for packets that have none, whatever rules follow.
	Mark uint32
	// Protocol 0 stands for TCP, UDP and SCTP.
	Protocol Protocol
	// Sources and Destinations are of one family; none stands for every address.
	Sources, Destinations []netip.Prefix
	// Ports are the destination ports, in order and apart; none stands for all.
	Ports []PortRange
	// Interface is where the packets come in; "" stands for every one.
	Interface string
}

// A PortRange is all ports from First to Last.
type PortRange struct{ First, Last uint16 }

// markKeywords returns the words of a mark block.
func markKeywords() []keyword {
	return []keyword{
		{name: "protocol", use: served, args: one(enumFold("TCP", "UDP", "SCTP"))},
		{name: "source", use: served, args: some()},
		{name: "destination", use: served, args: some()},
		{name: "ports", use: served, args: some()},
		{name: "interface", use: served, args: link()},
	}
}

// mark binds a mark block. With a fault in one of its lines it would mark what it is not meant to: it is ignored then.
func (x *extraBinder) mark(s *Statement, vs values) {
	r := MarkRule{Pos: s.Pos, Mark: uint32(vs[0].number)}
	faults := x.diags.list.Count(Error)
	x.each("mark", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.name {
		case "protocol":
			r.Protocol = protocols()[vs[0].word.Text]
		case "source":
			r.Sources = append(r.Sources, x.markPrefixes(k, s)...)
		case "destination":
			r.Destinations = append(r.Destinations, x.markPrefixes(k, s)...)
		case "ports":
			r.Ports = append(r.Ports, x.markPorts(k, s)...)
		case "interface":
			r.Interface = vs[0].word.Text
		default:
			panic(unbound("mark", k))
		}
	})
	all := slices.Concat(r.Sources, r.Destinations)
	if i := slices.IndexFunc(all, func(p netip.Prefix) bool { return p.Addr().Is6() != all[0].Addr().Is6() }); i >= 0 {
		x.diags.errorf(s.Pos, s.Keyword, "mark %d has IPv4 and IPv6 prefixes (%s, %s), which no packet fits; write a block for each family", r.Mark, all[0], all[i])
	}
	if x.diags.list.Count(Error) > faults {
		x.diags.errorf(s.Pos, s.Keyword, "mark %d would fit other packets than it says, and is ignored", r.Mark).silent()
		return
	}
	r.Ports = joinPorts(r.Ports)
	x.extra.Marks = append(x.extra.Marks, r)
}

// markPrefixes reads addresses and prefixes.
func (x *extraBinder) markPrefixes(k *keyword, s *Statement) (list []netip.Prefix) {
	for _, w := range s.Args {
		p, err := netip.ParsePrefix(w.Text)
		if a, bad := netip.ParseAddr(w.Text); bad == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() {
			x.diags.errorf(w.Pos, w.Text, "%s %q is not an address or a prefix", k.name, w.Text)
			continue
		}
		list = append(list, p.Masked())
	}
	return list
}

// markPorts reads ports and ranges of them.
func (x *extraBinder) markPorts(k *keyword, s *Statement) (list []PortRange) {
	for _, w := range s.Args {
		from, to, isRange := strings.Cut(w.Text, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if cmp.Or(err1, err2) != nil || first == 0 || last < first {
			x.diags.errorf(w.Pos, w.Text, "%s %q is not a port from 1 to 65535, or a range such as 8000-8100", k.name, w.Text)
			continue
		}
		list = append(list, PortRange{uint16(first), uint16(last)})
	}
	return list
}

// joinPorts sorts ranges and joins those that touch.
func joinPorts(list []PortRange) (out []PortRange) {
	slices.SortFunc(list, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	for _, r := range list {
		if n := len(out); n > 0 && int(r.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}
