package ipvsadm

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"uvs/control"
)

// The ends of ipvsadm's ranges and what it takes for what is not said.
const (
	maxInt             = 1<<31 - 1
	maxPort            = 1<<16 - 1
	maxFwmark          = 1<<32 - 1
	maxTimeout         = 31 * 24 * 60 * 60 // seconds
	maxSyncLen         = maxPort - 20 - 8  // what fits into a UDP datagram
	maxSchedulerName   = 15                // longer names are cut (IP_VS_SCHEDNAME_MAXLEN)
	maxEngineName      = 15                // IP_VS_PENAME_MAXLEN
	defaultPersistence = 360               // seconds; the manual page says 300
)

// space is what isspace(3) calls so.
const space = " \t\n\v\f\r"

// number reads a whole number as strtol(3) does, in decimal and with nothing behind it, and
// tells whether it is one from lo to hi.
func number(text string, lo, hi int64) (int64, bool) {
	digits := strings.TrimLeft(text, space)
	if unsigned := strings.TrimLeft(digits, "+-"); len(digits)-len(unsigned) > 1 || strings.Trim(unsigned, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil && lo <= n && n <= hi
}

// leadingNumber reads the number that text begins with as atoi(3) does, 0 if there is none.
func leadingNumber(text string) int {
	text = strings.TrimLeft(text, space)
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || end == 0 && (text[end] == '+' || text[end] == '-')) {
		end++
	}
	n, _ := strconv.ParseInt(text[:end], 10, 32) // the nearest if it is too large
	return int(n)
}

// An addrPort is an address with a port that may not have been given.
type addrPort struct {
	Addr      netip.Addr
	Port      uint16
	PortGiven bool
}

// parseAddr reads A.B.C.D[:port], host[:service], [v6]:port or a bare IPv6 address. As in
// ipvsadm an address of digits alone is none, brackets need a colon behind them (and what
// follows is the port of IPv6 addresses only), and host names stand for IPv4 addresses.
func (e *Env) parseAddr(ctx context.Context, text string, p control.Protocol) (addrPort, bool) {
	if strings.Trim(text, "0123456789") == "" {
		return addrPort{}, false
	}
	host, port, given := text, "", false
	if inside, ok := strings.CutPrefix(text, "["); ok {
		host, port, given = strings.Cut(inside, "]")
		if port, ok = strings.CutPrefix(port, ":"); !given || !ok {
			return addrPort{}, false
		}
	}
	if a, ok := parseIPv6(host); ok {
		return e.withPort(a, port, given, p)
	}
	host, port, given = cutLast(host, ':')
	a, ok := e.host(ctx, host)
	if !ok {
		return addrPort{}, false
	}
	return e.withPort(a, port, given, p)
}

// parseIPv6 reads what inet_pton(3) takes.
func parseIPv6(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	return a, err == nil && a.Is6() && a.Zone() == ""
}

// cutLast cuts text around the last sep.
func cutLast(text string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(text, sep); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

// withPort adds a port in decimal or by its name.
func (e *Env) withPort(a netip.Addr, text string, given bool, p control.Protocol) (addrPort, bool) {
	if !given {
		return addrPort{Addr: a}, true
	}
	if n, ok := number(text, 0, maxPort); ok {
		return addrPort{a, uint16(n), true}, true
	}
	port, ok := e.Lookup.port(text, p)
	return addrPort{a, port, true}, ok
}

// host reads an IPv4 address or asks for the name's.
func (e *Env) host(ctx context.Context, text string) (netip.Addr, bool) {
	if a, ok := parseIPv4(text); ok {
		return a, true
	}
	if text == "" || strings.ContainsAny(text, space) {
		return netip.Addr{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, allNamesTimeout)
	defer cancel()
	found, err := e.Lookup.Host(ctx, text)
	if err != nil || len(found) == 0 {
		return netip.Addr{}, false
	}
	return found[0].Unmap(), true
}

// parseIPv4 reads what inet_aton(3) takes: one to four parts, in decimal, octal or
// hexadecimal, of which the last fills the rest; what follows a blank is not looked at.
func parseIPv4(text string) (netip.Addr, bool) {
	if i := strings.IndexAny(text, space); i >= 0 {
		text = text[:i]
	}
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var a uint32
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		n, err := strconv.ParseUint(part, 0, bits)
		if err != nil || strings.ContainsAny(part, "_bBoO") { // Go's own forms
			return netip.Addr{}, false
		}
		a = a<<bits | uint32(n)
		if bits == 32 {
			a = uint32(n)
		}
	}
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), true
}

// checkGroup wants a multicast address.
func checkGroup(text string) error {
	if strings.Contains(text, ":") {
		if a, ok := parseIPv6(text); !ok || !a.IsMulticast() {
			return fail("invalid IPv6 mcast-group `%s'", text)
		}
		return nil
	}
	if a, ok := parseIPv4(text); !ok || !a.IsMulticast() {
		return fail("invalid IPv4 mcast-group `%s'", text)
	}
	return nil
}
