package forwarding

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// persist gives the site a service that persists.
func (s *site) persist(spec ServiceSpec, port uint16, servers int) ServiceKey {
	s.t.Helper()
	key := ServiceKey{Addr: vip4, Port: port, Protocol: wire.ProtoTCP}
	if spec.Scheduler == "" {
		spec.Scheduler = "rr"
	}
	err := s.engine.Update(func(tx *Tx) error {
		if err := tx.AddService(key, spec); err != nil {
			return err
		}
		for i := range servers {
			if err := tx.AddServer(key, endpoint(server4(i), port), ServerSpec{Method: Masq, Weight: 1}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

// connect sends a SYN and returns the last byte of the server it went to, 0 for none.
func (s *site) connect(client netip.Addr, port, to uint16) (byte, Reason) {
	s.t.Helper()
	out, _, reason := s.process(outside, segment{src: endpoint(client, port), dst: endpoint(vip4, to), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(s.t), nil)
	if out == nil {
		return 0, reason
	}
	return out.Data[33], reason
}

// templates lists the persistence templates as ipvsadm would.
func (s *site) templates() []string {
	var list []string
	s.engine.Flows().Each(s.now, func(e *conntrack.Entry) bool {
		if e.Flags&conntrack.FlagTemplate != 0 {
			list = append(list, fmt.Sprintf("%s %s %s>%s>%s", e.State, e.Remaining.Round(time.Second), e.Client, e.Virtual, e.Dest))
		}
		return true
	})
	return list
}

func (s *site) update(change func(*Tx) error) {
	s.t.Helper()
	if err := s.engine.Update(change); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) pass(d time.Duration) {
	s.now = s.now.Add(d)
	for range 200 {
		s.engine.flows.Expire(s.now, 1<<20)
	}
}

func TestPersistence(t *testing.T) {
	s := newSite(t)
	key := s.persist(ServiceSpec{Persistence: 300 * time.Second}, 80, 3)
	first, _ := s.connect(client4, 40000, 80)
	for i := range uint16(5) {
		if got, reason := s.connect(client4, 40001+i, 80); got != first {
			t.Fatalf("connection %d went to .%d (%s), want .%d", i, got, reason, first)
		}
	}
	if other, _ := s.connect(netip.MustParseAddr("203.0.113.6"), 40000, 80); other == first {
		t.Errorf("another client went to .%d as well", other)
	}
	if got := s.engine.Services()[0].Servers; got[0].Persistent+got[1].Persistent+got[2].Persistent != 2 {
		t.Errorf("templates of the servers: %+v, want 2 in all", got)
	}
	want := fmt.Sprintf("NONE 5m0s 203.0.113.5:0>192.0.2.10:80>198.51.100.%d:80", first)
	if got := s.templates(); len(got) != 2 || got[0] != want && got[1] != want {
		t.Errorf("templates %v, want two with %s", got, want)
	}
	ack := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPAck}
	s.process(outside, ack.frame(t), nil)
	if got := fmt.Sprint(s.templates()); !strings.Contains(got, "ASSURED") {
		t.Errorf("after an established connection: %s, want one ASSURED", got)
	}

	// Weight 0 does not move the client, unless the sysctl says so.
	server := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, first}), 80)
	s.update(func(tx *Tx) error { return tx.EditServer(key, server, ServerSpec{Method: Masq}) })
	if got, _ := s.connect(client4, 41000, 80); got != first {
		t.Errorf("with weight 0 the client went to .%d, want .%d", got, first)
	}
	settings := s.engine.Sysctls()
	settings.ExpireQuiescentTemplate = true
	s.engine.SetSysctls(settings)
	moved, _ := s.connect(client4, 41001, 80)
	if moved == first {
		t.Errorf("with expire_quiescent_template the client stayed at .%d", moved)
	}
	if again, _ := s.connect(client4, 41002, 80); again != moved {
		t.Errorf("then it went to .%d, want .%d", again, moved)
	}
}

func TestPersistenceByNetwork(t *testing.T) {
	for _, tt := range []struct {
		mask  [16]byte
		a, b  string
		same  bool
		shown string
	}{
		{[16]byte{255, 255, 255, 0}, "203.0.113.5", "203.0.113.200", true, "203.0.113.0:0"},
		{[16]byte{255, 255, 255, 0}, "203.0.113.5", "203.0.114.5", false, "203.0.113.0:0"},
		{[16]byte{255, 0, 255, 255}, "203.0.113.5", "203.7.113.5", true, "203.0.113.5:0"},
		{[16]byte{}, "203.0.113.5", "203.0.113.6", false, "203.0.113.5:0"},
	} {
		s := newSite(t)
		s.persist(ServiceSpec{Persistence: time.Minute, Netmask: tt.mask}, 80, 3)
		a, _ := s.connect(netip.MustParseAddr(tt.a), 40000, 80)
		b, _ := s.connect(netip.MustParseAddr(tt.b), 40000, 80)
		if (a == b) != tt.same {
			t.Errorf("mask %v: %s went to .%d, %s to .%d", tt.mask[:4], tt.a, a, tt.b, b)
		}
		if got := fmt.Sprint(s.templates()); !strings.Contains(got, tt.shown) {
			t.Errorf("mask %v: templates %s, want one with %s", tt.mask[:4], got, tt.shown)
		}
	}
}

// TestAllPortsService: port 0 takes every port of its address, and a client's ports go to
// one server.
func TestAllPortsService(t *testing.T) {
	s := newSite(t)
	if err := s.engine.Update(func(tx *Tx) error {
		return tx.AddService(ServiceKey{Addr: vip4, Protocol: wire.ProtoTCP}, ServiceSpec{Scheduler: "rr"})
	}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a service of all ports without persistence: %v, want %v", err, ErrInvalid)
	}
	s.persist(ServiceSpec{Persistence: time.Minute}, 0, 3)
	first, _ := s.connect(client4, 40000, 80)
	for _, port := range []uint16{443, 8080, 1} {
		out, _, reason := s.process(outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, port), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
		if out == nil || out.Data[33] != first || wire.DestinationPort(out.Data[34:]) != port {
			t.Errorf("port %d left as %s (%s), want it at .%d with its port", port, describe(t, out), reason, first)
		}
	}
	if got := fmt.Sprint(s.templates()); !strings.Contains(got, fmt.Sprintf("203.0.113.5:0>192.0.2.10:0>198.51.100.%d:0", first)) {
		t.Errorf("templates %s", got)
	}
}

// TestTemplateEnds: a template lasts for its time after the last new connection, and as
// long as its connections do.
func TestTemplateEnds(t *testing.T) {
	s := newSite(t)
	key := s.persist(ServiceSpec{Persistence: 10 * time.Second}, 80, 2)
	s.connect(client4, 40000, 80) // SYN_RECV: 60 s
	s.pass(9 * time.Second)
	s.connect(client4, 40001, 80)
	s.pass(9 * time.Second)
	if n := len(s.templates()); n != 1 {
		t.Fatalf("18 s after the first and 9 s after the second connection: %d templates, want 1", n)
	}
	s.pass(45 * time.Second) // 63 s: only the second connection is left
	if n := len(s.templates()); n != 1 {
		t.Errorf("a connection is alive and %d templates are, want 1", n)
	}
	s.pass(120 * time.Second) // the last connection ends, and puts the template's end off
	s.pass(61 * time.Second)
	if n, templates := s.engine.Flows().Len(), s.templates(); n != 0 || len(templates) != 0 {
		t.Errorf("in the end %d flows and templates %v, want none", n, templates)
	}
	if got := s.engine.Services()[0].Servers; got[0].Persistent != 0 || got[1].Persistent != 0 {
		t.Errorf("servers count %d and %d templates in the end", got[0].Persistent, got[1].Persistent)
	}
	// A removed server's template is given up.
	first, _ := s.connect(client4, 40002, 80)
	s.update(func(tx *Tx) error {
		return tx.DeleteServer(key, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, first}), 80))
	})
	if got, reason := s.connect(client4, 40003, 80); got == first || got == 0 {
		t.Errorf("after the removal of .%d the client went to .%d (%s)", first, got, reason)
	}
}

func TestThresholds(t *testing.T) {
	s := newSite(t)
	key := s.persist(ServiceSpec{}, 80, 1)
	server := endpoint(server4(0), 80)
	set := func(upper, lower uint32) error {
		return s.engine.Update(func(tx *Tx) error {
			return tx.EditServer(key, server, ServerSpec{Method: Masq, Weight: 1, UpperThreshold: upper, LowerThreshold: lower})
		})
	}
	if err := set(2, 3); !errors.Is(err, ErrRange) {
		t.Errorf("lower above upper: %v, want %v", err, ErrRange)
	}
	port := uint16(40000)
	open := func() Reason {
		port++
		_, reason := s.connect(client4, port, 80)
		return reason
	}
	end := func(p uint16) {
		var f conntrack.Flow
		src, dst := wireAddr(client4), wireAddr(vip4)
		if !s.engine.flows.Find(&conntrack.Tuple{Src: src, Dst: dst, SrcPort: p, DstPort: 80, Proto: wire.ProtoTCP}, &f) {
			t.Fatalf("no flow of port %d", p)
		}
		f.Expire()
		f.Unlock()
	}
	if err := set(4, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if reason := open(); reason != Forwarded {
			t.Fatalf("connection %d: %s", i, reason)
		}
	}
	if reason := open(); reason != DropNoServer {
		t.Errorf("a fifth connection: %s, want %s", reason, DropNoServer)
	}
	end(40001)
	if reason := open(); reason != DropNoServer {
		t.Errorf("with three of four: %s, want %s still", reason, DropNoServer)
	}
	end(40002)
	if reason := open(); reason != Forwarded {
		t.Errorf("with two of four: %s", reason)
	}
	if err := set(3, 2); err != nil { // three connections: the next bound sets the flag
		t.Fatal(err)
	}
	if reason := open(); reason != Forwarded {
		t.Errorf("the flag is set by the connection that reaches the bound: %s", reason)
	}
	if reason := open(); reason != DropNoServer {
		t.Errorf("above the new bound: %s, want %s", reason, DropNoServer)
	}
	if err := set(0, 0); err != nil {
		t.Fatal(err)
	}
	if reason := open(); reason != Forwarded {
		t.Errorf("without bounds: %s", reason)
	}
}

func TestSchedulingSettings(t *testing.T) {
	ack := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPAck}
	set := func(s *site, name, value string) {
		t.Helper()
		settings := s.engine.Sysctls()
		if err := settings.Set(name, value); err != nil {
			t.Fatal(err)
		}
		s.engine.SetSysctls(settings)
	}
	t.Run("sloppy_tcp", func(t *testing.T) {
		s := newSite(t)
		s.persist(ServiceSpec{}, 80, 1)
		if out, _, _ := s.process(outside, ack.frame(t), nil); out != nil {
			t.Error("an ACK opened a connection without sloppy_tcp")
		}
		set(s, "sloppy_tcp", "1")
		if out, _, reason := s.process(outside, ack.frame(t), nil); out == nil {
			t.Errorf("an ACK with sloppy_tcp: %s", reason)
		}
		rst := ack
		rst.src, rst.flags = endpoint(client4, 40001), wire.TCPRst|wire.TCPAck
		if out, _, _ := s.process(outside, rst.frame(t), nil); out != nil {
			t.Error("a RST opened a connection")
		}
	})
	t.Run("expire_nodest_conn", func(t *testing.T) {
		s := newSite(t)
		set(s, "sloppy_tcp", "1")
		key := s.persist(ServiceSpec{}, 80, 2)
		first, _ := s.connect(client4, 40000, 80)
		s.update(func(tx *Tx) error {
			return tx.DeleteServer(key, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, first}), 80))
		})
		if _, _, reason := s.process(outside, ack.frame(t), nil); reason != DropServerGone {
			t.Errorf("without the setting: %s, want %s", reason, DropServerGone)
		}
		set(s, "expire_nodest_conn", "1")
		if out, _, reason := s.process(outside, ack.frame(t), nil); out == nil || out.Data[33] == first {
			t.Errorf("with the setting: %s (%s), want another server", describe(t, out), reason)
		}
	})
	t.Run("conn_reuse_mode", func(t *testing.T) {
		for _, tt := range []struct {
			mode  string
			moves bool
		}{{"0", false}, {"1", true}, {"2", true}, {"3", true}} {
			s := newSite(t)
			set(s, "conn_reuse_mode", tt.mode)
			s.persist(ServiceSpec{}, 80, 2)
			first, _ := s.connect(client4, 40000, 80)
			rst := segment{src: endpoint(netip.AddrFrom4([4]byte{198, 51, 100, first}), 80), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPRst}
			s.process(inside, rst.frame(t), nil)
			if next, _ := s.connect(client4, 40000, 80); (next != first) != tt.moves {
				t.Errorf("mode %s: .%d, then .%d", tt.mode, first, next)
			}
		}
	})
	t.Run("persistent connections are not reused elsewhere", func(t *testing.T) {
		s := newSite(t)
		s.persist(ServiceSpec{Persistence: time.Minute}, 80, 2)
		first, _ := s.connect(client4, 40000, 80)
		rst := segment{src: endpoint(netip.AddrFrom4([4]byte{198, 51, 100, first}), 80), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPRst}
		s.process(inside, rst.frame(t), nil)
		if next, _ := s.connect(client4, 40000, 80); next != first {
			t.Errorf("a SYN on a closed persistent connection went to .%d, want .%d", next, first)
		}
		if n := s.engine.Services()[0].Servers; n[0].Total.Connections+n[1].Total.Connections != 1 {
			t.Error("it was counted as a new connection")
		}
	})
}

// TestServiceCountsFromItsBeginning: a service that is added again begins at zero, though
// its servers come back with their connections; one whose server comes back does not.
func TestServiceCountsFromItsBeginning(t *testing.T) {
	s := newSite(t)
	key := s.persist(ServiceSpec{}, 80, 1)
	server := endpoint(server4(0), 80)
	s.connect(client4, 40000, 80)
	s.update(func(tx *Tx) error { return tx.DeleteServer(key, server) })
	s.update(func(tx *Tx) error { return tx.AddServer(key, server, ServerSpec{Method: Masq, Weight: 1}) })
	if x := s.engine.Services()[0]; x.Total.Connections != 1 || x.Servers[0].Total.Connections != 1 || x.Servers[0].Active != 1 {
		t.Errorf("after the server's return: %+v", x)
	}
	s.update(func(tx *Tx) error { return tx.DeleteService(key) })
	s.persist(ServiceSpec{}, 80, 1)
	x := s.engine.Services()[0]
	if x.Total != (Totals{}) || x.Servers[0].Total != (Totals{}) {
		t.Errorf("the service was added again and counts %+v, its server %+v", x.Total, x.Servers[0].Total)
	}
	if x.Servers[0].Active != 1 {
		t.Errorf("the server came back with %d active connections, want 1", x.Servers[0].Active)
	}
	s.connect(client4, 40001, 80)
	if x := s.engine.Services()[0]; x.Total.Connections != 1 || x.Servers[0].Total.Connections != 1 {
		t.Errorf("after one more connection: %+v, %+v", x.Total, x.Servers[0].Total)
	}
	if err := s.engine.Zero(&key); err != nil {
		t.Fatal(err)
	}
	if x := s.engine.Services()[0]; x.Total != (Totals{}) || x.Servers[0].Total != (Totals{}) || x.Servers[0].Active != 2 {
		t.Errorf("after Zero: %+v, %+v", x.Total, x.Servers[0])
	}
	if err := s.engine.Zero(&ServiceKey{Addr: vip4, Port: 81, Protocol: wire.ProtoTCP}); !errors.Is(err, ErrNoService) {
		t.Errorf("Zero of no service: %v", err)
	}
}
