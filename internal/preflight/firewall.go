package preflight

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Where the addresses stand in the headers: RFC 791, Section 3.1; RFC 8200, Section 3.
const (
	source4, destination4 = 12, 16
	source6, destination6 = 8, 24
)

// The first registers of sixteen bytes and of four, which share their memory: NFT_REG_1 and
// NFT_REG32_00 in linux/netfilter/nf_tables.h.
const (
	firstLong  = 1
	firstShort = 8
)

// mentions returns which of the virtual addresses a rule of nftables compares a source or
// destination address with. elements returns what is in a set that a rule looks up.
func mentions(exprs []expr.Any, vips []netip.Addr, elements func(set string) []span) []netip.Addr {
	var found []netip.Addr
	var loaded registers
	for _, x := range exprs {
		switch x := x.(type) {
		case *expr.Payload:
			loaded.load(x)
		case *expr.Bitwise:
			loaded.mask(registerAt(x.SourceRegister), x.Mask)
		case *expr.Cmp:
			found = append(found, loaded.match(registerAt(x.Register), vips, []span{{x.Data, nil}})...)
		case *expr.Range:
			found = append(found, loaded.match(registerAt(x.Register), vips, []span{{x.FromData, x.ToData}})...)
		case *expr.Lookup:
			found = append(found, loaded.match(registerAt(x.SourceRegister), vips, elements(x.SetName))...)
		}
	}
	return unique(found)
}

// registers are the addresses, or parts of them, that the expressions of a rule have loaded
// and not compared yet.
type registers []addressField

// An addressField is the first len bytes of an address, in the registers from byte at on.
type addressField struct {
	at   int
	v6   bool
	len  int
	mask []byte
}

// registerAt returns the byte at which a register begins.
func registerAt(register uint32) int {
	if register >= firstShort {
		return int(register-firstShort) * 4
	}
	return (int(register) - firstLong) * 16
}

// load notes what of addresses a part of the packet is. Two addresses of IPv4 may be loaded at
// once: nft merges comparisons of neighbouring fields.
func (r *registers) load(p *expr.Payload) {
	at := registerAt(p.DestRegister)
	*r = slices.DeleteFunc(*r, func(f addressField) bool { return f.at >= at && f.at < at+int(p.Len) })
	if p.Base != expr.PayloadBaseNetworkHeader {
		return
	}
	switch {
	case p.Offset == source4 && p.Len == 8:
		*r = append(*r, addressField{at: at, len: 4}, addressField{at: at + 4, len: 4})
	case (p.Offset == source4 || p.Offset == destination4) && p.Len <= 4:
		*r = append(*r, addressField{at: at, len: int(p.Len)})
	case (p.Offset == source6 || p.Offset == destination6) && p.Len <= 16:
		*r = append(*r, addressField{at: at, v6: true, len: int(p.Len)})
	}
}

// mask notes the mask of what is in the registers from byte at on.
func (r registers) mask(at int, mask []byte) {
	for i, f := range r {
		if f.at >= at && f.at < at+len(mask) {
			r[i].mask = mask[f.at-at:]
		}
	}
}

// match compares what is in the registers from byte at on, several fields of a concatenation
// among them, with spans. It returns the addresses that fit and forgets the fields.
func (r *registers) match(at int, vips []netip.Addr, spans []span) []netip.Addr {
	var found []netip.Addr
	for _, s := range spans {
		for _, f := range *r {
			if f.at >= at && f.at < at+len(s.first) {
				found = append(found, f.match(vips, s.from(f.at-at))...)
			}
		}
	}
	// Whatever else is loaded for the comparison stands behind.
	*r = slices.DeleteFunc(*r, func(f addressField) bool { return f.at >= at })
	return found
}

// match returns the addresses of the field's family whose masked bytes are in a span.
func (f addressField) match(vips []netip.Addr, s span) []netip.Addr {
	var found []netip.Addr
	for _, vip := range vips {
		if vip.Is6() != f.v6 {
			continue
		}
		a := vip.AsSlice()[:f.len]
		for i := range min(len(a), len(f.mask)) {
			a[i] &= f.mask[i]
		}
		if s.holds(a) {
			found = append(found, vip)
		}
	}
	return found
}

// A span is a range of addresses, both ends included; a nil last is the first alone.
type span struct{ first, last []byte }

// holds compares as many bytes as an address, or the end of the span, has.
func (s span) holds(a []byte) bool {
	last := s.last
	if last == nil {
		last = s.first
	}
	n := min(len(a), len(s.first), len(last))
	return n > 0 && bytes.Compare(s.first[:n], a[:n]) <= 0 && bytes.Compare(a[:n], last[:n]) <= 0
}

// from returns what a span says about the bytes from one on.
func (s span) from(at int) span {
	part := span{first: s.first[at:]}
	if s.last != nil {
		part.last = s.last[min(at, len(s.last)):]
	}
	return part
}

// spansOf turns the elements of a set into ranges: in an interval set, an element that ends
// one (exclusively) stands beside the one that begins it.
func spansOf(elements []nftables.SetElement, interval bool) []span {
	var spans []span
	for _, e := range elements {
		switch {
		case e.KeyEnd != nil:
			spans = append(spans, span{e.Key, e.KeyEnd})
		case !interval:
			spans = append(spans, span{e.Key, nil})
		case !e.IntervalEnd:
			spans = append(spans, span{e.Key, endOf(e.Key, elements)})
		}
	}
	return spans
}

// endOf returns the last address before the nearest end above first.
func endOf(first []byte, elements []nftables.SetElement) []byte {
	var end []byte
	for _, e := range elements {
		if e.IntervalEnd && bytes.Compare(e.Key, first) > 0 && (end == nil || bytes.Compare(e.Key, end) < 0) {
			end = e.Key
		}
	}
	if end == nil {
		return bytes.Repeat([]byte{0xff}, len(first))
	}
	last := bytes.Clone(end)
	for i := len(last) - 1; i >= 0; i-- {
		last[i]--
		if last[i] != 0xff {
			break
		}
	}
	return last
}

// ownPrefix begins the names of the tables and chains that internal/steer makes.
const ownPrefix = "uvs"

// savedRules finds the rules in the output of iptables-save or ip6tables-save (program)
// that mention a virtual address.
func savedRules(program, saved string, vips []netip.Addr) []FirewallRule {
	var rules []FirewallRule
	table := ""
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "*"); ok {
			table = name
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "-A" || strings.HasPrefix(words[1], ownPrefix) {
			continue
		}
		for i, w := range words[:len(words)-1] {
			if w != "-s" && w != "-d" {
				continue
			}
			p, err := netip.ParsePrefix(words[i+1])
			if err != nil {
				continue
			}
			for _, vip := range vips {
				if p.Bits() > 0 && p.Contains(vip) {
					rules = append(rules, FirewallRule{vip, program + " table " + table + " chain " + words[1]})
				}
			}
		}
	}
	return rules
}
