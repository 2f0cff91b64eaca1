package config

import (
	"net/netip"
	"strings"
)

// family is an address family, or that none is known yet.
type family uint8

const (
	anyFamily family = iota
	ipv4
	ipv6
)

// familyOf returns the family of an address as keepalived sees it: IPv4 in IPv6 is IPv6.
func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

func (f family) String() string {
	switch f {
	case ipv4:
		return "IPv4"
	case ipv6:
		return "IPv6"
	}
	return "any family"
}

// socketAddr reads an address as keepalived does for sockets: what stands behind a "-" or "/" is cut off.
func socketAddr(s string) (netip.Addr, bool) {
	if i := strings.IndexByte(s, '-'); i >= 0 {
		s = s[:i]
	} else if i := strings.IndexByte(s, '/'); i >= 0 {
		s = s[:i]
	}
	return parseAddr(s)
}
