package forwarding

import (
	"fmt"
	"net/netip"
	"testing"

	"uvs/internal/wire"
)

const (
	stackLink    = 7 // the device into the host's own stack
	loopbackLink = 8
)

var stackMAC = wire.MAC{2, 0, 0, 0, 9, 9}

// stackSite is a site whose servers may be the director itself.
func stackSite(t testing.TB) *site {
	s := newSite(t)
	s.worker.SetPorts([]Port{
		nullPort{link: outside, mac: outsideMAC}, nullPort{link: inside, mac: insideMAC},
		nullPort{link: stackLink, mac: stackMAC}, nullPort{link: loopbackLink},
	})
	s.worker.usePorts()
	s.engine.SetRoutes(NewRoutes(stackNetwork()))
	return s
}

func stackNetwork() Network {
	n := siteNetwork()
	n.Locals = append(n.Locals, netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("2001:db8:5::1/128"))
	n.Stack = Stack{Link: stackLink, MAC: stackMAC, Loopback: loopbackLink, Virtual: true}
	return n
}

// serveOwn adds a service with one server.
func (s *site) serveOwn(vip netip.Addr, m Method, server netip.AddrPort) ServiceKey {
	s.t.Helper()
	key := ServiceKey{vip, 80, wire.ProtoTCP}
	err := s.engine.Update(func(tx *Tx) error {
		if err := tx.AddService(key, ServiceSpec{Scheduler: "rr"}); err != nil {
			return err
		}
		return tx.AddServer(key, server, ServerSpec{Method: m, Weight: 1})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if m == Masq {
		s.answering = append(s.answering, ServiceKey{server.Addr(), server.Port(), wire.ProtoTCP})
		s.engine.SetAnswering(s.answering)
	}
	return key
}

// The ports of a stackSite are numbered 1 to 4 where links are 1, 2, 7 and 8.
const (
	stackPort    = 3
	loopbackPort = 4
)

// TestLocalServer: packets for a server that is the director itself go into its stack and make
// no hop there, and what it answers comes back by the same device, whatever its source.
func TestLocalServer(t *testing.T) {
	router := netip.MustParseAddr("203.0.113.99")
	for _, tt := range []struct {
		name        string
		vip, client netip.Addr
		method      Method
		server      string
		via         int // the port into the stack
	}{
		{"NAT", vip4, client4, Masq, "198.51.100.1:8080", stackPort},
		{"NAT to the loopback address", vip4, client4, Masq, "127.0.0.1:8080", stackPort},
		{"NAT to another port of the virtual address", vip4, client4, Masq, "192.0.2.10:8080", stackPort},
		{"DR", vip4, client4, Route, "198.51.100.1:80", stackPort},
		{"DR to the loopback address", vip4, client4, Route, "127.0.0.1:80", stackPort},
		{"a tunnel", vip4, client4, Tunnel, "198.51.100.1:80", stackPort},
		{"a tunnel over the other family", vip4, client4, Tunnel, "[2001:db8:5::1]:80", stackPort},
		{"NAT, IPv6", vip6, client6, Masq, "[2001:db8:5::1]:8080", stackPort},
		{"NAT to the loopback address, IPv6", vip6, client6, Masq, "[::1]:8080", loopbackPort},
		{"DR to the loopback address, IPv6", vip6, client6, Route, "[::1]:80", stackPort},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stackSite(t)
			server := netip.MustParseAddrPort(tt.server)
			s.serveOwn(tt.vip, tt.method, server)
			client, service := endpoint(tt.client, 40000), endpoint(tt.vip, 80)
			seen := server // what the stack sees as its own end
			if tt.method != Masq {
				seen = service
			}
			macs := hardware(stackMAC, stackMAC)
			if tt.via == loopbackPort {
				macs = hardware(wire.MAC{}, wire.MAC{})
			}
			for _, flags := range []uint8{wire.TCPSyn, wire.TCPAck} {
				request := segment{src: client, dst: service, protocol: wire.ProtoTCP, flags: flags, ttl: 1}
				out, via, reason := s.process(outside, request.frame(t), nil)
				if got, want := describeOwn(t, out), fmt.Sprintf("%s %s ttl 1", macs, colons(client, seen)); got != want || via != tt.via {
					t.Fatalf("a request becomes %s by port %d (%s), want %s by port %d", got, via, reason, want, tt.via)
				}
				answer := segment{src: seen, dst: client, protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck, from: stackMAC}
				out, via, reason = s.process(stackPort, answer.frame(t), nil)
				if got, want := describe(t, out), fmt.Sprintf("%s %s ttl 64", hardware(outsideMAC, gatewayMAC), colons(service, client)); got != want || via != outside {
					t.Fatalf("an answer becomes %s by port %d (%s), want %s by port %d", got, via, reason, want, outside)
				}
			}
			if tt.vip.Is4() {
				m := icmpMessage{src: router, dst: tt.vip, kind: 3, code: 4, rest: 1400, ttl: 1, quoted: segment{src: service, dst: client, protocol: wire.ProtoTCP}.quote(t, 8)}
				out, via, reason := s.process(outside, m.frame(t), nil)
				outer := seen.Addr()
				want := fmt.Sprintf("%s %s>%s ttl 1 type 3 code 4 rest 1400 about %s with 8 bytes", macs, router, outer, between(seen, client))
				if got := describeError(t, out); got != want || via != stackPort {
					t.Errorf("an error about an answer becomes %s by port %d (%s), want %s", got, via, reason, want)
				}
			}
		})
	}
}

// TestLocalServerAnswersInFragments: what the stack sends in fragments, as its device is narrow, makes
// no hop here and may come from the loopback address, as what it sends whole.
func TestLocalServerAnswersInFragments(t *testing.T) {
	s := stackSite(t)
	key := ServiceKey{vip6, 80, wire.ProtoUDP}
	server := netip.MustParseAddrPort("[::1]:8080")
	s.update(func(tx *Tx) error {
		if err := tx.AddService(key, ServiceSpec{Scheduler: "rr"}); err != nil {
			return err
		}
		return tx.AddServer(key, server, ServerSpec{Method: Masq, Weight: 1})
	})
	s.engine.SetAnswering([]ServiceKey{{server.Addr(), server.Port(), wire.ProtoUDP}})
	client, service := endpoint(client6, 40000), endpoint(vip6, 80)
	if out, via, reason := s.process(outside, segment{src: client, dst: service, protocol: wire.ProtoUDP}.frame(t), nil); out == nil || via != loopbackPort {
		t.Fatalf("the request leaves by port %d: %s", via, reason)
	}
	answer := segment{src: server, dst: client, protocol: wire.ProtoUDP, payload: 3000, from: stackMAC}.frame(t)
	for _, b := range cut6(answer, 1280, 0, 7) {
		s.process(stackPort, b, nil)
	}
	if len(s.own) == 0 {
		t.Fatal("nothing leaves")
	}
	whole := &Frame{Data: join6(t, s.own, 1280)}
	if got, want := describe(t, whole), fmt.Sprintf("%s %s ttl 64", hardware(outsideMAC, gatewayMAC), colons(service, client)); got != want {
		t.Errorf("the answer leaves as %s, want %s", got, want)
	}
}

// describeOwn is describe for frames whose source or destination nobody but the host has.
func describeOwn(t testing.TB, f *Frame) string {
	if f != nil {
		f.own = true
	}
	return describe(t, f)
}

// TestStackSpeaksPastServices: what a local server sends to somebody who came to it directly goes
// on untranslated, as by the routing table, though the host is no router; in fragments, where the
// next hop takes no more.
func TestStackSpeaksPastServices(t *testing.T) {
	s := stackSite(t)
	s.serveOwn(vip4, Masq, endpoint(netip.MustParseAddr("198.51.100.1"), 8080))
	g := segment{src: netip.MustParseAddrPort("198.51.100.1:8080"), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPAck, payload: 1000}
	out, via, reason := s.process(stackPort, g.frame(t), nil)
	if got, want := describe(t, out), fmt.Sprintf("%s %s ttl 64", hardware(outsideMAC, gatewayMAC), colons(g.src, g.dst)); got != want || via != outside {
		t.Errorf("it becomes %s by port %d (%s), want %s", got, via, reason, want)
	}
	n := stackNetwork()
	n.Links[0].MTU = 600
	s.engine.SetRoutes(NewRoutes(n))
	b := g.frame(t)
	b[20] |= 0x40 // DF
	fixIPv4(b)
	if _, _, reason = s.process(stackPort, b, nil); reason != Forwarded || len(s.own) != 2 || s.own[0].via != outside {
		t.Fatalf("a packet for a narrow link: %s, %+v", reason, s.own)
	}
}

func fixIPv4(b []byte) {
	h := wire.IPv4(b[wire.EthernetLen : wire.EthernetLen+wire.IPv4Len])
	h.SetChecksum(0)
	h.SetChecksum(wire.Checksum(h))
}

// TestLocalServerWithoutAWay: while nothing leads into the stack, a server that is the host itself
// is not chosen; and a pool is not for such servers.
func TestLocalServerWithoutAWay(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Network)
		method Method
		server string
		want   Reason
	}{
		{"no device", func(n *Network) { n.Stack = Stack{} }, Masq, "127.0.0.1:80", DropNoServer},
		{"no virtual address, DR", func(n *Network) { n.Stack.Virtual = false }, Route, "127.0.0.1:80", DropNoServer},
		{"no virtual address, NAT", func(n *Network) { n.Stack.Virtual = false }, Masq, "127.0.0.1:80", Forwarded},
		{"nothing is missing", func(*Network) {}, Route, "127.0.0.1:80", Forwarded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stackSite(t)
			s.serveOwn(vip4, tt.method, netip.MustParseAddrPort(tt.server))
			n := stackNetwork()
			tt.change(&n)
			s.engine.SetRoutes(NewRoutes(n))
			g := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
			if _, _, reason := s.process(outside, g.frame(t), nil); reason != tt.want {
				t.Errorf("%s, want %s", reason, tt.want)
			}
		})
	}
	t.Run("with a pool", func(t *testing.T) {
		s := stackSite(t)
		key := s.serveOwn(vip4, Masq, netip.MustParseAddrPort("127.0.0.1:80"))
		s.pooled(key, local4, 10000, 10000)
		n := stackNetwork()
		n.Pools = []netip.Addr{local4}
		s.engine.SetRoutes(NewRoutes(n))
		g := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
		out, _, reason := s.process(outside, g.frame(t), nil)
		if out == nil || netip.AddrFrom4([4]byte(wire.IPv4(out.Data[wire.EthernetLen:]).Source())) != client4 {
			t.Errorf("the stack gets %s (%s)", describeOwn(t, out), reason)
		}
	})
}

// TestStackIsTheOnlyWayOfItsSources: packets that only the host itself may send are dropped when
// another device brings them.
func TestStackIsTheOnlyWayOfItsSources(t *testing.T) {
	s := stackSite(t)
	s.serveOwn(vip4, Masq, netip.MustParseAddrPort("127.0.0.1:80"))
	g := segment{src: netip.MustParseAddrPort("127.0.0.1:80"), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPAck}
	if _, _, reason := s.process(outside, g.frame(t), nil); reason != DropMartian {
		t.Errorf("from outside: %s, want %s", reason, DropMartian)
	}
}
