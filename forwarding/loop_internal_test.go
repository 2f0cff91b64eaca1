package forwarding

import (
	"net/netip"
	"testing"
	"time"

	"uvs/internal/wire"
)

// TestCircles: a packet to a service that has direct-routing servers, by who sent it.
func TestCircles(t *testing.T) {
	onLink4, onLink6 := netip.MustParseAddr("198.51.100.77"), netip.MustParseAddr("2001:db8:5::77")
	for _, tt := range []struct {
		name     string
		four     netip.Addr // the source, of each family
		six      netip.Addr
		from     wire.MAC
		port     int
		method   Method
		want     Reason
		refused  bool
		resolves bool // a neighbour is asked for
	}{
		{name: "client behind its router", four: client4, six: client6, from: gatewayMAC, port: outside, method: Route},
		{name: "client's packet from a server", four: client4, six: client6, from: serverMACs[1], port: inside, method: Route, want: DropLoop, refused: true},
		{name: "the same MAC on another link", four: client4, six: client6, from: serverMACs[1], port: outside, method: Route},
		{name: "from a host that is no server", four: client4, six: client6, from: serverMACs[2], port: inside, method: Route},
		{name: "from a NAT server", four: client4, six: client6, from: serverMACs[1], port: inside, method: Masq},
		{name: "a server as client", four: server4(1), six: server6(1), from: serverMACs[1], port: inside, method: Route},
		{name: "a server's packet from another one", four: server4(0), six: server6(0), from: serverMACs[1], port: inside, method: Route, want: DropLoop, refused: true},
		{name: "on-link client that is not known, from a server", four: onLink4, six: onLink6, from: serverMACs[1], port: inside, method: Route, want: DropUnresolved, resolves: true},
		{name: "client behind a server that is a router", four: netip.MustParseAddr("10.1.2.3"), six: netip.MustParseAddr("2001:db8:77::3"), from: serverMACs[1], port: inside, method: Route},
	} {
		for _, v6 := range []bool{false, true} {
			name, source, vip := "ipv4, ", tt.four, vip4
			if v6 {
				name, source, vip = "ipv6, ", tt.six, vip6
			}
			t.Run(name+tt.name, func(t *testing.T) {
				s := newSite(t)
				s.engine.SetRoutes(NewRoutes(circleNetwork()))
				s.serve(vip, 80, wire.ProtoTCP, tt.method, 80, 2)
				g := segment{src: endpoint(source, 40000), dst: endpoint(vip, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: tt.from}
				_, _, reason := s.process(tt.port, g.frame(t), nil)
				if reason != tt.want {
					t.Errorf("%s, want %s", reason, tt.want)
				}
				if got := len(s.own) == 1; got != tt.refused {
					t.Errorf("%d frames of our own, want an ICMP error: %t", len(s.own), tt.refused)
				}
				if got := len(s.engine.wants) == 1; got != tt.resolves {
					t.Errorf("neighbours asked for: %d, want one: %t", len(s.engine.wants), tt.resolves)
				}
			})
		}
	}
}

// circleNetwork is the site's, with networks behind the second server.
func circleNetwork() Network {
	n := siteNetwork()
	n.Routes = append(n.Routes,
		RouteSpec{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Hops: []HopSpec{{Link: inside, Gateway: server4(1)}}},
		RouteSpec{Prefix: netip.MustParsePrefix("2001:db8:77::/64"), Hops: []HopSpec{{Link: inside, Gateway: server6(1)}}})
	return n
}

// TestCircleOfAKnownFlow: the packets of a flow that come back from a server stop, wherever
// the flow goes, and do not make the server the client's neighbour.
func TestCircleOfAKnownFlow(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Route, 80, 2)
	g := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: gatewayMAC}
	s.process(outside, g.frame(t), nil)
	g.flags = wire.TCPAck
	for _, mac := range serverMACs[:2] {
		back := g
		back.from = mac
		if out, _, reason := s.process(inside, back.frame(t), nil); out != nil || reason != DropLoop || len(s.own) != 0 {
			t.Errorf("back from %x: %s and %d frames of our own, want %s and none", mac, reason, len(s.own), DropLoop)
		}
	}
	if out, _, reason := s.process(outside, g.frame(t), nil); out == nil {
		t.Errorf("the client's next packet: %s, want it forwarded", reason)
	}
	g.from = clientMAC
	if out, _, reason := s.process(outside, g.frame(t), nil); out == nil {
		t.Errorf("from another router: %s, want it forwarded", reason)
	}
}

// TestRefusedCircleIsToldToTheClient, not to the director that sent it here, even if the
// client has not been heard of for long.
func TestRefusedCircleIsToldToTheClient(t *testing.T) {
	client := netip.MustParseAddr("198.51.100.77")
	for _, stale := range []bool{false, true} {
		s := newSite(t)
		n := siteNetwork()
		n.Neighbours = append(n.Neighbours, Neighbour{Link: inside, Addr: client, MAC: clientMAC, Stale: stale})
		s.engine.SetRoutes(NewRoutes(n))
		s.serve(vip4, 80, wire.ProtoTCP, Route, 80, 2)
		g := segment{src: endpoint(client, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: serverMACs[0]}
		if _, _, reason := s.process(inside, g.frame(t), nil); reason != DropLoop || len(s.own) != 1 {
			t.Fatalf("stale %t: %s and %d frames of our own, want %s and one", stale, reason, len(s.own), DropLoop)
		}
		if got := wire.Ethernet(s.own[0].frame.Data).Destination(); got != clientMAC {
			t.Errorf("stale %t: the error goes to %x, want the client's %x", stale, got, clientMAC)
		}
	}
}

// TestTwoDirectorsAreEachOthersServers: whatever the two choose, no packet is on the wire
// more than twice between them.
func TestTwoDirectorsAreEachOthersServers(t *testing.T) {
	const east, west, third = 0, 1, 2 // who of the servers they are
	directors := [2]*site{newSite(t), newSite(t)}
	for i, s := range directors {
		n := siteNetwork()
		n.Links[1].MAC = serverMACs[i]
		n.Locals = append(n.Locals, netip.PrefixFrom(server4(i), 32))
		s.engine.SetRoutes(NewRoutes(n))
		s.serve(vip4, 80, wire.ProtoTCP, Route, 80, 3)
	}
	served, refused := 0, 0
	for i := range 30 {
		g := segment{src: endpoint(client4, uint16(40000+i)), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: gatewayMAC}
		at, frame, port := east, g.frame(t), outside
		for hops := 1; ; hops++ {
			if hops > 2 {
				t.Fatalf("connection %d is in its hop %d", i, hops)
			}
			directors[at].now = directors[at].now.Add(time.Second) // errors are limited
			out, _, reason := directors[at].process(port, frame, nil)
			if out == nil {
				if reason != DropLoop || len(directors[at].own) != 1 {
					t.Errorf("connection %d ended as %s with %d errors, want %s with one", i, reason, len(directors[at].own), DropLoop)
				}
				refused++
				break
			}
			next := wire.Ethernet(out.Data).Destination()
			if next == serverMACs[third] {
				served++
				break
			}
			if next != serverMACs[1-at] {
				t.Fatalf("connection %d went to %x", i, next)
			}
			at, frame, port = 1-at, out.Data, inside
		}
	}
	if served != 15 || refused != 15 {
		t.Errorf("%d connections were served and %d refused, want 15 of each: the director itself is no server", served, refused)
	}
}

// TestOwnServerIsSkipped: a server that is the director itself would need delivery to the
// host's stack. Others are chosen; none is left if there are none.
func TestOwnServerIsSkipped(t *testing.T) {
	s := newSite(t)
	n := siteNetwork()
	n.Locals = append(n.Locals, netip.PrefixFrom(server4(0), 32), netip.PrefixFrom(server6(0), 128))
	s.engine.SetRoutes(NewRoutes(n))
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 2)
	s.serve(vip6, 80, wire.ProtoTCP, Masq, 80, 1)
	for i := range 4 {
		g := segment{src: endpoint(client4, uint16(40000+i)), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: gatewayMAC}
		out, _, reason := s.process(outside, g.frame(t), nil)
		if out == nil || netip.AddrFrom4([4]byte(out.Data[30:34])) != server4(1) {
			t.Errorf("connection %d: %s, want it at %s", i, reason, server4(1))
		}
	}
	g := segment{src: endpoint(client6, 40000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: gatewayMAC}
	if _, _, reason := s.process(outside, g.frame(t), nil); reason != DropNoServer || len(s.own) != 1 {
		t.Errorf("no server but the director: %s and %d errors, want %s and one", reason, len(s.own), DropNoServer)
	}
	s.engine.SetRoutes(NewRoutes(siteNetwork())) // the address moves to another host
	g.src = endpoint(client6, 40001)
	if out, _, reason := s.process(outside, g.frame(t), nil); out == nil {
		t.Errorf("after the address is another host's: %s, want it forwarded", reason)
	}
}
