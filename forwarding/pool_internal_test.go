package forwarding

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"uvs/conntrack"
	"uvs/internal/wire"
)

var (
	local4 = netip.MustParseAddr("198.51.100.200")
	local6 = netip.MustParseAddr("2001:db8:5::200")
)

// pooled gives a service a pool of one address and tells the network of it.
func (s *site) pooled(key ServiceKey, addr netip.Addr, first, last uint16) {
	s.t.Helper()
	n := siteNetwork()
	n.Locals = append(n.Locals, netip.PrefixFrom(local4, 32), netip.PrefixFrom(local6, 128))
	n.Pools = []netip.Addr{local4, local6}
	s.engine.SetRoutes(NewRoutes(n))
	spec := ServiceSpec{Scheduler: "rr", Pool: Pool{FirstPort: first, LastPort: last}}
	spec.Pool.Ranges[0] = [2]netip.Addr{addr, addr}
	if err := s.engine.Update(func(tx *Tx) error { return tx.EditService(key, spec) }); err != nil {
		s.t.Fatal(err)
	}
}

// TestFullNAT: both ends are translated both ways, also in errors, whole, partial or absent as the
// transport checksum may be.
func TestFullNAT(t *testing.T) {
	for _, family := range []struct{ vip, client, server, local, router netip.Addr }{
		{vip4, client4, server4(0), local4, netip.MustParseAddr("203.0.113.99")},
		{vip6, client6, server6(0), local6, netip.MustParseAddr("2001:db8:9::99")},
	} {
		for _, protocol := range []uint8{wire.ProtoTCP, wire.ProtoUDP} {
			for _, partial := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, partial %v", family.vip, protocolName(protocol), partial), func(t *testing.T) {
					s := newSite(t)
					s.pooled(s.serve(family.vip, 80, protocol, Masq, 8080, 1), family.local, 10000, 10000)
					client, service := endpoint(family.client, 40000), endpoint(family.vip, 80)
					local, server := endpoint(family.local, 10000), endpoint(family.server, 8080)
					request := segment{src: client, dst: service, protocol: protocol, flags: wire.TCPSyn, payload: 100}
					answer := segment{src: server, dst: local, protocol: protocol, flags: wire.TCPSyn | wire.TCPAck, payload: 101}
					check := func(port int, g segment, want string, wantVia int) {
						t.Helper()
						b := g.frame(t)
						out, via, reason := s.process(port, b, vnetFor(b, partial))
						if got := describe(t, out); got != want || via != wantVia {
							t.Errorf("%s becomes %s by port %d (%s), want %s by port %d", between(g.src, g.dst), got, via, reason, want, wantVia)
						}
					}
					toServer := fmt.Sprintf("%s %s ttl 63", hardware(insideMAC, serverMACs[0]), colons(local, server))
					toClient := fmt.Sprintf("%s %s ttl 63", hardware(outsideMAC, gatewayMAC), colons(service, client))
					check(outside, request, toServer, inside)
					check(inside, answer, toClient, outside)
					check(outside, request, toServer, inside)

					unreachable := icmpMessage{src: family.router, dst: family.vip, kind: 3, code: 1,
						quoted: segment{src: service, dst: client, protocol: protocol, payload: 50}.quote(t, 8)}
					if family.vip.Is6() {
						unreachable.kind, unreachable.code = 1, 3
					}
					out, _, reason := s.process(outside, unreachable.frame(t), nil)
					want := fmt.Sprintf("%s %s>%s ttl 63 type %d code %d rest 0 about %s with 8 bytes", hardware(insideMAC, serverMACs[0]), family.local, family.server,
						unreachable.kind, unreachable.code, between(server, local))
					if got := describeError(t, out); got != want {
						t.Errorf("an error about an answer becomes %s (%s), want %s", got, reason, want)
					}
					unreachable.src, unreachable.dst = family.server, family.local
					unreachable.quoted = segment{src: local, dst: server, protocol: protocol, payload: 50}.quote(t, 8)
					out, _, reason = s.process(inside, unreachable.frame(t), nil)
					want = fmt.Sprintf("%s %s>%s ttl 63 type %d code %d rest 0 about %s with 8 bytes", hardware(outsideMAC, gatewayMAC), family.vip, family.client,
						unreachable.kind, unreachable.code, between(client, service))
					if got := describeError(t, out); got != want {
						t.Errorf("an error about a request becomes %s (%s), want %s", got, reason, want)
					}
				})
			}
		}
	}
}

// hardware, between and colons write two ends as describe and describeError do.
func hardware(src, dst wire.MAC) string {
	return fmt.Sprintf("%s>%s", net.HardwareAddr(src[:]), net.HardwareAddr(dst[:]))
}

func between(src, dst netip.AddrPort) string { return fmt.Sprintf("%s>%s", src, dst) }

func colons(src, dst netip.AddrPort) string {
	return fmt.Sprintf("%s:%d>%s:%d", src.Addr(), src.Port(), dst.Addr(), dst.Port())
}

// TestFullNATFragments: a datagram in fragments has one flow both ways.
func TestFullNATFragments(t *testing.T) {
	s := newSite(t)
	s.pooled(s.serve(vip4, 53, wire.ProtoUDP, Masq, 53, 1), local4, 10000, 10000)
	pieces := func(port int, g segment) (list []sent) {
		for _, b := range cut4(g.frame(t), 1500, 0) {
			s.process(port, b, nil)
			list = append(list, s.own...)
		}
		return list
	}
	requests := pieces(outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 3000})
	answers := pieces(inside, segment{src: endpoint(server4(0), 53), dst: endpoint(local4, 10000), protocol: wire.ProtoUDP, payload: 3000})
	for _, x := range []struct {
		what     string
		list     []sent
		via      int
		src, dst netip.Addr
	}{{"requests", requests, inside, local4, server4(0)}, {"answers", answers, outside, vip4, client4}} {
		if len(x.list) != 3 {
			t.Fatalf("%d fragments of the %s leave, want 3", len(x.list), x.what)
		}
		for _, f := range x.list {
			h := wire.IPv4(f.frame.Data[wire.EthernetLen:])
			if src, dst := netip.AddrFrom4([4]byte(h.Source())), netip.AddrFrom4([4]byte(h.Destination())); f.via != x.via || src != x.src || dst != x.dst {
				t.Errorf("a fragment of the %s leaves by %d from %s to %s", x.what, f.via, src, dst)
			}
		}
	}
}

// TestPoolUsedUp: without a free local end a client gets no flow, which is counted, and gets one
// when another flow has ended. What a server sends to an end of no flow is reset.
func TestPoolUsedUp(t *testing.T) {
	s := newSite(t)
	s.pooled(s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1), local4, 10000, 10001)
	syn := func(port uint16) Reason {
		_, _, reason := s.process(outside, segment{src: endpoint(client4, port), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
		return reason
	}
	for i, want := range []Reason{Forwarded, Forwarded, DropPoolUsedUp, DropPoolUsedUp} {
		if got := syn(40000 + uint16(i)); got != want {
			t.Errorf("connection %d: %s, want %s", i, got, want)
		}
	}
	if n := s.engine.Services()[0].Servers[0].Inactive + s.engine.Services()[0].Servers[0].Active; n != 2 {
		t.Errorf("%d connections are counted, want 2", n)
	}
	ended := conntrack.Tuple{SrcPort: 40001, DstPort: 80, Proto: wire.ProtoTCP, Src: wireAddr(client4), Dst: wireAddr(vip4)}
	var f conntrack.Flow
	if !s.engine.flows.Find(&ended, &f) {
		t.Fatal("no flow")
	}
	end, _ := f.Local()
	f.Expire()
	f.Unlock()
	stray := segment{src: endpoint(server4(0), 80), dst: endpoint(local4, end.Port), protocol: wire.ProtoTCP, flags: wire.TCPAck, from: serverMACs[0]}
	if _, _, reason := s.process(inside, stray.frame(t), nil); reason != DropNoFlow || len(s.own) != 1 {
		t.Errorf("a stray segment to a local end: %s, %d answers", reason, len(s.own))
	} else if got, want := describe(t, &s.own[0].frame), fmt.Sprintf("%s %s ttl 64", hardware(insideMAC, serverMACs[0]), colons(stray.dst, stray.src)); got != want {
		t.Errorf("it is answered by %s, want %s", got, want)
	}
	if got := syn(40002); got != Forwarded {
		t.Errorf("after a connection ended: %s", got)
	}
}

// TestPoolOfService: what is no pool is refused and nothing changes; a service that loses its pool
// keeps the flows that have an end of it.
func TestPoolOfService(t *testing.T) {
	s := newSite(t)
	key := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	s.pooled(key, local4, 10000, 10000)
	edit := func(p Pool) error {
		return s.engine.Update(func(tx *Tx) error { return tx.EditService(key, ServiceSpec{Scheduler: "rr", Pool: p}) })
	}
	for name, p := range map[string]Pool{
		"another family": {Ranges: [MaxPoolRanges][2]netip.Addr{{local6, local6}}, FirstPort: 1, LastPort: 2},
		"no port":        {Ranges: [MaxPoolRanges][2]netip.Addr{{local4, local4}}},
		"no address":     {FirstPort: 1, LastPort: 2},
		"many addresses": {Ranges: [MaxPoolRanges][2]netip.Addr{{local4, netip.MustParseAddr("198.51.255.1")}}, FirstPort: 1, LastPort: 2},
	} {
		if err := edit(p); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	request := func(port uint16, flags uint8) string {
		out, _, reason := s.process(outside, segment{src: endpoint(client4, port), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: flags}.frame(t), nil)
		if out == nil {
			return reason.String()
		}
		return netip.AddrFrom4([4]byte(wire.IPv4(out.Data[wire.EthernetLen:]).Source())).String()
	}
	if got := request(40000, wire.TCPSyn); got != local4.String() {
		t.Errorf("with a pool the server sees %s", got)
	}
	if err := edit(Pool{}); err != nil {
		t.Fatal(err)
	}
	if got := request(40000, wire.TCPAck); got != local4.String() {
		t.Errorf("without the pool the server sees an old connection come from %s", got)
	}
	if got := request(40001, wire.TCPSyn); got != client4.String() {
		t.Errorf("without the pool the server sees a new connection come from %s", got)
	}
}
