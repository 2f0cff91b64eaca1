package ipvsadm_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"uvs/control"
	"uvs/control/ipvsadm/ipvsadmtest"
)

// entry is a service with its servers, for TestReference.
func entry(p control.Protocol, end string, set control.Service, servers ...control.Server) control.Service {
	set.Protocol, set.Servers = p, servers
	if p != "" {
		a := netip.MustParseAddrPort(end)
		set.Address, set.Port = a.Addr(), a.Port()
	}
	return set
}

func target(end string, m control.Method, weight int, set control.Server) control.Server {
	a := netip.MustParseAddrPort(end)
	set.Address, set.Port, set.Method, set.Weight, set.EffectiveWeight, set.State = a.Addr(), a.Port(), m, weight, weight, control.ServerUp
	return set
}

func link(protocol control.Protocol, state string, expires time.Duration, client, virtual, server string) control.Connection {
	c := control.Connection{
		Protocol: protocol, State: state, Expires: control.Seconds(expires),
		Client: netip.MustParseAddrPort(client), Virtual: netip.MustParseAddrPort(virtual), Server: netip.MustParseAddrPort(server),
	}
	c.Template = c.Client.Port() == 0
	return c
}

// The services that the listings of testdata/reference are about.
func referenceTable() []control.Service {
	none := control.Server{}
	return []control.Service{
		entry(control.TCP, "192.0.2.10:80", control.Service{Scheduler: "wlc", Persistence: 360},
			target("198.51.100.11:80", control.DR, 1, control.Server{Active: 12, Inactive: 340}),
			target("198.51.100.12:80", control.DR, 0, control.Server{Active: 3})),
		entry(control.TCP, "192.0.2.10:443", control.Service{Scheduler: "sh", Flags: []string{"sh-fallback", "sh-port"}}, target("10.1.0.11:8443", control.NAT, 100, none)),
		entry(control.UDP, "192.0.2.10:53", control.Service{Scheduler: "rr", OnePacket: true},
			target("203.0.113.21:53", control.TUN, 1, control.Server{Tunnel: &control.Tunnel{Type: "ipip", Checksum: "nocsum"}})),
		entry(control.TCP, "[2001:db8::10]:80", control.Service{Scheduler: "rr"}, target("[2001:db8:1::11]:80", control.DR, 1, none)),
		entry("", "", control.Service{Fwmark: 7, Scheduler: "wrr", Persistence: 600, Netmask: "255.255.255.0"}, target("198.51.100.11:0", control.DR, 2, none)),
	}
}

// TestReference prints what the reference of ipvsadm shows, to the byte: the blanks at the
// ends of lines are the tool's.
func TestReference(t *testing.T) {
	plain := referenceTable()
	web := func(s control.Service, servers ...control.Server) control.Service {
		return entry(control.TCP, "192.0.2.10:80", s, servers...)
	}
	large := control.Counters{Conns: 99999999, InPackets: 987654321, OutPackets: 123456789012, InBytes: 1234567890123, OutBytes: 123456789012345}
	one := control.Server{Active: 12, Inactive: 340, UpperThreshold: 1000, Persistent: 25}
	persistent := control.Service{Scheduler: "wlc", Persistence: 360}
	saved := append([]control.Service{}, plain[:3]...)
	saved = append(saved, plain[4], entry("", "", control.Service{Fwmark: 8, IPv6: true, Scheduler: "rr"}))
	for _, tt := range []struct {
		name, command string
		services      []control.Service
	}{
		{"list", "-L -n", plain},
		{"save", "-S -n", saved},
		{"stats", "-L -n --stats", []control.Service{
			web(control.Service{Counters: control.Counters{Conns: 1234, InPackets: 56789, InBytes: 123456789}},
				target("198.51.100.11:80", control.DR, 1, control.Server{Counters: control.Counters{Conns: 617, InPackets: 28400, InBytes: 61728394}}),
				target("198.51.100.12:80", control.DR, 1, control.Server{Counters: control.Counters{Conns: 617, InPackets: 28389, InBytes: 61728395}})),
			entry(control.TCP, "192.0.2.10:443", control.Service{Counters: large}, target("10.1.0.11:8443", control.NAT, 1, control.Server{Counters: large})),
		}},
		{"rate", "-L -n --rate", []control.Service{
			web(control.Service{Rates: control.Rates{Conns: 12, InPackets: 340, InBytes: 27200}},
				target("198.51.100.11:80", control.DR, 1, control.Server{Rates: control.Rates{Conns: 6, InPackets: 170, InBytes: 13600}})),
		}},
		{"thresholds", "-L -n --thresholds", []control.Service{web(persistent, target("198.51.100.11:80", control.DR, 1, one))}},
		{"persistent-conn", "-L -n --persistent-conn", []control.Service{web(persistent, target("198.51.100.11:80", control.DR, 1, one))}},
		{"tun-info", "-L -n --tun-info", []control.Service{
			web(control.Service{Scheduler: "wlc"},
				target("203.0.113.21:80", control.TUN, 1, control.Server{Tunnel: &control.Tunnel{Type: "ipip", Checksum: "nocsum"}}),
				target("203.0.113.22:80", control.TUN, 1, control.Server{Tunnel: &control.Tunnel{Type: "gue", Port: 6080, Checksum: "csum"}}),
				target("203.0.113.23:80", control.DR, 1, control.Server{})),
		}},
		{"timeout", "-L --timeout", nil},
		{"connections", "-L -n -c", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKernel()
			k.services = tt.services
			k.conns = []control.Connection{
				link(control.TCP, "ESTABLISHED", 897*time.Second, "203.0.113.5:51512", "192.0.2.10:80", "198.51.100.11:80"),
				link(control.TCP, "FIN_WAIT", 72*time.Second, "203.0.113.5:51513", "192.0.2.10:80", "198.51.100.11:80"),
				link(control.TCP, "ASSURED", 358*time.Second, "203.0.113.5:0", "192.0.2.10:80", "198.51.100.11:80"),
				link(control.UDP, "UDP", 299*time.Second, "203.0.113.9:40000", "192.0.2.10:53", "203.0.113.21:53"),
				link("ip", "NONE", 580*time.Second, "203.0.113.0:0", "0.0.0.7:0", "198.51.100.11:0"),
				link(control.TCP, "ESTABLISHED", 899*time.Second, "[2001:db8:9::5]:51512", "[2001:db8::10]:80", "[2001:db8:1::11]:80"),
			}
			want, err := os.ReadFile("testdata/reference/" + tt.name + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			got := ipvsadmtest.Run(t, k, strings.Fields(tt.command), "")
			if got.Stdout != string(want) || got.Status != 0 {
				t.Errorf("%s: status %d, %s\ngot\n%s\nwant\n%s", tt.command, got.Status, got.Stderr, got.Stdout, want)
			}
		})
	}
}
