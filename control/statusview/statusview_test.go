package statusview_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uvs/control"
	"uvs/control/statusview"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

var started = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// busy has every trait that the view shows.
func busy() control.Status {
	uptime := 3*time.Hour + 4*time.Minute + 5*time.Second
	ago := func(d time.Duration) time.Time { return started.Add(uptime - d) }
	return control.Status{
		Version: "0.2.0", PID: 4242, State: control.StateRunning, Started: started, Uptime: control.Seconds(uptime), RunDir: "/run/uvs",
		Config: control.Config{File: "/etc/keepalived/keepalived.conf", Errors: 1, Notes: 2},
		Steering: control.Steering{
			Backend: "bare", Reason: "the only one that works here",
			PassedOver: []control.PassedOver{{Backend: "tcx", Reason: "needs Linux 6.6 or newer (running 6.1)"}, {Backend: "nft", Reason: "needs\nCAP_NET_ADMIN"}},
			Limits:     []string{"other ports of a virtual address are silent"},
		},
		Flows:   control.Flows{Current: 1234, Max: 1 << 20, MaxSource: "from memory", Created: 98765, Expired: 97531},
		Rings:   control.Rings{Bytes: 130 << 20, Budget: 256 << 20, Source: "at most 256 MiB"},
		Workers: []control.Worker{{ID: 0, CPU: 0, Packets: 123456789}, {ID: 1, CPU: -1, Packets: 7}},
		Interfaces: []control.Interface{
			{Name: "eth0", Index: 2, Up: true, Mode: "tpacket_v2/sendmmsg", RingSlots: 1920, RingBytes: 128 << 20, RxFrames: 123456789, TxFrames: 123450000, RingDrops: 12},
			{
				Name: "enp129s0f1", Index: 3, Mode: "tpacket_v3/sendmmsg", Reason: "tpacket_v2: cannot allocate memory",
				RingSlots: 30, RingBytes: 5 << 19, TxErrors: 3, TxError: "message too long",
			},
		},
		VRRP: &control.VRRP{
			Instances: []control.VRRPInstance{
				{
					Name: "OUT", Interface: "eth0", VRID: 51, Version: 2, Group: "G", State: "MASTER", Since: ago(time.Hour), Reason: "master 192.0.2.2 fell silent",
					Priority: 150, Effective: 130, Source: ip("192.0.2.1"), Master: ip("192.0.2.2"), MasterPriority: 200,
					Conflict: &control.VRRPConflict{Peer: ip("192.0.2.3"), Since: ago(time.Minute), Reason: "password differs from ours", Adverts: 60, LastHeard: ago(time.Second)},
					Rejected: map[string]uint64{"password": 60, "ttl": 1},
				},
				{Name: "IN", Interface: "eth1", VRID: 52, Version: 3, Group: "G", State: "BACKUP", Since: ago(time.Minute), Reason: "start", Priority: 100, Effective: 100, Master: ip("10.1.0.2"), MasterPriority: 200},
				{Name: "CLOUD", VRID: 53, Version: 3, State: "INIT", Priority: 100, Effective: 100},
			},
			Groups: []control.VRRPGroup{{Name: "G", Members: []string{"OUT", "IN"}, State: "BACKUP"}},
			Timers: control.VRRPTimers{Deadlines: 10000, Mean: control.ExactDuration(110 * time.Microsecond), Worst: control.ExactDuration(12 * time.Millisecond), Recent: control.ExactDuration(2 * time.Millisecond)},
		},
		Addresses: []control.Address{
			{Address: netip.MustParsePrefix("192.0.2.10/32"), Interface: "eth0", State: control.AddressAdded},
			{Address: netip.MustParsePrefix("192.0.2.11/32"), Interface: "eth0", State: control.AddressAdded, ConflictMAC: "02:00:00:00:00:63"},
			{Address: netip.MustParsePrefix("2001:db8::10/128"), Interface: "eth0", State: control.AddressFailed, Detail: "permission denied"},
		},
		Services: []control.Service{
			{
				Protocol: control.TCP, Address: ip("192.0.2.10"), Port: 80, Scheduler: "wlc",
				Servers: []control.Server{
					{
						Address: ip("10.1.0.11"), Port: 8080, Method: control.NAT, Weight: 100, EffectiveWeight: 100, State: control.ServerUp,
						Active: 12, Inactive: 340, Counters: control.Counters{Conns: 5678},
						Checks:  []control.Check{{Kind: "TCP_CHECK", State: control.CheckUp, Since: started}},
						NextHop: control.NextHop{Interface: "eth1", MAC: "02:00:00:00:00:11"},
					},
					{
						Address: ip("10.1.0.12"), Port: 8080, Method: control.NAT, Weight: 100, State: control.ServerRemoved,
						Checks: []control.Check{
							{Kind: "TCP_CHECK", State: control.CheckDown, Since: ago(90 * time.Second), LastError: "connect 10.1.0.12:8080: connection refused"},
							{Kind: "HTTP_GET", State: control.CheckPending},
						},
						NextHop: control.NextHop{Interface: "eth1"},
					},
					{
						Address: ip("172.16.0.1"), Port: 8080, Method: control.DR, Weight: 1, State: control.ServerInhibited,
						Checks: []control.Check{{Kind: "HTTP_GET", State: control.CheckDown, Since: ago(49 * time.Hour), LastError: "status \x1b[31m500\n, not 200"}},
					},
				},
			},
			{
				Protocol: control.UDP, Address: ip("2001:db8::10"), Port: 53, Scheduler: "rr",
				Servers: []control.Server{{
					Address: ip("2001:db8:1::11"), Port: 53, Method: control.DR, Weight: 1, EffectiveWeight: 1, State: control.ServerUp,
					NextHop: control.NextHop{Interface: "eth1", Gateway: ip("fe80::1"), MAC: "02:00:00:00:00:01"},
				}},
			},
			{Protocol: control.TCP, Address: ip("192.0.2.10"), Port: 443, Scheduler: "rr"},
			{
				Protocol: control.TCP, Address: ip("192.0.2.12"), Port: 80, Scheduler: "sed", OnePacket: true, Origin: control.FromOperator,
				Unserved: []string{"one-packet scheduling is not served yet"},
			},
			{
				Fwmark: 7, Scheduler: "rr", Origin: control.FromFile, Edited: true, Unserved: []string{"firewall marks are not served yet"},
				Quorum: &control.Quorum{Required: 2, Weight: 1},
				Servers: []control.Server{
					{
						Address: ip("10.1.0.11"), Method: control.TUN, Weight: 1, EffectiveWeight: 1, State: control.ServerUp, Origin: control.FromOperator,
						UpperThreshold: 5, Overloaded: true, Unserved: []string{"its address is this machine's own"},
					},
					{Address: ip("10.1.0.13"), Method: control.DR, Weight: 1, EffectiveWeight: 1, State: control.ServerUp, Sorry: true, Edited: true},
				},
			},
			{Fwmark: 8, IPv6: true, Scheduler: "rr", Unserved: []string{"firewall marks are not served yet"}},
		},
		Drops: map[string]uint64{"no_server": 12, "bad_checksum": 3, "unresolved": 12, "ttl_expired": 0},
		Notes: []string{"keepalived.conf:14:5: sorry_server is not served yet"},
	}
}

func TestRender(t *testing.T) {
	golden(t, "busy", statusview.Render(busy()))
	golden(t, "unconfigured", statusview.Render(control.Status{
		Version: "0.2.0", PID: 1, State: control.StateRunning, Started: started, RunDir: "/run/uvs", Steering: control.Steering{Backend: "tcx"},
		Services: []control.Service{{Protocol: control.TCP, Address: ip("192.0.2.10"), Port: 80, Scheduler: "rr", Origin: control.FromOperator}},
	}))
	golden(t, "empty", statusview.Render(control.Status{
		Version: "0.2.0", PID: 1, State: control.StateStarting, Started: started, RunDir: "/run/uvs",
		Config: control.Config{File: "keepalived.conf"}, Steering: control.Steering{Backend: "tcx"}, Flows: control.Flows{Max: 1 << 20},
	}))
}

func TestRenderPlan(t *testing.T) {
	golden(t, "plan", statusview.RenderPlan(busy().Addresses, busy().Services))
	if got := statusview.RenderPlan(nil, nil); got != "" {
		t.Errorf("an empty plan gives %q, want nothing", got)
	}
}

// golden compares got with testdata/name.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
