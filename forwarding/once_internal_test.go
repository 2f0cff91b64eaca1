package forwarding

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// once makes a one-packet service of port 53 with three servers.
func (s *site) once(m Method, serverPort uint16, spec ServiceSpec) ServiceKey {
	s.t.Helper()
	key := s.serve(vip4, 53, wire.ProtoUDP, m, serverPort, 3)
	spec.Scheduler, spec.OnePacket = "rr", true
	s.update(func(tx *Tx) error { return tx.EditService(key, spec) })
	return key
}

// ask sends a datagram of the client's port and returns the server that got it.
func (s *site) ask(port uint16) string {
	s.t.Helper()
	out, via, reason := s.process(outside, segment{src: endpoint(client4, port), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 20}.frame(s.t), nil)
	if reason != Forwarded || via != inside {
		s.t.Fatalf("by port %d: %s", via, reason)
	}
	describe(s.t, out)
	return fmt.Sprintf("%v %v:%d", net.HardwareAddr(out.Data[:6]), netip.AddrFrom4([4]byte(out.Data[30:34])), wire.DestinationPort(out.Data[34:]))
}

func TestOnePacketScheduling(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    Method
		port uint16
		want []string
	}{
		{"NAT", Masq, 5353, []string{
			"02:00:00:00:02:03 198.51.100.13:5353", "02:00:00:00:02:02 198.51.100.12:5353", "02:00:00:00:02:01 198.51.100.11:5353", "02:00:00:00:02:03 198.51.100.13:5353",
		}},
		{"direct routing", Route, 53, []string{
			"02:00:00:00:02:03 192.0.2.10:53", "02:00:00:00:02:02 192.0.2.10:53", "02:00:00:00:02:01 192.0.2.10:53", "02:00:00:00:02:03 192.0.2.10:53",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.once(tt.m, tt.port, ServiceSpec{})
			for i, want := range tt.want {
				if got := s.ask(40000); got != want { // the same client's port each time
					t.Errorf("packet %d went to %s, want %s", i, got, want)
				}
			}
			if n := s.engine.flows.Len(); n != 0 {
				t.Errorf("%d flows are kept", n)
			}
			x := s.engine.Services()[0]
			if x.Total.Connections != 4 || x.Total.PacketsIn != 4 || x.Servers[0].Active+x.Servers[0].Inactive != 0 {
				t.Errorf("counted %+v, at the first server %d active, %d inactive", x.Total, x.Servers[0].Active, x.Servers[0].Inactive)
			}
		})
	}
}

// TestOnePacketAnswers: nothing remembers the packet, so its answer is routed as it is
// (ip_vs_out), or refused with nat_icmp_send.
func TestOnePacketAnswers(t *testing.T) {
	s := newSite(t)
	s.once(Masq, 5353, ServiceSpec{})
	n := siteNetwork()
	n.Forwarding4 = true
	s.engine.SetRoutes(NewRoutes(n))
	s.ask(40000)
	answer := segment{src: endpoint(server4(2), 5353), dst: endpoint(client4, 40000), protocol: wire.ProtoUDP, payload: 20}
	out, _, _ := s.process(inside, answer.frame(t), nil)
	if got, want := describe(t, out), "02:00:00:00:00:01>02:00:00:00:01:01 198.51.100.13:5353>203.0.113.5:40000 ttl 63"; got != want {
		t.Errorf("the answer left as %s, want %s", got, want)
	}
	settings := s.engine.Sysctls()
	settings.NatICMPSend = true
	s.engine.SetSysctls(settings)
	if _, _, reason := s.process(inside, answer.frame(t), nil); reason != DropStranger {
		t.Errorf("with nat_icmp_send: %s, want %s", reason, DropStranger)
	}
}

// TestOnePacketPersistence: templates are kept, and hold on to nothing.
func TestOnePacketPersistence(t *testing.T) {
	s := newSite(t)
	s.once(Masq, 5353, ServiceSpec{Persistence: time.Minute})
	first := s.ask(40000)
	for i := range uint16(5) {
		if got := s.ask(40001 + i); got != first {
			t.Fatalf("packet %d went to %s, want %s", i, got, first)
		}
	}
	if got := s.engine.flows.Len(); got != 1 || len(s.templates()) != 1 {
		t.Errorf("%d entries, templates %v; want one template", got, s.templates())
	}
	// Nothing of a flow is there that could prove the template right, and a flood does not end it.
	var thinner conntrack.Thinner
	if ended := s.engine.flows.Thin(&thinner, s.now.Add(time.Second), func(int) int { return 0 }); ended != 0 {
		t.Errorf("drop_entry ended %d entries", ended)
	}
	s.pass(61 * time.Second)
	if got := s.engine.flows.Len(); got != 0 {
		t.Errorf("%d entries after the template's time", got)
	}
}

// TestOnePacketIsForUDP: a flow that is there goes on, and TCP has flows all the same.
func TestOnePacketIsForUDP(t *testing.T) {
	s := newSite(t)
	key := s.serve(vip4, 53, wire.ProtoUDP, Masq, 5353, 3)
	first := s.ask(40000)
	s.update(func(tx *Tx) error { return tx.EditService(key, ServiceSpec{Scheduler: "rr", OnePacket: true}) })
	if got := s.ask(40000); got != first {
		t.Errorf("a flow from before went to %s, want %s", got, first)
	}
	tcp := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 3)
	s.update(func(tx *Tx) error { return tx.EditService(tcp, ServiceSpec{Scheduler: "rr", OnePacket: true}) })
	s.connect(client4, 40000, 80)
	if got := s.engine.flows.Len(); got != 2 {
		t.Errorf("%d flows, want that from before and one of TCP", got)
	}
}
