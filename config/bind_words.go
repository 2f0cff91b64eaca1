package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// A wordReader goes through the words of a line that has a grammar of its own: a route or a rule.
type wordReader struct {
	b    *binder
	line string // what the line is, for messages
	ws   []Word
	i    int
	// bad lines are left out.
	bad bool
}

func (b *binder) newWordReader(s *Statement, line string) *wordReader {
	ws := append([]Word{{Pos: s.Pos, Text: s.Keyword}}, s.Args...)
	return &wordReader{b: b, line: line, ws: ws}
}

// more reports whether there is a further word that has to be read.
func (r *wordReader) more() bool { return !r.bad && r.i < len(r.ws) }

// next returns the next word; there must be one.
func (r *wordReader) next() Word {
	w := r.ws[r.i]
	r.i++
	return w
}

// peek returns the text of the next word, "" at the end.
func (r *wordReader) peek() string {
	if r.i < len(r.ws) {
		return r.ws[r.i].Text
	}
	return ""
}

// value returns the word after w. keepalived exits where there is none.
func (r *wordReader) value(w Word) (Word, bool) {
	if r.i == len(r.ws) {
		r.fail(w, "%s needs a value after it", w.Text).fatal()
		return w, false
	}
	return r.next(), true
}

// fail reports what makes the line unusable.
func (r *wordReader) fail(w Word, format string, args ...any) finding {
	r.bad = true
	return r.b.diags.errorf(w.Pos, w.Text, format+"; the %s is ignored", append(args, r.line)...)
}

// number returns the whole number after w, up to most.
func (r *wordReader) number(w Word, most uint64) uint64 {
	v, ok := r.value(w)
	if !ok {
		return 0
	}
	n, ok := decimal(v.Text, most)
	if !ok {
		r.fail(v, "%s %q is not a whole number from 0 to %d", w.Text, v.Text, most)
	}
	return n
}

// decimal reads a whole decimal number from 0 to most, as keepalived's read_unsigned does.
func decimal(s string, most uint64) (uint64, bool) {
	s = strings.TrimPrefix(strings.TrimLeft(s, blanks), "+")
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n <= most && s[0] != '+'
}

// cUint reads a number in C's notation, of at most so many bits.
func cUint(s string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(cNumber(s), 0, bits)
	return n, err == nil && !strings.Contains(s, "_")
}

// named returns the number or name after w.
func (r *wordReader) named(w Word, host, builtin map[string]uint32, most uint64) uint32 {
	v, ok := r.value(w)
	if !ok {
		return 0
	}
	n, ok := r.b.routeName(v, host, builtin, most)
	if !ok {
		r.fail(v, "%s %q is not a number from 0 to %d or a name of iproute2's tables", w.Text, v.Text, most)
	}
	return n
}

// realms returns the realms after w: [SOURCE/]DESTINATION.
func (r *wordReader) realms(w Word) uint32 {
	v, ok := r.value(w)
	if !ok {
		return 0
	}
	var out uint32
	for part := range strings.SplitSeq(v.Text, "/") {
		n, ok := r.b.routeName(Word{Text: part}, r.b.host.RouteNames.Realms, nil, math.MaxUint8)
		if !ok || strings.Count(v.Text, "/") > 1 {
			r.fail(v, "%s %q is not one or two numbers from 0 to 255, with a slash between", w.Text, v.Text)
			return 0
		}
		out = out<<16 | n
	}
	return out
}

// link returns the interface after w.
func (r *wordReader) link(w Word) string {
	v, ok := r.value(w)
	if !ok {
		return ""
	}
	if !r.b.link(w.Text, v) {
		r.bad = true
	}
	return v.Text
}

// addr returns the address after w.
func (r *wordReader) addr(w Word, f *family) netip.Addr {
	v, ok := r.value(w)
	if !ok {
		return netip.Addr{}
	}
	a, ok := parseAddr(v.Text)
	if !ok {
		r.fail(v, "%s %q is not an IPv4 or IPv6 address", w.Text, v.Text)
		return netip.Addr{}
	}
	r.settle(v, f, familyOf(a))
	return a
}

// settle lets the first address decide the family of the line, and holds the others to it.
func (r *wordReader) settle(w Word, f *family, of family) {
	if *f == anyFamily {
		*f = of
	}
	if of != anyFamily && *f != of {
		r.fail(w, "%s is %s and the %s %s", w.Text, of, r.line, *f)
	}
}

// prefix reads a word as a network: "default", "any" and "all" are that of length 0 of whatever family it will be, and
// so ok without a valid Prefix.
func (r *wordReader) prefix(w Word, f *family) (p netip.Prefix, ok bool) {
	switch w.Text {
	case "default", "any", "all":
		return netip.Prefix{}, true
	case "default6":
		r.b.diags.warnf(w.Pos, w.Text, `default6 is deprecated: write "inet6 default"`).silent()
		r.settle(w, f, ipv6)
		return netip.Prefix{}, true
	}
	addr, length, given := strings.Cut(w.Text, "/")
	a, ok := parseAddr(addr)
	if !ok {
		return p, false
	}
	bits := a.BitLen()
	if given {
		n, ok := decimal(length, uint64(bits))
		if !ok {
			r.b.diags.errorf(w.Pos, w.Text, "prefix length %q of %s is not a whole number from 0 to %d; %d is used", length, a, bits, bits)
		} else {
			bits = int(n)
		}
	}
	r.settle(w, f, familyOf(a))
	return netip.PrefixFrom(a, bits), true
}

// everything is the network of length 0 of a family; IPv4 where none is known.
func everything(f family) netip.Prefix {
	if f == ipv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}
