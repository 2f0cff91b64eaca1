package forwarding

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"uvs/internal/wire"
)

// TestPathWraps: what a Path sends through every kind of tunnel comes out as it was, from and to the addresses that the
// data plane uses.
func TestPathWraps(t *testing.T) {
	for _, c := range tunnelCases() {
		for _, pair := range familyPairs() {
			s := newSite(t)
			s.tunnelTo(pair, wire.ProtoTCP, c.spec)
			p, err := s.engine.PathTo(pair.vip, pair.server, Tunnel, c.spec, nil)
			if err != nil {
				t.Fatalf("%s, %s: %v", c.name, pair, err)
			}
			packet := segmentTo(pair.vip, pair.client)
			etherType, outer := p.Wrap(packet)
			frame := make([]byte, wire.EthernetLen, wire.EthernetLen+len(outer))
			wire.Ethernet(frame).SetEtherType(etherType)
			o := openTunnel(t, append(frame, outer...), c.spec)
			if o.src != pair.source || o.dst != pair.server || o.ttl != ownHopLimit || !bytes.Equal(o.packet, packet) {
				t.Errorf("%s, %s: from %s to %s, hop limit %d, inside %x; want %s, %s, %d, %x",
					c.name, pair, o.src, o.dst, o.ttl, o.packet, pair.source, pair.server, ownHopLimit, packet)
			}
			if p.Hop.Dst != serverMACs[0] || p.Hop.Link != inside {
				t.Errorf("%s, %s: to %x on link %d", c.name, pair, p.Hop.Dst, p.Hop.Link)
			}
		}
	}
}

// segmentTo is an IP packet with a TCP header.
func segmentTo(vip, from netip.Addr) []byte {
	if vip.Is6() {
		b := make([]byte, wire.IPv6Len+wire.TCPLen)
		wire.IPv6(b).Init(2, wire.ProtoTCP, wire.TCPLen)
		copy(wire.IPv6(b).Source(), from.AsSlice())
		copy(wire.IPv6(b).Destination(), vip.AsSlice())
		return b
	}
	b := make([]byte, wire.IPv4Len+wire.TCPLen)
	h := wire.IPv4(b[:wire.IPv4Len])
	h.Init(0, 2, wire.ProtoTCP, 0, true, wire.TCPLen)
	copy(h.Source(), from.AsSlice())
	copy(h.Destination(), vip.AsSlice())
	h.SetChecksum(wire.Checksum(h))
	return b
}

// TestPathSource: answers are to come to an address of the director's own, never to a virtual one, and to one of the virtual
// address's family whatever the tunnel's is.
func TestPathSource(t *testing.T) {
	a := netip.MustParseAddr
	n := siteNetwork()
	n.Links[0].Sources = []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24"), netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8:2::2/64")}
	n.Links[1].Sources = []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("fe80::1/64")}
	n.Routes[0].Source = vip4
	n.Routes = append(n.Routes, RouteSpec{Prefix: netip.MustParsePrefix("2001:db8:2::/64"), Hops: []HopSpec{{Link: outside}}, Source: a("2001:db8:2::3")})
	r := NewRoutes(n)
	virtual := func(x netip.Addr) bool { return x == vip4 }
	for _, c := range []struct {
		name        string
		vip, server netip.Addr
		m           Method
		skip        func(netip.Addr) bool
		want        netip.Addr
		err         error
	}{
		{"in the server's network", vip4, server4(0), Route, virtual, a("198.51.100.1"), nil},
		{"the route's source is virtual", vip4, a("203.0.113.80"), Tunnel, virtual, a("192.0.2.2"), nil},
		{"and is taken if it is not", vip4, a("203.0.113.80"), Tunnel, nil, vip4, nil},
		{"IPv6 behind a tunnel over IPv4", vip6, server4(0), Tunnel, virtual, a("2001:db8:2::3"), nil},
		{"this host itself", vip4, a("198.51.100.1"), Route, virtual, netip.Addr{}, ErrOwnHost},
		{"all are virtual", vip4, server4(0), Route, func(netip.Addr) bool { return true }, netip.Addr{}, ErrNoSource},
	} {
		p, err := r.pathTo(c.vip, c.server, c.m, TunnelSpec{}, c.skip)
		if p.Source != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: from %s, %v; want %s, %v", c.name, p.Source, err, c.want, c.err)
		}
	}
	n.Routes = n.Routes[2:3]
	if _, err := NewRoutes(n).pathTo(vip4, a("203.0.113.80"), Route, TunnelSpec{}, nil); !errors.Is(err, ErrNoRoute) {
		t.Errorf("without a route: %v, want %v", err, ErrNoRoute)
	}
}

// TestOuterPacketsAreNumbered: outer packets that may be fragmented have identifications of their own.
func TestOuterPacketsAreNumbered(t *testing.T) {
	s := newSite(t)
	pair := familyPairs()[0]
	s.tunnelTo(pair, wire.ProtoUDP, TunnelSpec{})
	seen := make(map[uint16]bool)
	for range 3 {
		g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP}
		frame := g.frame(t)
		mark(frame, 0, false)
		out, _, reason := s.process(outside, frame, nil)
		if reason != Forwarded {
			t.Fatal(reason)
		}
		seen[openTunnel(t, out.Data, TunnelSpec{}).id] = true
	}
	if len(seen) != 3 || seen[0] {
		t.Errorf("three packets have the identifications %v", seen)
	}
}
