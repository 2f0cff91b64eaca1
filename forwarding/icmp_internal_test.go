package forwarding

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// An icmpMessage describes an ICMP or ICMPv6 packet of a test.
type icmpMessage struct {
	src, dst   netip.Addr
	kind, code uint8
	rest       uint32
	quoted     []byte // what follows the eight bytes of header
	ttl        uint8
}

func (m icmpMessage) frame(t testing.TB) []byte {
	t.Helper()
	if m.ttl == 0 {
		m.ttl = 64
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr(gatewayMAC[:]), DstMAC: net.HardwareAddr(outsideMAC[:])}
	rest := binary.BigEndian.AppendUint32(nil, m.rest)
	var stack []gopacket.SerializableLayer
	if m.src.Is4() {
		eth.EthernetType = layers.EthernetTypeIPv4
		ip := &layers.IPv4{Version: 4, TTL: m.ttl, Protocol: layers.IPProtocolICMPv4, SrcIP: m.src.AsSlice(), DstIP: m.dst.AsSlice()}
		icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(m.kind, m.code), Id: binary.BigEndian.Uint16(rest), Seq: binary.BigEndian.Uint16(rest[2:])}
		stack = []gopacket.SerializableLayer{eth, ip, icmp, gopacket.Payload(m.quoted)}
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: m.ttl, NextHeader: layers.IPProtocolICMPv6, SrcIP: m.src.AsSlice(), DstIP: m.dst.AsSlice()}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(m.kind, m.code)}
		icmp.SetNetworkLayerForChecksum(ip) //nolint:errcheck // IPv6 is known to it
		stack = []gopacket.SerializableLayer{eth, ip, icmp, gopacket.Payload(append(rest, m.quoted...))}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// describeError parses an ICMP error with gopacket, verifies its checksums and those of the
// IP header inside, and describes it.
func describeError(t testing.TB, f *Frame) string {
	t.Helper()
	if f == nil {
		return "nothing"
	}
	p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default)
	eth := p.LinkLayer().(*layers.Ethernet)
	src, dst := p.NetworkLayer().NetworkFlow().Endpoints()
	head := fmt.Sprintf("%s>%s %s>%s", eth.SrcMAC, eth.DstMAC, src, dst)
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok {
		if wire.Checksum(ip.Contents) != 0 {
			t.Error("IPv4 header checksum is wrong")
		}
		icmp, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if !ok {
			t.Fatalf("no ICMP in %s", p)
		}
		if wire.Sum(ip.Payload, 0) != 0xffff {
			t.Error("ICMP checksum is wrong")
		}
		return fmt.Sprintf("%s ttl %d type %d code %d rest %d about %s", head, ip.TTL, icmp.TypeCode.Type(), icmp.TypeCode.Code(),
			uint32(icmp.Id)<<16|uint32(icmp.Seq), describeQuoted(t, icmp.Payload))
	}
	ip := p.NetworkLayer().(*layers.IPv6)
	icmp, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if !ok {
		t.Fatalf("no ICMPv6 in %s", p)
	}
	if wire.Sum(ip.Payload, wire.PseudoHeaderSum(ip.SrcIP, ip.DstIP, wire.ProtoICMPv6, len(ip.Payload))) != 0xffff {
		t.Error("ICMPv6 checksum is wrong")
	}
	return fmt.Sprintf("%s ttl %d type %d code %d rest %d about %s", head, ip.HopLimit, icmp.TypeCode.Type(), icmp.TypeCode.Code(),
		binary.BigEndian.Uint32(icmp.Payload), describeQuoted(t, icmp.Payload[4:]))
}

func describeQuoted(t testing.TB, b []byte) string {
	var src, dst netip.Addr
	var l4 []byte
	if b[0]>>4 == 4 {
		n := wire.IPv4(b).HeaderLen()
		if wire.Checksum(b[:n]) != 0 {
			t.Error("the checksum of the IPv4 header inside is wrong")
		}
		src, dst, l4 = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[n:]
	} else {
		src, dst, l4 = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[40:]
	}
	return fmt.Sprintf("%s>%s with %d bytes", endpoint(src, wire.SourcePort(l4)), endpoint(dst, wire.DestinationPort(l4)), len(l4))
}

// quote returns the IP packet of a segment, cut off behind n bytes of transport.
func (g segment) quote(t testing.TB, n int) []byte {
	b := g.frame(t)[wire.EthernetLen:]
	header := wire.IPv4Len
	if g.src.Addr().Is6() {
		header = wire.IPv6Len
	}
	return b[:min(header+n, len(b))]
}

// TestErrorsBothWays: errors about the packets of a flow reach the other end, translated as
// the packets are.
func TestErrorsBothWays(t *testing.T) {
	router4, router6 := netip.MustParseAddr("203.0.113.99"), netip.MustParseAddr("2001:db8:9::99")
	for _, family := range []struct {
		vip, client, server, router netip.Addr
		unreachable, tooBig         [2]uint8
		times                       [2]uint8
	}{
		{vip4, client4, server4(0), router4, [2]uint8{3, 3}, [2]uint8{3, 4}, [2]uint8{11, 0}},
		{vip6, client6, server6(0), router6, [2]uint8{1, 4}, [2]uint8{2, 0}, [2]uint8{3, 0}},
	} {
		for _, protocol := range []uint8{wire.ProtoTCP, wire.ProtoUDP} {
			for _, kind := range [][2]uint8{family.unreachable, family.tooBig, family.times, {4, 0}} {
				for _, method := range []Method{Masq, Route} {
					for _, quoted := range []int{8, 4, 300} {
						name := fmt.Sprintf("%s, protocol %d, type %d, %s, %d bytes", family.vip, protocol, kind[0], method, quoted)
						t.Run(name, func(t *testing.T) {
							s := newSite(t)
							port := uint16(80)
							if method == Masq {
								port = 8080
							}
							s.serve(family.vip, 80, protocol, method, port, 1)
							client, vip, server := endpoint(family.client, 40000), endpoint(family.vip, 80), endpoint(family.server, port)
							s.process(outside, segment{src: client, dst: vip, protocol: protocol, flags: wire.TCPSyn}.frame(t), nil)
							before := s.flow(t)

							// From a router on the client's side, about an answer of the service.
							answer := segment{src: vip, dst: client, protocol: protocol, flags: wire.TCPAck, payload: 500}
							m := icmpMessage{src: family.router, dst: family.vip, kind: kind[0], code: kind[1], rest: 1400, quoted: answer.quote(t, quoted)}
							out, via, reason := s.process(outside, m.frame(t), nil)
							to, inside1 := family.server, server
							if method == Route {
								to, inside1 = family.vip, vip
							}
							want := fmt.Sprintf("02:00:00:00:00:02>02:00:00:00:02:01 %s>%s ttl 63 type %d code %d rest 1400 about %s>%s with %d bytes",
								family.router, to, kind[0], kind[1], inside1, client, min(quoted, len(answer.quote(t, 9999))-len(answer.quote(t, 0))))
							if got := describeError(t, out); got != want || via != inside {
								t.Errorf("towards the server, by port %d: %s: %s\nwant %s", via, reason, got, want)
							}

							// From the server's side, about a request.
							request := segment{src: client, dst: server, protocol: protocol, flags: wire.TCPAck, payload: 500}
							m = icmpMessage{src: family.server, dst: family.client, kind: kind[0], code: kind[1], rest: 1400, quoted: request.quote(t, quoted)}
							out, via, reason = s.process(inside, m.frame(t), nil)
							if method == Route {
								if out != nil || reason != PassNotServed {
									t.Errorf("about a request by direct routing: %s, want it left to the kernel", reason)
								}
							} else {
								want = fmt.Sprintf("02:00:00:00:00:01>02:00:00:00:01:01 %s>%s ttl 63 type %d code %d rest 1400 about %s>%s with %d bytes",
									family.vip, family.client, kind[0], kind[1], client, vip, min(quoted, len(request.quote(t, 9999))-len(request.quote(t, 0))))
								if got := describeError(t, out); got != want || via != outside {
									t.Errorf("towards the client, by port %d: %s: %s\nwant %s", via, reason, got, want)
								}
							}
							if after := s.flow(t); after != before {
								t.Errorf("the errors changed the flow from %+v to %+v", before, after)
							}
							info := s.engine.Services()[0].Servers[0].Total
							if info.PacketsIn != 2 || method == Masq && info.PacketsOut != 1 {
								t.Errorf("counted %+v, want the errors among the packets", info)
							}
						})
					}
				}
			}
		}
	}
}

// flow returns the only flow.
func (s *site) flow(t testing.TB) (e conntrack.Entry) {
	t.Helper()
	n := 0
	s.engine.Flows().Each(s.now, func(x *conntrack.Entry) bool { e = *x; n++; return true })
	if n != 1 {
		t.Fatalf("%d flows, want 1", n)
	}
	return e
}

// TestMessagesThatAreNotForwarded: echo is the kernel's, and so is what has no flow.
func TestMessagesThatAreNotForwarded(t *testing.T) {
	answer := segment{src: endpoint(vip4, 80), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPAck}
	request := segment{src: endpoint(client4, 40000), dst: endpoint(server4(0), 80), protocol: wire.ProtoTCP, flags: wire.TCPAck}
	answer6 := segment{src: endpoint(vip6, 80), dst: endpoint(client6, 40000), protocol: wire.ProtoTCP, flags: wire.TCPAck}
	about := func(g segment, dst netip.Addr, change func(*icmpMessage)) []byte {
		m := icmpMessage{src: netip.MustParseAddr("203.0.113.99"), dst: dst, kind: 3, code: 1, quoted: g.quote(t, 8)}
		if dst.Is6() {
			m.src, m.kind = netip.MustParseAddr("2001:db8:9::99"), 1
		}
		if change != nil {
			change(&m)
		}
		return m.frame(t)
	}
	spoiled := func(b []byte, at int) []byte { b[at]++; return b }
	for _, tt := range []struct {
		name string
		data []byte
		vnet VnetHeader
		port int
		want Reason
	}{
		{"echo request", about(answer, vip4, func(m *icmpMessage) { m.kind = 8 }), nil, outside, PassProtocol},
		{"echo request over ipv6", about(answer6, vip6, func(m *icmpMessage) { m.kind = 128 }), nil, outside, PassProtocol},
		{"redirect", about(answer, vip4, func(m *icmpMessage) { m.kind = 5 }), nil, outside, PassProtocol},
		{"parameter problem", about(answer, vip4, func(m *icmpMessage) { m.kind = 12 }), nil, outside, PassProtocol},
		{"nothing inside", about(answer, vip4, func(m *icmpMessage) { m.quoted = nil }), nil, outside, PassProtocol},
		{"half an IP header inside", about(answer, vip4, func(m *icmpMessage) { m.quoted = m.quoted[:19] }), nil, outside, PassProtocol},
		{"half a port inside", about(answer, vip4, func(m *icmpMessage) { m.quoted = m.quoted[:23] }), nil, outside, PassProtocol},
		{"half an IPv6 header inside", about(answer6, vip6, func(m *icmpMessage) { m.quoted = m.quoted[:39] }), nil, outside, PassProtocol},
		{"an error inside", about(answer, vip4, func(m *icmpMessage) { m.quoted[9] = 1 }), nil, outside, PassProtocol},
		{"a later fragment inside", about(answer, vip4, func(m *icmpMessage) { m.quoted[7] = 1 }), nil, outside, PassProtocol},
		{"to another than the sender", about(answer, netip.MustParseAddr("192.0.2.2"), nil), nil, outside, PassProtocol},
		{"no flow", about(segment{src: endpoint(vip4, 80), dst: endpoint(client4, 40001), protocol: wire.ProtoTCP}, vip4, nil), nil, outside, PassNotServed},
		{"wrong checksum", spoiled(about(answer, vip4, nil), 14+20+6), nil, outside, DropICMPChecksum},
		{"wrong checksum over ipv6", spoiled(about(answer6, vip6, nil), 14+40+6), nil, outside, DropICMPChecksum},
		{"ttl", about(answer, vip4, func(m *icmpMessage) { m.ttl = 1 }), nil, outside, DropTTL},
		{"partial checksum of a packet inside", about(answer, vip4, nil), VnetHeader{1, 0, 0, 0, 0, 0, 50, 0, 16, 0}, outside, DropOffload},
		{"about a stranger's request while not a router", about(segment{src: endpoint(client4, 40001), dst: endpoint(server4(0), 80), protocol: wire.ProtoTCP}, client4, nil), nil, inside, DropNotRouter},
		{"about the director's own request", about(segment{src: netip.MustParseAddrPort("198.51.100.1:5"), dst: endpoint(server4(0), 80), protocol: wire.ProtoTCP}, netip.MustParseAddr("198.51.100.1"), nil), nil, inside, PassNotServed},
		{"about a request, spoiled", spoiled(about(request, client4, nil), 14+20+6), nil, inside, DropICMPChecksum},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
			s.serve(vip6, 80, wire.ProtoTCP, Masq, 80, 1)
			for _, g := range []segment{answer, answer6} {
				s.process(outside, segment{src: g.dst, dst: g.src, protocol: g.protocol, flags: wire.TCPSyn}.frame(t), nil)
			}
			out, _, reason := s.process(tt.port, tt.data, tt.vnet)
			if reason != tt.want || out != nil {
				t.Errorf("got %s and %v, want %s and nothing", reason, out, tt.want)
			}
		})
	}
}

// TestErrorWithUnfinishedChecksum: IPVS itself leaves the checksum of ICMPv6 that it
// translates to the device.
func TestErrorWithUnfinishedChecksum(t *testing.T) {
	s := newSite(t)
	s.serve(vip6, 80, wire.ProtoTCP, Masq, 80, 1)
	client, vip := endpoint(client6, 40000), endpoint(vip6, 80)
	s.process(outside, segment{src: client, dst: vip, protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
	m := icmpMessage{src: netip.MustParseAddr("2001:db8:9::99"), dst: vip6, kind: 2, rest: 1300,
		quoted: segment{src: vip, dst: client, protocol: wire.ProtoTCP, payload: 99}.quote(t, 500)}
	b := m.frame(t)
	ip := wire.IPv6(b[14:])
	sum := wire.PseudoHeaderSum(ip.Source(), ip.Destination(), wire.ProtoICMPv6, len(b)-54)
	wire.ICMP(b[54:]).SetChecksum(sum)
	out, _, reason := s.process(outside, b, VnetHeader{1, 0, 0, 0, 0, 0, 54, 0, 2, 0})
	if out == nil || out.Vnet.NeedsChecksum() {
		t.Fatalf("%s: %v, want it forwarded with a finished checksum", reason, out)
	}
	describeError(t, out)
}

// TestStrangersErrors: steering keeps errors about packets to a NAT server's port from the
// kernel, whoever's they are.
func TestStrangersErrors(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoUDP, Masq, 53, 1)
	n := siteNetwork()
	n.Forwarding4 = true
	s.engine.SetRoutes(NewRoutes(n))
	direct := segment{src: endpoint(client4, 40001), dst: endpoint(server4(0), 53), protocol: wire.ProtoUDP}
	m := icmpMessage{src: server4(0), dst: client4, kind: 3, code: 3, quoted: direct.quote(t, 8)}
	b := m.frame(t)
	want := bytes.Clone(b[14+20:])
	out, via, reason := s.process(inside, b, nil)
	if out == nil || via != outside || !bytes.Equal(out.Data[14+20:], want) {
		t.Errorf("%s by port %d, want it routed as it is", reason, via)
	}
}

func spoil(b []byte) []byte {
	b[14+20+6]++ // the part of an ICMP header that no error about ports uses
	return b
}
