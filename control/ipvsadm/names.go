package ipvsadm

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"uvs/control"
)

// How long a listing may wait for names: for one, and for all together. What is not
// known by then is printed in numbers.
const (
	oneNameTimeout  = 500 * time.Millisecond
	allNamesTimeout = 2 * time.Second
)

// Lookup is where names come from.
type Lookup struct {
	// Addr returns the names of an address and Host the IPv4 addresses of a name, as
	// net.Resolver does. Both end early with their context.
	Addr func(ctx context.Context, addr string) ([]string, error)
	Host func(ctx context.Context, name string) ([]netip.Addr, error)
	// Services is the text of services(5).
	Services []byte
}

// SystemLookup asks the machine's resolver and /etc/services, which may be missing.
func SystemLookup() Lookup {
	services, _ := os.ReadFile("/etc/services")
	return Lookup{
		Addr: net.DefaultResolver.LookupAddr,
		Host: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
		},
		Services: services,
	}
}

// names is the Names of a listing without -n. It is owned by one goroutine.
type names struct {
	addr  func(context.Context, string) ([]string, error)
	ctx   context.Context // of the one listing that it serves, ended after allNamesTimeout
	hosts map[netip.Addr]string
	ports map[servicePort]string
}

// names returns the Names of one listing. Cancel ends its patience.
func (l Lookup) names(ctx context.Context) (n *names, cancel func()) {
	ctx, cancel = context.WithTimeout(ctx, allNamesTimeout)
	n = &names{addr: l.Addr, ctx: ctx, hosts: map[netip.Addr]string{}, ports: map[servicePort]string{}}
	for name, sp := range l.eachService {
		if _, ok := n.ports[sp]; !ok {
			n.ports[sp] = name
		}
	}
	return n, cancel
}

// Host returns the first name of a, or a in numbers.
func (n *names) Host(a netip.Addr) string {
	text, ok := n.hosts[a]
	switch {
	case ok:
	case n.ctx.Err() != nil:
		// Not kept: there may be millions of clients.
		text = hostText(a)
	default:
		text = n.lookup(a)
		n.hosts[a] = text
	}
	return text
}

func (n *names) lookup(a netip.Addr) string {
	ctx, cancel := context.WithTimeout(n.ctx, oneNameTimeout)
	defer cancel()
	if found, err := n.addr(ctx, a.String()); err == nil && len(found) > 0 {
		return strings.TrimSuffix(found[0], ".")
	}
	return hostText(a)
}

// Port returns the name of port in services(5), or port in decimal.
func (n *names) Port(port uint16, p control.Protocol) string {
	if name, ok := n.ports[servicePort{p, port}]; ok {
		return name
	}
	return Numeric{}.Port(port, p)
}

// servicePort is a port of one protocol.
type servicePort struct {
	protocol control.Protocol
	port     uint16
}

// port returns the port that services(5) gives a name, which may be an alias.
func (l Lookup) port(name string, p control.Protocol) (uint16, bool) {
	for known, sp := range l.eachName {
		if known == name && sp.protocol == p {
			return sp.port, true
		}
	}
	return 0, false
}

// eachService goes through services(5) by official name.
func (l Lookup) eachService(yield func(name string, sp servicePort) bool) {
	l.eachLine(func(fields []string, sp servicePort) bool { return yield(fields[0], sp) })
}

// eachName goes through services(5) by name and alias.
func (l Lookup) eachName(yield func(name string, sp servicePort) bool) {
	l.eachLine(func(fields []string, sp servicePort) bool {
		if !yield(fields[0], sp) {
			return false
		}
		for _, alias := range fields[2:] {
			if !yield(alias, sp) {
				return false
			}
		}
		return true
	})
}

// eachLine goes through the lines of services(5): name, port/protocol, aliases.
// Lines of other protocols and broken ones are passed over.
func (l Lookup) eachLine(yield func(fields []string, sp servicePort) bool) {
	lines := bufio.NewScanner(bytes.NewReader(l.Services))
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			continue
		}
		number, protocol, _ := strings.Cut(fields[1], "/")
		port, err := strconv.ParseUint(number, 10, 16)
		p := control.Protocol(protocol)
		if err != nil || p != control.TCP && p != control.UDP && p != control.SCTP {
			continue
		}
		if !yield(fields, servicePort{p, uint16(port)}) {
			return
		}
	}
}
