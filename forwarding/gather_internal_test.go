package forwarding

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"uvs/internal/wire"
)

// cut4 cuts an IPv4 frame into fragments of at most mtu bytes, in the obvious way.
func cut4(frame []byte, mtu int, flags uint16) (list [][]byte) {
	h := wire.IPv4(frame[14:])
	n := h.HeaderLen()
	payload := frame[14+n : 14+h.TotalLen()]
	room := (mtu - n) / 8 * 8
	for at := 0; at < len(payload); at += room {
		part := payload[at:min(at+room, len(payload))]
		b := append(bytes.Clone(frame[:14+n]), part...)
		g := wire.IPv4(b[14:])
		g.SetTotalLen(n + len(part))
		more := flags
		if at+room < len(payload) {
			more |= wire.IPv4MoreFragments
		}
		g.SetFragment(more, at)
		g.SetChecksum(0)
		g.SetChecksum(wire.Checksum(g[:n]))
		list = append(list, b)
	}
	return list
}

// cut6 does so for IPv6, behind extensions bytes of other headers.
func cut6(frame []byte, mtu, extensions int, id uint32) (list [][]byte) {
	head := 14 + 40 + extensions
	payload := frame[head:]
	room := (mtu - 40 - extensions - 8) / 8 * 8
	at := 14 + 6
	if extensions > 0 {
		at = 14 + 40
	}
	for off := 0; off < len(payload); off += room {
		part := payload[off:min(off+room, len(payload))]
		b := append(bytes.Clone(frame[:head]), make([]byte, 8)...)
		b = append(b, part...)
		wire.IPv6Fragment(b[head:]).Init(b[at], off, off+room < len(payload), id)
		b[at] = wire.ProtoFragment
		wire.IPv6(b[14:]).SetPayloadLen(len(b) - 54)
		list = append(list, b)
	}
	return list
}

// join6 puts IPv6 fragments together that left, and takes the fragment header out.
func join6(t testing.TB, frames []sent, mtu int) []byte {
	t.Helper()
	var whole []byte
	id := uint32(0)
	for i, s := range frames {
		b := s.frame.Data
		_, off, at, reason := skipExtensionHeaders(b[14:], b[20], false)
		if reason != PassFragment || len(b)-14 > mtu || len(b)-54 != wire.IPv6(b[14:]).PayloadLen() {
			t.Fatalf("frame %d of %d bytes is no right fragment for an MTU of %d: %s", i, len(b), mtu, reason)
		}
		h := wire.IPv6Fragment(b[14+off:])
		if i == 0 {
			whole = bytes.Clone(b[:14+off])
			whole[14+at] = h.NextHeader()
			id = h.ID()
		}
		if h.ID() != id || h.Offset() != len(whole)-14-off || h.MoreFragments() != (i < len(frames)-1) {
			t.Fatalf("frame %d is fragment %d at %d, more %t", i, h.ID(), h.Offset(), h.MoreFragments())
		}
		whole = append(whole, b[14+off+8:]...)
	}
	wire.IPv6(whole[14:]).SetPayloadLen(len(whole) - 54)
	return whole
}

// withHopByHop puts a hop-by-hop header behind the IPv6 header.
func withHopByHop(frame []byte) []byte {
	b := append(bytes.Clone(frame[:54]), frame[20], 0, 1, 4, 0, 0, 0, 0)
	b = append(b, frame[54:]...)
	b[20] = wire.ProtoHopByHop
	wire.IPv6(b[14:]).SetPayloadLen(len(b) - 54)
	return b
}

func arrow(src, dst netip.AddrPort) string {
	return fmt.Sprintf("%s:%d>%s:%d ttl 63", src.Addr(), src.Port(), dst.Addr(), dst.Port())
}

// TestFragmentsOfAFlow: datagrams that come in fragments, in any order, leave in fragments of
// the same size towards the server and back, translated as a whole.
func TestFragmentsOfAFlow(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, v6 := range []bool{false, true} {
		for _, method := range []Method{Masq, Route} {
			for _, size := range []int{1600, 4000, 20001, 60000} {
				for _, extensions := range []int{0, 8} {
					if extensions > 0 && !v6 {
						continue
					}
					t.Run(fmt.Sprintf("ipv6 %t, %s, %d bytes, extensions %d", v6, method, size, extensions), func(t *testing.T) {
						s := newSite(t)
						vip, client, server, port := vip4, client4, server4(0), uint16(7000)
						if v6 {
							vip, client, server = vip6, client6, server6(0)
						}
						if method == Masq {
							port = 7001
						}
						s.serve(vip, 7000, wire.ProtoUDP, method, port, 1)
						run := func(in int, g segment, mtu, out int, want string) {
							t.Helper()
							frame := g.frame(t)
							original := bytes.Clone(frame)
							var pieces [][]byte
							if v6 {
								if extensions > 0 {
									frame = withHopByHop(frame)
								}
								pieces = cut6(frame, mtu, extensions, r.Uint32())
							} else {
								pieces = cut4(frame, mtu, 0)
							}
							r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
							before := s.reasons()[Forwarded]
							for i, p := range pieces {
								left, _, reason := s.process(in, p, nil)
								if last := i == len(pieces)-1; left != nil || last != (reason == Forwarded) || !last && len(s.own) > 0 {
									t.Fatalf("fragment %d of %d: %s, %d frames of our own", i+1, len(pieces), name(reason), len(s.own))
								}
							}
							if n := s.reasons()[Forwarded] - before; n != uint64(len(pieces)) {
								t.Errorf("%d fragments count as forwarded, want %d", n, len(pieces))
							}
							if len(s.own) != len(pieces) || s.own[0].via != out {
								t.Fatalf("%d fragments left by port %d, want %d by %d", len(s.own), s.own[0].via, len(pieces), out)
							}
							var whole []byte
							if v6 {
								whole = join6(t, s.own, mtu)
							} else {
								whole = assemble(t, s.own, mtu)[0]
							}
							if got := describe(t, &Frame{Data: whole}); got[36:] != want {
								t.Errorf("left as %s, want %s", got[36:], want)
							}
							if !bytes.HasSuffix(whole, original[len(original)-size:]) {
								t.Error("the payload changed")
							}
						}
						to, from := endpoint(server, port), endpoint(vip, 7000)
						if method == Route {
							to = endpoint(vip, 7000)
						}
						c := endpoint(client, 40000)
						run(outside, segment{src: c, dst: endpoint(vip, 7000), protocol: wire.ProtoUDP, payload: size}, 1500, inside, arrow(c, to))
						if method == Masq {
							run(inside, segment{src: to, dst: c, protocol: wire.ProtoUDP, payload: size}, 1300, outside, arrow(from, c))
						}
						info := s.engine.Services()[0].Servers[0].Total
						if info.PacketsIn != 1 || method == Masq && info.PacketsOut != 1 {
							t.Errorf("counted %+v, want each datagram once", info)
						}
					})
				}
			}
		}
	}
}

// TestFragmentsToASmallerNextHop: they are cut smaller if they may be; their sender learns the
// MTU if not.
func TestFragmentsToASmallerNextHop(t *testing.T) {
	for _, tt := range []struct {
		name   string
		v6, df bool
		refuse bool
	}{{"ipv4", false, false, false}, {"ipv4 with DF", false, true, true}, {"ipv6", true, false, true}} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.serve(vip4, 7000, wire.ProtoUDP, Masq, 7001, 1)
			s.serve(vip6, 7000, wire.ProtoUDP, Masq, 7001, 1)
			s.narrow(1400, 1500)
			g := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 7000), protocol: wire.ProtoUDP, payload: 4000}
			var pieces [][]byte
			switch {
			case tt.v6:
				g.src, g.dst = endpoint(client6, 40000), endpoint(vip6, 7000)
				pieces = cut6(g.frame(t), 1500, 0, 1)
			case tt.df:
				pieces = cut4(g.frame(t), 1500, wire.IPv4DontFragment)
			default:
				pieces = cut4(g.frame(t), 1500, 0)
			}
			var reason Reason
			for _, p := range pieces {
				_, _, reason = s.process(outside, p, nil)
			}
			if tt.refuse {
				if reason != DropTooBig || len(s.own) != 1 || s.reasons()[DropTooBig] != uint64(len(pieces)) {
					t.Fatalf("%s with %d frames of our own, want %s for all fragments and an error", reason, len(s.own), DropTooBig)
				}
				describeError(t, &s.own[0].frame)
				return
			}
			if reason != Forwarded {
				t.Fatal(reason)
			}
			describe(t, &Frame{Data: assemble(t, s.own, 1400)[0]})
		})
	}
	t.Run("ipv4 with DF that fits", func(t *testing.T) {
		s := newSite(t)
		s.serve(vip4, 7000, wire.ProtoUDP, Masq, 7001, 1)
		for _, p := range cut4(segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 7000), protocol: wire.ProtoUDP, payload: 4000}.frame(t), 1500, wire.IPv4DontFragment) {
			s.process(outside, p, nil)
		}
		for _, x := range s.own {
			if !wire.IPv4(x.frame.Data[14:]).DontFragment() {
				t.Error("a fragment lost its DF")
			}
		}
		if len(s.own) != 3 {
			t.Errorf("%d fragments left, want 3", len(s.own))
		}
	})
}

// TestFragmentsOfOthers: a datagram for another port, or of a stranger, has the fate that it
// would have whole.
func TestFragmentsOfOthers(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   int
		g    segment
		want Reason
	}{
		{"another port of a virtual address", outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 99), protocol: wire.ProtoUDP, payload: 3000}, PassNotServed},
		{"a server's to a stranger", inside, segment{src: endpoint(server4(0), 7001), dst: netip.MustParseAddrPort("203.0.113.77:9"), protocol: wire.ProtoUDP, payload: 3000}, DropNotRouter},
		{"a server's to the director", inside, segment{src: endpoint(server4(0), 7001), dst: netip.MustParseAddrPort("198.51.100.1:9"), protocol: wire.ProtoUDP, payload: 3000}, PassLocal},
		{"a segment without a flow", outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPAck, payload: 3000}, DropNoFlow},
		{"a segment without a server", outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 82), protocol: wire.ProtoTCP, flags: wire.TCPSyn, payload: 3000}, DropNoServer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.serve(vip4, 7000, wire.ProtoUDP, Masq, 7001, 1)
			s.serve(vip4, 80, wire.ProtoTCP, Masq, 8080, 1)
			s.serve(vip4, 82, wire.ProtoTCP, Masq, 8080, 0)
			for _, p := range cut4(tt.g.frame(t), 1500, 0) {
				s.process(tt.in, p, nil)
			}
			if got := s.reasons()[tt.want]; got != 3 {
				t.Errorf("%d fragments count as %s, want 3", got, tt.want)
			}
			if answers := len(s.own); answers != 0 && tt.want != DropNoFlow && tt.want != DropNoServer {
				t.Errorf("%d frames of our own left", answers)
			}
		})
	}
}

// TestIncompleteDatagrams are given up, and count for what became of them.
func TestIncompleteDatagrams(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 7000, wire.ProtoUDP, Masq, 7001, 1)
	pieces := cut4(segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 7000), protocol: wire.ProtoUDP, payload: 6000}.frame(t), 1500, 0)
	send := func(i int) Reason {
		_, _, reason := s.process(outside, bytes.Clone(pieces[i]), nil)
		return reason
	}
	send(0)
	send(1)
	if got := send(1); got != DropFragmentAgain {
		t.Errorf("a fragment came twice: %s, want %s", name(got), DropFragmentAgain)
	}
	s.now = s.now.Add(fragmentTime - 1)
	s.worker.expireFragments(s.now)
	send(3)
	s.now = s.now.Add(1)
	s.worker.expireFragments(s.now)
	if got := s.reasons()[DropFragmentTimeout]; got != 3 {
		t.Errorf("%d fragments ran out of time, want 3", got)
	}
	send(0)
	overlap := bytes.Clone(pieces[1])
	h := wire.IPv4(overlap[14:34])
	h.SetFragment(wire.IPv4MoreFragments, h.FragmentOffset()-8)
	h.SetChecksum(0)
	h.SetChecksum(wire.Checksum(h))
	if s.process(outside, overlap, nil); s.reasons()[DropFragmentOverlap] != 2 {
		t.Errorf("%d fragments contradict each other, want both", s.reasons()[DropFragmentOverlap])
	}
	if n := s.engine.fragments.waiting(); n != 0 {
		t.Errorf("%d fragments are kept in the end", n)
	}
}

// TestCongestionMark: what a router marked on one fragment shows on the whole (RFC 3168,
// Section 5.3).
func TestCongestionMark(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 7000, wire.ProtoUDP, Route, 7000, 1)
	pieces := cut4(segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 7000), protocol: wire.ProtoUDP, payload: 3000}.frame(t), 1500, 0)
	for i, p := range pieces {
		h := wire.IPv4(p[14:34])
		h.SetTOS(0x02)
		if i == 1 {
			h.SetTOS(0x03)
		}
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(h))
		s.process(outside, p, nil)
	}
	for _, x := range s.own {
		if tos := wire.IPv4(x.frame.Data[14:]).TOS(); tos != 0x03 {
			t.Errorf("a fragment left with TOS %#x, want 0x03", tos)
		}
	}
}

// TestFragmentHeaderOfAWholePacket (RFC 6946) is no reason to wait.
func TestFragmentHeaderOfAWholePacket(t *testing.T) {
	s := newSite(t)
	s.serve(vip6, 7000, wire.ProtoUDP, Masq, 7001, 1)
	b := cut6(segment{src: endpoint(client6, 40000), dst: endpoint(vip6, 7000), protocol: wire.ProtoUDP, payload: 100}.frame(t), 1500, 0, 77)[0]
	out, _, reason := s.process(outside, b, nil)
	if out == nil || len(out.Data) != 14+40+8+8+100 || binary.BigEndian.Uint16(out.Data[14+40+8+2:]) != 7001 {
		t.Errorf("%s: %v, want it translated at once", name(reason), out)
	}
}
