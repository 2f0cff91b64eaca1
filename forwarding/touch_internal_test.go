package forwarding

import (
	"net/netip"
	"testing"

	"uvs/conntrack"
	"uvs/forwarding/sched"
	"uvs/internal/wire"
)

// TestGlance: what a glance says of a frame is what Decode says.
func TestGlance(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"TCP", segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP}.frame(t), true},
		{"UDP", segment{src: endpoint(vip4, 53), dst: endpoint(client4, 9), protocol: wire.ProtoUDP}.frame(t), true},
		{"IPv6", segment{src: endpoint(client6, 40000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP}.frame(t), false},
		{"ICMP", icmpMessage{src: client4, dst: vip4, kind: 8}.frame(t), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tp conntrack.Tuple
			if got := glance(tt.frame, &tp); got != tt.want {
				t.Fatalf("a glance says %t", got)
			}
			var p Packet
			if reason := Decode(&Frame{Data: tt.frame}, &p); tt.want && (reason != Forwarded || p.Tuple != tp) {
				t.Errorf("a glance says %v, Decode %v (%s)", tp, p.Tuple, reason)
			}
			for n := range tt.frame {
				glance(tt.frame[:n], &tp) // does not look beyond
			}
		})
	}
}

// TestTouchServers: with thousands of servers the services of packets that may open a flow are
// touched, and the servers that they are going to pick; nothing is of packets that open none.
func TestTouchServers(t *testing.T) {
	const services, servers = 500, 10
	e := newEstate(t, "rr", services, servers, 1000)
	w := e.s.worker
	frame := func(port uint16, protocol, flags uint8) Frame {
		g := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, port), protocol: protocol, flags: flags}
		return Frame{Data: g.frame(t)}
	}
	in := []Frame{
		frame(7, wire.ProtoTCP, wire.TCPSyn), frame(8, wire.ProtoTCP, wire.TCPAck), frame(9, wire.ProtoTCP, wire.TCPSyn),
		frame(services+1, wire.ProtoTCP, wire.TCPSyn), frame(10, wire.ProtoUDP, 0),
	}
	want := []*service{
		e.s.engine.services[ServiceKey{vip4, 7, wire.ProtoTCP}],
		e.s.engine.services[ServiceKey{vip4, 9, wire.ProtoTCP}],
	}
	w.table = e.s.engine.table.Load()
	for round := range 2*servers + 1 {
		clear(w.services[:])
		clear(w.servers[:])
		w.touch(in)
		for i, s := range want {
			if w.services[i] != s {
				t.Fatalf("round %d: touched service %d is %v, want %s", round, i, w.services[i], s.key)
			}
			if got, next := w.servers[i], s.pick(sched.Request{}); got != next {
				t.Errorf("round %d: touched %s, and then %s was picked", round, got.addr, next.addr)
			}
		}
		if w.services[len(want)] != nil || w.servers[len(want)] != nil {
			t.Fatalf("round %d: more was touched than there is to open", round)
		}
	}
	w.touch(in[:touchMin-1])
}

// TestTouchWhileServicesChange: touching takes no lock, and needs none.
func TestTouchWhileServicesChange(t *testing.T) {
	e := newEstate(t, "wlc", 500, 10, 1000)
	w := e.s.worker
	var in []Frame
	for port := range uint16(8) {
		g := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 1+port), protocol: wire.ProtoTCP, flags: wire.TCPSyn}
		in = append(in, Frame{Data: g.frame(t)})
	}
	w.table = e.s.engine.table.Load()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for round := range 50 {
			for port := range uint16(8) {
				key := ServiceKey{vip4, 1 + port, wire.ProtoTCP}
				at := netip.AddrPortFrom(server4(round%2), 1)
				err := e.s.engine.Update(func(tx *Tx) error {
					if round%4 < 2 {
						return tx.AddServer(key, at, ServerSpec{Method: Masq, Weight: 1})
					}
					return tx.DeleteServer(key, at)
				})
				if err != nil {
					t.Errorf("round %d: %v", round, err)
				}
				e.s.engine.services[key].pick(sched.Request{})
			}
		}
	}()
	for {
		w.touch(in)
		select {
		case <-done:
			return
		default:
		}
	}
}
