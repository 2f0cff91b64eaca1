package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// scopes are the names of rtnetlink(7) route scopes.
var scopes = map[string]uint8{"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}

// addressOptions are the words of an address line that are known and not served: name → number of words after it.
var addressOptions = map[string]int{
	"use_vmac": 0, "peer": 1, "home": 0, "-nodad": 0, "mngtmpaddr": 0, "noprefixroute": 0, "autojoin": 0, "no_track": 0,
	"preferred_lft": 1, "track_group": 1,
}

// addresses binds the lines of virtual_ipaddress (advertised) or virtual_ipaddress_excluded. A line that cannot be
// used is reported and left out.
func (b *binder) addresses(d *instanceDraft, lines []*Statement, advertised bool) (out []Address) {
	for _, s := range lines {
		if s.Broken {
			continue
		}
		if s.Block != nil {
			b.diags.errorf(s.Block.Open, "{", "an address line takes no block; what stands in its braces is ignored")
		}
		a, ok := b.address(s)
		if !ok {
			continue
		}
		if advertised {
			if is6 := a.Prefix.Addr().Is6(); len(out) == 0 {
				d.ipv6 = is6
			} else if is6 != d.ipv6 {
				b.diags.errorf(s.Pos, s.Keyword, "%s is of another family than the addresses before it and is ignored: give it a vrrp_instance of its own, or virtual_ipaddress_excluded", s.Keyword)
				continue
			}
		}
		if a.Device == "" {
			a.Device = d.Interface
		}
		if a.Device != "" {
			out = append(out, a)
		}
	}
	return out
}

// address binds ADDR[/LEN] [brd ADDR|+|-] [dev IF] [scope S] [label L] and further words.
func (b *binder) address(s *Statement) (a Address, ok bool) {
	a.Pos = s.Pos
	if a.Prefix, ok = b.prefix(s); !ok {
		return a, false
	}
	for i := 0; i < len(s.Args); i++ {
		w := s.Args[i]
		after, known := addressOptions[w.Text]
		switch {
		case w.Text == "brd" || w.Text == "broadcast" || w.Text == "dev" || w.Text == "scope" || w.Text == "label":
			if i++; i == len(s.Args) {
				b.diags.errorf(w.Pos, w.Text, "%s needs a value after it", w.Text)
				return a, true
			}
			if !b.addressOption(&a, w.Text, s.Args[i]) {
				return a, false
			}
		case known:
			b.noteWord("address line", w)
			i += after
		default:
			d := b.diags.errorf(w.Pos, w.Text, "%q is not an option of an address; it is ignored", w.Text)
			d.suggest(suggest(w.Text, []string{"brd", "dev", "scope", "label", "noprefixroute", "no_track", "preferred_lft", "home", "peer"}))
		}
	}
	return a, true
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
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || int(n) > bits {
			b.diags.errorf(s.Pos, s.Keyword, "prefix length %q of %s is not a whole number from 0 to %d; %d is used", length, addr, bits, bits)
		} else {
			bits = int(n)
		}
	}
	return netip.PrefixFrom(addr, bits), true
}

// addressOption binds one option with its value; false means that keepalived drops the address for it.
func (b *binder) addressOption(a *Address, option string, w Word) bool {
	switch option {
	case "dev":
		if a.Device != "" {
			b.diags.errorf(w.Pos, w.Text, "dev is given twice; the address is ignored")
			return false
		}
		a.Device = w.Text
		return b.link("dev", w)
	case "label":
		const labelLen = 15
		if len(w.Text) > labelLen {
			b.diags.errorf(w.Pos, w.Text, "label %q is longer than %d bytes and is left out", w.Text, labelLen)
			return true
		}
		a.Label = w.Text
	case "scope":
		n, named := scopes[w.Text]
		if !named {
			v, err := strconv.ParseUint(w.Text, 0, 8)
			if err != nil {
				d := b.diags.errorf(w.Pos, w.Text, "scope %q is not a scope (have: global, host, link, nowhere, site, 0 to 255); it is ignored", w.Text)
				d.suggest(suggest(w.Text, []string{"global", "host", "link", "nowhere", "site"}))
				return true
			}
			n = uint8(v)
		}
		a.Scope = n
	default: // brd, broadcast
		return b.broadcast(a, w)
	}
	return true
}

// broadcast binds the value of brd: an address, "+" for all host bits set, "-" for all host bits clear.
func (b *binder) broadcast(a *Address, w Word) bool {
	if w.Text != "+" && w.Text != "-" {
		addr, ok := parseAddr(w.Text)
		if !ok || !addr.Is4() {
			b.diags.errorf(w.Pos, w.Text, `brd %q is not an IPv4 address, "+" or "-"; the address is ignored`, w.Text)
			return false
		}
		a.Broadcast = addr
		return true
	}
	if !a.Prefix.Addr().Is4() {
		b.diags.errorf(w.Pos, w.Text, "an IPv6 address has no broadcast address; brd is ignored")
		return true
	}
	ip := a.Prefix.Masked().Addr().As4()
	if w.Text == "+" {
		for bit := a.Prefix.Bits(); bit < 32; bit++ {
			ip[bit/8] |= 0x80 >> (bit % 8)
		}
	}
	a.Broadcast = netip.AddrFrom4(ip)
	return true
}

// noteWord remembers an option that is not served.
func (b *binder) noteWord(context string, w Word) {
	key := noteKey{context, w.Text}
	if b.noted[key] == nil {
		b.noted[key] = &note{keyword: &keyword{name: w.Text, why: "it is ignored"}}
		b.order = append(b.order, key)
	}
	b.noted[key].places = append(b.noted[key].places, w.Pos)
}
