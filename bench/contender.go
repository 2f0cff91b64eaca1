package main

import (
	"context"
	"net/netip"
	"os"

	"uvs/bench/outcome"
	"uvs/internal/wire"
)

// A kind is what a contender does with a packet, which decides what loads suit it.
type kind int

const (
	nobody  kind = iota // client and server without a director
	routing             // the client knows the server's address
	nat                 // the destination is translated, and answers come back through the director
	dr                  // direct routing: answers do not come back here
	proxy               // connections end at the director and others begin
)

// A role is what a contender is among those that differ in a setting.
type role int

const (
	asItComes role = iota
	mode           // another way in or out that an operator may choose; runs where it makes a difference
	waiting        // another way to wait for frames; runs where single ones count
	fallback       // a way that suits few machines; its order of magnitude is enough
)

// A contender is a way to bring a client's packets to a server.
type contender struct {
	name  string
	about string // for the report
	kind  kind
	// role says where it runs if it is one of several ways to run the same thing.
	role  role
	needs []program // that must be installed
	// missing tells why it cannot run on this machine, or nil; nil itself for those that
	// always can.
	missing func() error
	// start makes the site's director serve a demand, and returns when it does.
	start func(ctx context.Context, s *site, d demand) (session, error)
	// offloads are the changes to offloads that it makes by what it is, as offloadChanges has them.
	offloads []string
	// inKernel: what it forwards counts as the kernel's.
	inKernel bool
}

// A demand is what a load wants served.
type demand struct {
	protocol  string // "TCP" or "UDP"
	port      uint16 // of the first service
	services  int    // on ports from port on; 1 when 0
	servers   int    // of each service; the site's one when 0
	scheduler string // "rr" when empty
	// connections is how many must fit into the contender's table, 0 for any number.
	connections int
}

// lastPort is that of the last service.
func (d demand) lastPort() int { return int(d.port) + max(1, d.services) - 1 }

// A session is a contender at work on a site.
type session interface {
	path() path
	// counters returns totals of the contender's own. The one named "forwarded" is always
	// there and grows with the load; the others are kept with the raw data.
	counters(ctx context.Context) (counters, error)
	// stop undoes start.
	stop() error
}

// A holder is a session that knows how many connections it has and what they cost.
type holder interface {
	connections(ctx context.Context) (uint64, error)
	// memory returns the bytes that the contender takes now.
	memory(ctx context.Context) (uint64, error)
	// pauses returns what interrupted the contender so far, nil for one that knows none.
	pauses() []float64
}

// A path is how packets of a load reach the server by way of a contender.
type path struct {
	device string         // of the client; the server's has the same name or is eth0
	next   wire.MAC       // of the next hop
	target netip.AddrPort // that the client sends to
	// arrival is where packets are addressed to when they arrive at the server.
	arrival netip.Prefix
}

// through returns the path by the director.
func (s *site) through(target netip.AddrPort, arrival netip.Prefix) (path, error) {
	mac, err := s.director.MAC("eth0")
	return path{device: "eth0", next: wire.MAC(mac), target: target, arrival: arrival}, err
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// counters are totals by name.
type counters map[string]uint64

// since returns by how much each counter has grown.
func (c counters) since(before counters) counters {
	grown := make(counters, len(c))
	for name, n := range c {
		grown[name] = n - before[name]
	}
	return grown
}

func contenderName(c contender) string { return c.name }

// reference is the contender that all others are compared with.
const reference = outcome.Reference

// withoutDirector is the contender that is nobody: what the ends can do without a director.
const withoutDirector = "direct"

// contenders lists all of them, the reference first.
func contenders(builds []build) []contender {
	all := []contender{kernelForwarding(), endsAlone()}
	for _, b := range builds {
		all = append(all, uvsNAT(b), uvsDR(b))
	}
	return append(all, nftDNAT(), ipvs("NAT"), ipvs("DR"), haproxyTCP(), nginxStream())
}

// available leaves out who cannot run on this machine, unless it was asked for by name.
func available(all []contender, asked string) (here []contender, skipped []error) {
	for _, c := range all {
		if asked == "" && c.missing != nil {
			if err := c.missing(); err != nil {
				skipped = append(skipped, err)
				continue
			}
		}
		here = append(here, c)
	}
	return here, skipped
}

// exists tells that a file is there.
func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
