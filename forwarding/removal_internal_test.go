package forwarding

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"uvs/internal/wire"
)

// A parting is a site with one connection, and an answer to it by NAT, whose server is to be removed.
type parting struct {
	*site
	key      ServiceKey
	server   netip.AddrPort
	up, down segment // of the client and of the server, without flags
}

func newParting(t *testing.T, m Method, v6 bool, protocol uint8) *parting {
	t.Helper()
	s := newSite(t)
	vip, client, server := vip4, client4, server4(0)
	if v6 {
		vip, client, server = vip6, client6, server6(0)
	}
	port := uint16(80)
	if m == Masq {
		port = 8080
	}
	x := &parting{site: s, key: s.serve(vip, 80, protocol, m, port, 1), server: endpoint(server, port)}
	x.up = segment{src: endpoint(client, 40000), dst: endpoint(vip, 80), protocol: protocol, from: gatewayMAC}
	x.down = segment{src: x.server, dst: endpoint(client, 40000), protocol: protocol, from: serverMACs[0]}
	flags := []uint8{wire.TCPSyn, wire.TCPAck}
	if protocol != wire.ProtoTCP {
		flags = []uint8{0}
	}
	for _, f := range flags {
		if out, _, reason := s.process(outside, x.numbered(x.up, f, 0), nil); out == nil {
			t.Fatalf("the connection's first packets: %s", reason)
		}
		if m == Masq {
			s.process(inside, x.numbered(x.down, f|wire.TCPAck, 0), nil)
		}
	}
	return x
}

// numbered is a segment with sequence number 1000 that acknowledges ack.
func (x *parting) numbered(g segment, flags uint8, ack uint32) []byte {
	x.t.Helper()
	if g.protocol == wire.ProtoTCP {
		g.flags = flags
	}
	b := g.frame(x.t)
	var p Packet
	f := Frame{Data: b}
	if reason := Decode(&f, &p); reason != Forwarded {
		x.t.Fatal(reason)
	}
	if g.protocol == wire.ProtoTCP {
		binary.BigEndian.PutUint32(b[p.l4+8:], ack)
		p.setTransportChecksum(&f)
	}
	return b
}

func (x *parting) remove(r Removal) {
	x.t.Helper()
	x.update(func(tx *Tx) error {
		tx.Retire(x.key, x.server, r)
		return tx.DeleteServer(x.key, x.server)
	})
}

// describeReset tells a reset: between whom, and with which number.
func describeReset(t *testing.T, f *Frame) string {
	t.Helper()
	if f == nil {
		return "nothing"
	}
	text := describe(t, f)
	var p Packet
	g := Frame{Data: f.Data, Vnet: f.Vnet}
	Decode(&g, &p)
	if p.TCPFlags != wire.TCPRst || len(g.Data) != p.l4+wire.TCPLen {
		return "no reset: " + text
	}
	return fmt.Sprintf("%s number %d", text, wire.TCP(g.Data[p.l4:]).Seq())
}

// TestDrain: connections of a removed server go on both ways, and new ones find no server.
func TestDrain(t *testing.T) {
	for _, m := range []Method{Masq, Route} {
		t.Run(m.String(), func(t *testing.T) {
			x := newParting(t, m, false, wire.ProtoTCP)
			x.setSysctl("expire_nodest_conn", "1")
			x.remove(Removal{How: Drain, Time: time.Minute})
			x.engine.evict()
			goesOn := func(when string) {
				t.Helper()
				if out, via, reason := x.process(outside, x.numbered(x.up, wire.TCPAck, 7), nil); out == nil || via != inside {
					t.Errorf("%s, what the client sends: %s by port %d, want it forwarded by %d", when, reason, via, inside)
				}
				if m == Masq {
					if out, via, reason := x.process(inside, x.numbered(x.down, wire.TCPAck, 7), nil); out == nil || via != outside {
						t.Errorf("%s, what the server sends: %s by port %d, want it forwarded by %d", when, reason, via, outside)
					}
				}
			}
			goesOn("draining")
			other := x.up
			other.src = endpoint(client4, 40001)
			if _, _, reason := x.process(outside, x.numbered(other, wire.TCPSyn, 0), nil); reason != DropNoServer {
				t.Errorf("a new connection: %s, want %s", reason, DropNoServer)
			}
			if list := x.engine.Partings(); len(list) != 1 || list[0].Server != x.server || list[0].Connections != 1 || list[0].Left <= 0 || list[0].Left > time.Minute {
				t.Errorf("partings: %+v, want %s with one connection and a minute at most", list, x.server)
			}
			x.engine.reap(x.engine.uptime() + 59*time.Second)
			goesOn("before its time is over")
			x.engine.reap(x.engine.uptime() + 61*time.Second)
			if out, _, _ := x.process(outside, x.numbered(x.up, wire.TCPAck, 7), nil); describeReset(t, out)[:2] == "no" {
				t.Errorf("after a minute: %s, want a reset", describeReset(t, out))
			}
		})
	}
}

// TestDrainedServerReturns: a server that is added again while it drains has its connections, for good.
func TestDrainedServerReturns(t *testing.T) {
	x := newParting(t, Masq, false, wire.ProtoTCP)
	x.remove(Removal{How: Drain, Time: time.Second})
	x.update(func(tx *Tx) error { return tx.AddServer(x.key, x.server, ServerSpec{Method: Masq, Weight: 1}) })
	x.engine.reap(x.engine.uptime() + time.Minute)
	out, _, _ := x.process(outside, x.numbered(x.up, wire.TCPAck, 7), nil)
	if got := describeReset(t, out); got[:3] != "no " {
		t.Errorf("a packet after the return left as %s", got)
	}
	if n := x.engine.Services()[0].Servers[0].Active; n != 1 {
		t.Errorf("%d active connections, want 1", n)
	}
	x.remove(Removal{How: Reset})
	x.update(func(tx *Tx) error { return tx.AddServer(x.key, x.server, ServerSpec{Method: Masq, Weight: 1}) })
	for _, r := range []Removal{{How: Drain, Time: time.Second}, {}} { // the last word counts
		x.remove(r)
		if r.How == Drain {
			x.update(func(tx *Tx) error { return tx.AddServer(x.key, x.server, ServerSpec{Method: Masq, Weight: 1}) })
		}
	}
	<-x.engine.doomed
	x.engine.reap(x.engine.uptime() + time.Minute)
	if len(x.engine.doomed) != 0 {
		t.Error("a server that was removed as in IPVS has its connections reset, as an earlier removal wanted")
	}
}

// TestDrop: what clients send is dropped, whatever expire_nodest_conn says; without a word that decides.
func TestDrop(t *testing.T) {
	for _, how := range []Fate{AsIPVS, Drop} {
		x := newParting(t, Masq, false, wire.ProtoTCP)
		x.setSysctl("expire_nodest_conn", "1")
		x.remove(Removal{How: how})
		want := map[Fate]Reason{AsIPVS: DropNoFlow, Drop: DropServerGone}[how]
		if _, _, reason := x.process(outside, x.numbered(x.up, wire.TCPAck, 7), nil); reason != want {
			t.Errorf("fate %d: %s, want %s", how, reason, want)
		}
	}
}

// TestRemovalResets: one segment of either end resets both, with the numbers that they expect, whatever was left undone in it.
func TestRemovalResets(t *testing.T) {
	const ipv4Up = "02:00:00:00:00:02>02:00:00:00:02:01 203.0.113.5:40000>198.51.100.11:8080 ttl 63 number 1000"
	for _, tt := range []struct {
		name              string
		m                 Method
		v6, partial, down bool
		other, sender     string
	}{
		{name: "nat", m: Masq, other: ipv4Up, sender: "02:00:00:00:00:01>02:00:00:00:01:01 192.0.2.10:80>203.0.113.5:40000 ttl 64 number 77"},
		{name: "nat, checksum unfinished", m: Masq, partial: true, other: ipv4Up, sender: "02:00:00:00:00:01>02:00:00:00:01:01 192.0.2.10:80>203.0.113.5:40000 ttl 64 number 77"},
		{name: "nat, from the server", m: Masq, down: true,
			other:  "02:00:00:00:00:01>02:00:00:00:01:01 192.0.2.10:80>203.0.113.5:40000 ttl 63 number 1000",
			sender: "02:00:00:00:00:02>02:00:00:00:02:01 203.0.113.5:40000>198.51.100.11:8080 ttl 64 number 77"},
		{name: "dr", m: Route,
			other:  "02:00:00:00:00:02>02:00:00:00:02:01 203.0.113.5:40000>192.0.2.10:80 ttl 63 number 1000",
			sender: "02:00:00:00:00:01>02:00:00:00:01:01 192.0.2.10:80>203.0.113.5:40000 ttl 64 number 77"},
		{name: "nat, ipv6", m: Masq, v6: true,
			other:  "02:00:00:00:00:02>02:00:00:00:02:01 2001:db8:9::5:40000>2001:db8:5::11:8080 ttl 63 number 1000",
			sender: "02:00:00:00:00:01>02:00:00:00:01:01 2001:db8:2::10:80>2001:db8:9::5:40000 ttl 64 number 77"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newParting(t, tt.m, tt.v6, wire.ProtoTCP)
			x.remove(Removal{How: Reset})
			g, port := x.up, outside
			if tt.down {
				g, port = x.down, inside
			}
			g.payload = 100
			b := x.numbered(g, wire.TCPAck, 77)
			out, _, _ := x.process(port, b, vnetFor(b, tt.partial))
			if got := describeReset(t, out); got != tt.other {
				t.Errorf("the other end gets %s\nwant %s", got, tt.other)
			}
			if len(x.own) != 1 {
				t.Fatalf("%d frames of our own, want a reset to who sent", len(x.own))
			}
			if got := describeReset(t, &x.own[0].frame); got != tt.sender {
				t.Errorf("who sent gets %s\nwant %s", got, tt.sender)
			}
			out, _, _ = x.process(port, x.numbered(g, wire.TCPRst, 0), nil)
			if out == nil || len(x.own) != 0 {
				t.Errorf("a reset is answered by %d frames, and the other end gets %s; want it forwarded alone", len(x.own), describe(t, out))
			}
		})
	}
}

// TestResetOfDatagrams: a client of UDP learns by its next datagram, and the one after that is a new flow's.
func TestResetOfDatagrams(t *testing.T) {
	x := newParting(t, Masq, false, wire.ProtoUDP)
	x.remove(Removal{How: Reset})
	if _, _, reason := x.process(outside, x.up.frame(t), nil); reason != DropServerGone || len(x.own) != 1 {
		t.Fatalf("%s and %d frames of our own, want %s and an error", reason, len(x.own), DropServerGone)
	}
	if got, want := describeError(t, &x.own[0].frame), "port unreachable"; x.worker.Info().Made[MadeUnreachable] != 1 {
		t.Errorf("sent %s, want %s", got, want)
	}
	x.update(func(tx *Tx) error {
		return tx.AddServer(x.key, endpoint(server4(1), 8080), ServerSpec{Method: Masq, Weight: 1})
	})
	if out, _, reason := x.process(outside, x.up.frame(t), nil); out == nil {
		t.Errorf("the next datagram: %s, want it with another server", reason)
	}
}

// TestProbes: both ends are asked at once where they are, by direct routing the client alone, and not without end.
func TestProbes(t *testing.T) {
	toClient := "02:00:00:00:00:01>02:00:00:00:01:01 192.0.2.10:80>203.0.113.5:40000 ttl 64"
	for m, want := range map[Method][]string{
		Masq:  {toClient, "02:00:00:00:00:02>02:00:00:00:02:01 203.0.113.5:40000>198.51.100.11:8080 ttl 64"},
		Route: {toClient},
	} {
		x := newParting(t, m, false, wire.ProtoTCP)
		x.remove(Removal{How: Reset})
		for range probeRounds {
			select {
			case <-x.engine.doomed:
			default:
				t.Fatalf("%s: nobody is to ask", m)
			}
			x.engine.probeDoomed(x.now)
			var got []string
			x.worker.probe(x.now, &x.worker.out)
			for i, list := range x.worker.out.ports {
				for j := range list {
					got = append(got, describe(t, &list[j]))
				}
				x.worker.out.ports[i] = list[:0]
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: asked %q\nwant %q", m, got, want)
			}
			x.engine.reap(x.engine.uptime())
		}
		select {
		case <-x.engine.doomed:
			t.Errorf("%s: asked more than %d times", m, probeRounds)
		default:
		}
	}
}

// TestDeletedServiceDrains: a deleted service takes packets until its last connection has ended, and no new ones.
func TestDeletedServiceDrains(t *testing.T) {
	x := newParting(t, Masq, false, wire.ProtoTCP)
	remove := func(r Removal) {
		t.Helper()
		x.update(func(tx *Tx) error {
			tx.Retire(x.key, x.server, r)
			return tx.DeleteService(x.key)
		})
	}
	remove(Removal{How: Drain})
	if list := x.engine.LeavingServices(); !slices.Equal(list, []ServiceKey{x.key}) || len(x.engine.Services()) != 0 {
		t.Errorf("%v leave and %d are there, want the one that was deleted to leave", list, len(x.engine.Services()))
	}
	if out, _, reason := x.process(outside, x.numbered(x.up, wire.TCPAck, 7), nil); out == nil {
		t.Errorf("a packet of its connection: %s, want it forwarded", reason)
	}
	other := x.up
	other.src = endpoint(client4, 40001)
	if _, _, reason := x.process(outside, x.numbered(other, wire.TCPSyn, 0), nil); reason != DropNoServer || len(x.own) != 1 {
		t.Errorf("a new connection: %s and %d answers, want %s and an error", reason, len(x.own), DropNoServer)
	}
	x.process(outside, x.numbered(x.up, wire.TCPRst, 0), nil)
	for range 120 {
		x.now = x.now.Add(time.Second)
		x.engine.flows.Expire(x.now, 100)
	}
	x.engine.reap(x.engine.uptime())
	if list := x.engine.LeavingServices(); len(list) != 0 {
		t.Errorf("%v leave after their connections have ended", list)
	}
	if _, _, reason := x.process(outside, x.numbered(other, wire.TCPSyn, 0), nil); reason != PassNotServed {
		t.Errorf("a new connection then: %s, want %s", reason, PassNotServed)
	}
	x = newParting(t, Masq, false, wire.ProtoTCP)
	remove(Removal{How: Drain})
	x.serve(vip4, 80, wire.ProtoTCP, Masq, 8080, 0)
	if list := x.engine.LeavingServices(); len(list) != 0 {
		t.Errorf("%v leave though they are there again", list)
	}
	x = newParting(t, Masq, false, wire.ProtoTCP)
	remove(Removal{})
	if list := x.engine.LeavingServices(); len(list) != 0 {
		t.Errorf("%v leave as in IPVS, want none", list)
	}
}
