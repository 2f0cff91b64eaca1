package forwarding

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"uvs/internal/wire"
)

// refuseSite is a router with a service that has a server on port 80 and one without on 82,
// over both families.
func refuseSite(t testing.TB) *site {
	s := newSite(t)
	for _, vip := range []netip.Addr{vip4, vip6} {
		for _, protocol := range []uint8{wire.ProtoTCP, wire.ProtoUDP} {
			s.serve(vip, 80, protocol, Masq, 8080, 1)
			s.serve(vip, 82, protocol, Masq, 8080, 0)
		}
	}
	n := siteNetwork()
	n.Forwarding4, n.Forwarding6 = true, true
	n.Links[0].Sources = prefixes("192.0.2.2/24", "2001:db8:2::2/64")
	n.Links[1].Sources = prefixes("198.51.100.1/24", "2001:db8:5::1/64")
	s.engine.SetRoutes(NewRoutes(n))
	return s
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// TestErrorsOfOurOwn: who is told what, from which address, about which packet.
func TestErrorsOfOurOwn(t *testing.T) {
	type row struct {
		name    string
		port    int
		g       segment
		reason  Reason
		via     int
		want    string // of the error, without MACs; "" for none
		counted Made
	}
	client, client6 := endpoint(client4, 40000), endpoint(client6, 40000)
	for _, tt := range []row{
		{"request with ttl 1", outside, segment{src: client, dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, ttl: 1}, DropTTL, outside,
			"192.0.2.10>203.0.113.5 ttl 64 type 11 code 0 rest 0 about 203.0.113.5:40000>192.0.2.10:80 with 20 bytes", MadeTimeExceeded},
		{"request with hop limit 1", outside, segment{src: client6, dst: endpoint(vip6, 80), protocol: wire.ProtoUDP, ttl: 1}, DropTTL, outside,
			"2001:db8:2::10>2001:db8:9::5 ttl 64 type 3 code 0 rest 0 about [2001:db8:9::5]:40000>[2001:db8:2::10]:80 with 8 bytes", MadeTimeExceeded},
		{"answer with ttl 1", inside, segment{src: endpoint(server4(0), 8080), dst: endpoint(client4, 40001), protocol: wire.ProtoTCP, flags: wire.TCPAck, ttl: 1}, DropTTL, inside,
			"198.51.100.1>198.51.100.11 ttl 64 type 11 code 0 rest 0 about 198.51.100.11:8080>203.0.113.5:40001 with 20 bytes", MadeTimeExceeded},
		{"answer with hop limit 1", inside, segment{src: endpoint(server6(0), 8080), dst: endpoint(client6.Addr(), 40001), protocol: wire.ProtoTCP, flags: wire.TCPAck, ttl: 1}, DropTTL, inside,
			"2001:db8:5::1>2001:db8:5::11 ttl 64 type 3 code 0 rest 0 about [2001:db8:5::11]:8080>[2001:db8:9::5]:40001 with 20 bytes", MadeTimeExceeded},
		{"stranger with ttl 1", inside, segment{src: endpoint(server4(0), 8080), dst: netip.MustParseAddrPort("203.0.113.77:9"), protocol: wire.ProtoTCP, flags: wire.TCPAck, ttl: 1}, DropTTL, inside,
			"198.51.100.1>198.51.100.11 ttl 64 type 11 code 0 rest 0 about 198.51.100.11:8080>203.0.113.77:9 with 20 bytes", MadeTimeExceeded},
		{"no server, tcp", outside, segment{src: client, dst: endpoint(vip4, 82), protocol: wire.ProtoTCP, flags: wire.TCPSyn}, DropNoServer, outside,
			"192.0.2.10>203.0.113.5 ttl 64 type 3 code 3 rest 0 about 203.0.113.5:40000>192.0.2.10:82 with 20 bytes", MadeUnreachable},
		{"no server, udp", outside, segment{src: client, dst: endpoint(vip4, 82), protocol: wire.ProtoUDP, payload: 5000}, DropNoServer, outside,
			"192.0.2.10>203.0.113.5 ttl 64 type 3 code 3 rest 0 about 203.0.113.5:40000>192.0.2.10:82 with 528 bytes", MadeUnreachable},
		{"no server, udp over ipv6", outside, segment{src: client6, dst: endpoint(vip6, 82), protocol: wire.ProtoUDP, payload: 5000}, DropNoServer, outside,
			"2001:db8:2::10>2001:db8:9::5 ttl 64 type 1 code 4 rest 0 about [2001:db8:9::5]:40000>[2001:db8:2::10]:82 with 1192 bytes", MadeUnreachable},
		{"from the data port of FTP, udp", outside, segment{src: endpoint(client4, 20), dst: endpoint(vip4, 80), protocol: wire.ProtoUDP}, DropNoFlow, outside,
			"192.0.2.10>203.0.113.5 ttl 64 type 3 code 3 rest 0 about 203.0.113.5:20>192.0.2.10:80 with 8 bytes", MadeUnreachable},
		{"source of our own", outside, segment{src: netip.MustParseAddrPort("192.0.2.2:4000"), dst: endpoint(vip4, 82), protocol: wire.ProtoUDP}, DropMartian, 0, "", 0},
		{"no flow and no ack", outside, segment{src: client, dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPRst}, DropNoFlow, 0, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := refuseSite(t)
			for _, vip := range []netip.Addr{vip4, vip6} {
				from := client4
				if vip.Is6() {
					from = client6.Addr()
				}
				s.process(outside, segment{src: endpoint(from, 40001), dst: endpoint(vip, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
			}
			b := tt.g.frame(t)
			received := bytes.Clone(b)
			out, _, reason := s.process(tt.port, b, nil)
			if out != nil || reason != tt.reason {
				t.Fatalf("%s and %v, want %s and nothing forwarded", reason, out, tt.reason)
			}
			if tt.want == "" {
				if len(s.own) != 0 {
					t.Errorf("sent %s, want nothing", describeError(t, &s.own[0].frame))
				}
				return
			}
			if len(s.own) != 1 || s.own[0].via != tt.via || s.worker.Info().Made[tt.counted] != 1 {
				t.Fatalf("sent %d frames, counted %v, want one by port %d and one %s", len(s.own), s.worker.Info().Made, tt.via, tt.counted)
			}
			got := describeError(t, &s.own[0].frame)
			if got[36:] != tt.want {
				t.Errorf("sent %s\nwant %s", got[36:], tt.want)
			}
			head := 14 + 20 + 8
			if tt.g.src.Addr().Is6() {
				head = 14 + 40 + 8
			}
			if quoted := s.own[0].frame.Data[head:]; !bytes.HasPrefix(received[14:], quoted) {
				t.Errorf("the packet inside is not the one received:\ngot  %x\nwant %x", quoted, received[14:])
			}
		})
	}
}

// TestReset: RFC 9293, Section 3.5.2, group 1.
func TestReset(t *testing.T) {
	for _, tt := range []struct {
		name     string
		flags    uint8
		payload  int
		spoil    bool
		vnet     bool
		sent     bool
		seq, ack uint32
		want     uint8
	}{
		{"ack", wire.TCPAck, 100, false, false, true, 77, 0, wire.TCPRst},
		{"ack with an unfinished checksum", wire.TCPAck, 100, false, true, true, 77, 0, wire.TCPRst},
		{"fin and ack", wire.TCPFin | wire.TCPAck, 0, false, false, true, 77, 0, wire.TCPRst},
		{"no ack", 0, 100, false, false, true, 0, 1100, wire.TCPRst | wire.TCPAck},
		{"fin without ack", wire.TCPFin, 10, false, false, true, 0, 1011, wire.TCPRst | wire.TCPAck},
		{"rst", wire.TCPRst, 0, false, false, false, 0, 0, 0},
		{"rst and ack", wire.TCPRst | wire.TCPAck, 0, false, false, false, 0, 0, 0},
		{"wrong checksum", wire.TCPAck, 100, true, false, false, 0, 0, 0},
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ipv6 %t", tt.name, v6), func(t *testing.T) {
				s := refuseSite(t)
				from, vip, head := client4, vip4, 34
				if v6 {
					from, vip, head = client6, vip6, 54
				}
				g := segment{src: endpoint(from, 40000), dst: endpoint(vip, 80), protocol: wire.ProtoTCP, flags: tt.flags, payload: tt.payload}
				b := g.frame(t)
				b[head+11] = 77 // the acknowledgment number
				var vnet VnetHeader
				var p Packet
				f := Frame{Data: b}
				Decode(&f, &p)
				p.setTransportChecksum(&f)
				if tt.vnet {
					vnet = vnetFor(b, true)
				}
				if tt.spoil {
					b[head+16]++
				}
				if out, _, reason := s.process(outside, b, vnet); out != nil || reason != DropNoFlow {
					t.Fatalf("%s, want %s", reason, DropNoFlow)
				}
				if !tt.sent {
					if len(s.own) != 0 {
						t.Error("sent a reset, want none")
					}
					return
				}
				if len(s.own) != 1 || s.own[0].via != outside {
					t.Fatalf("%d frames of our own, want one by port %d", len(s.own), outside)
				}
				want := fmt.Sprintf("02:00:00:00:00:01>02:00:00:00:01:01 %s:80>%s:40000 ttl 64", vip, from)
				if got := describe(t, &s.own[0].frame); got != want {
					t.Errorf("sent %s, want %s", got, want)
				}
				tcp := wire.TCP(s.own[0].frame.Data[head:])
				if tcp.Seq() != tt.seq || tcp.Ack() != tt.ack || tcp.Flags() != tt.want {
					t.Errorf("seq %d, ack %d, flags %#x; want %d, %d, %#x", tcp.Seq(), tcp.Ack(), tcp.Flags(), tt.seq, tt.ack, tt.want)
				}
			})
		}
	}
}

// TestNoResetAfterTheStart: connections from before are not reset while they may live.
func TestNoResetAfterTheStart(t *testing.T) {
	s := refuseSite(t)
	s.engine.silent.Store(int64(s.now.Add(time.Minute)))
	ack := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPAck}
	s.process(outside, ack.frame(t), nil)
	if len(s.own) != 0 {
		t.Error("a reset left during the silence")
	}
	s.now = s.now.Add(time.Minute)
	s.process(outside, ack.frame(t), nil)
	if len(s.own) != 1 {
		t.Error("no reset left when all flows from before must be over")
	}
	// Whoever takes over from another director need not wait.
	s.engine.silent.Store(int64(s.now.Add(time.Minute)))
	s.engine.EndSilence()
	s.process(outside, ack.frame(t), nil)
	if len(s.own) != 1 {
		t.Error("no reset left after the silence was ended")
	}
}

// TestErrorsAreLimited as the kernel's are: for each receiver and in all.
func TestErrorsAreLimited(t *testing.T) {
	s := refuseSite(t)
	refused := func(from netip.Addr) int {
		s.process(outside, segment{src: endpoint(from, 40000), dst: endpoint(vip4, 82), protocol: wire.ProtoUDP}.frame(t), nil)
		return len(s.own)
	}
	sent := 0
	for range 20 {
		sent += refused(client4)
	}
	if sent != peerBurst {
		t.Errorf("one client had %d errors at once, want %d", sent, peerBurst)
	}
	s.now = s.now.Add(time.Second)
	if refused(client4) != 1 || refused(client4) != 0 {
		t.Error("a second later a client has another error, and one only")
	}
	s.now = s.now.Add(time.Second)
	sent = 0
	for i := range 200 {
		sent += refused(netip.AddrFrom4([4]byte{203, 0, 114, byte(i)}))
	}
	if sent != errorBurst {
		t.Errorf("all clients had %d errors at once, want %d", sent, errorBurst)
	}
	if n := s.worker.Info().Made[MadeSuppressed]; n != 20-peerBurst+1+200-errorBurst {
		t.Errorf("%d errors were suppressed, want %d", n, 20-peerBurst+1+200-errorBurst)
	}
	resets := 0
	for i := range resetBurst + 10 {
		s.process(outside, segment{src: endpoint(client4, uint16(i+1)), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), nil)
		resets += len(s.own)
	}
	if resets != resetBurst {
		t.Errorf("%d resets at once, want %d", resets, resetBurst)
	}
}

// TestErrorIsHeldLikeAnyPacket until its receiver is resolved, and counts for no frame.
func TestErrorIsHeldLikeAnyPacket(t *testing.T) {
	s := refuseSite(t)
	n := siteNetwork()
	bare := n
	bare.Neighbours = n.Neighbours[1:]
	s.engine.SetRoutes(NewRoutes(bare))
	s.process(outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 82), protocol: wire.ProtoUDP}.frame(t), nil)
	if len(s.own) != 0 || s.worker.holder.used != 1 {
		t.Fatalf("%d frames sent, %d held; want the error held", len(s.own), s.worker.holder.used)
	}
	before := s.reasons()
	s.engine.SetRoutes(NewRoutes(n))
	s.worker.retryHeld(s.now, &s.worker.out)
	if left := s.worker.out.ports[outside-1]; len(left) != 1 || s.reasons() != before {
		t.Errorf("%d frames left, counted as received: %t; want the error, which nobody received", len(left), s.reasons() != before)
	}
}

// TestNatICMPSend: a NAT server that sends on a connection that is not known is told so, but
// for a reset, and the director's own connections to it stay.
func TestNatICMPSend(t *testing.T) {
	s := refuseSite(t)
	settings := DefaultSysctls()
	settings.NatICMPSend = true
	s.engine.SetSysctls(settings)
	g := segment{src: endpoint(server4(0), 8080), dst: netip.MustParseAddrPort("203.0.113.77:9"), protocol: wire.ProtoTCP, flags: wire.TCPAck}
	out, _, reason := s.process(inside, g.frame(t), nil)
	if out != nil || reason != DropStranger || len(s.own) != 1 || s.own[0].via != inside {
		t.Fatalf("%s with %d frames of our own, want %s and an error", reason, len(s.own), DropStranger)
	}
	const want = "198.51.100.1>198.51.100.11 ttl 64 type 3 code 3 rest 0 about 198.51.100.11:8080>203.0.113.77:9 with 20 bytes"
	if got := describeError(t, &s.own[0].frame); got[36:] != want {
		t.Errorf("sent %s\nwant %s", got[36:], want)
	}
	g.flags = wire.TCPRst
	if out, _, reason := s.process(inside, g.frame(t), nil); out == nil {
		t.Errorf("a reset: %s, want it routed", reason)
	}
	g.flags, g.dst = wire.TCPAck, netip.MustParseAddrPort("198.51.100.1:39000")
	if _, _, reason := s.process(inside, g.frame(t), nil); reason != PassLocal {
		t.Errorf("an answer to the director: %s, want %s", reason, PassLocal)
	}
}
