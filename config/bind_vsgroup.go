package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxGroup bounds the addresses of one virtual_server_group: one service is made for each.
const maxGroup = 1 << 16

// A groupDraft is a virtual_server_group.
type vsGroup struct {
	statement *Statement
	entries   []vsGroupEntry
	// The families of what is in it; unknown tells marks without a family.
	ipv4, ipv6, unknown bool
}

// A vsGroupEntry is one line of a virtual_server_group: a range of addresses with one port, or a mark.
type vsGroupEntry struct {
	pos        Pos
	text       string
	start, end netip.Addr
	port       uint16
	marked     bool
	mark       uint32
	family     family // of a mark
}

// addresses and marks report whether the group has any.
func (g *vsGroup) addresses() bool { return g.any(false) }
func (g *vsGroup) marks() bool     { return g.any(true) }

func (g *vsGroup) any(marked bool) bool {
	for _, e := range g.entries {
		if e.marked == marked {
			return true
		}
	}
	return false
}

// family returns that of all that is in the group, anyFamily if it has none or both.
func (g *vsGroup) family() family {
	switch {
	case g.ipv4 == g.ipv6:
		return anyFamily
	case g.ipv4:
		return ipv4
	}
	return ipv6
}

// serviceGroup binds one virtual_server_group. Of two with one name the first counts.
func (b *binder) serviceGroup(s *Statement, vs values) {
	g := &vsGroup{statement: s}
	count := 0
	for _, line := range s.Block.Statements {
		if line.Broken {
			continue
		}
		if line.Block != nil {
			b.diags.errorf(line.Block.Open, "{", "a line of a virtual_server_group takes no block; what stands in its braces is ignored")
		}
		e, ok := b.groupEntry(line)
		if !ok {
			continue
		}
		if count += e.size(); count > maxGroup {
			b.diags.errorf(e.pos, e.text, "virtual_server_group %s has more than %d addresses; those of %q and after it are ignored", vs[0].word.Text, maxGroup, e.text).silent()
			break
		}
		g.add(e)
	}
	name := vs[0].word.Text
	switch first := b.groups[name]; {
	case len(g.entries) == 0:
		b.diags.errorf(s.Pos, name, "virtual_server_group %s has no address or mark that can be used; it is ignored", name)
	case g.ipv4 && g.ipv6 && g.unknown:
		b.diags.errorf(s.Pos, name, "virtual_server_group %s has IPv4 and IPv6 addresses and a fwmark without inet or inet6; it is ignored", name)
	case first != nil:
		b.diags.errorf(s.Pos, name, "virtual_server_group %s is already defined (%s); this one is ignored", name, first.statement.from(s.Pos)).silent()
	default:
		b.groups[name] = g
	}
}

func (g *vsGroup) add(e vsGroupEntry) {
	g.entries = append(g.entries, e)
	f := e.family
	if !e.marked {
		f = familyOf(e.start)
	}
	g.ipv4 = g.ipv4 || f == ipv4
	g.ipv6 = g.ipv6 || f == ipv6
	g.unknown = g.unknown || f == anyFamily
}

// size returns how many services an entry makes, at most maxGroup+1.
func (e *vsGroupEntry) size() int {
	if e.marked {
		return 1
	}
	n := 1
	for a := e.start; a != e.end && n <= maxGroup; a = a.Next() {
		n++
	}
	return n
}

// groupEntry reads one line: ADDR [PORT], ADDR-END [PORT], NET/LEN [PORT] or fwmark N [inet|inet6].
func (b *binder) groupEntry(s *Statement) (vsGroupEntry, bool) {
	if s.Keyword == "fwmark" {
		return b.groupMark(s)
	}
	e := vsGroupEntry{pos: s.Pos, text: s.Keyword}
	bad := func(w Word, format string, args ...any) (vsGroupEntry, bool) {
		b.diags.errorf(w.Pos, w.Text, format+"; the line is ignored", args...)
		return e, false
	}
	w := Word{Pos: s.Pos, Text: s.Keyword}
	if len(s.Args) > 0 && (s.Args[0].Text == "" || strings.Trim(s.Args[0].Text, "0") != "") {
		port, ok := parseNumber(s.Args[0].Text, num(1, 65535))
		if !ok {
			return bad(s.Args[0], "port %q is not a whole number from 1 to 65535", s.Args[0].Text)
		}
		e.port = uint16(port)
	}
	if len(s.Args) > 1 {
		b.diags.errorf(s.Args[1].Pos, s.Args[1].Text, "%s is followed by %q, which is ignored", s.Keyword, s.Args[1].Text).silent()
	}
	var ok bool
	if e.start, ok = socketAddr(w.Text); !ok {
		return bad(w, "%q is not an address, a range of addresses or fwmark", w.Text)
	}
	e.end = e.start
	if _, length, masked := strings.Cut(w.Text, "/"); masked {
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || n == 0 || int(n) > e.start.BitLen() {
			return bad(w, "/%s is not a prefix length from 1 to %d", length, e.start.BitLen())
		}
		p := netip.PrefixFrom(e.start, int(n))
		if p.Masked().Addr() != e.start {
			return bad(w, "%s is not the first address of its network, which is %s", e.start, p.Masked())
		}
		e.end = lastOf(p)
		return e, true
	}
	if _, end, ranged := strings.Cut(w.Text, "-"); ranged {
		if e.end, ok = rangeEnd(e.start, end); !ok {
			return bad(w, "%q is not the end of a range that begins with %s: %s, or a whole address", end, e.start, endForm(e.start))
		}
		if whole := strings.ContainsAny(end, ".:"); e.end.Less(e.start) || !whole && e.end == e.start {
			return bad(w, "the range %s ends before it begins", w.Text)
		}
	}
	return e, true
}

// rangeEnd reads what stands behind the "-": a whole address, or the last part of one.
func rangeEnd(start netip.Addr, s string) (netip.Addr, bool) {
	if start.Is4() {
		if strings.Contains(s, ".") {
			a, ok := socketAddr(s)
			return a, ok && a.Is4()
		}
		n, ok := parseNumber(s, num(0, 255))
		ip := start.As4()
		ip[3] = byte(n)
		return netip.AddrFrom4(ip), ok
	}
	if strings.Contains(s, ":") {
		a, ok := socketAddr(s)
		return a, ok && a.Is6()
	}
	n, err := strconv.ParseUint(s, 16, 16)
	ip := start.As16()
	ip[14], ip[15] = byte(n>>8), byte(n)
	return netip.AddrFrom16(ip), err == nil
}

// endForm says what rangeEnd takes.
func endForm(start netip.Addr) string {
	if start.Is4() {
		return "the last number, 0 to 255"
	}
	return "the last group, 0 to ffff"
}

// lastOf returns the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	ip := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(ip)*8; bit++ {
		ip[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(ip)
	return a
}

// groupMark reads fwmark N [inet|inet6].
func (b *binder) groupMark(s *Statement) (e vsGroupEntry, ok bool) {
	e = vsGroupEntry{pos: s.Pos, text: title(s), marked: true}
	if len(s.Args) == 0 {
		b.diags.errorf(s.Pos, s.Keyword, "fwmark needs a number after it").fatal()
		return e, false
	}
	n, ok := parseNumber(s.Args[0].Text, num(0, maxUint32))
	if !ok {
		b.diags.errorf(s.Args[0].Pos, s.Args[0].Text, "fwmark %q is not a whole number from 0 to %d; the line is ignored", s.Args[0].Text, int64(maxUint32))
		return e, false
	}
	e.mark = uint32(n)
	if len(s.Args) == 1 {
		return e, true
	}
	switch w := s.Args[1]; w.Text {
	case "inet":
		e.family = ipv4
	case "inet6":
		e.family = ipv6
	default:
		b.diags.errorf(w.Pos, w.Text, "%q is not a family (have: inet, inet6); the line is ignored", w.Text)
		return e, false
	}
	return e, true
}
