package preflight

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Where the addresses stand in the headers: RFC 791, Section 3.1; RFC 8200, Section 3.
const (
	source4, destination4 = 12, 16
	source6, destination6 = 8, 24
)

// mentions returns which of the virtual addresses a rule of nftables compares a source or
// destination address with. elements returns what is in a set that a rule looks up.
func mentions(exprs []expr.Any, vips []netip.Addr, elements func(set string) []span) []netip.Addr {
	var found []netip.Addr
	var address addressField
	for _, x := range exprs {
		switch x := x.(type) {
		case *expr.Payload:
			address = fieldOf(x)
		case *expr.Bitwise:
			address.mask = x.Mask
		case *expr.Cmp:
			found = append(found, address.match(vips, func(a []byte) bool {
				return len(x.Data) > 0 && len(x.Data) <= len(a) && bytes.Equal(a[:len(x.Data)], x.Data)
			})...)
			address = addressField{}
		case *expr.Range:
			found = append(found, address.match(vips, span{x.FromData, x.ToData}.holds)...)
			address = addressField{}
		case *expr.Lookup:
			for _, s := range elements(x.SetName) {
				found = append(found, address.match(vips, s.holds)...)
			}
			address = addressField{}
		}
	}
	return found
}

// An addressField is what an expression loaded: len bytes of an address, 0 if it was
// something else.
type addressField struct {
	v6   bool
	len  int
	mask []byte
}

func fieldOf(p *expr.Payload) addressField {
	if p.Base != expr.PayloadBaseNetworkHeader {
		return addressField{}
	}
	switch p.Offset {
	case source4, destination4:
		if p.Len <= 4 {
			return addressField{len: int(p.Len)}
		}
		// The offset of an IPv4 address is within an IPv6 one, which begins elsewhere.
	case source6, destination6:
		if p.Len <= 16 {
			return addressField{v6: true, len: int(p.Len)}
		}
	}
	return addressField{}
}

// match returns the addresses of the field's family whose masked bytes fit.
func (f addressField) match(vips []netip.Addr, fits func([]byte) bool) []netip.Addr {
	if f.len == 0 {
		return nil
	}
	var found []netip.Addr
	for _, vip := range vips {
		if vip.Is6() != f.v6 {
			continue
		}
		a := vip.AsSlice()[:f.len]
		for i := range a {
			if i < len(f.mask) {
				a[i] &= f.mask[i]
			}
		}
		if fits(a) {
			found = append(found, vip)
		}
	}
	return found
}

// A span is a range of addresses, both ends included; a nil last is the first alone.
type span struct{ first, last []byte }

func (s span) holds(a []byte) bool {
	if len(s.first) < len(a) {
		return false
	}
	last := s.last
	if last == nil {
		last = s.first
	}
	// Elements of concatenations are longer; the address stands first in what people write.
	return bytes.Compare(s.first[:len(a)], a) <= 0 && len(last) >= len(a) && bytes.Compare(a, last[:len(a)]) <= 0
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
