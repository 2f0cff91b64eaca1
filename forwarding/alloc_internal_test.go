//go:build !race

package forwarding

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/forwarding/sched"
	"uvs/internal/wire"
)

// TestNoAllocs: no way through Process allocates: hit, miss, reply, hold, and every drop.
func TestNoAllocs(t *testing.T) {
	syn := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
	answer := segment{src: endpoint(server4(0), 80), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck}
	with := func(change func(b []byte)) []byte {
		b := syn.frame(t)
		change(b)
		return b
	}
	first := cut4(segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 3000}.frame(t), 1500, 0)[0]
	onVIP := func(port uint16) netip.AddrPort { return endpoint(vip4, port) }
	for _, tt := range []struct {
		name  string
		port  int
		frame []byte
		each  func(*site, []byte) // before each run
		want  Reason
	}{
		{"hit", outside, segment{src: syn.src, dst: syn.dst, protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), nil, Forwarded},
		{"reply", inside, answer.frame(t), nil, Forwarded},
		{"miss", outside, syn.frame(t), func(_ *site, b []byte) { // another client each time
			b[34]++
			b[35] += b[34]
		}, Forwarded},
		{"miss of a persistent service", outside, segment{src: syn.src, dst: onVIP(90), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), func(_ *site, b []byte) {
			b[34]++
			b[35] += b[34]
		}, Forwarded},
		{"template of a removed server", outside, segment{src: syn.src, dst: onVIP(90), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), func(s *site, b []byte) {
			b[34]++
			b[35] += b[34]
			s.engine.dests.get(conntrack.ServerID{Slot: 3 + uint32(b[34])%3, Gen: 1}).removed.Store(b[34]/3%2 == 0)
		}, Forwarded},
		{"ipv6 hit", outside, segment{src: endpoint(client6, 40000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil, Forwarded},
		{"udp hit", outside, segment{src: endpoint(client4, 40000), dst: onVIP(53), protocol: wire.ProtoUDP}.frame(t), nil, Forwarded},
		{"one packet", outside, segment{src: endpoint(client4, 40000), dst: onVIP(54), protocol: wire.ProtoUDP}.frame(t), nil, Forwarded},
		{"one packet of a persistent client", outside, segment{src: endpoint(client4, 40000), dst: onVIP(55), protocol: wire.ProtoUDP}.frame(t), nil, Forwarded},
		{"marked miss of a persistent client", outside, segment{src: syn.src, dst: onVIP(70), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), func(_ *site, b []byte) {
			b[34]++
			b[35] += b[34]
		}, Forwarded},
		{"sctp hit", outside, segment{src: endpoint(client4, 40000), dst: onVIP(80), protocol: wire.ProtoSCTP, flags: wire.SCTPInit}.frame(t), nil, Forwarded},
		{"sctp out of the blue", outside, segment{src: endpoint(client4, 5), dst: onVIP(80), protocol: wire.ProtoSCTP}.frame(t), nil, DropNoFlow},
		{"held", outside, segment{src: endpoint(client4, 40000), dst: onVIP(81), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), func(s *site, _ []byte) { s.worker.holder.used = 0 }, held},
		{"truncated", outside, with(func([]byte) {})[:20], nil, DropTruncated},
		{"bad IP header", outside, with(func(b []byte) { b[25]++ }), nil, DropIPHeader},
		{"bad TCP header", outside, with(func(b []byte) { b[46] = 0 }), nil, DropTransport},
		{"martian", outside, segment{src: netip.MustParseAddrPort("127.0.0.1:5"), dst: onVIP(80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil, DropMartian},
		{"ttl", outside, segment{src: syn.src, dst: syn.dst, protocol: wire.ProtoTCP, flags: wire.TCPSyn, ttl: 1}.frame(t), nil, DropTTL},
		{"no flow", outside, segment{src: endpoint(client4, 5), dst: onVIP(80), protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), nil, DropNoFlow},
		{"no server", outside, segment{src: endpoint(client4, 5), dst: onVIP(82), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil, DropNoServer},
		{"not served", outside, segment{src: endpoint(client4, 5), dst: onVIP(9999), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil, PassNotServed},
		{"not IP", outside, with(func(b []byte) { b[12] = 9 }), nil, PassNotIP},
		{"not a router", inside, segment{src: endpoint(server4(0), 80), dst: netip.MustParseAddrPort("203.0.113.9:9"), protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), nil, DropNotRouter},
		{"error to the server", outside, icmpMessage{src: client4, dst: vip4, kind: 3, code: 4, quoted: segment{src: syn.dst, dst: syn.src, protocol: wire.ProtoTCP}.quote(t, 8)}.frame(t), nil, Forwarded},
		{"error to the client", inside, icmpMessage{src: server4(0), dst: client4, kind: 3, code: 3, quoted: segment{src: syn.src, dst: answer.src, protocol: wire.ProtoTCP}.quote(t, 8)}.frame(t), nil, Forwarded},
		{"error with a wrong checksum", outside, spoil(icmpMessage{src: client4, dst: vip4, kind: 3, code: 4, quoted: segment{src: syn.dst, dst: syn.src, protocol: wire.ProtoTCP}.quote(t, 8)}.frame(t)), nil, DropICMPChecksum},
		{"fragments", outside, segment{src: endpoint(client4, 40000), dst: onVIP(53), protocol: wire.ProtoUDP, payload: 3000}.frame(t), nil, Forwarded},
		{"fragment again", outside, first, nil, DropFragmentAgain},
		{"too big", outside, segment{src: endpoint(client6, 40000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, payload: 1500}.frame(t), nil, DropTooBig},
		{"reset", outside, segment{src: endpoint(client6, 5), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), nil, DropNoFlow},
		{"orphan", inside, segment{src: endpoint(server4(0), 80), dst: netip.MustParseAddrPort("203.0.113.9:9"), protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), nil, DropOrphan},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := allocSite(t)
			if tt.want == DropOrphan {
				s.engine.direct.watch(s.now, time.Minute)
				n := siteNetwork()
				n.Forwarding4 = true
				s.engine.SetRoutes(NewRoutes(n))
			}
			s.process(outside, syn.frame(t), nil) // the flow of the hit and the reply
			work := make([]byte, len(tt.frame))
			before := s.reasons()
			if allocs := testing.AllocsPerRun(200, func() {
				if tt.each != nil {
					tt.each(s, tt.frame)
				}
				copy(work, tt.frame)
				s.worker.in[0] = Frame{Data: work, Port: tt.port - 1}
				s.worker.Process(s.worker.in[:1], s.now, &s.worker.out)
				s.worker.out.reset(2)
			}); allocs != 0 {
				t.Errorf("%v allocations per frame, want 0", allocs)
			}
			if tt.want != held && s.reasons()[tt.want] == before[tt.want] {
				t.Errorf("the frame did not end as %s", tt.want)
			}
		})
	}
}

// TestNoAllocsOfFragments: nor does what keeps, completes, cuts and gives up datagrams.
func TestNoAllocsOfFragments(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pieces [][]byte
		want   Reason
	}{
		{"ipv4", cut4(segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 5000}.frame(t), 1500, 0), Forwarded},
		{"ipv6", cut6(segment{src: endpoint(client6, 40000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, payload: 5000}.frame(t), 1500, 0, 1), Forwarded},
		{"incomplete", cut4(segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 5000}.frame(t), 1500, 0)[:3], DropFragmentTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := allocSite(t)
			work := make([][]byte, len(tt.pieces))
			for i := range work {
				work[i] = bytes.Clone(tt.pieces[i])
			}
			if allocs := testing.AllocsPerRun(200, func() {
				for i := range work {
					copy(work[i], tt.pieces[i])
					s.worker.in[i] = Frame{Data: work[i], Port: outside - 1}
				}
				s.worker.Process(s.worker.in[:len(work)], s.now, &s.worker.out)
				s.worker.out.reset(2)
				s.now = s.now.Add(fragmentTime)
				s.worker.expireFragments(s.now)
			}); allocs != 0 {
				t.Errorf("%v allocations per datagram, want 0", allocs)
			}
			if n := s.reasons()[tt.want]; n != uint64(201*len(work)) {
				t.Errorf("%d fragments ended as %s, want all", n, tt.want)
			}
		})
	}
}

// TestNoAllocsOfTunnels: nor does what goes through tunnels: alone, merged, fragmented, refused, and
// errors about it.
func TestNoAllocsOfTunnels(t *testing.T) {
	pair, spec := familyPairs()[1], TunnelSpec{Type: GUE, Port: 6080, Checksum: Checksum}
	g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoUDP, payload: 100}
	large, wide := g, g
	large.payload, wide.payload = 1460, 1300*9
	merged, vnet := gsoFrame(t, wide, 1300, true)
	refused := large.frame(t)
	mark(refused, 0, true)
	quoted := func(s *site) []byte {
		e := icmpMessage{src: pair.server, dst: pair.source, kind: 2, rest: 1300, quoted: s.tunnelled(g, true)}
		return e.frame(t)
	}
	for _, tt := range []struct {
		name  string
		port  int
		frame func(*site) []byte
		vnet  VnetHeader
		front int
		want  Reason
	}{
		{"in place", outside, func(*site) []byte { return g.frame(t) }, nil, 64, Forwarded},
		{"copied", outside, func(*site) []byte { return g.frame(t) }, nil, 0, Forwarded},
		{"merged", outside, func(*site) []byte { return merged }, vnet, 64, Forwarded},
		{"fragmented", outside, func(*site) []byte { return large.frame(t) }, nil, 64, Forwarded},
		{"refused", outside, func(*site) []byte { return refused }, nil, 64, DropTooBig},
		{"error", inside, quoted, nil, 64, PassTunnelError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.tunnelTo(pair, wire.ProtoUDP, spec)
			frame := tt.frame(s)
			work := append(make([]byte, tt.front), frame...)
			before := s.reasons()
			if allocs := testing.AllocsPerRun(200, func() {
				copy(work[tt.front:], frame)
				s.worker.in[0] = Frame{Data: work[tt.front:], Front: work[:tt.front], Vnet: tt.vnet, Port: tt.port - 1}
				s.worker.Process(s.worker.in[:1], s.now, &s.worker.out)
				s.worker.out.reset(2)
			}); allocs != 0 {
				t.Errorf("%v allocations per frame, want 0", allocs)
			}
			if n := s.reasons()[tt.want] - before[tt.want]; n != 201 {
				t.Errorf("%d frames ended as %s, want 201", n, tt.want)
			}
		})
	}
}

// passiveSite has answered a client's PASV, so that its numbers are shifted.
func passiveSite(t *testing.T) *ftpSite {
	t.Helper()
	s := newFTPSite(t, false)
	s.request(wire.TCPAck, 1000, 5000, "PASV\r\n")
	s.answer(wire.TCPAck, 5000, 1006, longAnswer)
	return s
}

// TestNoAllocsOfFTP: neither what passes on a control connection nor a command or an answer that
// makes a data connection allocates.
func TestNoAllocsOfFTP(t *testing.T) {
	s := passiveSite(t)
	seen := uint32(5000 + len(shortened))
	for _, c := range []struct {
		name string
		port int
		tcp  tcp
	}{
		{"a command", outside, tcp{src: s.client, dst: s.vip, flags: wire.TCPAck, seq: 1006, ack: seen, payload: "NOOP\r\n", sack: []uint32{seen, seen + 5}}},
		{"an answer", inside, tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: 5000 + uint32(len(longAnswer)), ack: 1012, payload: "200 OK\r\n"}},
		{"PASV", outside, tcp{src: s.client, dst: s.vip, flags: wire.TCPAck, seq: 1000, ack: 5000, payload: "PASV\r\n"}},
		{"its answer", inside, tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: 5000, ack: 1006, payload: longAnswer}},
		{"PORT", outside, tcp{src: s.client, dst: s.vip, flags: wire.TCPAck, seq: 1006, ack: seen, payload: "PORT 203,0,113,5,159,82\r\n"}},
	} {
		frame, vnet := c.tcp.frame(t)
		work, header := make([]byte, len(frame)), make(VnetHeader, len(vnet))
		before := s.reasons()
		if allocs := testing.AllocsPerRun(100, func() {
			copy(work, frame)
			copy(header, vnet)
			s.worker.in[0] = Frame{Data: work, Vnet: header, Port: c.port - 1}
			s.worker.Process(s.worker.in[:1], s.now, &s.worker.out)
			s.worker.out.Reset()
		}); allocs != 0 {
			t.Errorf("%s: %v allocations per frame, want 0", c.name, allocs)
		}
		if s.reasons()[Forwarded]-before[Forwarded] != 101 {
			t.Errorf("%s: not all went on", c.name)
		}
	}
}

// allocSite has a server to forward to on port 80, one whose MAC is unknown on 81, none on 82.
func allocSite(t testing.TB) *site {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	s.serve(vip4, 53, wire.ProtoUDP, Masq, 53, 1)
	s.serve(vip4, 80, wire.ProtoSCTP, Masq, 8080, 1)
	s.serveMark(7, false, ServiceSpec{Persistence: time.Hour}, Masq, 9090)
	s.engine.SetMarks([]MarkRule{
		{Mark: 8, Sources: prefixes("198.18.0.0/15"), Link: outside}, {Mark: 7, Destinations: prefixes("192.0.2.0/28"), Ports: []PortRange{{60, 70}}},
		{Mark: 9, Destinations: hosts4(vip4), Ports: []PortRange{{70, 79}}},
	})
	for port, persistence := range map[uint16]time.Duration{54: 0, 55: time.Hour} {
		k := s.serve(vip4, port, wire.ProtoUDP, Route, port, 1)
		s.update(func(tx *Tx) error {
			return tx.EditService(k, ServiceSpec{Scheduler: "rr", OnePacket: true, Persistence: persistence})
		})
	}
	s.serve(vip6, 80, wire.ProtoTCP, Masq, 80, 1)
	s.serve(vip4, 82, wire.ProtoTCP, Masq, 80, 0)
	persistent := s.serve(vip4, 90, wire.ProtoTCP, Masq, 90, 3)
	s.update(func(tx *Tx) error {
		return tx.EditService(persistent, ServiceSpec{Scheduler: "mh", Flags: sched.Fallback | sched.Port, Persistence: time.Hour})
	})
	k := s.serve(vip4, 81, wire.ProtoTCP, Masq, 80, 0)
	if err := s.engine.Update(func(tx *Tx) error {
		return tx.AddServer(k, netip.MustParseAddrPort("198.51.100.99:81"), ServerSpec{Method: Masq, Weight: 1})
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// BenchmarkProcess measures what a frame costs between Recv and Send, in batches of 64 as a
// worker has them.
func BenchmarkProcess(b *testing.B) {
	for _, bb := range []struct {
		name   string
		method Method
		reply  bool
	}{{"nat", Masq, false}, {"nat reply", Masq, true}, {"dr", Route, false}} {
		b.Run(bb.name, func(b *testing.B) {
			s := newSite(b)
			s.serve(vip4, 80, wire.ProtoTCP, bb.method, 80, 1)
			pristine := make([][]byte, batchFrames)
			for i := range pristine {
				client := endpoint(client4, uint16(40000+i))
				g := segment{src: client, dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
				s.process(outside, g.frame(b), nil)
				g.flags = wire.TCPAck
				if bb.reply {
					g.src, g.dst = endpoint(server4(0), 80), client
				}
				pristine[i] = g.frame(b)
			}
			in := outside
			if bb.reply {
				in = inside
			}
			work := make([][]byte, batchFrames)
			for i := range work {
				work[i] = bytes.Clone(pristine[i])
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range work {
					copy(work[i], pristine[i])
					s.worker.in[i] = Frame{Data: work[i], Port: in - 1}
				}
				s.worker.Process(s.worker.in, s.now, &s.worker.out)
				s.worker.out.reset(2)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchFrames, "ns/frame")
		})
	}
}

// TestNoAllocsWithPool: neither does one of a flow with a local end, nor of one into the host's
// own stack.
func TestNoAllocsWithPool(t *testing.T) {
	s := stackSite(t)
	s.pooled(s.serve(vip4, 81, wire.ProtoTCP, Masq, 80, 1), local4, 10000, 60000)
	s.serveOwn(vip4, Masq, endpoint(netip.MustParseAddr("127.0.0.1"), 8080))
	n := stackNetwork()
	n.Pools = []netip.Addr{local4}
	s.engine.SetRoutes(NewRoutes(n))
	syn := func(port uint16) []byte {
		return segment{src: endpoint(client4, 40000), dst: endpoint(vip4, port), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t)
	}
	out, _, _ := s.process(outside, syn(81), nil)
	local := wire.SourcePort(out.Data[wire.EthernetLen+wire.IPv4Len:])
	for _, tt := range []struct {
		name  string
		port  int
		frame []byte
		miss  bool
	}{
		{"miss", outside, syn(81), true},
		{"hit", outside, syn(81), false},
		{"reply", inside, segment{src: endpoint(server4(0), 80), dst: endpoint(local4, local), protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), false},
		{"into the stack", outside, syn(80), false},
		{"out of the stack", stackPort, segment{src: netip.MustParseAddrPort("127.0.0.1:8080"), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), false},
	} {
		frame, frames := make([]byte, len(tt.frame)), make([]Frame, 1)
		var last Reason
		n := testing.AllocsPerRun(500, func() {
			copy(frame, tt.frame)
			if tt.miss {
				tt.frame[34]++
				tt.frame[35] += tt.frame[34]
			}
			frames[0] = Frame{Data: frame, Port: tt.port - 1}
			last = s.worker.process(&frames[0], s.now, &s.worker.out)
			s.worker.out.Reset()
		})
		if n != 0 || last != Forwarded {
			t.Errorf("%s: %v allocations, %s", tt.name, n, last)
		}
	}
}

// BenchmarkBulk measures what a byte of a merged frame of 64 KiB costs: by NAT it leaves as it
// came, through tunnels in segments.
func BenchmarkBulk(b *testing.B) {
	for _, bb := range []struct {
		name   string
		method Method
		spec   TunnelSpec
	}{
		{"nat", Masq, TunnelSpec{}},
		{"ipip", Tunnel, TunnelSpec{}},
		{"gue", Tunnel, TunnelSpec{Type: GUE, Port: 6080}},
		{"gue csum", Tunnel, TunnelSpec{Type: GUE, Port: 6080, Checksum: Checksum}},
		{"gue remcsum", Tunnel, TunnelSpec{Type: GUE, Port: 6080, Checksum: RemoteChecksum}},
		{"gre csum", Tunnel, TunnelSpec{Type: GRE, Checksum: Checksum}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newSite(b)
			pair := familyPairs()[0]
			if bb.method == Masq {
				s.serve(pair.vip, 80, wire.ProtoTCP, Masq, 80, 1)
			} else {
				s.tunnelTo(pair, wire.ProtoTCP, bb.spec)
			}
			const size, payload, frames = 1400, 1400 * 46, 16
			g := segment{src: endpoint(pair.client, 40000), dst: endpoint(pair.vip, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
			s.process(outside, g.frame(b), nil)
			g.flags, g.payload = wire.TCPAck, payload
			pristine, vnet := gsoFrame(b, g, size, true)
			work := make([][]byte, frames)
			for i := range work {
				work[i] = bytes.Clone(pristine)
			}
			const headers = 64
			b.SetBytes(frames * payload)
			b.ReportAllocs()
			for b.Loop() {
				for i := range work {
					copy(work[i][:headers], pristine)
					s.worker.in[i] = Frame{Data: work[i], Vnet: vnet, Port: outside - 1}
				}
				for taken := 0; taken < frames; {
					taken += s.worker.Process(s.worker.in[taken:frames], s.now, &s.worker.out)
					s.worker.out.reset(2)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frames/payload, "ns/byte")
		})
	}
}
