package forwarding

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"uvs/internal/wire"
)

// narrow makes the way to the servers and the one to the clients smaller.
func (s *site) narrow(servers, clients int) {
	n := siteNetwork()
	n.Forwarding4, n.Forwarding6 = true, true
	n.Links[0].MTU, n.Links[1].MTU = 9000, servers
	n.Links[0].Sources = prefixes("192.0.2.2/24", "2001:db8:2::2/64")
	n.Links[1].Sources = prefixes("198.51.100.1/24", "2001:db8:5::1/64")
	for i := range n.Routes {
		if n.Routes[i].Hops[0].Link == outside {
			n.Routes[i].MTU = clients
		}
	}
	s.engine.SetRoutes(NewRoutes(n))
}

// gsoFrame makes a frame that stands for several TCP segments, as GRO and local senders
// hand them over.
func gsoFrame(t testing.TB, g segment, size int, df bool) ([]byte, VnetHeader) {
	t.Helper()
	b := g.frame(t)
	if g.src.Addr().Is4() && df {
		h := wire.IPv4(b[14:34])
		h.SetFragment(wire.IPv4DontFragment, 0)
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(h))
	}
	v := vnetFor(b, true)
	v[1] = vnetTCPv4
	if g.src.Addr().Is6() {
		v[1] = 4
	}
	if g.protocol == wire.ProtoUDP {
		v[1] = vnetUDP
	}
	putNative(v[4:], uint16(size))
	return b, v
}

// A whole is an IPv4 packet put together from fragments in the obvious way.
type whole struct {
	header []byte
	bytes  []byte
	have   []bool
	end    int // −1: the last fragment is missing
}

// assemble puts the fragments that left together, by identification. Each must be right by
// itself and not longer than mtu.
func assemble(t testing.TB, frames []sent, mtu int) (packets [][]byte) {
	t.Helper()
	byID := map[uint16]*whole{}
	var order []uint16
	for _, s := range frames {
		b := s.frame.Data[14:]
		h := wire.IPv4(b)
		n := h.HeaderLen()
		if wire.Checksum(b[:n]) != 0 || h.TotalLen() != len(b) || len(b) > mtu {
			t.Fatalf("fragment of %d bytes, total length %d, header checksum residue %#x, MTU %d", len(b), h.TotalLen(), wire.Checksum(b[:n]), mtu)
		}
		w := byID[h.ID()]
		if w == nil {
			w = &whole{end: -1, bytes: make([]byte, 1<<16), have: make([]bool, 1<<16)}
			byID[h.ID()] = w
			order = append(order, h.ID())
		}
		at := h.FragmentOffset()
		if at == 0 {
			w.header = b[:n]
		}
		for i, x := range b[n:] {
			if w.have[at+i] {
				t.Fatalf("byte %d of packet %d left twice", at+i, h.ID())
			}
			w.bytes[at+i], w.have[at+i] = x, true
		}
		if !h.MoreFragments() {
			w.end = at + len(b) - n
		} else if (len(b)-n)%8 != 0 {
			t.Fatalf("a fragment with %d bytes is followed by another one", len(b)-n)
		}
	}
	for _, id := range order {
		w := byID[id]
		if w.header == nil || w.end < 0 || bytes.IndexByte(boolBytes(w.have[:w.end]), 0) >= 0 {
			t.Fatalf("packet %d is not complete", id)
		}
		p := append(bytes.Clone(w.header), w.bytes[:w.end]...)
		h := wire.IPv4(p)
		h.SetTotalLen(len(p))
		h.SetFragment(0, 0)
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(p[:h.HeaderLen()]))
		packets = append(packets, append(bytes.Clone(frames[0].frame.Data[:14]), p...))
	}
	return packets
}

func boolBytes(list []bool) []byte {
	b := make([]byte, len(list))
	for i, x := range list {
		if x {
			b[i] = 1
		}
	}
	return b
}

// TestStreamToASmallerNextHop: 1500-byte segments that offloads merged meet a next hop of
// 1400 bytes, in both directions and by both methods. With DF the sender learns the path MTU,
// without it each segment leaves in fragments and arrives as it was.
func TestStreamToASmallerNextHop(t *testing.T) {
	const mss, segments = 1460, 7
	for _, method := range []Method{Masq, Route} {
		for _, reply := range []bool{false, true} {
			for _, df := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, reply %t, DF %t", method, reply, df), func(t *testing.T) {
					if reply && method == Route {
						return // does not come by here
					}
					s := newSite(t)
					port := uint16(80)
					if method == Masq {
						port = 8080
					}
					s.serve(vip4, 80, wire.ProtoTCP, method, port, 1)
					if reply {
						s.narrow(1500, 1400)
					} else {
						s.narrow(1400, 1500)
					}
					client, vip, server := endpoint(client4, 40000), endpoint(vip4, 80), endpoint(server4(0), port)
					s.process(outside, segment{src: client, dst: vip, protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
					g := segment{src: client, dst: vip, protocol: wire.ProtoTCP, flags: wire.TCPAck | wire.TCPFin, payload: mss*segments - 100}
					in, via, sender, to := outside, inside, "192.0.2.10>203.0.113.5", fmt.Sprintf("%s>%s ttl 63", client, server)
					if method == Route {
						to = fmt.Sprintf("%s>%s ttl 63", client, vip)
					}
					if reply {
						g.src, g.dst = server, client
						in, via, sender, to = inside, outside, "198.51.100.1>198.51.100.11", fmt.Sprintf("%s>%s ttl 63", vip, client)
					}
					b, vnet := gsoFrame(t, g, mss, df)
					original := bytes.Clone(b)
					out, _, reason := s.process(in, b, vnet)
					if df {
						if out != nil || reason != DropTooBig || len(s.own) != 1 {
							t.Fatalf("%s, %d frames of our own; want %s and an error", reason, len(s.own), DropTooBig)
						}
						want := fmt.Sprintf("%s ttl 64 type 3 code 4 rest 1400 about %s>%s with 528 bytes", sender, g.src, g.dst)
						if got := describeError(t, &s.own[0].frame); got[36:] != want {
							t.Errorf("sent %s\nwant %s", got[36:], want)
						}
						return
					}
					// The last segment is short enough to leave whole.
					if out != nil || reason != Forwarded || len(s.own) != 2*segments-1 {
						t.Fatalf("%s in %d pieces, want %d", reason, len(s.own), 2*segments-1)
					}
					packets := assemble(t, s.own, 1400)
					if len(packets) != segments || s.own[0].via != via {
						t.Fatalf("%d segments by port %d, want %d by %d", len(packets), s.own[0].via, segments, via)
					}
					for i, p := range packets {
						f := &Frame{Data: p}
						if got := describe(t, f); got[36:] != to {
							t.Errorf("segment %d is %s, want %s", i, got[36:], to)
						}
						tcp := wire.TCP(p[34:])
						flags := uint8(wire.TCPAck)
						if i == segments-1 {
							flags |= wire.TCPFin
						}
						if tcp.Seq() != 1000+uint32(i*mss) || tcp.Flags() != flags || wire.IPv4(p[14:]).ID() != 7+uint16(i) {
							t.Errorf("segment %d has sequence number %d, flags %#x, identification %d", i, tcp.Seq(), tcp.Flags(), wire.IPv4(p[14:]).ID())
						}
						if !bytes.Equal(p[54:], original[54+i*mss:min(54+(i+1)*mss, len(original))]) {
							t.Errorf("the payload of segment %d changed", i)
						}
					}
				})
			}
		}
	}
}

// TestPacketsToASmallerNextHop: whole packets, at the edge and above, with unfinished
// checksums and without.
func TestPacketsToASmallerNextHop(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload int // of UDP
		df      bool
		partial bool
		pieces  int // 0: leaves as it is; −1: is refused
	}{
		{"fits exactly", 1400 - 28, true, false, 0},
		{"one byte too many", 1400 - 27, false, false, 2},
		{"one byte too many with DF", 1400 - 27, true, false, -1},
		{"unfinished checksum", 1400, false, true, 2},
		{"several fragments", 4000, false, false, 3},
		{"as long as can be", 65535 - 28, false, false, 48},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.serve(vip4, 53, wire.ProtoUDP, Masq, 5353, 1)
			s.narrow(1400, 1500)
			g := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: tt.payload}
			b := g.frame(t)
			if tt.df {
				h := wire.IPv4(b[14:34])
				h.SetFragment(wire.IPv4DontFragment, 0)
				h.SetChecksum(0)
				h.SetChecksum(wire.Checksum(h))
			}
			out, _, reason := s.process(outside, b, vnetFor(b, tt.partial))
			switch {
			case tt.pieces == 0:
				if out == nil || len(s.own) != 0 {
					t.Errorf("%s with %d frames of our own, want it forwarded as it is", reason, len(s.own))
				}
			case tt.pieces < 0:
				if reason != DropTooBig || len(s.own) != 1 {
					t.Errorf("%s with %d frames of our own, want an error", reason, len(s.own))
				}
			default:
				if reason != Forwarded || len(s.own) != tt.pieces || s.worker.Info().Made[MadeFragment] != uint64(tt.pieces) {
					t.Fatalf("%s with %d fragments, want %d", reason, len(s.own), tt.pieces)
				}
				packets := assemble(t, s.own, 1400)
				if got := describe(t, &Frame{Data: packets[0]}); len(packets) != 1 || got[36:] != "203.0.113.5:40000>198.51.100.11:5353 ttl 63" {
					t.Errorf("%d packets, the first %s", len(packets), got)
				}
			}
		})
	}
}

// TestIPv6ToASmallerNextHop: routers never fragment IPv6, and never ask for less than 1280.
func TestIPv6ToASmallerNextHop(t *testing.T) {
	for _, tt := range []struct{ mtu, payload, want int }{{1400, 1400, 1400}, {1280, 1233, 1280}, {1000, 1233, 1280}, {1400, 1400 - 48, 0}} {
		s := newSite(t)
		s.serve(vip6, 53, wire.ProtoUDP, Route, 53, 1)
		s.narrow(tt.mtu, 1500)
		out, _, reason := s.process(outside, segment{src: endpoint(client6, 40000), dst: endpoint(vip6, 53), protocol: wire.ProtoUDP, payload: tt.payload}.frame(t), nil)
		if tt.want == 0 {
			if out == nil {
				t.Errorf("%d bytes of payload: %s, want them forwarded", tt.payload, reason)
			}
			continue
		}
		if reason != DropTooBig || len(s.own) != 1 {
			t.Fatalf("%s with %d frames of our own, want an error", reason, len(s.own))
		}
		want := fmt.Sprintf("2001:db8:2::10>2001:db8:9::5 ttl 64 type 2 code 0 rest %d about [2001:db8:9::5]:40000>[2001:db8:2::10]:53 with %d bytes", tt.want, min(tt.payload+8, 1280-48-40))
		if got := describeError(t, &s.own[0].frame); got[36:] != want {
			t.Errorf("sent %s\nwant %s", got[36:], want)
		}
	}
}

// TestErrorToASmallerNextHop: an ICMP error itself is never refused for its length.
func TestErrorToASmallerNextHop(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	client, vip := endpoint(client4, 40000), endpoint(vip4, 80)
	s.process(outside, segment{src: client, dst: vip, protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
	s.narrow(500, 1500)
	m := icmpMessage{src: netip.MustParseAddr("203.0.113.99"), dst: vip4, kind: 3, code: 1, quoted: segment{src: vip, dst: client, protocol: wire.ProtoTCP, payload: 600}.quote(t, 548)}
	b := m.frame(t)
	h := wire.IPv4(b[14:34])
	h.SetFragment(wire.IPv4DontFragment, 0)
	h.SetChecksum(0)
	h.SetChecksum(wire.Checksum(h))
	_, _, reason := s.process(outside, b, nil)
	if reason != Forwarded || len(s.own) != 2 {
		t.Fatalf("%s in %d pieces, want 2", reason, len(s.own))
	}
	for _, p := range assemble(t, s.own, 500) {
		describeError(t, &Frame{Data: p})
	}
}

// TestOptionsOfFragments: options without the copied bit are in the first fragment only
// (RFC 791, Section 3.1).
func TestOptionsOfFragments(t *testing.T) {
	// No-operation, record route (not copied), strict source route (copied), end.
	options := []byte{1, 7, 7, 4, 0, 0, 0, 0, 0x89, 3, 4, 0}
	later := []byte{1, 1, 1, 1, 1, 1, 1, 1, 0x89, 3, 4, 0}
	b := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 2000}.frame(t)
	with := append(bytes.Clone(b[:34]), options...)
	with = append(with, b[34:]...)
	h := wire.IPv4(with[14 : 34+len(options)])
	h[0] = 0x40 | byte(len(h)/4)
	h.SetTotalLen(len(with) - 14)
	h.SetChecksum(0)
	h.SetChecksum(wire.Checksum(h))
	s := newSite(t)
	s.serve(vip4, 53, wire.ProtoUDP, Route, 53, 1)
	s.narrow(600, 1500)
	if _, _, reason := s.process(outside, with, nil); reason != Forwarded || len(s.own) < 3 {
		t.Fatalf("%s in %d fragments", reason, len(s.own))
	}
	assemble(t, s.own, 600)
	for i, x := range s.own {
		want := options
		if i > 0 {
			want = later
		}
		if got := x.frame.Data[34:46]; !bytes.Equal(got, want) {
			t.Errorf("fragment %d has options %v, want %v", i, got, want)
		}
	}
}

// TestMalformedOptions neither panic nor go on without end.
func TestMalformedOptions(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		b := make([]byte, 4*r.IntN(11))
		for i := range b {
			b[i] = byte(r.IntN(12))
		}
		blankOptions(b)
	}
}

// TestScratchRunsLow: a batch that needs more memory of the worker's own than there is takes
// several rounds, and nothing is lost.
func TestScratchRunsLow(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 53, wire.ProtoUDP, Route, 53, 1)
	s.narrow(100, 1500)
	datagram := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 65000}.frame(t)
	in, pieces, rounds := make([]Frame, 40), 0, 0
	for i := range in {
		in[i] = Frame{Data: bytes.Clone(datagram)}
	}
	for len(in) > 0 {
		in = in[s.worker.Process(in, s.now, &s.worker.out):]
		pieces += len(s.worker.out.ports[inside-1])
		s.worker.out.reset(2)
		rounds++
	}
	if want := 40 * ((65008 + 79) / 80); pieces != want || s.reasons()[Forwarded] != 40 || rounds < 2 || rounds > 10 {
		t.Errorf("%d pieces in %d rounds, %d datagrams forwarded; want %d, a few, 40", pieces, rounds, s.reasons()[Forwarded], want)
	}
}

// TestScratchEnds: a packet for whose fragments there is no memory leaves in none.
func TestScratchEnds(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 53, wire.ProtoUDP, Route, 53, 1)
	s.narrow(1400, 1500)
	f := Frame{Data: segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 65000}.frame(t)}
	s.worker.Process(nil, s.now, &s.worker.out)
	s.worker.scratch.used = scratchBytes - 65000
	if reason := s.worker.process(&f, s.now, &s.worker.out); reason != DropNoScratch || len(s.worker.out.ports[inside-1]) != 0 {
		t.Errorf("%s with %d fragments, want %s and none", reason, len(s.worker.out.ports[inside-1]), DropNoScratch)
	}
}
