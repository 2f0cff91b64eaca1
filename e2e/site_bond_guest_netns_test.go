//go:build netns && guest

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestGuestSiteSmallBox is a small appliance: one director with two links in a bond, VLAN 2 outside
// and VLAN 10 inside on it, in front of two web servers by NAT, with HTTP_GET in the words of
// 1.2, inhibit_on_failure and mail. A web server dies and comes back, and the table and the mails
// tell so; the bond's active link is cut under load, and connections go on, no segment twice.
func TestGuestSiteSmallBox(t *testing.T) {
	modprobe(t, "bonding", "8021q")
	p := newPlace(t)
	tagged := func(name string, id int, addr string) *netlab.Host {
		device := fmt.Sprintf("eth0.%d", id)
		h := p.host(name, []string{"trunk eth0"}, fmt.Sprintf("ip link add link eth0 name %s type vlan id %d", device, id), "ip link set "+device+" up")
		if err := h.AddAddr(device, netip.MustParsePrefix(addr)); err != nil {
			t.Fatal(err)
		}
		return h
	}
	client := tagged("client", 2, "192.168.0.5/24")
	tagged("gateway", 2, "192.168.0.1/24")
	box := p.host("box", []string{"trunk eth0", "trunk eth1"},
		"ip link add bond0 type bond mode active-backup arp_interval 200 arp_ip_target 192.168.0.1 primary eth0",
		"ip link set eth0 down", "ip link set eth1 down",
		"ip link set eth0 master bond0", "ip link set eth1 master bond0", "ip link set bond0 up",
		"ip link add link bond0 name bond0.2 type vlan id 2", "ip link set bond0.2 up", "ip address add 192.168.0.150/24 dev bond0.2",
		"ip link add link bond0 name bond0.10 type vlan id 10", "ip link set bond0.10 up", "ip address add 172.16.0.1/24 dev bond0.10",
		"ip address add 11.11.11.11/32 dev lo") // where the file has its mail server
	var servers []*netlab.Host
	var webs []*daemon
	for i := range 2 {
		h := tagged(fmt.Sprintf("web%d", i+1), 10, fmt.Sprintf("172.16.0.%d/24", 2+i))
		run(t, h, "ip route add default via 172.16.0.1")
		servers, webs = append(servers, h), append(webs, startApache(t, h))
	}
	mails := labtest.StartCmd(t, box, netlab.Cmd{Name: "/usr/bin/aiosmtpd", Args: []string{"-n", "-l", "11.11.11.11:25", "-c", "aiosmtpd.handlers.Debugging", "stdout"},
		Env: []string{"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"}})
	labtest.Eventually(t, slowness*time.Minute, func() error {
		c, err := box.DialContext(t.Context(), "tcp", "11.11.11.11:25")
		if err != nil {
			return err
		}
		return c.Close()
	})

	d := startDirector(t, box, reference(t, "04-seed-small-box-nat.conf"), "--workers", "1")
	takeover(t, d, "VI_1", time.Now())
	table := func(want string) {
		t.Helper()
		labtest.Eventually(t, slowness*5*time.Second, func() error {
			var rows []string
			for line := range strings.Lines(d.uvs("ipvsadm", "-L", "-n")) {
				if f := strings.Fields(line); len(f) > 3 && (f[0] == "->" && f[1] != "RemoteAddress:Port" || f[0] == "TCP") {
					rows = append(rows, strings.Join(f[:min(len(f), 4)], " "))
				} else if len(f) == 3 && f[0] == "TCP" {
					rows = append(rows, strings.Join(f, " "))
				}
			}
			if got := strings.Join(rows, "\n"); got != want {
				return fmt.Errorf("ipvsadm -Ln has\n%s\nwant\n%s", got, want)
			}
			return nil
		})
	}
	both := "TCP 192.168.0.151:80 rr\n-> 172.16.0.2:80 Masq 1\n-> 172.16.0.3:80 Masq 1"
	table(both)
	wantAnswers(t, client, "http://192.168.0.151/", "at first", "web1", "web2")

	died := time.Now()
	webs[0].kill()
	// delay_loop 10, ten retries five seconds apart.
	if err := d.proc.WaitOutput(slowness*20*time.Second, "Disabling service [172.16.0.2]:tcp:80 of VS [192.168.0.151]:tcp:80"); err != nil {
		t.Fatal(err)
	}
	t.Logf("a web server is killed: disabled after %s", time.Since(died).Round(time.Millisecond))
	table("TCP 192.168.0.151:80 rr\n-> 172.16.0.2:80 Masq 0\n-> 172.16.0.3:80 Masq 1")
	for range 3 {
		if got := strings.TrimSpace(curl(t, client, "http://192.168.0.151/")); got != "web2" {
			t.Errorf("with web1 dead, %q answers", got)
		}
	}
	webs[0].start()
	if err := d.proc.WaitOutput(slowness*15*time.Second, "Enabling service [172.16.0.2]:tcp:80 of VS [192.168.0.151]:tcp:80"); err != nil {
		t.Fatal(err)
	}
	table(both)
	for _, line := range []string{
		"Subject: [LVS_DEVEL] Realserver [172.16.0.2]:tcp:80 of virtual server [192.168.0.151]:tcp:80 - DOWN",
		"Subject: [LVS_DEVEL] Realserver [172.16.0.2]:tcp:80 of virtual server [192.168.0.151]:tcp:80 - UP",
		"To: user001@infra.jp",
	} {
		labtest.Eventually(t, slowness*10*time.Second, func() error {
			if out := mails.Output(); !strings.Contains(out, line) {
				return fmt.Errorf("no mail says %q:\n%s", line, out)
			}
			return nil
		})
	}

	// The active link is cut: the switch's side of it goes, and what is sent is lost until the bond
	// misses the answers to its questions.
	active := func() string {
		return strings.TrimSpace(labtest.Run(t, box, "sh", "-c", "ip -d link show bond0 | grep -o 'active_slave [a-z0-9]*' | head -n 1"))
	}
	if got := active(); got != "active_slave eth0" {
		t.Fatalf("the bond has %q", got)
	}
	wires := startWiresOn(t, &netlab.Topology{Site: p.site, Clients: []*netlab.Host{client}, Servers: servers}, "eth0.2", "eth0.10")
	load := startLoadOf(t, client, "http://192.168.0.151/", slowness*3*time.Second)
	load.waitFor("web1", 10)
	cut := time.Now()
	back := wires.killed()
	dies(t, box, nil, "eth0")
	labtest.Eventually(t, slowness*5*time.Second, func() error {
		if got := active(); got != "active_slave eth1" {
			return fmt.Errorf("the bond has %q", got)
		}
		return nil
	})
	load.waitFor("web1", 10)
	back()
	t.Logf("the active link is cut: served again after %s", time.Since(cut).Round(time.Millisecond))
	within(t, load.stop(), window{why: "the active link is cut", from: cut, to: time.Now(), hidden: true})
	wires.check(16)
	d.stop()
}
