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
	"uvs/internal/mono"
	"uvs/internal/wire"
)

const (
	outside = 1 // the port towards clients
	inside  = 2 // the port towards servers
)

var (
	outsideMAC = wire.MAC{2, 0, 0, 0, 0, 1}
	insideMAC  = wire.MAC{2, 0, 0, 0, 0, 2}
	gatewayMAC = wire.MAC{2, 0, 0, 0, 1, 1}
	clientMAC  = wire.MAC{2, 0, 0, 0, 1, 9}
	serverMACs = []wire.MAC{{2, 0, 0, 0, 2, 1}, {2, 0, 0, 0, 2, 2}, {2, 0, 0, 0, 2, 3}}
)

// A site is an engine with one worker between two ports, driven by hand.
type site struct {
	t      testing.TB
	engine *Engine
	worker *Worker
	now    mono.Time

	answering []ServiceKey
	own       []sent // frames that the worker made of the last one processed
}

// A sent is a copy of a frame that left, and its port.
type sent struct {
	frame Frame
	via   int
}

// nullPort is a port of which only the link matters.
type nullPort struct {
	link int
	mac  wire.MAC
	Port
}

func (p nullPort) Link() (int, wire.MAC) { return p.link, p.mac }
func (p nullPort) Close() error          { return nil }
func (p nullPort) Stats() PortStats      { return PortStats{} }
func (p nullPort) Recv([]Frame) (int, error) {
	return 0, nil
}

func newSite(t testing.TB) *site {
	t.Helper()
	e, err := New(Config{Workers: 1, Flows: conntrack.Config{MaxFlows: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	s := &site{t: t, engine: e, worker: e.Workers()[0], now: mono.Now()}
	s.worker.SetPorts([]Port{nullPort{link: outside, mac: outsideMAC}, nullPort{link: inside, mac: insideMAC}})
	s.worker.usePorts()
	e.SetRoutes(NewRoutes(siteNetwork()))
	return s
}

func siteNetwork() Network {
	n := Network{
		Links: []Link{{Index: outside, MAC: outsideMAC, MTU: 1500}, {Index: inside, MAC: insideMAC, MTU: 1500}},
		Routes: []RouteSpec{
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Hops: []HopSpec{{Link: outside, Gateway: netip.MustParseAddr("192.0.2.1")}}},
			{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Hops: []HopSpec{{Link: outside}}},
			{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Hops: []HopSpec{{Link: inside}}},
			{Prefix: netip.MustParsePrefix("::/0"), Hops: []HopSpec{{Link: outside, Gateway: netip.MustParseAddr("2001:db8:2::1")}}},
			{Prefix: netip.MustParsePrefix("2001:db8:5::/64"), Hops: []HopSpec{{Link: inside}}},
		},
		Neighbours: []Neighbour{
			{Link: outside, Addr: netip.MustParseAddr("192.0.2.1"), MAC: gatewayMAC},
			{Link: outside, Addr: netip.MustParseAddr("2001:db8:2::1"), MAC: gatewayMAC},
		},
		Locals: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("198.51.100.1/32"), netip.MustParsePrefix("2001:db8:5::1/128"),
			netip.PrefixFrom(vip4, 32), netip.PrefixFrom(vip6, 128),
		},
	}
	for i, mac := range serverMACs {
		n.Neighbours = append(n.Neighbours,
			Neighbour{Link: inside, Addr: server4(i), MAC: mac}, Neighbour{Link: inside, Addr: server6(i), MAC: mac})
	}
	return n
}

var (
	vip4    = netip.MustParseAddr("192.0.2.10")
	vip6    = netip.MustParseAddr("2001:db8:2::10")
	client4 = netip.MustParseAddr("203.0.113.5")
	client6 = netip.MustParseAddr("2001:db8:9::5")
)

func server4(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(11 + i)}) }

func server6(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 5, 15: byte(0x11 + i)})
}

// serve adds a service with servers of weight 1, in the order of their numbers.
func (s *site) serve(vip netip.Addr, port uint16, protocol uint8, m Method, serverPort uint16, servers int) ServiceKey {
	s.t.Helper()
	key := ServiceKey{vip, port, protocol}
	err := s.engine.Update(func(tx *Tx) error {
		if err := tx.AddService(key, ServiceSpec{Scheduler: "rr"}); err != nil {
			return err
		}
		for i := range servers {
			addr := server4(i)
			if vip.Is6() {
				addr = server6(i)
			}
			if err := tx.AddServer(key, netip.AddrPortFrom(addr, serverPort), ServerSpec{Method: m, Weight: 1}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if m == Masq { // as the daemon does for all servers of a configuration
		for i := range servers {
			addr := server4(i)
			if vip.Is6() {
				addr = server6(i)
			}
			s.answering = append(s.answering, ServiceKey{addr, serverPort, protocol})
		}
		s.engine.SetAnswering(s.answering)
	}
	return key
}

// process runs one frame through the worker and returns it as it leaves, by port, or nil.
// What the worker makes of its own is in s.own.
func (s *site) process(port int, data []byte, vnet VnetHeader) (out *Frame, via int, reason Reason) {
	s.t.Helper()
	return s.processFrame(port, Frame{Data: data, Vnet: vnet})
}

func (s *site) processFrame(port int, f Frame) (out *Frame, via int, reason Reason) {
	s.t.Helper()
	before := s.reasons()
	f.Port = port - 1
	frames := []Frame{f}
	s.own = nil
	s.worker.Process(frames, s.now, &s.worker.out)
	for i, list := range s.worker.out.ports {
		for j := range list {
			f := list[j]
			if f.made {
				f.Data = bytes.Clone(f.Data)
				s.own = append(s.own, sent{f, i + 1})
				continue
			}
			if out != nil {
				s.t.Fatal("one frame in, two out")
			}
			out, via = &f, i+1
		}
		s.worker.out.ports[i] = list[:0]
	}
	after := s.reasons()
	for r, n := range after {
		if n != before[r] {
			return out, via, Reason(r)
		}
	}
	return out, via, held
}

func (s *site) reasons() (n [reasonCount]uint64) {
	for r := range n {
		n[r] = s.worker.reasons.total[r].Load()
	}
	return n
}

// A segment describes a packet of a test.
type segment struct {
	src, dst netip.AddrPort
	protocol uint8
	flags    uint8 // of SCTP: the type of its one chunk
	payload  int
	ttl      uint8
	from     wire.MAC
}

func (g segment) frame(t testing.TB) []byte {
	t.Helper()
	if g.ttl == 0 {
		g.ttl = 64
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr(g.from[:]), DstMAC: net.HardwareAddr(outsideMAC[:])}
	var ip gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	if g.src.Addr().Is4() {
		eth.EthernetType = layers.EthernetTypeIPv4
		h := &layers.IPv4{Version: 4, TTL: g.ttl, Protocol: layers.IPProtocol(g.protocol), Id: 7,
			SrcIP: g.src.Addr().AsSlice(), DstIP: g.dst.Addr().AsSlice()}
		ip, network = h, h
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		h := &layers.IPv6{Version: 6, HopLimit: g.ttl, NextHeader: layers.IPProtocol(g.protocol),
			SrcIP: g.src.Addr().AsSlice(), DstIP: g.dst.Addr().AsSlice()}
		ip, network = h, h
	}
	var l4 gopacket.SerializableLayer
	payload := gopacket.Payload(bytes.Repeat([]byte("uvs!"), (g.payload+3)/4)[:g.payload])
	switch g.protocol {
	case wire.ProtoSCTP:
		l4 = &layers.SCTP{SrcPort: layers.SCTPPort(g.src.Port()), DstPort: layers.SCTPPort(g.dst.Port()), VerificationTag: 0x01020304}
		chunk := []byte{g.flags, 0, 0, 0}
		binary.BigEndian.PutUint16(chunk[2:], uint16(len(chunk)+g.payload))
		payload = append(chunk, payload...)
	case wire.ProtoTCP:
		h := &layers.TCP{SrcPort: layers.TCPPort(g.src.Port()), DstPort: layers.TCPPort(g.dst.Port()), Seq: 1000, Window: 500,
			FIN: g.flags&wire.TCPFin != 0, SYN: g.flags&wire.TCPSyn != 0, RST: g.flags&wire.TCPRst != 0, ACK: g.flags&wire.TCPAck != 0}
		h.SetNetworkLayerForChecksum(network) //nolint:errcheck // IPv4 and IPv6 are both known to it
		l4 = h
	default:
		h := &layers.UDP{SrcPort: layers.UDPPort(g.src.Port()), DstPort: layers.UDPPort(g.dst.Port())}
		h.SetNetworkLayerForChecksum(network) //nolint:errcheck // IPv4 and IPv6 are both known to it
		l4 = h
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, l4, payload); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// describe parses a frame with gopacket and verifies its checksums.
func describe(t testing.TB, f *Frame) string {
	t.Helper()
	if f == nil {
		return "nothing"
	}
	// Lazy, as gopacket does not look at lengths of SCTP's chunks.
	p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Lazy)
	if p.TransportLayer() == nil {
		t.Fatalf("frame that was sent does not parse: %v", p.ErrorLayer().Error())
	}
	eth := p.LinkLayer().(*layers.Ethernet)
	ttl := 0
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		ttl = int(ip.TTL)
		if wire.Checksum(f.Data[14:14+4*int(ip.IHL)]) != 0 {
			t.Errorf("IPv4 header checksum is wrong")
		}
	case *layers.IPv6:
		ttl = int(ip.HopLimit)
	}
	src, dst := p.NetworkLayer().NetworkFlow().Endpoints()
	sport, dport := p.TransportLayer().TransportFlow().Endpoints()
	verifyTransport(t, f, src.Raw(), dst.Raw())
	return fmt.Sprintf("%s>%s %s:%s>%s:%s ttl %d", eth.SrcMAC, eth.DstMAC, src, sport, dst, dport, ttl)
}

// verifyTransport completes a partial checksum as a network card would, then checks it.
func verifyTransport(t testing.TB, f *Frame, src, dst []byte) {
	t.Helper()
	var p Packet
	g := Frame{Data: f.Data, Vnet: f.Vnet}
	if r := Decode(&g, &p); r != Forwarded {
		t.Fatalf("frame that was sent does not decode: %s", r)
	}
	l4 := bytes.Clone(g.Data[p.l4:])
	if p.Tuple.Proto == wire.ProtoSCTP {
		if h := wire.SCTP(l4); f.Vnet.NeedsChecksum() || h.CRC() != h.Sum() {
			t.Errorf("checksum %#x of %#x, to be completed: %v", h.CRC(), h.Sum(), f.Vnet.NeedsChecksum())
		}
		return
	}
	off := wire.TCPChecksumOffset
	if p.Tuple.Proto == wire.ProtoUDP {
		off = wire.UDPChecksumOffset
		if l4[off] == 0 && l4[off+1] == 0 {
			return
		}
	}
	pseudo := wire.PseudoHeaderSum(src, dst, p.Tuple.Proto, len(l4))
	if f.Vnet.NeedsChecksum() {
		if got := uint16(l4[off])<<8 | uint16(l4[off+1]); got != pseudo {
			t.Errorf("partial checksum %#04x, want the pseudo header's sum %#04x", got, pseudo)
		}
		return
	}
	if got := wire.Sum(l4, pseudo); got != 0xffff {
		t.Errorf("transport checksum leaves %#04x, want 0xffff", got)
	}
}

func endpoint(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// vnetFor makes a virtio_net_hdr for a frame; with partial it also turns the frame's
// checksum into a partial one.
func vnetFor(frame []byte, partial bool) VnetHeader {
	v := make(VnetHeader, VnetLen)
	if !partial {
		return v
	}
	var p Packet
	f := Frame{Data: frame}
	Decode(&f, &p)
	off, at := wire.TCPChecksumOffset, p.l4
	if p.Tuple.Proto == wire.ProtoUDP {
		off = wire.UDPChecksumOffset
	}
	v[0] = vnetNeedsChecksum
	putNative(v[6:], uint16(at))
	putNative(v[8:], uint16(off))
	n := 4
	if p.Tuple.V6 {
		n = 16
	}
	sum := wire.PseudoHeaderSum(p.Tuple.Src[:n], p.Tuple.Dst[:n], p.Tuple.Proto, len(f.Data)-p.l4)
	frame[at+off], frame[at+off+1] = byte(sum>>8), byte(sum)
	return v
}

func putNative(b []byte, v uint16) {
	// virtio_net_hdr is in the machine's order; tests run on little-endian machines only.
	b[0], b[1] = byte(v), byte(v>>8)
}
