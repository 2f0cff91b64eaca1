package steer_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/internal/steer"
)

// Numbers of IPv6 extension headers, RFC 8200.
const (
	hopByHop = 0
	routing  = 43
	fragment = 44
	auth     = 51
	destOpts = 60
	mobility = 135
)

const (
	tcp  = 6
	udp  = 17
	sctp = 132
	icmp = 1
)

// broadcast is the Ethernet address of everybody.
var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// An ext is an IPv6 extension header.
type ext struct {
	kind    byte
	more    byte   // bytes beyond the first eight, in eights
	fragOff uint16 // of a fragment header, in bytes
}

// A flow describes a frame to build.
type flow struct {
	to       net.HardwareAddr
	src, dst netip.AddrPort
	proto    byte
	options  int    // bytes of IPv4 options
	fragOff  uint16 // of an IPv4 packet, in bytes
	exts     []ext  // of an IPv6 packet
	padding  int    // bytes of further payload
}

// frame returns the Ethernet frame of the flow, with right lengths and checksums.
func (f flow) frame(t testing.TB) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: f.to, EthernetType: layers.EthernetTypeIPv6}
	if f.to == nil {
		eth.DstMAC = make(net.HardwareAddr, 6)
	}
	l4 := f.transport(t)
	if f.dst.Addr().Is6() {
		kind, chain := f.chain()
		return serialize(t, eth, &layers.IPv6{
			Version: 6, NextHeader: layers.IPProtocol(kind), HopLimit: 64,
			SrcIP: f.src.Addr().AsSlice(), DstIP: f.dst.Addr().AsSlice(),
		}, gopacket.Payload(append(chain, l4...)))
	}
	eth.EthernetType = layers.EthernetTypeIPv4
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocol(f.proto), FragOffset: f.fragOff / 8,
		SrcIP: f.src.Addr().AsSlice(), DstIP: f.dst.Addr().AsSlice(),
	}
	for range f.options {
		ip.Options = append(ip.Options, layers.IPv4Option{OptionType: 1}) // no operation
	}
	return serialize(t, eth, ip, gopacket.Payload(l4))
}

// transport returns the TCP SYN, UDP datagram, SCTP packet or echo request of the flow.
func (f flow) transport(t testing.TB) []byte {
	t.Helper()
	payload := gopacket.Payload(make([]byte, 5+f.padding))
	var network gopacket.NetworkLayer = &layers.IPv4{SrcIP: f.src.Addr().AsSlice(), DstIP: f.dst.Addr().AsSlice()}
	if f.dst.Addr().Is6() {
		network = &layers.IPv6{SrcIP: f.src.Addr().AsSlice(), DstIP: f.dst.Addr().AsSlice()}
	}
	switch f.proto {
	case tcp:
		h := &layers.TCP{SrcPort: layers.TCPPort(f.src.Port()), DstPort: layers.TCPPort(f.dst.Port()), SYN: true, Window: 1024}
		_ = h.SetNetworkLayerForChecksum(network) // fails for other layers only
		return serialize(t, h, payload)
	case udp:
		h := &layers.UDP{SrcPort: layers.UDPPort(f.src.Port()), DstPort: layers.UDPPort(f.dst.Port())}
		_ = h.SetNetworkLayerForChecksum(network)
		return serialize(t, h, payload)
	case sctp:
		return serialize(t, &layers.SCTP{SrcPort: layers.SCTPPort(f.src.Port()), DstPort: layers.SCTPPort(f.dst.Port())}, payload)
	}
	return serialize(t, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}, payload)
}

// chain returns the extension headers and the number of the first.
func (f flow) chain() (first byte, b []byte) {
	first = f.proto
	for _, e := range slices.Backward(f.exts) {
		h := make([]byte, 8+8*int(e.more))
		h[0], h[1] = first, e.more
		switch e.kind {
		case fragment:
			h = h[:8]
			h[1] = 0
			binary.BigEndian.PutUint16(h[2:], e.fragOff|1)
		case auth:
			h[1] = 2 * e.more // in fours, not counting the first two
		}
		first, b = e.kind, append(h, b...)
	}
	return first, b
}

func serialize(t testing.TB, list ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// testRules returns rules in which a few addresses and ports occur in every role, so that random
// frames often meet them.
func testRules(links ...int) steer.Rules {
	link := 1
	if len(links) > 0 {
		link = links[0]
	}
	pattern := func(take bool, to, from string, proto uint8, first, last uint16, link int) steer.Pattern {
		x := steer.Pattern{Take: take, Destination: netip.MustParsePrefix(to), Proto: proto, First: first, Last: last, Link: link}
		if from != "" {
			x.Source = netip.MustParsePrefix(from)
		}
		return x
	}
	return steer.Rules{
		Links: links,
		Services: []steer.Match{
			match("198.51.100.80", 80, tcp), match("198.51.100.81", 0, udp), match("198.51.100.81", 80, sctp),
			match("2001:db8:1::80", 80, tcp), match("2001:db8:1::81", 0, udp), match("2001:db8:1::80", 0, sctp),
		},
		Servers: []steer.Match{
			match("192.0.2.201", 80, tcp), match("192.0.2.202", 0, udp), match("192.0.2.202", 0, sctp),
			match("2001:db8:2::201", 80, tcp), match("2001:db8:2::202", 0, udp), match("2001:db8:2::201", 80, sctp),
		},
		Patterns: []steer.Pattern{
			pattern(false, "198.51.100.80/32", "203.0.113.0/24", tcp, 81, 81, 0),
			pattern(true, "198.51.100.80/32", "", tcp, 81, 0x5000, link),
			pattern(true, "198.51.100.80/31", "", udp, 0, 81, link+1000),
			pattern(true, "203.0.113.9/32", "192.0.2.192/26", 0, 80, 80, link),
			pattern(false, "2001:db8:1::/64", "2001:db8:3::9/128", 0, 0, 0xffff, 0),
			pattern(true, "2001:db8:1::/64", "", 0, 80, 81, link),
			pattern(true, "2001:db8:3::9/128", "2001:db8::/33", sctp, 0, 80, 0),
			pattern(false, "198.51.100.80/31", "", tcp, 0, 0xffff, 0),
		},
		Locals: []netip.Addr{
			netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.80"),
			netip.MustParseAddr("2001:db8:2::1"), netip.MustParseAddr("2001:db8:1::80"),
		},
		FTPAddrs:      []netip.Addr{netip.MustParseAddr("198.51.100.81"), netip.MustParseAddr("2001:db8:1::81")},
		BriefServices: []steer.Match{match("198.51.100.80", 1024, tcp), match("2001:db8:1::80", 81, tcp)},
		BriefServers:  []steer.Match{match("192.0.2.201", 1024, tcp), match("2001:db8:2::201", 20, tcp)},
	}
}

func match(addr string, port uint16, proto uint8) steer.Match {
	return steer.Match{Addr: netip.MustParseAddr(addr), Port: port, Proto: proto}
}

// randomFlow returns a flow between the addresses of testRules and one that is in none of
// its lists.
func randomFlow(r *rand.Rand, maxExts int) flow {
	var addrs []netip.Addr
	rules := testRules()
	six := r.IntN(2) == 0
	for _, m := range slices.Concat(rules.Services, rules.Servers) {
		addrs = append(addrs, m.Addr)
	}
	addrs = append(addrs, rules.Locals...)
	addrs = append(addrs, netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8:3::9"))
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return a.Is6() != six })
	port := func() uint16 { return pick(r, []uint16{0, 80, 80, 80, 81, 20, 1023, 1024, 0x5000}) }
	f := flow{
		src:   netip.AddrPortFrom(pick(r, addrs), port()),
		dst:   netip.AddrPortFrom(pick(r, addrs), port()),
		proto: pick(r, []byte{tcp, tcp, tcp, udp, udp, udp, sctp, sctp, icmp}),
	}
	if !six {
		f.options = pick(r, []int{0, 0, 4, 40})
		f.fragOff = pick(r, []uint16{0, 0, 0, 8, 65528})
		return f
	}
	if r.IntN(2) == 0 {
		return f
	}
	for range r.IntN(maxExts + 1) {
		f.exts = append(f.exts, ext{
			kind:    pick(r, []byte{hopByHop, routing, fragment, destOpts, hopByHop, routing, fragment, destOpts, auth, mobility}),
			more:    pick(r, []byte{0, 0, 1, 5}),
			fragOff: pick(r, []uint16{0, 0, 0, 0, 0, 8}),
		})
	}
	return f
}

// hasOneFragmentHeader reports whether the flow has at most one fragment header.
func (f flow) hasOneFragmentHeader() bool {
	n := 0
	for _, e := range f.exts {
		if e.kind == fragment {
			n++
		}
	}
	return n <= 1
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
