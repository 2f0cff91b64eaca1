package forwarding

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// set changes a setting of the site.
func (s *site) set(name, value string) {
	s.t.Helper()
	settings := s.engine.Sysctls()
	if err := settings.Set(name, value); err != nil {
		s.t.Fatal(err)
	}
	s.engine.SetSysctls(settings)
}

// serverEnd is the server whose address ends with b.
func serverEnd(b byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, b}), port)
}

func TestSpecsOfPersistence(t *testing.T) {
	s := newSite(t)
	mask := func(b ...byte) (m [16]byte) {
		copy(m[:], b)
		return m
	}
	k4, k6 := ServiceKey{vip4, 80, wire.ProtoTCP}, ServiceKey{vip6, 80, wire.ProtoTCP}
	for _, tt := range []struct {
		name string
		key  ServiceKey
		spec ServiceSpec
		ok   bool
	}{
		{"one second", k4, ServiceSpec{Persistence: time.Second}, true},
		{"31 days", k4, ServiceSpec{Persistence: 31 * 24 * time.Hour}, true},
		{"less than a second", k4, ServiceSpec{Persistence: time.Second - 1}, false},
		{"more than 31 days", k4, ServiceSpec{Persistence: 31*24*time.Hour + 1}, false},
		{"negative", k4, ServiceSpec{Persistence: -time.Second}, false},
		{"mask with gaps", k4, ServiceSpec{Persistence: time.Minute, Netmask: mask(255, 0, 15, 255)}, true},
		{"mask of IPv6 for IPv4", k4, ServiceSpec{Persistence: time.Minute, Netmask: mask(255, 255, 255, 255, 128)}, false},
		{"/1", k6, ServiceSpec{Persistence: time.Minute, Netmask: mask(128)}, true},
		{"/65", k6, ServiceSpec{Persistence: time.Minute, Netmask: mask(255, 255, 255, 255, 255, 255, 255, 255, 128)}, true},
		{"/128", k6, ServiceSpec{Persistence: time.Minute, Netmask: mask(slices.Repeat([]byte{255}, 16)...)}, true},
		{"no prefix", k6, ServiceSpec{Persistence: time.Minute, Netmask: mask(255, 0, 255)}, false},
		{"no prefix, in the last half", k6, ServiceSpec{Persistence: time.Minute, Netmask: mask(255, 255, 255, 255, 255, 255, 255, 255, 1)}, false},
		{"last half alone", k6, ServiceSpec{Persistence: time.Minute, Netmask: mask(0, 0, 0, 0, 0, 0, 0, 0, 255)}, false},
		{"all ports", ServiceKey{vip4, 0, wire.ProtoTCP}, ServiceSpec{Persistence: time.Minute}, true},
		{"all ports without persistence", ServiceKey{vip4, 0, wire.ProtoTCP}, ServiceSpec{}, false},
	} {
		tt.spec.Scheduler = "rr"
		err := s.engine.Update(func(tx *Tx) error {
			if err := tx.AddService(tt.key, tt.spec); err != nil {
				return err
			}
			return errors.ErrUnsupported // nothing is to stay
		})
		if tt.ok != errors.Is(err, errors.ErrUnsupported) || !tt.ok && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestPersistenceByPrefix has clients of IPv6 networks.
func TestPersistenceByPrefix(t *testing.T) {
	for _, tt := range []struct {
		bits    int
		a, b    string
		same    bool
		network string
	}{
		{64, "2001:db8:9:1::5", "2001:db8:9:1:ffff::6", true, "2001:db8:9:1::"},
		{64, "2001:db8:9:1::5", "2001:db8:9:2::5", false, "2001:db8:9:1::"},
		{60, "2001:db8:9:1::5", "2001:db8:9:f::5", true, "2001:db8:9::"},
		{128, "2001:db8:9:1::5", "2001:db8:9:1::6", false, "2001:db8:9:1::5"},
		{0, "2001:db8:9:1::5", "2001:db8:9:1::6", false, "2001:db8:9:1::5"},
	} {
		s := newSite(t)
		spec := ServiceSpec{Scheduler: "rr", Persistence: time.Minute}
		for i := range tt.bits {
			spec.Netmask[i/8] |= 0x80 >> (i % 8)
		}
		k := s.serve(vip6, 80, wire.ProtoTCP, Masq, 80, 3)
		s.update(func(tx *Tx) error { return tx.EditService(k, spec) })
		connect := func(client string) string {
			out, _, reason := s.process(outside, segment{src: netip.AddrPortFrom(netip.MustParseAddr(client), 40000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
			if out == nil {
				t.Fatal(reason)
			}
			return netip.AddrFrom16([16]byte(out.Data[38:54])).String()
		}
		if a, b := connect(tt.a), connect(tt.b); (a == b) != tt.same {
			t.Errorf("/%d: %s went to %s, %s to %s", tt.bits, tt.a, a, tt.b, b)
		}
		if got, want := fmt.Sprint(s.templates()), "["+tt.network+"]:0>[2001:db8:2::10]:80>"; !strings.Contains(got, want) {
			t.Errorf("/%d: templates %s, want one with %s", tt.bits, got, want)
		}
	}
}

// TestTemplatesOfServices: each service remembers for itself; the all-ports service only what
// no other one serves; FTP without a port.
func TestTemplatesOfServices(t *testing.T) {
	s := newSite(t)
	for _, port := range []uint16{80, 443, 21, 0} {
		s.persist(ServiceSpec{Persistence: time.Minute}, port, 3)
	}
	for i, to := range []uint16{80, 443, 21, 8080, 9090, 80} {
		s.connect(client4, uint16(40000+i), to)
	}
	list := s.templates()
	slices.Sort(list)
	// rr of each begins with the server added last. Port 21's and the all-ports service's
	// templates have the same key: they are one, as in the kernel.
	want := []string{
		"NONE 1m0s 203.0.113.5:0>192.0.2.10:0>198.51.100.13:0",
		"NONE 1m0s 203.0.113.5:0>192.0.2.10:443>198.51.100.13:443",
		"NONE 1m0s 203.0.113.5:0>192.0.2.10:80>198.51.100.13:80",
	}
	if !slices.Equal(list, want) {
		t.Errorf("templates\n%s, want\n%s", strings.Join(list, "\n"), strings.Join(want, "\n"))
	}
}

// TestServerWithoutAPort gets packets for the port that they came for.
func TestServerWithoutAPort(t *testing.T) {
	s := newSite(t)
	k := s.serve(vip4, 80, wire.ProtoTCP, Masq, 0, 1)
	if _, reason := s.connect(client4, 40000, 80); reason != Forwarded {
		t.Fatal(reason)
	}
	if e := s.flow(t); e.Dest.Port() != 80 {
		t.Errorf("service %s: the flow goes to %s, want port 80", k, e.Dest)
	}
}

// TestRemovedServerComesBack within its grace, which begins when its last flow and template
// have ended.
func TestRemovedServerComesBack(t *testing.T) {
	for _, tt := range []struct {
		name        string
		persistence time.Duration
		wait        int    // seconds until it is added again
		want        string // active, inactive, templates, connections
	}{
		{"at once", 0, 0, "1 0 0 1"},
		{"while the flow lives", 0, 60, "1 0 0 1"}, // SYN_RECV is 60 s
		{"within the grace", 0, 61 + 118, "0 0 0 1"},
		{"after the grace", 0, 61 + 121, "0 0 0 0"},
		{"with a template that outlives the flow", 300 * time.Second, 61 + 121, "0 0 1 1"},
		{"after the template's grace", 300 * time.Second, 301 + 121, "0 0 0 0"},
	} {
		s := newSite(t)
		k := s.persist(ServiceSpec{Persistence: tt.persistence}, 80, 1)
		s.connect(client4, 40000, 80)
		server := endpoint(server4(0), 80)
		s.update(func(tx *Tx) error { return tx.DeleteServer(k, server) })
		uptime := s.engine.uptime()
		for range tt.wait {
			uptime += time.Second
			s.now = s.now.Add(time.Second)
			s.engine.flows.Expire(s.now, 100)
			s.engine.reap(uptime)
		}
		s.update(func(tx *Tx) error { return tx.AddServer(k, server, ServerSpec{Method: Masq, Weight: 1}) })
		x := s.engine.Services()[0].Servers[0]
		if got := fmt.Sprint(x.Active, x.Inactive, x.Persistent, x.Total.Connections); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestTemplateOfARemovedServer: it is good again if the server comes back before the client
// does, and superseded if the client was sent elsewhere meanwhile.
func TestTemplateOfARemovedServer(t *testing.T) {
	for _, meanwhile := range []bool{false, true} {
		s := newSite(t)
		k := s.persist(ServiceSpec{Persistence: time.Hour}, 80, 3)
		first, _ := s.connect(client4, 40000, 80)
		s.update(func(tx *Tx) error { return tx.DeleteServer(k, serverEnd(first, 80)) })
		want := first
		if meanwhile {
			if want, _ = s.connect(client4, 40001, 80); want == first {
				t.Fatal("a removed server got a connection")
			}
		}
		s.update(func(tx *Tx) error { return tx.AddServer(k, serverEnd(first, 80), ServerSpec{Method: Masq, Weight: 1}) })
		for i := range 4 {
			if got, _ := s.connect(client4, uint16(41000+i), 80); got != want {
				t.Errorf("client was away %t: went to .%d, want .%d", !meanwhile, got, want)
			}
		}
		for _, x := range s.engine.Services()[0].Servers {
			count := 0
			if x.Addr == serverEnd(first, 80) || x.Addr == serverEnd(want, 80) {
				count = 1 // the superseded one counts until its end
			}
			if x.Persistent != count {
				t.Errorf("client was away %t: %s has %d templates, want %d", !meanwhile, x.Addr, x.Persistent, count)
			}
		}
	}
}

// TestOverloadDoesNotMoveAClient, as ip_vs_check_template does not look at it, and templates
// do not count towards it.
func TestOverloadDoesNotMoveAClient(t *testing.T) {
	s := newSite(t)
	k := s.persist(ServiceSpec{Persistence: time.Hour}, 80, 2)
	first, _ := s.connect(client4, 40000, 80)
	s.update(func(tx *Tx) error {
		return tx.EditServer(k, serverEnd(first, 80), ServerSpec{Method: Masq, Weight: 1, UpperThreshold: 2})
	})
	for i := range 3 {
		if got, _ := s.connect(client4, uint16(40001+i), 80); got != first {
			t.Errorf("connection %d went to .%d, want .%d", i, got, first)
		}
	}
	for i := range 3 { // others are not sent there
		if got, _ := s.connect(netip.AddrFrom4([4]byte{203, 0, 113, byte(50 + i)}), 40000, 80); got == first {
			t.Error("an overloaded server got a new client")
		}
	}
}

// TestPersistenceIsEdited: it can be switched on and off, and lengthened, for what comes.
func TestPersistenceIsEdited(t *testing.T) {
	s := newSite(t)
	k := s.persist(ServiceSpec{}, 80, 2)
	edit := func(d time.Duration) {
		s.update(func(tx *Tx) error { return tx.EditService(k, ServiceSpec{Scheduler: "rr", Persistence: d}) })
	}
	s.connect(client4, 40000, 80)
	if got := s.templates(); len(got) != 0 {
		t.Fatalf("templates %v", got)
	}
	edit(time.Minute)
	first, _ := s.connect(client4, 40001, 80)
	if second, _ := s.connect(client4, 40002, 80); second != first {
		t.Errorf("persistent connections went to .%d and .%d", first, second)
	}
	edit(time.Hour)
	s.connect(client4, 40003, 80)
	if got := fmt.Sprint(s.templates()); !strings.Contains(got, "NONE 1h0m0s") {
		t.Errorf("templates %s, want one of an hour", got)
	}
	edit(0)
	a, _ := s.connect(client4, 40004, 80)
	if b, _ := s.connect(client4, 40005, 80); a == b {
		t.Errorf("without persistence both went to .%d", a)
	}
}

// TestRemovalEndsFlows with expire_nodest_conn: flows and templates of the removed server are
// over without a packet, others stay.
func TestRemovalEndsFlows(t *testing.T) {
	for _, setting := range []string{"0", "1"} {
		s := newSite(t)
		s.set("expire_nodest_conn", setting)
		k := s.persist(ServiceSpec{Persistence: time.Hour}, 80, 2)
		first, _ := s.connect(client4, 40000, 80)
		s.connect(netip.MustParseAddr("203.0.113.77"), 40000, 80)
		s.update(func(tx *Tx) error { return tx.DeleteServer(k, serverEnd(first, 80)) })
		want := 4
		select {
		case <-s.engine.orphans:
			if setting == "0" {
				t.Error("flows are to be ended without the setting")
			}
			s.engine.evict()
			want = 2
		default:
			if setting == "1" {
				t.Error("nobody was told to end flows")
			}
		}
		if got := s.engine.Flows().Len(); got != want {
			t.Errorf("expire_nodest_conn %s: %d flows and templates are left, want %d", setting, got, want)
		}
	}
}

// TestBeginsAnew asks in every state, for every server, setting and packet, and compares with
// the rules as they stand in is_new_conn_expected and ip_vs_in, and with ours.
func TestBeginsAnew(t *testing.T) {
	const syn, ack, fin, rst = wire.TCPSyn, wire.TCPAck, wire.TCPFin, wire.TCPRst
	type step struct {
		dir   conntrack.Dir
		flags uint8
	}
	in := func(f uint8) step { return step{conntrack.Original, f} }
	out := func(f uint8) step { return step{conntrack.Reply, f} }
	ways := map[conntrack.State][]step{
		conntrack.None:        nil,
		conntrack.SynRecv:     {in(syn)},
		conntrack.SynSent:     {out(syn)},
		conntrack.Established: {in(syn), in(ack)},
		conntrack.CloseWait:   {in(syn), out(syn | ack), in(ack), in(fin)},
		conntrack.TimeWait:    {in(syn), out(syn | ack), in(ack), in(fin), out(fin)},
		conntrack.Close:       {in(syn), in(ack), in(rst)},
		conntrack.FinWait:     {in(syn), out(syn | ack), in(ack), out(fin)},
	}
	cases := 0
	for _, method := range []Method{Masq, Route} {
		if method == Route {
			ways[conntrack.FinWait] = []step{in(syn), in(ack), in(fin)} // no reply was seen
		}
		for state, way := range ways {
			for _, persistence := range []time.Duration{0, time.Hour} {
				s := newSite(t)
				k := s.serve(vip4, 80, wire.ProtoTCP, method, 80, 1)
				s.update(func(tx *Tx) error { return tx.EditService(k, ServiceSpec{Scheduler: "rr", Persistence: persistence}) })
				s.connect(client4, 40000, 80)
				request := conntrack.Tuple{Src: wireAddr(client4), Dst: wireAddr(vip4), SrcPort: 40000, DstPort: 80, Proto: wire.ProtoTCP}
				reply := conntrack.Tuple{Src: wireAddr(server4(0)), Dst: wireAddr(client4), SrcPort: 80, DstPort: 40000, Proto: wire.ProtoTCP}
				if method == Route {
					reply.Src = wireAddr(vip4)
				}
				// Begin again with a flow that has seen no packet.
				flow := &s.worker.flow
				if !s.engine.flows.Find(&request, flow) {
					t.Fatal("no flow")
				}
				spec := conntrack.Spec{Server: flow.Server(), Dest: flow.Dest(), Flags: conntrack.Flags(method)}
				if method == Route {
					spec.Flags |= conntrack.FlagNoOutput
				}
				flow.Expire()
				flow.Unlock()
				if persistence != 0 {
					key := request
					key.SrcPort = 0
					tm, _ := s.engine.flows.Template(&key, nil, time.Hour, s.now, s.worker.usable)
					spec.Control = tm.Ref
				}
				if s.engine.flows.Insert(&request, &spec, s.now, flow) != conntrack.Inserted {
					t.Fatal("not inserted")
				}
				flow.Unlock()
				for _, st := range way {
					tp := &request
					if st.dir == conntrack.Reply {
						tp = &reply
					}
					if !s.engine.flows.Find(tp, flow) {
						t.Fatal("flow lost")
					}
					flow.Advance(conntrack.Signal(st.flags), s.now)
					flow.Unlock()
				}
				d := s.engine.dests.get(spec.Server)
				for bits := range 3 * 2 * 4 * 4 {
					server, expire, mode, flags := bits%3, bits/3%2 == 1, bits/6%4, []uint8{syn, ack, syn | ack, fin | ack}[bits/24]
					d.removed.Store(server == 2)
					d.weight.Store([]int32{1, 0, 1}[server])
					settings := s.engine.Sysctls()
					settings.ExpireNodestConn, settings.ConnReuseMode = expire, mode
					s.worker.sysctls = &settings
					isSyn := flags&syn != 0
					// What the kernel says.
					want := isSyn && expire && server == 1
					if isSyn && persistence == 0 && mode != 0 {
						noOutput := method == Route
						want = want || state == conntrack.TimeWait || state == conntrack.Close || mode&2 != 0 && state == conntrack.FinWait && noOutput
					}
					want = want || server == 2 && expire
					// What we add for the sake of the client.
					want = want || isSyn && server == 2
					want = want || isSyn && server == 1 && persistence == 0 && state != conntrack.Established
					s.engine.flows.Find(&request, flow)
					if flow.State() != state {
						t.Fatalf("state %v, want %v", flow.State(), state)
					}
					got := s.worker.beginsAnew(flow, &Packet{TCPFlags: flags})
					flow.Unlock()
					if got != want {
						t.Errorf("%s, %v, persistent %t, server %d, expire_nodest_conn %t, conn_reuse_mode %d, flags %#x: %t, want %t",
							method, state, persistence != 0, server, expire, mode, flags, got, want)
					}
					cases++
				}
			}
		}
	}
	if cases != 2*8*2*96 {
		t.Errorf("%d cases", cases)
	}
}
