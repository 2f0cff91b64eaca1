package forwarding

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"uvs/internal/wire"
)

func TestNATBothWays(t *testing.T) {
	tests := []struct {
		name          string
		vip, client   netip.Addr
		server        netip.Addr
		protocol      uint8
		request, want string
		answer        string
	}{
		{"tcp over ipv4", vip4, client4, server4(0), wire.ProtoTCP, "", "02:00:00:00:00:02>02:00:00:00:02:01 203.0.113.5:40000>198.51.100.11:8080 ttl 63",
			"02:00:00:00:00:01>02:00:00:00:01:01 192.0.2.10:80>203.0.113.5:40000 ttl 63"},
		{"udp over ipv4", vip4, client4, server4(0), wire.ProtoUDP, "", "02:00:00:00:00:02>02:00:00:00:02:01 203.0.113.5:40000>198.51.100.11:8080 ttl 63",
			"02:00:00:00:00:01>02:00:00:00:01:01 192.0.2.10:80>203.0.113.5:40000 ttl 63"},
		{"tcp over ipv6", vip6, client6, server6(0), wire.ProtoTCP, "", "02:00:00:00:00:02>02:00:00:00:02:01 2001:db8:9::5:40000>2001:db8:5::11:8080 ttl 63",
			"02:00:00:00:00:01>02:00:00:00:01:01 2001:db8:2::10:80>2001:db8:9::5:40000 ttl 63"},
		{"udp over ipv6", vip6, client6, server6(0), wire.ProtoUDP, "", "02:00:00:00:00:02>02:00:00:00:02:01 2001:db8:9::5:40000>2001:db8:5::11:8080 ttl 63",
			"02:00:00:00:00:01>02:00:00:00:01:01 2001:db8:2::10:80>2001:db8:9::5:40000 ttl 63"},
	}
	for _, tt := range tests {
		for _, partial := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, partial checksum %t", tt.name, partial), func(t *testing.T) {
				s := newSite(t)
				s.serve(tt.vip, 80, tt.protocol, Masq, 8080, 1)
				request := segment{src: endpoint(tt.client, 40000), dst: endpoint(tt.vip, 80), protocol: tt.protocol, flags: wire.TCPSyn, payload: 33}.frame(t)
				out, via, reason := s.process(outside, request, vnetFor(request, partial))
				if got := describe(t, out); got != tt.want || via != inside {
					t.Errorf("request left as %s by port %d (%s)\nwant %s by port %d", got, via, reason, tt.want, inside)
				}
				answer := segment{src: endpoint(tt.server, 8080), dst: endpoint(tt.client, 40000), protocol: tt.protocol, flags: wire.TCPSyn | wire.TCPAck, payload: 8}.frame(t)
				out, via, reason = s.process(inside, answer, vnetFor(answer, partial))
				if got := describe(t, out); got != tt.answer || via != outside {
					t.Errorf("answer left as %s by port %d (%s)\nwant %s by port %d", got, via, reason, tt.answer, outside)
				}
			})
		}
	}
}

func TestDirectRoutingLeavesThePacketAlone(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Route, 80, 1)
	request := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t)
	original := bytes.Clone(request)
	out, via, reason := s.process(outside, request, nil)
	const want = "02:00:00:00:00:02>02:00:00:00:02:01 203.0.113.5:40000>192.0.2.10:80 ttl 63"
	if got := describe(t, out); got != want || via != inside {
		t.Fatalf("left as %s by port %d (%s)\nwant %s by port %d", got, via, reason, want, inside)
	}
	if !bytes.Equal(out.Data[14+20:], original[14+20:len(out.Data)]) { // behind that is Ethernet padding
		t.Errorf("the segment changed:\ngot  %x\nwant %x", out.Data[34:], original[34:])
	}
}

// TestRoundRobinFollowsTheKernel: servers are added at the head of the list, so the last
// one added is the first to be asked.
func TestRoundRobinFollowsTheKernel(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 3)
	var got []string
	for i := range 7 {
		out, _, _ := s.process(outside, segment{src: endpoint(client4, uint16(40000+i)), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
		got = append(got, netip.AddrFrom4([4]byte(out.Data[30:34])).String())
	}
	want := "[198.51.100.13 198.51.100.12 198.51.100.11 198.51.100.13 198.51.100.12 198.51.100.11 198.51.100.13]"
	if fmt.Sprint(got) != want {
		t.Errorf("servers chosen: %v\nwant %s", got, want)
	}
}

func TestFramesThatAreNotForwarded(t *testing.T) {
	syn := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
	with := func(change func(b []byte) []byte) []byte { return change(syn.frame(t)) }
	fix := func(b []byte) []byte { // recompute the IPv4 header checksum
		h := wire.IPv4(b[14:34])
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(h))
		return b
	}
	variant := func(change func(*segment)) []byte {
		g := syn
		change(&g)
		return g.frame(t)
	}
	tests := []struct {
		name string
		data []byte
		vnet VnetHeader
		port int
		want Reason
	}{
		{"empty", nil, nil, outside, DropTruncated},
		{"half an Ethernet header", with(func(b []byte) []byte { return b[:9] }), nil, outside, DropTruncated},
		{"arp", with(func(b []byte) []byte { b[12], b[13] = 8, 6; return b }), nil, outside, PassNotIP},
		{"half an IP header", with(func(b []byte) []byte { return b[:24] }), nil, outside, DropTruncated},
		{"total length beyond the frame", with(func(b []byte) []byte { b[16] = 9; return fix(b) }), nil, outside, DropTruncated},
		{"total length below the header", with(func(b []byte) []byte { b[17] = 19; return fix(b) }), nil, outside, DropIPHeader},
		{"header length 16", with(func(b []byte) []byte { b[14] = 0x44; return fix(b) }), nil, outside, DropIPHeader},
		{"version 5", with(func(b []byte) []byte { b[14] = 0x55; return fix(b) }), nil, outside, DropIPHeader},
		{"IP checksum off by one", with(func(b []byte) []byte { b[25]++; return b }), nil, outside, DropIPHeader},
		{"first fragment of odd length", with(func(b []byte) []byte { b[20] = 0x20; return fix(b) }), nil, outside, DropIPHeader},
		{"fragment of icmp", with(func(b []byte) []byte { b[21], b[23] = 8, 1; return fix(b) }), nil, outside, PassFragment},
		{"fragment for somebody else", with(func(b []byte) []byte { b[21], b[33] = 8, 99; return fix(b) }), nil, outside, PassFragment},
		{"fragment beyond the longest packet", with(func(b []byte) []byte { b[20], b[21] = 0x1f, 0xff; return fix(b) }), nil, outside, DropIPHeader},
		{"fragment with an unfinished checksum", with(func(b []byte) []byte { b[21] = 8; return fix(b) }), VnetHeader{1, 0, 0, 0, 0, 0, 34, 0, 16, 0}, outside, DropOffload},
		{"icmp", with(func(b []byte) []byte { b[23] = 1; return fix(b) }), nil, outside, PassProtocol},
		{"half a TCP header", with(func(b []byte) []byte { b[17] = 30; return fix(b[:14+30]) }), nil, outside, DropTruncated},
		{"TCP header length 16", with(func(b []byte) []byte { b[46] = 0x40; return b }), nil, outside, DropTransport},
		{"TCP header length beyond the segment", with(func(b []byte) []byte { b[46] = 0xf0; return b }), nil, outside, DropTransport},
		{"loopback source", variant(func(g *segment) { g.src = netip.MustParseAddrPort("127.0.0.1:40000") }), nil, outside, DropMartian},
		{"multicast source", variant(func(g *segment) { g.src = netip.MustParseAddrPort("224.0.0.1:40000") }), nil, outside, DropMartian},
		{"the director's own source", variant(func(g *segment) { g.src = netip.MustParseAddrPort("192.0.2.2:40000") }), nil, outside, DropMartian},
		{"ttl 1", variant(func(g *segment) { g.ttl = 1 }), nil, outside, DropTTL},
		{"another port", variant(func(g *segment) { g.dst = endpoint(vip4, 81) }), nil, outside, PassNotServed},
		{"another address", variant(func(g *segment) { g.dst = endpoint(client4, 80) }), nil, outside, PassNotServed},
		{"syn from the data port of FTP", variant(func(g *segment) { g.src = endpoint(g.src.Addr(), 20) }), nil, outside, DropNoFlow},
		{"ack without a flow", variant(func(g *segment) { g.flags = wire.TCPAck }), nil, outside, DropNoFlow},
		{"rst without a flow", variant(func(g *segment) { g.flags = wire.TCPRst }), nil, outside, DropNoFlow},
		{"syn and rst", variant(func(g *segment) { g.flags = wire.TCPSyn | wire.TCPRst }), nil, outside, DropNoFlow},
		{"a server's packet to the director", variant(func(g *segment) {
			g.src, g.dst = endpoint(server4(0), 80), netip.MustParseAddrPort("198.51.100.1:39000")
		}), nil, inside, PassLocal},
		{"a server's packet to a stranger while not a router", variant(func(g *segment) {
			g.src, g.dst = endpoint(server4(0), 80), netip.MustParseAddrPort("203.0.113.77:39000")
		}), nil, inside, DropNotRouter},
		{"partial checksum of a packet inside", syn.frame(t), VnetHeader{1, 0, 0, 0, 0, 0, 50, 0, 16, 0}, outside, DropOffload},
		{"partial checksum of a packet inside a stranger", variant(func(g *segment) { g.dst = endpoint(vip4, 81) }), VnetHeader{1, 0, 0, 0, 0, 0, 50, 0, 16, 0}, outside, PassNotServed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
			out, _, reason := s.process(tt.port, tt.data, tt.vnet)
			if reason != tt.want || out != nil {
				t.Errorf("got %s and %s, want %s and nothing", reason, describe(t, out), tt.want)
			}
		})
	}
}

func TestServersOwnTrafficIsRoutedUntranslated(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	n := siteNetwork()
	n.Forwarding4 = true
	s.engine.SetRoutes(NewRoutes(n))
	out, via, reason := s.process(inside, segment{src: endpoint(server4(0), 80), dst: netip.MustParseAddrPort("203.0.113.77:39000"), protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck}.frame(t), nil)
	const want = "02:00:00:00:00:01>02:00:00:00:01:01 198.51.100.11:80>203.0.113.77:39000 ttl 63"
	if got := describe(t, out); got != want || via != outside {
		t.Errorf("left as %s by port %d (%s)\nwant %s by port %d", got, via, reason, want, outside)
	}
}

// TestAnswerToAnUnresolvedOnLinkClient: its MAC is the one its request came from.
func TestAnswerToAnUnresolvedOnLinkClient(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	client := netip.MustParseAddrPort("192.0.2.99:40000")
	s.process(outside, segment{src: client, dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: clientMAC}.frame(t), nil)
	out, _, reason := s.process(inside, segment{src: endpoint(server4(0), 80), dst: client, protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck}.frame(t), nil)
	const want = "02:00:00:00:00:01>02:00:00:00:01:09 192.0.2.10:80>192.0.2.99:40000 ttl 63"
	if got := describe(t, out); got != want {
		t.Errorf("left as %s (%s)\nwant %s", got, reason, want)
	}
}

func TestHeldUntilResolved(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	full := siteNetwork()
	bare := full
	bare.Neighbours = full.Neighbours[:2]
	s.engine.SetRoutes(NewRoutes(bare))
	syn := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
	if out, _, reason := s.process(outside, syn.frame(t), nil); out != nil || reason != held {
		t.Fatalf("got %s and %v, want the frame held", reason, out)
	}
	want := Want{Link: inside, Addr: server4(0)}
	select {
	case got := <-s.engine.Wants():
		if got != want {
			t.Errorf("asked for %v, want %v", got, want)
		}
	default:
		t.Error("nobody was asked for the server's MAC")
	}
	s.worker.retryHeld(s.now, &s.worker.out)
	if n := len(s.worker.out.ports[inside-1]); n != 0 {
		t.Fatalf("%d frames left before the hop was resolved", n)
	}
	s.engine.SetRoutes(NewRoutes(full))
	s.worker.retryHeld(s.now, &s.worker.out)
	if n := len(s.worker.out.ports[inside-1]); n != 1 {
		t.Fatalf("%d frames left after the hop was resolved, want 1", n)
	}
	const sent = "02:00:00:00:00:02>02:00:00:00:02:01 203.0.113.5:40000>198.51.100.11:80 ttl 63"
	if got := describe(t, &s.worker.out.ports[inside-1][0]); got != sent {
		t.Errorf("left as %s, want %s", got, sent)
	}
	s.worker.out.reset(2)

	s.engine.SetRoutes(NewRoutes(bare))
	syn.src = endpoint(client4, 40001)
	s.process(outside, syn.frame(t), nil)
	s.now = s.now.Add(holdTime + time.Millisecond)
	s.worker.retryHeld(s.now, &s.worker.out)
	s.worker.flush()
	if got := s.reasons()[DropUnresolved]; got != 1 {
		t.Errorf("after %s %d frames were given up, want 1", holdTime, got)
	}
}

// TestRemovedServer: its flows are dropped, and live on when it comes back.
func TestRemovedServer(t *testing.T) {
	s := newSite(t)
	key := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	syn := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
	ack := syn
	ack.flags = wire.TCPAck
	s.process(outside, syn.frame(t), nil)
	server := endpoint(server4(0), 80)
	update := func(change func(*Tx) error) {
		t.Helper()
		if err := s.engine.Update(change); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *Tx) error { return tx.DeleteServer(key, server) })
	if _, _, reason := s.process(outside, ack.frame(t), nil); reason != DropServerGone {
		t.Errorf("packet of a removed server's flow: %s, want %s", reason, DropServerGone)
	}
	other := syn
	other.src = endpoint(client4, 40001)
	if _, _, reason := s.process(outside, other.frame(t), nil); reason != DropNoServer {
		t.Errorf("new connection without a server: %s, want %s", reason, DropNoServer)
	}
	if _, _, reason := s.process(outside, ack.frame(t), nil); reason != DropServerGone {
		t.Errorf("the flow of a removed server: %s, want it kept and %s", reason, DropServerGone)
	}
	update(func(tx *Tx) error { return tx.AddServer(key, server, ServerSpec{Method: Masq, Weight: 1}) })
	if out, _, reason := s.process(outside, ack.frame(t), nil); out == nil {
		t.Errorf("packet after the server's return: %s, want it forwarded", reason)
	}
	info := s.engine.Services()[0].Servers[0]
	if info.Active != 1 || info.Inactive != 0 || info.Total.Connections != 1 || info.Total.PacketsIn != 2 {
		t.Errorf("after its return the server has %+v, want the counts it left with", info)
	}
}

// TestLingering: removed NAT servers count as long as flows name them.
func TestLingering(t *testing.T) {
	s := newSite(t)
	nat, routed := s.serve(vip4, 80, wire.ProtoTCP, Masq, 8080, 2), s.serve(vip6, 80, wire.ProtoTCP, Route, 80, 1)
	for i := range 3 {
		s.process(outside, segment{src: endpoint(client4, uint16(40000+i)), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
		s.process(outside, segment{src: endpoint(client6, uint16(40000+i)), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
	}
	want := func(when string, list ...ServiceKey) {
		t.Helper()
		if got := s.engine.Lingering(); !slices.Equal(got, list) {
			t.Errorf("%s: %v, want %v", when, got, list)
		}
	}
	want("in the table")
	first := endpoint(server4(0), 8080)
	s.update(func(tx *Tx) error {
		return errors.Join(tx.DeleteServer(nat, first), tx.DeleteServer(routed, endpoint(server6(0), 80)))
	})
	key := ServiceKey{server4(0), 8080, wire.ProtoTCP}
	want("removed", key)
	s.update(func(tx *Tx) error { return tx.AddServer(nat, first, ServerSpec{Method: Masq, Weight: 1}) })
	want("added again")
	s.update(func(tx *Tx) error { return tx.DeleteService(nat) })
	if got := len(s.engine.Lingering()); got != 2 {
		t.Errorf("its service deleted: %d servers, want 2", got)
	}
	s.now = s.now.Add(61 * time.Second)
	for range 200 {
		s.engine.flows.Expire(s.now, 100)
		s.now = s.now.Add(time.Second)
	}
	want("after the flows have ended")
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	s := newSite(t)
	key := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 2)
	before := fmt.Sprintf("%+v", s.engine.Services()[0].Spec)
	err := s.engine.Update(func(tx *Tx) error {
		if err := tx.EditService(key, ServiceSpec{Scheduler: "wlc"}); err != nil {
			return err
		}
		if err := tx.DeleteServer(key, endpoint(server4(0), 80)); err != nil {
			return err
		}
		return tx.AddServer(key, endpoint(server4(1), 80), ServerSpec{Method: Masq, Weight: 1})
	})
	if !errors.Is(err, ErrServerExists) {
		t.Fatalf("Update returned %v, want %v", err, ErrServerExists)
	}
	after := s.engine.Services()[0]
	if got := fmt.Sprintf("%+v", after.Spec); got != before || len(after.Servers) != 2 {
		t.Errorf("after a failed update: %s with %d servers, want %s with 2", got, len(after.Servers), before)
	}
}

func TestPortReuseIsScheduledAnew(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 2)
	syn := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
	out, _, _ := s.process(outside, syn.frame(t), nil)
	first := netip.AddrFrom4([4]byte(out.Data[30:34]))
	out, _, _ = s.process(outside, syn.frame(t), nil) // a repeated SYN stays
	if again := netip.AddrFrom4([4]byte(out.Data[30:34])); again != first {
		t.Errorf("a repeated SYN went to %s, want %s", again, first)
	}
	rst := segment{src: endpoint(first, 80), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPRst}
	s.process(inside, rst.frame(t), nil) // SYN_RECV → CLOSE
	out, _, _ = s.process(outside, syn.frame(t), nil)
	if next := netip.AddrFrom4([4]byte(out.Data[30:34])); next == first {
		t.Errorf("a SYN on a closed flow went to %s again, want the next server", next)
	}
	if n := s.engine.Flows().Len(); n != 1 {
		t.Errorf("%d flows, want 1", n)
	}
}

// TestPortReuseAfterAFailure: a client that comes back on the port of a connection to a dead
// server gets a living one, whether the dead one was removed or has weight 0. Its
// established connections stay where they are.
func TestPortReuseAfterAFailure(t *testing.T) {
	for _, tt := range []struct {
		name        string
		established bool
		kill        func(*Tx, ServiceKey, netip.AddrPort) error
		moves       bool
	}{
		{"half-open, removed", false, (*Tx).DeleteServer, true},
		{"established, removed", true, (*Tx).DeleteServer, true},
		{"half-open, weight 0", false, quiesce, true},
		{"established, weight 0", true, quiesce, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			key := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 2)
			syn := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
			out, _, _ := s.process(outside, syn.frame(t), nil)
			first := netip.AddrFrom4([4]byte(out.Data[30:34]))
			if tt.established {
				ack := syn
				ack.flags = wire.TCPAck
				s.process(outside, ack.frame(t), nil)
			}
			if err := s.engine.Update(func(tx *Tx) error { return tt.kill(tx, key, endpoint(first, 80)) }); err != nil {
				t.Fatal(err)
			}
			out, _, reason := s.process(outside, syn.frame(t), nil)
			if out == nil {
				t.Fatalf("the new SYN was not forwarded: %s", reason)
			}
			if next := netip.AddrFrom4([4]byte(out.Data[30:34])); (next != first) != tt.moves {
				t.Errorf("the new SYN went to %s after %s, want it moved: %t", next, first, tt.moves)
			}
		})
	}
}

func quiesce(tx *Tx, k ServiceKey, server netip.AddrPort) error {
	return tx.EditServer(k, server, ServerSpec{Method: Masq, Weight: 0})
}

// TestTableFull: the bound holds exactly, its drops are counted, and old flows go on.
func TestTableFull(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	syn := func(i int) []byte {
		return segment{src: endpoint(netip.AddrFrom4([4]byte{203, 0, 113, byte(i / 100)}), uint16(1024+i)), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t)
	}
	for i := range 1000 { // MaxFlows of newSite
		if _, _, reason := s.process(outside, syn(i), nil); reason != Forwarded {
			t.Fatalf("flow %d of 1000: %s", i+1, reason)
		}
	}
	if _, _, reason := s.process(outside, syn(1000), nil); reason != DropTableFull {
		t.Errorf("flow 1001: %s, want %s", reason, DropTableFull)
	}
	if _, _, reason := s.process(outside, syn(5), nil); reason != Forwarded {
		t.Errorf("a packet of a flow in a full table: %s, want it forwarded", reason)
	}
}

// TestServerOutOfTheTableStaysReachable: steering keeps a NAT server's answers from the
// kernel whether or not its check fails, so a stranger's are routed all the same.
func TestServerOutOfTheTableStaysReachable(t *testing.T) {
	s := newSite(t)
	key := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	n := siteNetwork()
	n.Forwarding4 = true
	s.engine.SetRoutes(NewRoutes(n))
	if err := s.engine.Update(func(tx *Tx) error { return tx.DeleteServer(key, endpoint(server4(0), 80)) }); err != nil {
		t.Fatal(err)
	}
	answer := segment{src: endpoint(server4(0), 80), dst: netip.MustParseAddrPort("203.0.113.77:39000"), protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck}
	if out, via, reason := s.process(inside, answer.frame(t), nil); out == nil || via != outside {
		t.Errorf("a removed server's answer to a stranger: %s, want it routed", reason)
	}
	s.engine.SetAnswering([]ServiceKey{{server4(0), 0, wire.ProtoTCP}}) // of an all-ports service
	answer.src = endpoint(server4(0), 5432)
	if out, _, reason := s.process(inside, answer.frame(t), nil); out == nil {
		t.Errorf("an answer from any port of an all-ports server: %s, want it routed", reason)
	}
}

// TestForeignVIP: while another host has the address, packets for it that are routed
// through this one are the kernel's.
func TestForeignVIP(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	n := siteNetwork()
	n.Locals = n.Locals[:3]
	s.engine.SetRoutes(NewRoutes(n))
	syn := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
	if out, _, reason := s.process(outside, syn.frame(t), nil); out != nil || reason != PassNotServed {
		t.Errorf("%s, want %s", reason, PassNotServed)
	}
	n.Locals = append(n.Locals, netip.MustParsePrefix("192.0.2.8/29")) // ip route add local …
	s.engine.SetRoutes(NewRoutes(n))
	if out, _, reason := s.process(outside, syn.frame(t), nil); out == nil {
		t.Errorf("with a local route for the VIP's network: %s, want it forwarded", reason)
	}
}

// TestServiceDeletedAndAddedAgain in one transaction keeps the servers that it names again
// and lets go of the others.
func TestServiceDeletedAndAddedAgain(t *testing.T) {
	s := newSite(t)
	key := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 2)
	ack := map[netip.Addr][]byte{}
	for i := range 2 {
		g := segment{src: endpoint(client4, uint16(40000+i)), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
		out, _, _ := s.process(outside, g.frame(t), nil)
		g.flags = wire.TCPAck
		ack[netip.AddrFrom4([4]byte(out.Data[30:34]))] = g.frame(t)
	}
	if err := s.engine.Update(func(tx *Tx) error {
		return errors.Join(
			tx.DeleteService(key),
			tx.AddService(key, ServiceSpec{Scheduler: "wlc"}),
			tx.AddServer(key, endpoint(server4(1), 80), ServerSpec{Method: Masq, Weight: 5}),
		)
	}); err != nil {
		t.Fatal(err)
	}
	if _, _, reason := s.process(outside, ack[server4(0)], nil); reason != DropServerGone {
		t.Errorf("flow of the server that was not added again: %s, want %s", reason, DropServerGone)
	}
	if _, _, reason := s.process(outside, ack[server4(1)], nil); reason != Forwarded {
		t.Errorf("flow of the server that was added again: %s, want it forwarded", reason)
	}
	info := s.engine.Services()[0]
	if len(info.Servers) != 1 || info.Servers[0].Active != 1 || info.Servers[0].Spec.Weight != 5 {
		t.Errorf("the service has %+v, want server 2 with its connection and weight 5", info.Servers)
	}
}

// TestAnswerFollowsTheClient: an on-link client whose MAC changed, and which the kernel has
// not confirmed since, is answered where its last packet came from.
func TestAnswerFollowsTheClient(t *testing.T) {
	client := netip.MustParseAddrPort("192.0.2.99:40000")
	moved := wire.MAC{2, 0, 0, 0, 1, 77}
	for _, stale := range []bool{true, false} {
		s := newSite(t)
		s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
		n := siteNetwork()
		n.Neighbours = append(n.Neighbours, Neighbour{Link: outside, Addr: client.Addr(), MAC: clientMAC, Stale: stale})
		s.engine.SetRoutes(NewRoutes(n))
		g := segment{src: client, dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: clientMAC}
		s.process(outside, g.frame(t), nil)
		g.flags, g.from = wire.TCPAck, moved
		s.process(outside, g.frame(t), nil)
		out, _, reason := s.process(inside, segment{src: endpoint(server4(0), 80), dst: client, protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), nil)
		if out == nil {
			t.Fatal(reason)
		}
		want := clientMAC
		if stale {
			want = moved
		}
		if got := wire.Ethernet(out.Data).Destination(); got != want {
			t.Errorf("neighbour entry stale %t: answered to %x, want %x", stale, got, want)
		}
	}
}

// TestOneDeadNeighbourHoldsFewFrames, so that others find room to wait.
func TestOneDeadNeighbourHoldsFewFrames(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 2)
	n := siteNetwork()
	n.Neighbours = n.Neighbours[:2]
	s.engine.SetRoutes(NewRoutes(n))
	for i := range 200 {
		s.process(outside, segment{src: endpoint(client4, uint16(40000+i)), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
	}
	if got := s.worker.holder.used; got != 2*holdEach {
		t.Errorf("%d frames wait for two neighbours, want %d", got, 2*holdEach)
	}
}
