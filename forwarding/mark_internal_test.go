package forwarding

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// serveMark adds a service of a mark with a NAT or direct-routing server for each of the ports.
func (s *site) serveMark(mark uint32, v6 bool, spec ServiceSpec, m Method, ports ...uint16) ServiceKey {
	s.t.Helper()
	key := MarkKey(mark, v6)
	spec.Scheduler = "rr"
	s.update(func(tx *Tx) error {
		if err := tx.AddService(key, spec); err != nil {
			return err
		}
		for i, port := range ports {
			addr := server4(i)
			if v6 {
				addr = server6(i)
			}
			if err := tx.AddServer(key, netip.AddrPortFrom(addr, port), ServerSpec{Method: m, Weight: 1}); err != nil {
				return err
			}
		}
		return nil
	})
	return key
}

// deliver sends a packet that opens a connection and returns where it went, or why not.
func (s *site) deliver(protocol uint8, from, to netip.AddrPort) string {
	s.t.Helper()
	flags := uint8(wire.TCPSyn)
	if protocol == wire.ProtoSCTP {
		flags = wire.SCTPInit
	}
	out, _, reason := s.process(outside, segment{src: from, dst: to, protocol: protocol, flags: flags}.frame(s.t), nil)
	if out == nil {
		return reason.String()
	}
	text := describe(s.t, out)
	return text[strings.LastIndex(text, ">")+1 : strings.LastIndex(text, " ttl")]
}

func hosts4(list ...netip.Addr) (out []netip.Prefix) {
	for _, a := range list {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

func TestMarkKey(t *testing.T) {
	for _, tt := range []struct {
		key  ServiceKey
		mark uint32
		name string
	}{
		{MarkKey(7, false), 7, "FWM 7"},
		{MarkKey(7, true), 7, "FWM 7"},
		{MarkKey(0xfffffffe, true), 0xfffffffe, "FWM 4294967294"},
		{ServiceKey{vip4, 80, wire.ProtoTCP}, 0, "[192.0.2.10]:tcp:80"},
		{ServiceKey{vip6, 80, wire.ProtoSCTP}, 0, "[2001:db8:2::10]:sctp:80"},
		{ServiceKey{}, 0, "[invalid IP]:0:0"},
	} {
		if got := tt.key.Mark(); got != tt.mark || tt.key.String() != tt.name {
			t.Errorf("%+v: mark %d, %s; want %d, %s", tt.key, got, tt.key, tt.mark, tt.name)
		}
	}
	if MarkKey(7, false) == MarkKey(7, true) {
		t.Error("the families share a key")
	}
}

// TestServiceOfAMark: the mark counts before address and port, if it has a service.
func TestServiceOfAMark(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 8080, 1)
	s.serveMark(7, false, ServiceSpec{}, Masq, 0, 9090)
	s.serveMark(7, true, ServiceSpec{}, Route, 0)
	s.engine.SetMarks([]MarkRule{
		{Mark: 8, Destinations: hosts4(vip4), Ports: []PortRange{{88, 88}}},
		{Mark: 7, Protocol: wire.ProtoTCP, Destinations: hosts4(vip4, client4), Ports: []PortRange{{443, 443}, {8000, 8100}, {88, 88}}},
		{Mark: 7, Protocol: wire.ProtoTCP, Destinations: hosts4(vip4), Ports: []PortRange{{80, 80}}, Sources: prefixes("203.0.113.0/25")},
		{Mark: 0, Protocol: wire.ProtoUDP, Destinations: hosts4(vip4), Ports: []PortRange{{53, 53}}},
		{Mark: 7, Protocol: wire.ProtoUDP, Destinations: hosts4(vip4)},
		{Mark: 7, Protocol: wire.ProtoSCTP, Destinations: prefixes("192.0.2.8/29"), Link: outside},
		{Mark: 7, Destinations: prefixes("2001:db8:2::/64"), Link: inside},
		{Mark: 7, Destinations: hosts4(vip6), Ports: []PortRange{{80, 81}}},
	})
	near, far := endpoint(client4, 40000), netip.MustParseAddrPort("203.0.113.200:40000")
	for _, tt := range []struct {
		name     string
		protocol uint8
		from, to netip.AddrPort
		want     string
	}{
		{"the server with a port", wire.ProtoTCP, near, endpoint(vip4, 443), "198.51.100.12:9090"},
		{"the server without one", wire.ProtoTCP, near, endpoint(vip4, 8100), "198.51.100.11:8100"},
		{"beyond the range", wire.ProtoTCP, near, endpoint(vip4, 8101), "pass_not_served"},
		{"another protocol", wire.ProtoSCTP, near, endpoint(vip4, 443), "198.51.100.12:9090"}, // by the rule of SCTP
		{"an earlier rule's mark has no service", wire.ProtoTCP, near, endpoint(vip4, 88), "pass_not_served"},
		{"before the service of the address", wire.ProtoTCP, near, endpoint(vip4, 80), "198.51.100.11:80"},
		{"another source", wire.ProtoTCP, far, endpoint(vip4, 80), "198.51.100.11:8080"},
		{"all ports", wire.ProtoUDP, near, endpoint(vip4, 5000), "198.51.100.12:9090"},
		{"but one", wire.ProtoUDP, near, endpoint(vip4, 53), "pass_not_served"},
		{"not this host's", wire.ProtoTCP, netip.MustParseAddrPort("203.0.113.9:40000"), endpoint(client4, 443), "pass_not_served"},
		{"ipv6", wire.ProtoTCP, endpoint(client6, 40000), endpoint(vip6, 81), "2001:db8:2::10:81"},
		{"ipv6 by another device", wire.ProtoTCP, endpoint(client6, 40000), endpoint(vip6, 82), "pass_not_served"},
	} {
		if got := s.deliver(tt.protocol, tt.from, tt.to); got != tt.want {
			t.Errorf("%s: %s went to %s, want %s", tt.name, tt.to, got, tt.want)
		}
	}
	// What the servers answer is translated like any other.
	answer := segment{src: endpoint(server4(1), 9090), dst: near, protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck}
	out, _, _ := s.process(inside, answer.frame(t), nil)
	if got, want := describe(t, out), "02:00:00:00:00:01>02:00:00:00:01:01 192.0.2.10:443>203.0.113.5:40000 ttl 63"; got != want {
		t.Errorf("the answer left as %s, want %s", got, want)
	}
}

// TestMarkOfPortsFromZero: a range that begins with port 0, as iptables-save writes --dport :1023, is
// that range and not all ports.
func TestMarkOfPortsFromZero(t *testing.T) {
	m := newMarker([]MarkRule{{Mark: 7, Protocol: wire.ProtoTCP, Destinations: hosts4(vip4), Ports: []PortRange{{0, 1023}}}})
	for port, want := range map[uint16]uint32{0: 7, 80: 7, 1023: 7, 1024: 0, 8080: 0} {
		tuple := conntrack.Tuple{Dst: wireAddr(vip4), DstPort: port, Proto: wire.ProtoTCP}
		if got := m.mark(&tuple, outside); got != want {
			t.Errorf("port %d has mark %d, want %d", port, got, want)
		}
	}
}

// TestPersistenceByMark: all that has the mark goes to one server, by the port it was sent to.
func TestPersistenceByMark(t *testing.T) {
	s := newSite(t)
	key := s.serveMark(7, false, ServiceSpec{Persistence: time.Minute}, Masq, 9090, 9091, 9092)
	s.serveMark(7, true, ServiceSpec{Persistence: time.Minute}, Masq, 0)
	s.engine.SetMarks([]MarkRule{{Mark: 7, Destinations: hosts4(vip4, vip6)}})
	from := func(port uint16) netip.AddrPort { return endpoint(client4, port) }
	for i, got := range []string{
		s.deliver(wire.ProtoTCP, from(40000), endpoint(vip4, 80)), s.deliver(wire.ProtoTCP, from(40001), endpoint(vip4, 443)),
		s.deliver(wire.ProtoUDP, from(40000), endpoint(vip4, 443)), s.deliver(wire.ProtoSCTP, from(40000), endpoint(vip4, 99)),
	} {
		if want := fmt.Sprintf("198.51.100.13:%d", []int{80, 443, 443, 99}[i]); got != want {
			t.Errorf("connection %d went to %s, want %s", i, got, want)
		}
	}
	s.deliver(wire.ProtoTCP, endpoint(client6, 40000), endpoint(vip6, 80))
	if got, want := fmt.Sprint(s.templates()), "[NONE 1m0s 203.0.113.5:0>0.0.0.7:0>198.51.100.13:0 NONE 1m0s [2001:db8:9::5]:0>[0:7::]:0>[2001:db8:5::11]:0]"; got != want {
		t.Errorf("templates %s, want %s", got, want)
	}
	s.engine.flows.Each(s.now, func(e *conntrack.Entry) bool {
		if e.Template != (e.Proto == 0) {
			t.Errorf("listed with protocol %d: %+v", e.Proto, e)
		}
		return true
	})
	// A removed server's answers stay ours, of each protocol.
	s.update(func(tx *Tx) error { return tx.DeleteServer(key, netip.MustParseAddrPort("198.51.100.13:9092")) })
	if got, want := fmt.Sprint(s.engine.Lingering()), "[[198.51.100.13]:tcp:0 [198.51.100.13]:udp:0 [198.51.100.13]:sctp:0]"; got != want {
		t.Errorf("lingering %s, want %s", got, want)
	}
}

func TestFragmentsWithAMark(t *testing.T) {
	for _, rule := range []MarkRule{{Mark: 7, Destinations: hosts4(vip4)}, {Mark: 7}, {Mark: 7, Destinations: prefixes("192.0.0.0/16")}} {
		s := newSite(t)
		s.serveMark(7, false, ServiceSpec{}, Masq, 9090)
		s.engine.SetMarks([]MarkRule{rule})
		whole := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 400}.frame(t)
		for _, f := range cut4(whole, 300, 0) {
			s.process(outside, f, nil)
		}
		if len(s.own) != 2 {
			t.Errorf("%+v: %d fragments left, want 2", rule, len(s.own))
		}
		other := segment{src: endpoint(client4, 40000), dst: endpoint(client4, 53), protocol: wire.ProtoUDP, payload: 400}.frame(t)
		if _, _, reason := s.process(outside, cut4(other, 300, 0)[0], nil); reason != PassFragment {
			t.Errorf("%+v: a fragment for somebody else: %s", rule, reason)
		}
	}
}

func TestMarkErrors(t *testing.T) {
	s := newSite(t)
	key := s.serveMark(7, false, ServiceSpec{}, Masq)
	for _, tt := range []struct {
		name string
		do   func(tx *Tx) error
		want string
	}{
		{"a port", func(tx *Tx) error {
			k := MarkKey(9, false)
			k.Port = 80
			return tx.AddService(k, ServiceSpec{Scheduler: "rr"})
		}, "is more than a mark"},
		{"no mark", func(tx *Tx) error { return tx.AddService(MarkKey(0, false), ServiceSpec{Scheduler: "rr"}) }, "0.0.0.0 is not a unicast address"},
		{"again", func(tx *Tx) error { return tx.AddService(key, ServiceSpec{Scheduler: "rr"}) }, "Service already exists"},
		{"a server of the other family", func(tx *Tx) error { return tx.AddServer(key, endpoint(server6(0), 0), ServerSpec{Method: Masq}) }, "differ in address family"},
	} {
		if err := s.engine.Update(tt.do); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
		}
	}
}

// TestMarkerIsTheFirstRule: the map and the list together are the list alone.
func TestMarkerIsTheFirstRule(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	addr := func() netip.Addr {
		return netip.MustParseAddr(pick("192.0.2.10", "192.0.2.11", "192.0.3.1", "2001:db8::1", "2001:db8:1::1"))
	}
	prefix := func() netip.Prefix {
		return netip.MustParsePrefix(pick("192.0.2.10/32", "192.0.2.11/32", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::1/128", "2001:db8::/33", "::/0"))
	}
	protocol := func() uint8 { return []uint8{0, wire.ProtoTCP, wire.ProtoUDP, wire.ProtoSCTP}[r.IntN(4)] }
	exact, marked := 0, 0
	for range 3000 {
		var rules []MarkRule
		for i := range 1 + r.IntN(6) {
			x := MarkRule{Mark: uint32(i), Protocol: protocol(), Link: max(0, r.IntN(8)-5)}
			for range r.IntN(3) {
				x.Destinations = append(x.Destinations, prefix())
			}
			if r.IntN(4) == 0 {
				x.Sources = append(x.Sources, prefix())
			}
			for range r.IntN(3) {
				first := uint16(80 + r.IntN(3))
				x.Ports = append(x.Ports, PortRange{first, first + uint16(r.IntN(2)*r.IntN(5000))})
			}
			rules = append(rules, x)
		}
		m := newMarker(rules)
		exact += len(m.exact)
		for range 20 {
			src, dst := addr(), addr()
			if src.Is6() != dst.Is6() {
				continue
			}
			tp := conntrack.Tuple{Src: wireAddr(src), Dst: wireAddr(dst), DstPort: uint16(79 + r.IntN(6)), Proto: max(wire.ProtoTCP, protocol()), V6: src.Is6()}
			link := 1 + r.IntN(2)
			want := uint32(0)
			for i := range rules {
				x := &rules[i]
				has := func(list []netip.Prefix, a netip.Addr) bool {
					for _, p := range list {
						if p.Contains(a) {
							return true
						}
					}
					return len(list) == 0
				}
				fits := len(x.Ports) == 0
				for _, p := range x.Ports {
					fits = fits || p.First <= tp.DstPort && tp.DstPort <= p.Last
				}
				if fits && (x.Protocol == 0 || x.Protocol == tp.Proto) && (x.Link == 0 || x.Link == link) && has(x.Destinations, dst) && has(x.Sources, src) {
					want = x.Mark
					break
				}
			}
			if got := m.mark(&tp, link); got != want {
				t.Fatalf("%+v by link %d has mark %d, want %d by %+v", tp, link, got, want, rules)
			}
			if want != 0 {
				marked++
			}
		}
	}
	if exact == 0 || marked < 1000 {
		t.Errorf("%d places in maps, %d packets with a mark: the test says nothing", exact, marked)
	}
}
