package netlab

import (
	"fmt"
	"net/netip"
)

// A Plan says how large a standard topology is. The zero Plan is a site with one client,
// one director that has the VIP, and two servers.
type Plan struct {
	Name        string // of the site; "site" when empty
	Clients     int    // 1 when 0; at most 99
	Directors   int    // 1 when 0; at most 9
	Servers     int    // 2 when 0; at most 50
	ClientAddrs int    // addresses that each client has beside its first, in each family
	Forward     bool   // directors have IP forwarding on
	NoVIP       bool   // nobody has the VIP on the client side: the test adds it
}

// A Topology is a [Site] built by [TwoArm] or [OneArm]. Both families are configured
// everywhere. Hosts are named client1…, director1…, server1… and have the interface
// eth0; directors with two arms have eth0 towards clients and eth1 towards servers.
//
//	client net   198.51.100.0/24  2001:db8:1::/64
//	server net   192.0.2.0/24     2001:db8:2::/64   (two arms only)
//	extra        203.0.113.0/24   2001:db8:3::/64   further addresses of clients
//
// Host parts are 1… for directors, 80 for the VIP (81–89 are free for further ones),
// 101… for clients, 201… for servers, in IPv6 as hexadecimal digits that read the same.
type Topology struct {
	*Site
	Clients   []*Host
	Directors []*Host
	Servers   []*Host
	ClientNet *Bridge    // the only one with one arm
	ServerNet *Bridge    // nil with one arm
	VIP4      netip.Addr // 198.51.100.80
	VIP6      netip.Addr // 2001:db8:1::80
}

// segment is one Ethernet with a prefix in each family.
type segment struct {
	bridge *Bridge
	v4, v6 netip.Prefix
}

func clientPrefixes() (v4, v6 netip.Prefix) {
	return netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1::/64")
}

func serverPrefixes() (v4, v6 netip.Prefix) {
	return netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:2::/64")
}

func extraPrefixes() (v4, v6 netip.Prefix) {
	return netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:3::/64")
}

// hostPart returns the prefix's address with the host part n: .n in IPv4, and the same
// decimal digits after :: in IPv6.
func hostPart(p netip.Prefix, n int) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	last := len(b) - 1
	if p.Addr().Is4() {
		b[last] = byte(n)
	} else {
		b[last-1] = byte(n / 100)
		b[last] = byte(n%100/10<<4 | n%10)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

const (
	partDirector = 1
	partVIP      = 80
	partClient   = 101
	partServer   = 201
)

func (p *Plan) setDefaults() error {
	for _, d := range []struct {
		value         *int
		word          string
		standard, max int
	}{
		{&p.Clients, "clients", 1, 99},
		{&p.Directors, "directors", 1, 9},
		{&p.Servers, "servers", 2, 50},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
		if *d.value < 0 || *d.value > d.max {
			return fmt.Errorf("%d %s: want 1 to %d", *d.value, d.word, d.max)
		}
	}
	if n := p.Clients * p.ClientAddrs; n < 0 || n > 254 {
		return fmt.Errorf("%d further client addresses: want 0 to 254 for all clients together", n)
	}
	if p.Name == "" {
		p.Name = "site"
	}
	return nil
}

// TwoArm builds the site for NAT: clients – client net – directors – server net –
// servers. The first director is everyone's default gateway and has the VIP on eth0.
// With IP forwarding off (the default) only a load balancer brings the two sides
// together.
func TwoArm(p Plan) (*Topology, error) {
	return build(p, func(t *Topology) error {
		clients, servers, err := t.twoSegments()
		if err != nil {
			return err
		}
		for i, d := range t.Directors {
			if err := clients.join(d, "eth0", partDirector+i); err != nil {
				return err
			}
			if err := servers.join(d, "eth1", partDirector+i); err != nil {
				return err
			}
		}
		for i, s := range t.Servers {
			if err := servers.join(s, "eth0", partServer+i); err != nil {
				return err
			}
			if err := servers.defaultVia(s, partDirector); err != nil {
				return err
			}
		}
		for i, c := range t.Clients {
			if err := clients.join(c, "eth0", partClient+i); err != nil {
				return err
			}
			if err := clients.defaultVia(c, partDirector); err != nil {
				return err
			}
		}
		return t.addExtra(p, t.Directors)
	})
}

// OneArm builds the site for direct routing: everybody is on one Ethernet. The first
// director has the VIP on eth0; every server has it on lo and neither answers nor
// mentions it in ARP (arp_ignore 1, arp_announce 2); for IPv6 the kernel does not answer
// for addresses of lo anyway.
func OneArm(p Plan) (*Topology, error) {
	return build(p, func(t *Topology) error {
		lan, err := t.addSegment("lan", clientPrefixes)
		if err != nil {
			return err
		}
		t.ClientNet = lan.bridge
		for _, group := range []struct {
			hosts []*Host
			part  int
		}{{t.Directors, partDirector}, {t.Clients, partClient}, {t.Servers, partServer}} {
			for i, h := range group.hosts {
				if err := lan.join(h, "eth0", group.part+i); err != nil {
					return err
				}
			}
		}
		for _, s := range t.Servers {
			if err := HideVIP(s, t.VIP4, t.VIP6); err != nil {
				return err
			}
		}
		return t.addExtra(p, append(append([]*Host(nil), t.Directors...), t.Servers...))
	})
}

// HideVIP gives a server of a direct-routing site further VIPs on lo, silent in ARP.
func HideVIP(server *Host, vips ...netip.Addr) error {
	for _, s := range []setting{
		{"net.ipv4.conf.all.arp_ignore", "1"},
		{"net.ipv4.conf.all.arp_announce", "2"},
	} {
		if err := server.Sysctl(s.name, s.value); err != nil {
			return err
		}
	}
	for _, vip := range vips {
		if err := server.AddAddr("lo", netip.PrefixFrom(vip, vip.BitLen())); err != nil {
			return err
		}
	}
	return nil
}

// build makes the hosts, runs wire to connect them, and finishes the directors. On an
// error nothing is left.
func build(p Plan, wire func(*Topology) error) (*Topology, error) {
	if err := p.setDefaults(); err != nil {
		return nil, err
	}
	site, err := New(p.Name)
	if err != nil {
		return nil, err
	}
	v4, v6 := clientPrefixes()
	t := &Topology{Site: site, VIP4: hostPart(v4, partVIP), VIP6: hostPart(v6, partVIP)}
	err = t.addHosts(p)
	if err == nil {
		err = wire(t)
	}
	if err == nil {
		err = t.finishDirectors(p)
	}
	if err != nil {
		_ = site.Close() // the first error is the one that tells
		return nil, err
	}
	return t, nil
}

func (t *Topology) addHosts(p Plan) error {
	for _, group := range []struct {
		hosts *[]*Host
		word  string
		n     int
	}{{&t.Clients, "client", p.Clients}, {&t.Directors, "director", p.Directors}, {&t.Servers, "server", p.Servers}} {
		for i := range group.n {
			h, err := t.AddHost(fmt.Sprintf("%s%d", group.word, i+1))
			if err != nil {
				return err
			}
			*group.hosts = append(*group.hosts, h)
		}
	}
	return nil
}

func (t *Topology) finishDirectors(p Plan) error {
	for i, d := range t.Directors {
		if p.Forward {
			if err := d.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
				return err
			}
			if err := d.Sysctl("net.ipv6.conf.all.forwarding", "1"); err != nil {
				return err
			}
		}
		if i > 0 || p.NoVIP {
			continue
		}
		for _, vip := range []netip.Addr{t.VIP4, t.VIP6} {
			if err := d.AddAddr("eth0", netip.PrefixFrom(vip, vip.BitLen())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Topology) twoSegments() (clients, servers segment, err error) {
	if clients, err = t.addSegment("client-net", clientPrefixes); err != nil {
		return clients, servers, err
	}
	if servers, err = t.addSegment("server-net", serverPrefixes); err != nil {
		return clients, servers, err
	}
	t.ClientNet, t.ServerNet = clients.bridge, servers.bridge
	return clients, servers, nil
}

func (t *Topology) addSegment(name string, prefixes func() (v4, v6 netip.Prefix)) (segment, error) {
	b, err := t.AddBridge(name)
	if err != nil {
		return segment{}, err
	}
	v4, v6 := prefixes()
	return segment{bridge: b, v4: v4, v6: v6}, nil
}

// join attaches a host to the segment with the host part n in both families.
func (s segment) join(h *Host, ifname string, n int) error {
	if err := s.bridge.Attach(h, ifname); err != nil {
		return err
	}
	for _, p := range []netip.Prefix{s.v4, s.v6} {
		if err := h.AddAddr(ifname, netip.PrefixFrom(hostPart(p, n), p.Bits())); err != nil {
			return err
		}
	}
	return nil
}

// defaultVia sets the host's default routes to the segment's host part n.
func (s segment) defaultVia(h *Host, n int) error {
	for _, p := range []netip.Prefix{s.v4, s.v6} {
		via := hostPart(p, n)
		if err := h.AddRoute(netip.PrefixFrom(zero(via), 0), via, ""); err != nil {
			return err
		}
	}
	return nil
}

func zero(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// addExtra gives the clients their further addresses and tells the neighbours on the
// same Ethernet that these are on-link.
func (t *Topology) addExtra(p Plan, neighbours []*Host) error {
	if p.ClientAddrs == 0 {
		return nil
	}
	v4, v6 := extraPrefixes()
	for _, prefix := range []netip.Prefix{v4, v6} {
		for i, c := range t.Clients {
			for j := range p.ClientAddrs {
				a := hostPart(prefix, 1+i*p.ClientAddrs+j)
				if err := c.AddAddr("eth0", netip.PrefixFrom(a, a.BitLen())); err != nil {
					return err
				}
			}
		}
		for _, h := range neighbours {
			if err := h.AddRoute(prefix, netip.Addr{}, "eth0"); err != nil {
				return err
			}
		}
	}
	return nil
}
