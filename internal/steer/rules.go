package steer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// The protocols that can be steered.
const (
	protoTCP  = 6
	protoUDP  = 17
	protoSCTP = 132
)

// A Match names one end of a flow: a virtual service or a real server.
type Match struct {
	Addr  netip.Addr // IPv4 or IPv6 without a zone
	Port  uint16     // 0 means every port
	Proto uint8      // IP protocol number: 6 (TCP), 17 (UDP) or 132 (SCTP)
}

// String returns the match as "192.0.2.1:80/tcp" or "[2001:db8::1]:*/udp", where "*" is
// every port.
func (m Match) String() string {
	port := "*"
	if m.Port != 0 {
		port = fmt.Sprint(m.Port)
	}
	proto := protoName(m.Proto)
	if m.Addr.Is6() {
		return fmt.Sprintf("[%s]:%s/%s", m.Addr, port, proto)
	}
	return fmt.Sprintf("%s:%s/%s", m.Addr, port, proto)
}

// protoName returns the word that iptables and people have for a protocol.
func protoName(proto uint8) string {
	switch proto {
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	case protoSCTP:
		return "sctp"
	}
	return fmt.Sprint(proto)
}

// steered reports whether packets of a protocol can be steered: its header begins with the
// ports.
func steered(proto uint8) bool { return proto == protoTCP || proto == protoUDP || proto == protoSCTP }

// Rules say which frames belong to the director. The zero value says none.
// The order of the lists and repeated entries have no meaning.
type Rules struct {
	// Links are the interface indexes of the Ethernet devices to steer on. An index
	// without a device is skipped.
	Links []int

	// Services are the virtual services: a frame to one of them is dropped.
	Services []Match

	// Patterns are asked one after the other what no service takes; the first that fits
	// decides. They come into force and go with a new program or table, never at once.
	Patterns []Pattern

	// Servers are the real servers whose answers the director translates back. A
	// frame from one of them is dropped unless it goes to an address of Locals.
	Servers []Match

	// Locals are the addresses of this host. They keep the host's own connections to
	// a real server, such as health checks, with the stack. Virtual addresses may be
	// among them: an answer that is to be translated goes to a client, never there.
	Locals []netip.Addr

	// SoonServices and SoonLocals may become Services and Locals at any moment, when they
	// must be in force at once: a backend that can prepares for that. Nothing is dropped
	// because of them.
	SoonServices []Match
	SoonLocals   []netip.Addr

	// FTPAddrs are virtual addresses where FTP's data connections may come to any port: a frame
	// to their port 20, or one from 1024 on, by TCP is dropped. SoonFTPAddrs may become some.
	FTPAddrs, SoonFTPAddrs []netip.Addr

	// BriefServices and BriefServers are Services and Servers with a port that come and go with
	// single connections, which wait for it. A backend that can keeps room for BriefRoom of
	// each, so that they are in force at once.
	BriefServices, BriefServers []Match
	BriefRoom                   int
}

// normal returns a copy in the one order and notation of its meaning, so that
// equal rules compare equal, or an error that names the entry which has none. What is in
// force is among what may be soon.
func (r Rules) normal() (Rules, error) {
	n := Rules{
		Links:    slices.Clone(r.Links),
		Services: slices.Clone(r.Services),
		Servers:  slices.Clone(r.Servers),
		Locals:   slices.Clone(r.Locals),

		SoonServices: slices.Concat(r.Services, r.SoonServices),
		SoonLocals:   slices.Concat(r.Locals, r.SoonLocals),

		FTPAddrs:     slices.Clone(r.FTPAddrs),
		SoonFTPAddrs: slices.Concat(r.FTPAddrs, r.SoonFTPAddrs),

		BriefServices: slices.Clone(r.BriefServices),
		BriefServers:  slices.Clone(r.BriefServers),
		BriefRoom:     max(r.BriefRoom, len(r.BriefServices), len(r.BriefServers)),
	}
	for _, list := range []struct {
		name    string
		matches []Match
	}{{"service", n.Services}, {"server", n.Servers}, {"service", n.SoonServices}, {"service", n.BriefServices}, {"server", n.BriefServers}} {
		for i, m := range list.matches {
			if err := m.check(); err != nil {
				return Rules{}, fmt.Errorf("steer %s %s: %w", list.name, m, err)
			}
			list.matches[i].Addr = m.Addr.Unmap()
		}
	}
	addresses := []*[]netip.Addr{&n.Locals, &n.SoonLocals, &n.FTPAddrs, &n.SoonFTPAddrs}
	for _, list := range addresses {
		for i, a := range *list {
			if !a.IsValid() {
				return Rules{}, fmt.Errorf("steer: local address %d is not set", i)
			}
			(*list)[i] = a.WithZone("").Unmap()
		}
	}
	patterns, err := normalPatterns(r.Patterns)
	if err != nil {
		return Rules{}, err
	}
	n.Patterns = patterns
	slices.Sort(n.Links)
	n.Links = slices.Compact(n.Links)
	for _, list := range []*[]Match{&n.Services, &n.Servers, &n.SoonServices, &n.BriefServices, &n.BriefServers} {
		slices.SortFunc(*list, compareMatches)
		*list = slices.Compact(*list)
	}
	for _, list := range addresses {
		slices.SortFunc(*list, netip.Addr.Compare)
		*list = slices.Compact(*list)
	}
	return n, nil
}

// check reports what keeps the match from being steered.
func (m Match) check() error {
	switch {
	case !m.Addr.IsValid():
		return fmt.Errorf("no address")
	case m.Addr.Zone() != "":
		return fmt.Errorf("an address with a zone cannot be steered; leave the zone away")
	case !steered(m.Proto):
		return fmt.Errorf("protocol %d is neither TCP (6), UDP (17) nor SCTP (132)", m.Proto)
	}
	return nil
}

// anyPort reports whether the match has every port.
func (m Match) anyPort() bool { return m.Port == 0 }

// probeRules returns rules that make a backend use everything it needs, for an address
// that nobody has: RFC 6666's discard prefix.
func probeRules() Rules {
	m := Match{Addr: netip.AddrFrom16([16]byte{0: 1, 15: 1}), Port: 1, Proto: protoTCP}
	one, addr := []Match{m}, []netip.Addr{m.Addr}
	own := netip.PrefixFrom(m.Addr, 128)
	pattern := []Pattern{{Take: true, Destination: own, Source: own, Proto: protoTCP, First: 1, Last: 2, Link: loopbackIndex}}
	return Rules{
		Services: one, Servers: one, Locals: addr, SoonServices: one, SoonLocals: addr,
		FTPAddrs: addr, SoonFTPAddrs: addr, Patterns: pattern,
	}
}

// plain returns the rules with what is brief among what is not, for a backend that makes no
// difference. They must come from normal.
func (r Rules) plain() Rules {
	r.Services, r.Servers = merged(r.Services, r.BriefServices), merged(r.Servers, r.BriefServers)
	r.BriefServices, r.BriefServers, r.BriefRoom = nil, nil, 0
	return r
}

// merged returns what is in either of two lists.
func merged(a, b []Match) []Match {
	all := slices.Concat(a, b)
	slices.SortFunc(all, compareMatches)
	return slices.Compact(all)
}

// empty reports whether the rules take no frame at all.
func (r Rules) empty() bool {
	return len(r.Services)+len(r.Servers)+len(r.FTPAddrs)+len(r.BriefServices)+len(r.BriefServers)+len(r.Patterns) == 0
}

// idle reports whether the rules take no frame, now or soon.
func (r Rules) idle() bool { return r.empty() && len(r.SoonServices)+len(r.SoonFTPAddrs) == 0 }

// prepares reports whether all of o is in force or prepared for with r, so that only
// entries for services, locals and what is brief come or go. Both must come from normal.
func (r Rules) prepares(o Rules) bool {
	return slices.Equal(r.Servers, o.Servers) && slices.Equal(r.Patterns, o.Patterns) && subset(o.SoonServices, r.SoonServices) && subset(o.SoonLocals, r.SoonLocals) &&
		subset(o.SoonFTPAddrs, r.SoonFTPAddrs) && o.BriefRoom <= r.BriefRoom
}

// subset reports whether all of a list is in another.
func subset[T comparable](list, of []T) bool { return len(without(list, of)) == 0 }

// without returns what of a list is not in another.
func without[T comparable](list, other []T) []T {
	known := make(map[T]struct{}, len(other))
	for _, v := range other {
		known[v] = struct{}{}
	}
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { _, ok := known[v]; return ok })
}

// compareMatches orders matches by address, port and protocol.
func compareMatches(a, b Match) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto))
}
