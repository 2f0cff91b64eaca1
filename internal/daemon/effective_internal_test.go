package daemon

import (
	"net/netip"
	"testing"
	"time"

	"uvs/forwarding"
	"uvs/internal/table"
)

// TestUnservedIsNotCaptured: services that the data plane does not do stand in
// the table with a reason, and no packet is taken for them; the same with what is served.
func TestUnservedIsNotCaptured(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.10")
	tcp := func(port uint16) table.Key { return table.Key{Protocol: table.TCP, Addr: vip, Port: port} }
	masq := table.ServerSettings{Method: table.NAT, Weight: 1}
	type row struct {
		name    string
		key     table.Key
		service table.ServiceSettings
		server  table.ServerSettings
		// what is taken: of the service, and of its server's answers
		serviceTaken, serverTaken bool
	}
	rows := []row{
		{"SCTP", table.Key{Protocol: table.SCTP, Addr: vip, Port: 80}, table.ServiceSettings{Scheduler: "rr"}, masq, true, true},
		{"one-packet scheduling", table.Key{Protocol: table.UDP, Addr: vip, Port: 53}, table.ServiceSettings{Scheduler: "rr", OnePacket: true}, masq, true, true},
		{"a persistence engine", table.Key{Protocol: table.UDP, Addr: vip, Port: 5060}, table.ServiceSettings{Scheduler: "rr", Engine: "sip", Persistence: time.Minute}, masq, true, true},
		{"a persistence engine for TCP", tcp(5060), table.ServiceSettings{Scheduler: "rr", Engine: "sip", Persistence: time.Minute}, masq, false, false},
		{"a tunnel", tcp(80), table.ServiceSettings{Scheduler: "rr"}, table.ServerSettings{Method: table.TUN, Weight: 1, Tunnel: table.Tunnel{Type: "ipip", Checksum: "nocsum"}}, true, false},
		{"NAT", tcp(80), table.ServiceSettings{Scheduler: "rr"}, masq, true, true},
		{"direct routing", tcp(80), table.ServiceSettings{Scheduler: "rr"}, table.ServerSettings{Method: table.DR, Weight: 1}, true, false},
		{"UDP with persistence", table.Key{Protocol: table.UDP, Addr: vip, Port: 53}, table.ServiceSettings{Scheduler: "wlc", Persistence: time.Minute}, masq, true, true},
	}
	for _, s := range []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf", "twos"} {
		rows = append(rows, row{"scheduler " + s, tcp(80), table.ServiceSettings{Scheduler: s}, masq, true, true})
	}
	for _, r := range rows {
		x := table.New()
		if err := x.AddService(r.key, r.service); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		port := r.key.Port
		if r.key.Fwmark != 0 {
			port = 0
		}
		if err := x.AddServer(r.key, netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), port), r.server); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		list := x.Services()
		e := effectiveOf(list, nil)
		if got := len(e.goal.services) == 1 && len(e.engine) == 1; got != r.serviceTaken {
			t.Errorf("%s: the service is taken: %t, want %t", r.name, got, r.serviceTaken)
		}
		if got := len(e.goal.servers) == 1; got != r.serverTaken {
			t.Errorf("%s: the server's answers are taken: %t, want %t", r.name, got, r.serverTaken)
		}
		if got := len(e.goal.tunnels) == 1; got != (r.server.Method == table.TUN && r.serviceTaken) {
			t.Errorf("%s: errors about the server's tunnel are awaited: %t", r.name, got)
		}
		if !r.serviceTaken && (len(e.goal.services) > 0 || len(e.engine) > 0 || len(list[0].Unserved) == 0) {
			t.Errorf("%s: %d services are steered, %d are in the engine, the reasons are %q", r.name, len(e.goal.services), len(e.engine), list[0].Unserved)
		}
	}
}

// TestTunnelSpec: the table's words for tunnels are the engine's.
func TestTunnelSpec(t *testing.T) {
	for _, tt := range []struct {
		words table.Tunnel
		want  forwarding.TunnelSpec
	}{
		{table.Tunnel{Type: "ipip", Checksum: "nocsum"}, forwarding.TunnelSpec{}},
		{table.Tunnel{Type: "gue", Port: 6080, Checksum: "nocsum"}, forwarding.TunnelSpec{Type: forwarding.GUE, Port: 6080}},
		{table.Tunnel{Type: "gue", Port: 6080, Checksum: "csum"}, forwarding.TunnelSpec{Type: forwarding.GUE, Port: 6080, Checksum: forwarding.Checksum}},
		{table.Tunnel{Type: "gue", Port: 6080, Checksum: "remcsum"}, forwarding.TunnelSpec{Type: forwarding.GUE, Port: 6080, Checksum: forwarding.RemoteChecksum}},
		{table.Tunnel{Type: "gre", Checksum: "nocsum"}, forwarding.TunnelSpec{Type: forwarding.GRE}},
		{table.Tunnel{Type: "gre", Port: 7, Checksum: "csum"}, forwarding.TunnelSpec{Type: forwarding.GRE, Checksum: forwarding.Checksum}},
	} {
		if got := tunnelSpec(tt.words); got != tt.want {
			t.Errorf("%v is %v, want %v", tt.words, got, tt.want)
		}
	}
}
