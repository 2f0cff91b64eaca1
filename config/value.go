package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A value is one checked word. Which field holds it depends on the argKind; set tells it from a word that is left out.
type value struct {
	set    bool
	word   Word
	number int64
	time   time.Duration
	on     bool
	addr   netip.Addr
}

// values are the checked words of a statement, one for each arg of its keyword.
type values []value

// check turns the words of s into values. It reports what is wrong; ok is false where the statement is to be ignored.
func (b *binder) check(k *keyword, s *Statement) (vs values, ok bool) {
	least, most := k.arity()
	if len(s.Args) < least {
		b.missing(k, s, least)
		return nil, false
	}
	if most >= 0 && len(s.Args) > most {
		b.extra(k, s.Args[most:])
	}
	vs = make(values, len(k.args))
	ok = true
	for i, a := range k.args {
		if i >= len(s.Args) || a.kind == argRest {
			break
		}
		v, good := b.value(k, a, s.Args[i])
		v.set = good
		vs[i] = v
		ok = ok && good
	}
	return vs, ok
}

// missing reports a keyword without a word that it must have.
func (b *binder) missing(k *keyword, s *Statement, least int) {
	what := "a value"
	if least > 1 {
		what = fmt.Sprintf("%d values", least)
	}
	if len(s.Args) < len(k.args) {
		if a := k.args[len(s.Args)]; a.kind != argText {
			what = expected(a)
		}
	}
	d := b.diags.errorf(s.Pos, "", "%s needs %s after it", k.name, what)
	if !k.lax {
		d.fatal()
	}
}

// extra reports words after the last that a keyword takes. keepalived drops them without a word; where they are
// keywords themselves, somebody wrote several statements on one line.
func (b *binder) extra(k *keyword, ws []Word) {
	var all, known []string
	for _, w := range ws {
		all = append(all, w.Text)
		if b.grammar.lookup(b.context, w.Text) != nil {
			known = append(known, w.Text)
		}
	}
	text := strings.Join(all, " ")
	instead := ""
	if len(known) > 0 {
		instead = ": a line holds one statement, and here also " + strings.Join(known, ", ")
	}
	f := b.diags.errorf(ws[0].Pos, text, "%s is followed by %q, which is ignored%s", k.name, text, instead)
	if k.block != lines && !k.exact {
		f.silent()
	}
}

// expected describes what an arg takes, as it stands after "is not".
func expected(a arg) string {
	switch a.kind {
	case argNumber, argSigned:
		return fmt.Sprintf("a whole number from %d to %d", a.min, a.max)
	case argTimer:
		lo, hi := seconds(time.Duration(a.min)), seconds(time.Duration(a.max))
		if a.max == longest {
			return "a number of seconds of at least " + lo
		}
		return fmt.Sprintf("a number of seconds from %s to %s", lo, hi)
	case argBool:
		return "one of on, off, true, false, yes, no"
	case argEnum:
		ws := slices.Clone(a.words)
		slices.Sort(ws)
		return "one of " + strings.Join(ws, ", ")
	case argAddr:
		return "an IPv4 or IPv6 address"
	case argLink:
		return "the name of an interface"
	}
	return "a value"
}

// seconds prints a duration as keepalived.conf writes it.
func seconds(d time.Duration) string {
	us := d.Microseconds()
	if us%1e6 == 0 {
		return strconv.FormatInt(us/1e6, 10)
	}
	return strings.TrimRight(fmt.Sprintf("%d.%06d", us/1e6, us%1e6), "0")
}

// value checks one word.
func (b *binder) value(k *keyword, a arg, w Word) (v value, ok bool) {
	v = value{set: true, word: w}
	switch a.kind {
	case argNumber, argSigned:
		v.number, ok = parseNumber(w.Text, a)
	case argTimer:
		var exact bool
		v.time, exact, ok = parseTimer(w.Text, a)
		if ok && !exact {
			b.diags.warnf(w.Pos, w.Text, "%s %q has more than 6 decimals and is rounded to %s", k.name, w.Text, seconds(v.time))
		}
	case argBool:
		v.on, ok = parseBool(w.Text)
	case argEnum:
		return b.enum(k, a, v)
	case argAddr:
		v.addr, ok = parseAddr(w.Text)
	case argLink:
		return v, b.link(k.name, w)
	default:
		return v, true
	}
	if !ok {
		instead := "it is ignored"
		if k.fallback != "" {
			instead = k.fallback
		}
		b.diags.errorf(w.Pos, w.Text, "%s %q is not %s; %s", k.name, w.Text, expected(a), instead)
	}
	return v, ok
}

// enum checks a word that must be one of a list, and spells it as the list does.
func (b *binder) enum(k *keyword, a arg, v value) (value, bool) {
	for _, w := range a.words {
		if w == v.word.Text || a.fold && strings.EqualFold(w, v.word.Text) {
			v.word.Text = w
			return v, true
		}
	}
	ws := slices.Clone(a.words)
	slices.Sort(ws)
	d := b.diags.errorf(v.word.Pos, v.word.Text, "%s %q is not %s (have: %s)", k.name, v.word.Text, enumName(k.canonical()), strings.Join(ws, ", "))
	d.suggest(suggest(v.word.Text, ws))
	return v, false
}

// enumName says what the words of a keyword are.
func enumName(keyword string) string {
	switch keyword {
	case "lb_algo":
		return "a scheduler"
	case "lvs_method":
		return "a forwarding method"
	case "protocol":
		return "a protocol"
	case "state":
		return "a state"
	case "auth_type":
		return "a type of authentication"
	}
	return "known"
}

// link checks the name of an interface against the host.
func (b *binder) link(what string, w Word) bool {
	if b.host.AnyInterface || slices.Contains(b.host.Interfaces, w.Text) {
		return true
	}
	d := b.diags.errorf(w.Pos, w.Text, "%s %q does not exist on this host", what, w.Text)
	d.suggest(suggest(w.Text, b.host.Interfaces))
	if b.dynamicInterfaces {
		d.warning()
		return true
	}
	return false
}

// parseNumber reads a whole decimal number within the bounds of a. Like keepalived it takes a leading "+" and, inside
// quotes, leading blanks.
func parseNumber(s string, a arg) (int64, bool) {
	s = strings.TrimPrefix(strings.TrimLeft(s, blanks), "+")
	if a.kind == argNumber && strings.HasPrefix(s, "-") {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= a.min && n <= a.max && !strings.HasPrefix(s, "+")
}

// parseTimer reads decimal seconds; more than 6 decimals are rounded and exact is false.
func parseTimer(s string, a arg) (d time.Duration, exact, ok bool) {
	s = strings.TrimPrefix(strings.TrimLeft(s, blanks), "+")
	whole, frac, _ := strings.Cut(s, ".")
	if whole+frac == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return 0, true, false
	}
	n, err := strconv.ParseUint("0"+whole, 10, 63)
	if err != nil || n > uint64(longest/int64(time.Second))-1 {
		return 0, true, false
	}
	d, exact = time.Duration(n)*time.Second, len(frac) <= 6
	digits, _ := strconv.Atoi((frac + "000000")[:6])
	if !exact && frac[6] >= '5' {
		digits++
	}
	d += time.Duration(digits) * time.Microsecond
	return d, exact, int64(d) >= a.min && int64(d) <= a.max
}

func parseBool(s string) (on, ok bool) {
	switch s {
	case "on", "true", "yes":
		return true, true
	case "off", "false", "no":
		return false, true
	}
	return false, false
}

// parseAddr reads an address as inet_pton does: no zone, no brackets, no leading zeros.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == ""
}

// parseMask reads an IPv4 address as inet_aton does: one to four numbers in C's notation, of which the last fills the
// rest.
func parseMask(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var ip [4]byte
	for i, p := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (4 - i)
		}
		n, err := strconv.ParseUint(cNumber(p), 0, bits)
		if err != nil || strings.ContainsRune(p, '_') {
			return netip.Addr{}, false
		}
		for j := range bits / 8 {
			ip[i+j] = byte(n >> (bits - 8 - 8*j))
		}
	}
	return netip.AddrFrom4(ip), true
}

// cNumber makes Go's parser read a number as C's does: 010 is eight, and 0b1 and 0o7 are none.
func cNumber(s string) string {
	if len(s) > 1 && s[0] == '0' && strings.ContainsAny(s[1:2], "bBoO") {
		return ""
	}
	return s
}
