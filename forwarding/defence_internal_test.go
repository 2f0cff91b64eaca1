package forwarding

import (
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// TestDefend: each mode, with much memory and with little.
func TestDefend(t *testing.T) {
	const much, little = 5000, 900 // pages; amemthresh is 1024
	for _, c := range []struct {
		mode, free, reads int
		on                bool
		rate              int
	}{
		{0, much, 0, false, 0},
		{0, little, 0, false, 0},
		{1, much, 1, false, 0},
		{1, little, 2, true, 8}, // 1024 / (1024 - 900)
		{2, little, 2, true, 8},
		{2, much, 1, false, 0},
		{1, 1023, 2, true, 1024},
		{1, 1024, 1, false, 0},
		{1, 0, 2, true, 1},
		{3, much, 3, true, 10},
		{3, little, 3, true, 10},
	} {
		s := DefaultSysctls()
		s.DropEntry, s.DropPacket, s.SecureTCP = c.mode, c.mode, c.mode
		next, d := s.defend(c.free)
		if next.DropEntry != c.reads || next.DropPacket != c.reads || next.SecureTCP != c.reads {
			t.Errorf("mode %d with %d pages: reads %d, %d, %d, want %d", c.mode, c.free, next.DropEntry, next.DropPacket, next.SecureTCP, c.reads)
		}
		if want := (defence{c.on, c.on, c.rate}); d != want {
			t.Errorf("mode %d with %d pages: %+v, want %+v", c.mode, c.free, d, want)
		}
	}
}

func (s *site) setSysctl(name, value string) {
	s.t.Helper()
	settings := s.engine.Sysctls()
	if err := settings.Set(name, value); err != nil {
		s.t.Fatal(err)
	}
	s.engine.SetSysctls(settings)
}

// TestDropPacket: one in am_droprate packets that would open a flow is dropped, and none of a
// flow that is there.
func TestDropPacket(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Route, 80, 1)
	s.setSysctl("am_droprate", "3")
	s.setSysctl("drop_packet", "3")
	shed := 0
	for port := range uint16(12) {
		g := segment{src: endpoint(client4, 1000+port), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
		_, _, reason := s.process(outside, g.frame(t), nil)
		if reason == DropFlood {
			shed++
			continue
		}
		g.flags = wire.TCPAck
		if _, _, reason = s.process(outside, g.frame(t), nil); reason != Forwarded {
			t.Errorf("a packet of a flow: %s", reason)
		}
	}
	if shed != 4 {
		t.Errorf("%d of 12 were dropped, want 4", shed)
	}
	s.setSysctl("drop_packet", "0")
	for port := range uint16(6) {
		g := segment{src: endpoint(client4, 2000+port), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
		if _, _, reason := s.process(outside, g.frame(t), nil); reason != Forwarded {
			t.Errorf("switched off: %s", reason)
		}
	}
}

// TestDefencesFollowMemory: what is automatic comes into force when memory gets scarce, and goes
// when it is not any more; the value says which it is.
func TestDefencesFollowMemory(t *testing.T) {
	s := newSite(t)
	s.serve(vip4, 80, wire.ProtoTCP, Route, 80, 1)
	free := 100_000
	s.engine.defender.free = func() int { return free }
	for _, name := range []string{"drop_entry", "secure_tcp"} {
		s.setSysctl(name, "1")
	}
	state := func(port uint16) (state conntrack.State) {
		g := segment{src: endpoint(client4, port), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
		s.process(outside, g.frame(t), nil)
		var f conntrack.Flow
		tuple := conntrack.Tuple{Src: wireAddr(client4), Dst: wireAddr(vip4), SrcPort: port, DstPort: 80, Proto: wire.ProtoTCP}
		if !s.engine.flows.Find(&tuple, &f) {
			t.Fatal("no flow")
		}
		defer f.Unlock()
		return f.State()
	}
	if got := state(1000); got != conntrack.SynRecv {
		t.Errorf("a SYN by direct routing gives %s, want SYN_RECV", got)
	}
	if ended := s.engine.defend(s.now); ended != 0 {
		t.Errorf("%d flows ended while there is memory", ended)
	}
	free = 1000
	ended := 0
	for range 200 { // chunks are chosen at random
		ended += s.engine.defend(s.now)
	}
	if ended != 1 {
		t.Errorf("%d flows ended when memory was scarce, want 1", ended)
	}
	if got := state(1001); got != conntrack.SynAck {
		t.Errorf("with secure_tcp a SYN gives %s, want SYNACK", got)
	}
	for _, name := range []string{"drop_entry", "secure_tcp"} {
		settings := s.engine.Sysctls()
		if got, _ := settings.Get(name); got != "2" {
			t.Errorf("%s reads %s while it is active, want 2", name, got)
		}
	}
	free = 100_000
	s.engine.defend(s.now.Add(time.Second))
	if got := state(1002); got != conntrack.SynRecv {
		t.Errorf("afterwards a SYN gives %s, want SYN_RECV", got)
	}
	settings := s.engine.Sysctls()
	if got, _ := settings.Get("secure_tcp"); got != "1" {
		t.Errorf("secure_tcp reads %s afterwards, want 1", got)
	}
}

// TestScheduleICMP: an error about a packet of no flow opens one if it is to, and goes to the
// server that it chose.
func TestScheduleICMP(t *testing.T) {
	for _, m := range []Method{Masq, Route} {
		s := newSite(t)
		s.serve(vip4, 80, wire.ProtoTCP, m, 80, 1)
		about := segment{src: endpoint(vip4, 80), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP}.quote(t, 8)
		message := icmpMessage{src: client4, dst: vip4, kind: 3, code: 4, quoted: about}.frame(t)
		if _, _, reason := s.process(outside, message, nil); reason != PassNotServed {
			t.Errorf("%s, without the setting: %s", m, reason)
		}
		s.setSysctl("schedule_icmp", "1")
		message = icmpMessage{src: client4, dst: vip4, kind: 3, code: 4, quoted: about}.frame(t)
		out, via, reason := s.process(outside, message, nil)
		if reason != Forwarded || via != inside || wire.Ethernet(out.Data).Destination() != serverMACs[0] {
			t.Fatalf("%s: %s by %d", m, reason, via)
		}
		if n := s.engine.flows.Len(); n != 1 {
			t.Errorf("%s: there are %d flows", m, n)
		}
		// What no service is for opens nothing.
		about = segment{src: endpoint(vip4, 81), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP}.quote(t, 8)
		message = icmpMessage{src: client4, dst: vip4, kind: 3, code: 4, quoted: about}.frame(t)
		if _, _, reason := s.process(outside, message, nil); reason != PassNotServed {
			t.Errorf("%s, about another port: %s", m, reason)
		}
	}
}
