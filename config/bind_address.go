package config

import (
	"math"
	"net/netip"
	"slices"
	"strings"
)

// scopes are the names of rtnetlink(7) route scopes.
var scopes = map[string]uint32{"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}

// addressWords are the options of an address line: name → number of words after it.
var addressWords = map[string]int{
	"brd": 1, "broadcast": 1, "dev": 1, "scope": 1, "label": 1, "peer": 1, "preferred_lft": 1, "track_group": 1,
	"use_vmac": 0, "home": 0, "-nodad": 0, "mngtmpaddr": 0, "noprefixroute": 0, "autojoin": 0, "no_track": 0,
}

// An addressDraft is an address line being read.
type addressDraft struct {
	Address
	static    bool
	hasPeer   bool
	fill      string // "+" or "-" of brd
	lifetime  bool   // preferred_lft is given
	hasPrefix bool   // a length is given that is not the whole address
}

// line checks what all lines of a block have in common; false means that the line cannot be used.
func (b *binder) line(s *Statement, block string) bool {
	if s.Broken {
		return false
	}
	if s.Block != nil {
		b.diags.errorf(s.Block.Open, "{", "a line of %s takes no block; what stands in its braces is ignored", block)
	}
	return true
}

// address binds ADDR[/LEN] and its options. A line that cannot be used is reported and left out.
func (b *binder) address(s *Statement, static bool) (Address, bool) {
	if !b.line(s, "addresses") {
		return Address{}, false
	}
	d := &addressDraft{Address: Address{Pos: s.Pos}, static: static}
	var ok bool
	if d.Prefix, ok = b.prefix(s); !ok {
		return Address{}, false
	}
	d.hasPrefix = d.Prefix.Bits() != d.Prefix.Addr().BitLen()
	for i := 0; i < len(s.Args); i++ {
		w := s.Args[i]
		n, known := addressWords[w.Text]
		if !known || static && w.Text == "use_vmac" || !static && w.Text == "track_group" {
			b.unknownOption(w, "an address", addressWords)
			continue
		}
		if n > 0 && i+1 == len(s.Args) {
			b.diags.errorf(w.Pos, w.Text, "%s needs a value after it; the address is ignored", w.Text)
			return Address{}, false
		}
		if n == 0 {
			d.flag(w.Text)
			continue
		}
		i++
		if !b.addressOption(d, w.Text, s.Args[i]) {
			return Address{}, false
		}
	}
	return d.Address, b.finishAddress(d, s)
}

// unknownOption reports a word of a line that is none of its options, with what was probably meant.
func (b *binder) unknownOption(w Word, of string, have map[string]int) {
	names := make([]string, 0, len(have))
	for name := range have {
		names = append(names, name)
	}
	slices.Sort(names)
	b.diags.errorf(w.Pos, w.Text, "%q is not an option of %s; it is ignored", w.Text, of).suggest(suggest(w.Text, names))
}

// prefix reads the address of a line. A length that is wrong becomes that of the whole address, as in keepalived.
func (b *binder) prefix(s *Statement) (netip.Prefix, bool) {
	text, length, given := strings.Cut(s.Keyword, "/")
	addr, ok := parseAddr(text)
	if !ok {
		b.diags.errorf(s.Pos, s.Keyword, "%q is not an IPv4 or IPv6 address; it is ignored", s.Keyword)
		return netip.Prefix{}, false
	}
	bits := addr.BitLen()
	if given {
		n, ok := parseNumber(length, num(0, int64(bits)))
		if !ok {
			b.diags.errorf(s.Pos, s.Keyword, "prefix length %q of %s is not a whole number from 0 to %d; %d is used", length, addr, bits, bits)
		} else {
			bits = int(n)
		}
	}
	return netip.PrefixFrom(addr, bits), true
}

// flag binds an option without a value.
func (d *addressDraft) flag(option string) {
	switch option {
	case "use_vmac":
		d.MAC = OwnMAC
	case "home":
		d.Home = true
	case "-nodad":
		d.NoDAD = true
	case "mngtmpaddr":
		d.ManageTemp = true
	case "noprefixroute":
		d.NoPrefixRoute = true
	case "autojoin":
		d.AutoJoin = true
	case "no_track":
		d.NoTrack = true
	}
}

// addressOption binds one option with its value; false means that keepalived drops the address for it.
func (b *binder) addressOption(d *addressDraft, option string, w Word) bool {
	switch option {
	case "dev":
		if d.Device != "" {
			b.diags.errorf(w.Pos, w.Text, "dev is given twice; the address is ignored")
			return false
		}
		d.Device = w.Text
		return b.link("dev", w)
	case "label":
		if len(w.Text) > maxLinkName {
			b.diags.errorf(w.Pos, w.Text, "label %q is longer than %d bytes; the address is ignored", w.Text, maxLinkName)
			return false
		}
		d.Label = w.Text
	case "scope":
		if n, ok := b.routeName(w, b.host.RouteNames.Scopes, scopes, math.MaxUint8); ok {
			d.Scope = uint8(n)
			return true
		}
		f := b.diags.errorf(w.Pos, w.Text, "scope %q is not a scope (have: global, host, link, nowhere, site, 0 to 255); it is ignored", w.Text)
		f.suggest(suggest(w.Text, []string{"global", "host", "link", "nowhere", "site"}))
	case "peer":
		b.peerOf(d, w)
	case "preferred_lft":
		n, ok := parseNumber(w.Text, num(0, maxUint32))
		switch {
		case w.Text == "forever":
			d.PreferredLifetime, d.lifetime = Forever, true
		case ok:
			d.PreferredLifetime, d.lifetime = uint32(n), true
		default:
			b.diags.errorf(w.Pos, w.Text, `preferred_lft %q is not "forever" or a whole number of seconds; it is ignored`, w.Text)
		}
	case "track_group":
		b.followStatic(&d.TrackGroup, w)
	default: // brd, broadcast
		return b.broadcast(d, w)
	}
	return true
}

// peerOf binds the other end of a point-to-point address. The first counts.
func (b *binder) peerOf(d *addressDraft, w Word) {
	a, ok := parseAddr(w.Text)
	switch {
	case d.hasPeer:
		b.diags.errorf(w.Pos, w.Text, "peer is given above already; %s is ignored", w.Text)
	case !ok:
		b.diags.errorf(w.Pos, w.Text, "peer %q is not an IPv4 or IPv6 address; it is ignored", w.Text)
	case !sameFamily(a, d.Prefix.Addr()):
		b.diags.errorf(w.Pos, w.Text, "peer %s is %s and the address %s; it is ignored", a, familyOf(a), familyOf(d.Prefix.Addr()))
	default:
		if d.hasPrefix {
			b.diags.warnf(w.Pos, w.Text, "the length of %s is ignored: with a peer it is %d", d.Prefix, a.BitLen())
		}
		d.Peer, d.hasPeer = a, true
		d.Prefix = netip.PrefixFrom(d.Prefix.Addr(), a.BitLen())
	}
}

// broadcast binds the value of brd: an address, "+" for all host bits set, "-" for all host bits clear.
func (b *binder) broadcast(d *addressDraft, w Word) bool {
	if !d.Prefix.Addr().Is4() {
		b.diags.errorf(w.Pos, w.Text, "an IPv6 address has no broadcast address; the address is ignored")
		return false
	}
	if w.Text == "+" || w.Text == "-" {
		d.fill = w.Text
		return true
	}
	addr, ok := parseAddr(w.Text)
	if !ok || !addr.Is4() {
		b.diags.errorf(w.Pos, w.Text, `brd %q is not an IPv4 address, "+" or "-"; the address is ignored`, w.Text)
		return false
	}
	d.Broadcast, d.fill = addr, ""
	return true
}

// finishAddress settles what depends on several options.
func (b *binder) finishAddress(d *addressDraft, s *Statement) bool {
	const longestNet = 30
	switch {
	case d.hasPeer && (d.fill != "" || d.Broadcast.IsValid()):
		b.diags.warnf(s.Pos, s.Keyword, "brd does not go with peer and is ignored for %s", s.Keyword)
		d.Broadcast = netip.Addr{}
	case d.fill != "" && d.Prefix.Bits() > longestNet:
		b.diags.warnf(s.Pos, s.Keyword, "a network of length %d has no broadcast address; brd is ignored for %s", d.Prefix.Bits(), s.Keyword)
	case d.fill != "":
		d.Broadcast = broadcastOf(d.Prefix, d.fill == "+")
	}
	if d.Prefix.Addr().Is6() {
		if d.Scope != 0 {
			b.diags.warnf(s.Pos, s.Keyword, "an IPv6 address has no scope to be set; scope is ignored for %s", s.Keyword)
			d.Scope = 0
		}
		if d.Label != "" {
			b.diags.warnf(s.Pos, s.Keyword, "an IPv6 address has no label; label is ignored for %s", s.Keyword)
			d.Label = ""
		}
		if !d.lifetime && d.Prefix.Bits() != d.Prefix.Addr().BitLen() {
			d.PreferredLifetime = Forever
		}
	}
	if !d.static || d.Device != "" {
		return true
	}
	d.Device = b.defaults.link
	if !b.linkExists(d.Device) {
		b.diags.errorf(s.Pos, s.Keyword, "static address %s needs dev, as the default_interface %s does not exist; it is ignored", s.Keyword, d.Device)
		return false
	}
	return true
}

// broadcastOf returns the address of a network with all host bits set, or clear.
func broadcastOf(p netip.Prefix, set bool) netip.Addr {
	ip := p.Masked().Addr().As4()
	if set {
		for bit := p.Bits(); bit < 32; bit++ {
			ip[bit/8] |= 0x80 >> (bit % 8)
		}
	}
	return netip.AddrFrom4(ip)
}

// routeName reads a number, or a name of iproute2's tables: those of the host first, then the built-in ones.
func (b *binder) routeName(w Word, host, builtin map[string]uint32, most uint64) (uint32, bool) {
	if n, ok := cUint(w.Text, 64); ok {
		return uint32(min(n, math.MaxUint32)), n <= most
	}
	if n, ok := host[w.Text]; ok {
		return n, uint64(n) <= most
	}
	n, ok := builtin[w.Text]
	return n, ok
}
