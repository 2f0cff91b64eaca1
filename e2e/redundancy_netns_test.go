//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// oneVIP is an instance on eth0 with 100 ms adverts, and more words of it.
func oneVIP(top *netlab.Topology, more string) string {
	return fmt.Sprintf(`vrrp_instance VI {
	interface eth0
	virtual_router_id 51
	version 3
	advert_int 0.1
	priority 100
	virtual_ipaddress {
		%s/24
	}
%s
}
`, top.VIP4, more)
}

// instance waits until an instance is as wanted.
func (d *director) instance(what string, want func(control.VRRPInstance) bool) {
	d.t.Helper()
	var last control.VRRPInstance
	labtest.Eventually(d.t, labtest.Hang, func() error {
		for _, i := range d.status().VRRP.Instances {
			last = i
			if want(i) {
				return nil
			}
		}
		return fmt.Errorf("%s: %s is %s with priority %d (%s)", what, last.Name, last.State, last.Effective, last.Reason)
	})
}

func inState(state string, priority uint8) func(control.VRRPInstance) bool {
	return func(i control.VRRPInstance) bool { return i.State == state && i.Effective == priority }
}

// TestTrackingAndNotices: scripts, files, processes and interfaces move the priority of an
// instance or take it to FAULT; programs and FIFOs are told with keepalived's words; a program
// that hangs delays nothing.
func TestTrackingAndNotices(t *testing.T) {
	t.Parallel()
	top := modes()[0].site(t, netlab.Plan{NoVIP: true})
	host := top.Directors[0]
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("check", "#!/bin/sh\ntest ! -e "+at("sick")+"\n", 0o755)
	write("notify", "#!/bin/sh\necho \"$*\" >> "+at("told")+"\n", 0o755)
	write("hang", "#!/bin/sh\nsleep 30\n", 0o755)
	write("number", "0\n", 0o644)
	d := startDirector(t, host, fmt.Sprintf(`global_defs {
	enable_script_security
	script_user root
	vrrp_notify_fifo %[1]s/fifo
}
vrrp_script chk {
	script %[1]s/check
	interval 1
	weight -20
}
track_file number {
	file %[1]s/number
	weight 1
}
vrrp_track_process sleeper {
	process sleep 77
	param_match initial
	weight 5
}
`, dir)+oneVIP(top, fmt.Sprintf(`	track_script {
		chk
	}
	track_file {
		number
	}
	track_process {
		sleeper
	}
	track_interface {
		eth1
	}
	notify_master "%[1]s/notify became master"
	notify_backup %[1]s/hang
	notify %[1]s/notify
	notify_stop "%[1]s/notify has stopped"
	notify_priority_changes true`, dir)))
	fifo := labtest.Start(t, host, "cat", at("fifo"))
	d.instance("at first", inState("MASTER", 100))
	write("sick", "", 0o644)
	d.instance("a script that fails", inState("MASTER", 80))
	if err := os.Remove(at("sick")); err != nil {
		t.Fatal(err)
	}
	d.instance("a script that succeeds", inState("MASTER", 100))
	write("number", "30\n", 0o644)
	d.instance("a file with 30", inState("MASTER", 130))
	sleeper := labtest.Start(t, host, "sleep", "77")
	d.instance("a process", inState("MASTER", 135))
	sleeper.Signal(os.Kill) //nolint:errcheck // it is waited for
	<-sleeper.Done()
	d.instance("no process", inState("MASTER", 130))
	labtest.Run(t, host, "ip", "link", "set", "eth1", "down")
	d.instance("an interface that is down", inState("FAULT", 130))
	if hasAddress(t, host, top.VIP4) {
		t.Error("in FAULT the VIP is still there")
	}
	labtest.Run(t, host, "ip", "link", "set", "eth1", "up")
	d.instance("an interface that is up", inState("MASTER", 130))
	d.stop()
	told, err := os.ReadFile(at("told"))
	if err != nil {
		t.Fatal(err)
	}
	// Programs run in parallel; each state's two are told together.
	for _, line := range []string{"became master", "INSTANCE VI MASTER 100", "INSTANCE VI FAULT 130", "INSTANCE VI BACKUP 130", "has stopped", "INSTANCE VI STOP 130"} {
		if !strings.Contains(string(told), line+"\n") {
			t.Errorf("the notify scripts were not told %q:\n%s", line, told)
		}
	}
	<-fifo.Done()
	want := []string{"BACKUP 100", "MASTER 100", "MASTER_PRIORITY 80", "MASTER_PRIORITY 130", "FAULT 130", "BACKUP 130", "MASTER 130", "STOP 130"}
	rest := fifo.Output()
	for _, w := range want {
		_, after, found := strings.Cut(rest, `INSTANCE "VI" `+w+"\n")
		if !found {
			t.Errorf("the FIFO lacks %q in its place, in:\n%s", w, fifo.Output())
			continue
		}
		rest = after
	}
}

// startMail starts a mail server on a host's 127.0.0.1:2525 that prints what it gets.
func startMail(t *testing.T, host *netlab.Host) *netlab.Process {
	t.Helper()
	server := labtest.StartCmd(t, host, netlab.Cmd{Name: "/usr/bin/aiosmtpd", Args: []string{"-n", "-l", "127.0.0.1:2525", "-c", "aiosmtpd.handlers.Debugging", "stdout"},
		Env: []string{"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"}})
	labtest.Eventually(t, time.Minute, func() error {
		c, err := host.DialContext(t.Context(), "tcp", "127.0.0.1:2525")
		if err != nil {
			return err
		}
		return c.Close()
	})
	return server
}

// TestMail: each state of an instance is told by mail to a real server, in keepalived's words.
func TestMail(t *testing.T) {
	top := modes()[0].site(t, netlab.Plan{NoVIP: true})
	host := top.Directors[0]
	server := startMail(t, host)
	d := startDirector(t, host, `global_defs {
	router_id lb1
	notification_email {
		ops@example.com
	}
	notification_email_from lb1@example.com
	smtp_server 127.0.0.1 2525
	smtp_alert true
}
`+oneVIP(top, ""))
	d.instance("at first", inState("MASTER", 100))
	d.stop()
	for _, line := range []string{
		"Subject: [lb1] VRRP Instance VI - Entering BACKUP state", "Subject: [lb1] VRRP Instance VI - Entering MASTER state",
		"=> VRRP Instance is now owning VRRP VIPs <=", "To: ops@example.com", "Subject: [lb1] VRRP Instance VI - Stopping",
	} {
		labtest.Eventually(t, labtest.Hang, func() error {
			if out := server.Output(); !strings.Contains(out, line) {
				return fmt.Errorf("no mail says %q:\n%s", line, out)
			}
			return nil
		})
	}
}

// TestRoutesRulesAndPutBack: routes and rules come and go with MASTER, static ones stay, and
// what somebody deletes is put back.
func TestRoutesRulesAndPutBack(t *testing.T) {
	top := modes()[0].site(t, netlab.Plan{NoVIP: true})
	host := top.Directors[0]
	d := startDirector(t, host, "track_file stop {\n\tfile "+filepath.Join(t.TempDir(), "stop")+"\n\tinit_file 0\n\tweight 0\n}\n"+`static_ipaddress {
	192.0.2.77/32 dev eth1
}
static_routes {
	203.0.113.0/25 dev eth1
}
`+oneVIP(top, `	virtual_routes {
		203.0.113.128/25 dev eth0
	}
	virtual_rules {
		from 203.0.113.128/25 table 100 priority 4711
	}
	track_file {
		stop weight 0
	}`))
	state := func() string {
		return labtest.Run(t, host, "ip", "-o", "address") + labtest.Run(t, host, "ip", "route") + labtest.Run(t, host, "ip", "rule")
	}
	has := func(when string, want bool, words ...string) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			now := state()
			for _, w := range words {
				if strings.Contains(now, w) != want {
					return fmt.Errorf("%s %q there: %t, want %t, in:\n%s", when, w, !want, want, now)
				}
			}
			return nil
		})
	}
	static := []string{" 192.0.2.77/32 ", "203.0.113.0/25 dev eth1"}
	virtual := []string{" " + top.VIP4.String() + "/24 ", "203.0.113.128/25 dev eth0", "4711:\tfrom 203.0.113.128/25 lookup 100"}
	has("as a master", true, append(static, virtual...)...)
	for _, args := range [][]string{
		{"address", "del", top.VIP4.String() + "/24", "dev", "eth0"}, {"route", "del", "203.0.113.128/25"}, {"rule", "del", "priority", "4711"},
		{"address", "del", "192.0.2.77/32", "dev", "eth1"}, {"route", "del", "203.0.113.0/25"},
	} {
		labtest.Run(t, host, "ip", args...)
	}
	has("after they were deleted", true, append(static, virtual...)...)
	labtest.Run(t, host, "ip", "link", "set", "eth0", "down")
	has("in FAULT", false, virtual...)
	has("in FAULT", true, static...)
	labtest.Run(t, host, "ip", "link", "set", "eth0", "up")
	has("as a master again", true, virtual...)
	d.stop()
	has("after SIGTERM", false, append(static, virtual...)...)
}

// TestVirtualMAC: the virtual router has its own MAC on a device that is there, and captured,
// before a takeover; adverts, announcements and answers come from it, and services are served.
func TestVirtualMAC(t *testing.T) {
	t.Parallel()
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	host, client := top.Directors[0], top.Clients[0]
	startWeb(t, top.Servers[0])
	before := dump(t, host)
	const mac = "00:00:5e:00:01:05"
	seen := labtest.Capture(t, client, "eth0", "ip proto 112 or arp")
	config := strings.Replace(m.config(top), "virtual_router_id 5\n", "virtual_router_id 5\n use_vmac\n", 1)
	start := func() *director {
		d := startDirector(t, host, config)
		waitLog(t, d, "Entering MASTER STATE")
		if got := curl(t, client, url(top.VIP4, 80, "/")); got != "server1\n" {
			t.Errorf("the VIP serves %q", got)
		}
		return d
	}
	d := start()
	if out := labtest.Run(t, client, "ip", "neighbour", "show", top.VIP4.String()); !strings.Contains(out, mac) {
		t.Errorf("the client knows the VIP as %q, want %s", out, mac)
	}
	if out := labtest.Run(t, host, "ip", "-d", "link", "show", "vrrp.5"); !strings.Contains(out, "macvlan mode private") || !strings.Contains(out, mac) {
		t.Errorf("the device is %s", out)
	}
	captured := false
	for _, i := range d.status().Interfaces {
		captured = captured || i.Name == "vrrp.5"
	}
	if !captured {
		t.Error("vrrp.5 is not captured")
	}
	d.kill()
	d = start() // adopts the device
	d.stop()
	wantDump(t, host, before, "after SIGTERM")
	packets, err := seen.Stop()
	if err != nil {
		t.Fatal(err)
	}
	adverts, announced := 0, 0
	for _, p := range packets {
		ether, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
		if ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok && ip.Protocol == 112 {
			adverts++
			if ether.SrcMAC.String() != mac {
				t.Fatalf("an advert comes from %s", ether.SrcMAC)
			}
		}
		if a, ok := announcement(p); ok && a == netip.AddrFrom4(top.VIP4.As4()) {
			announced++
			if ether.SrcMAC.String() != mac {
				t.Fatalf("an announcement comes from %s", ether.SrcMAC)
			}
		}
	}
	if adverts == 0 || announced == 0 {
		t.Errorf("%d adverts and %d announcements, want some", adverts, announced)
	}
}

// TestTrackBFD: two directors watch each other by BFD; when one dies the other's priority
// changes within the detection time, long before VRRP would tell.
func TestTrackBFD(t *testing.T) {
	top := modes()[0].site(t, netlab.Plan{Directors: 2, NoVIP: true})
	config := func(own, peer *netlab.Host) string {
		return fmt.Sprintf(`bfd_instance peer {
	neighbor_ip %s
	source_ip %s
	min_rx 50
	min_tx 50
	multiplier 4
}
`, peer.Addr4("eth0"), own.Addr4("eth0")) + strings.Replace(oneVIP(top, "	track_bfd {\n		peer weight 30\n	}"), "advert_int 0.1", "advert_int 1", 1)
	}
	a, b := top.Directors[0], top.Directors[1]
	first := startDirector(t, a, config(a, b))
	second := startDirector(t, b, config(b, a))
	up := func(i control.VRRPInstance) bool { return i.Effective == 130 }
	first.instance("with a peer", up)
	second.instance("with a peer", up)
	first.kill()
	second.instance("without a peer", func(i control.VRRPInstance) bool { return i.Effective == 100 })
	waitLog(t, second, "Changing effective priority from 130 to 100")
}
