package ldirectord

import (
	"net/netip"
	"regexp"
	"strconv"
)

// A Resolver turns the names of hosts and services into numbers.
type Resolver struct {
	// Host returns an address of a host, of IPv6 if v6.
	Host func(name string, v6 bool) (netip.Addr, error)
	// Port returns the port of a service of a protocol, "tcp" or "udp".
	Port func(protocol, service string) (uint16, error)
}

// A real is one real server.
type real struct {
	d                directive
	addr             netip.Addr
	port             uint16 // 0 if it is not given
	method           string // keepalived's word
	weight           int
	request, receive string // with own set
	own              bool
	lower, upper     string // thresholds; "" if they are not given
}

// methods are ldirectord's words for how packets reach a server, and keepalived's.
func methods() map[string]string {
	return map[string]string{"gate": "DR", "masq": "NAT", "ipip": "TUN"}
}

// maxRange bounds the servers that one line can stand for.
const maxRange = 1 << 12

// endpointPattern matches ADDRESS[:PORT] with a name or a number for both.
const endpointPattern = `(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?:->(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+))?(?::([A-Za-z0-9_-]+))?`

// realLine takes a real line apart: first and last address, port, method, weight, request, receive, thresholds.
func realLine() *regexp.Regexp {
	return regexp.MustCompile(`^` + endpointPattern +
		`\s+(\w+)(?:\s+(\d+))?(?:\s+"([^"]*)"[, ]\s*"([^"]*)")?(?:\s+"?<?l:(\d+)>?"?)?(?:\s+"?<?u:(\d+)>?"?)?$`)
}

// realServers reads the real lines of a virtual.
func (c *converter) realServers(v *virtual, s *service) (list []real) {
	line := realLine()
	for _, d := range v.reals {
		m := line.FindStringSubmatch(d.value)
		if m == nil {
			c.found.errorf(d.at, `%s %q is not ADDRESS[->ADDRESS][:PORT] gate|masq|ipip [WEIGHT] ["REQUEST", "RECEIVE"] [l:N] [u:N]`, d.name, d.value)
			continue
		}
		first, last, port, method, weight := m[1], m[2], m[3], m[4], m[5]
		r := real{d: d, method: methods()[method], weight: 1, request: m[6], receive: m[7], own: m[6] != "" || m[7] != "", lower: m[8], upper: m[9]}
		if r.method == "" {
			c.found.errorf(d.at, "forwarding method %q is not gate, masq or ipip", method)
			continue
		}
		if weight != "" {
			n, err := strconv.Atoi(weight)
			if err != nil || n > 65535 {
				c.found.errorf(d.at, "weight %q is not a whole number from 0 to 65535", weight)
				continue
			}
			r.weight = n
		}
		from, ok := c.host(d, first, v.v6)
		if !ok || port != "" && !c.port(d, s.protocolName(), port, &r.port) {
			continue
		}
		to := from
		if last != "" {
			if v.v6 {
				c.found.errorf(d.at, "a range of IPv6 addresses is not known to ldirectord")
				continue
			}
			if to, ok = c.host(d, last, false); !ok {
				continue
			}
			if to.Less(from) {
				c.found.errorf(d.at, "the range %s->%s runs backwards", first, last)
				continue
			}
		}
		for n, a := 0, from; a.IsValid() && !to.Less(a); n, a = n+1, a.Next() {
			if n == maxRange {
				c.found.errorf(d.at, "the range %s->%s has more than %d addresses; the rest is left out", first, last, maxRange)
				break
			}
			r.addr = a
			list = append(list, r)
		}
	}
	return list
}

// host resolves a name, or reports that it cannot.
func (c *converter) host(d directive, name string, v6 bool) (netip.Addr, bool) {
	plain := name
	if n := len(name); n > 1 && name[0] == '[' {
		plain = name[1 : n-1]
	}
	a, err := netip.ParseAddr(plain)
	if err != nil {
		if a, err = c.resolve.Host(name, v6); err == nil {
			c.comments[d.pos.Line] = append(c.comments[d.pos.Line], name+" is "+a.String())
		}
	}
	if err != nil {
		c.found.errorf(d.at, "%s: %v", name, err)
		return a, false
	}
	if a.Is6() != v6 {
		c.found.errorf(d.at, "%s is not an address of the virtual's family", name)
		return a, false
	}
	return a, true
}

// port resolves a port, or reports that it cannot.
func (c *converter) port(d directive, protocol, name string, to *uint16) bool {
	if n, err := strconv.ParseUint(name, 10, 16); err == nil {
		*to = uint16(n)
		return true
	}
	n, err := c.resolve.Port(protocol, name)
	if err != nil {
		c.found.errorf(d.at, "port %s: %v", name, err)
		return false
	}
	*to = n
	return true
}
