//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// markConfig is a site whose services are of mark 7, one for each family.
func markConfig(top *netlab.Topology, kind string, port int, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vrrp_instance VIPS {\n interface eth0\n virtual_router_id 5\n version 3\n advert_int 0.1\n priority 255\n virtual_ipaddress {\n %s/24\n }\n virtual_ipaddress_excluded {\n %s/64\n }\n}\n", top.VIP4, top.VIP6)
	for _, six := range []bool{false, true} {
		family := "inet"
		if six {
			family = "inet6"
		}
		fmt.Fprintf(&b, "virtual_server fwmark 7 {\n ip_family %s\n delay_loop 1\n lb_algo rr\n lb_kind %s\n%s", family, kind, more)
		for _, h := range top.Servers {
			addr := h.Addr4("eth0")
			if six {
				addr = h.Addr6("eth0")
			}
			fmt.Fprintf(&b, " real_server %s %d {\n  TCP_CHECK {\n   connect_port 80\n   connect_timeout 2\n  }\n }\n", addr, port)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// extraFile writes an extra file and returns its name.
func extraFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "extra.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestFirewallMark: what the rules of the extra file mark is balanced by NAT and direct routing
// over both families, whatever steers; what they do not mark is left to the stack.
func TestFirewallMark(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, ClientAddrs: 2, NoVIP: true})
			for _, h := range top.Servers {
				startWeb(t, h)
			}
			client := top.Clients[0]
			var first, second netip.Addr // of the client
			for _, p := range client.Addrs("eth0") {
				if a := p.Addr(); a.Is4() && !first.IsValid() {
					first = a
				} else if a.Is4() {
					second = a
				}
			}
			port := 0 // packets keep theirs
			if m.kind == "NAT" {
				port = 8080
			}
			extra := extraFile(t, fmt.Sprintf("mark 0 {\n source %s\n ports 8080\n}\n"+
				"mark 7 {\n protocol tcp\n destination %s\n ports 80 8080-8085\n}\nmark 7 {\n destination %s/64\n interface eth0\n ports 80-90\n}\n", second, top.VIP4, top.VIP6))
			for _, backend := range []string{"auto", "nft", "iptables"} {
				d := startDirector(t, top.Directors[0], markConfig(top, m.kind, port, ""), "--extra", extra, "--steer", backend)
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					wantAnswers(t, client, url(vip, 80, "/"), family(vip)+" by "+backend, "server1", "server2")
				}
				wantAnswers(t, client, url(top.VIP4, 8080, "/"), "another port", "server1", "server2")
				if out, err := tryCurl(t, client, "--interface", second.String(), url(top.VIP4, 8080, "/")); err == nil || !strings.Contains(out+err.Error(), "curl: (7)") {
					t.Errorf("%s: what has mark 0 was not refused by the stack: %s %v", backend, out, err)
				}
				if out, err := tryCurl(t, client, url(top.VIP4, 8086, "/")); err == nil || !strings.Contains(out+err.Error(), "curl: (7)") {
					t.Errorf("%s: what has no mark was not refused by the stack: %s %v", backend, out, err)
				}
				if backend == "auto" {
					list := d.uvs("ipvsadm", "-L", "-n")
					want := fmt.Sprintf("FWM  7 rr\n  -> %s:%d ", top.Servers[0].Addr4("eth0"), port)
					if !strings.Contains(list, want) || !strings.Contains(list, "FWM  7 IPv6 rr\n  -> [") {
						t.Errorf("ipvsadm -Ln lacks %q or its IPv6 twin:\n%s", want, list)
					}
				}
				d.stop()
			}
		})
	}
}

// TestMarksOfTheHost: rules of iptables and nft that mark packets are followed, those that
// cannot be are named, and so is a mark that nothing gives; a reload looks again.
func TestMarksOfTheHost(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{Servers: 2, NoVIP: true})
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	director, client := top.Directors[0], top.Clients[0]
	run := func(line string) { labtest.Run(t, director, strings.Fields(line)[0], strings.Fields(line)[1:]...) }
	run(fmt.Sprintf("iptables -t mangle -A PREROUTING -d %s -p tcp -m multiport --dports 80,8080 -j MARK --set-mark 7", top.VIP4))
	run("iptables -t mangle -A PREROUTING -p tcp -m conntrack --ctstate NEW -j MARK --set-mark 7")
	d := startDirector(t, director, markConfig(top, "NAT", 0, " persistence_timeout 60\n"))
	first := strings.TrimSpace(curl(t, client, url(top.VIP4, 80, "/")))
	for _, port := range []int{80, 8080} {
		if again := strings.TrimSpace(curl(t, client, url(top.VIP4, port, "/"))); again != first {
			t.Errorf("port %d went to %s, want %s as before", port, again, first)
		}
	}
	if list := d.uvs("ipvsadm", "-L", "-n", "-c"); !strings.Contains(list, "IP  0") || !strings.Contains(list, " 0.0.0.7:0 ") {
		t.Errorf("ipvsadm -Lnc lacks the template of the mark:\n%s", list)
	}
	status := d.uvs("status")
	for _, want := range []string{
		"no rule gives mark 7 to IPv6 packets", `--ctstate NEW -j MARK --set-xmark 0x7/0xffffffff" gives no marks here: match conntrack is not known here`,
	} {
		if !strings.Contains(status, want) {
			t.Errorf("the status lacks %q:\n%s", want, status)
		}
	}
	run("nft add table inet site")
	run("nft add chain inet site pre { type filter hook prerouting priority mangle ; }")
	run(fmt.Sprintf("nft add rule inet site pre ip6 daddr %s tcp dport 80 meta mark set 7", top.VIP6))
	d.uvs("reload")
	labtest.Eventually(t, labtest.Hang, func() error {
		_, err := tryCurl(t, client, url(top.VIP6, 80, "/"))
		return err
	})
	if status := d.uvs("status"); strings.Contains(status, "no rule gives mark 7") {
		t.Errorf("after the reload:\n%s", status)
	}
	// An operator's service of another mark.
	run(fmt.Sprintf("nft add rule inet site pre ip daddr %s tcp dport 8081 meta mark set 9", top.VIP4))
	d.uvs("reload")
	d.uvs("ipvsadm", "-A", "-f", "9", "-s", "rr")
	for _, h := range top.Servers {
		d.uvs("ipvsadm", "-a", "-f", "9", "-r", h.Addr4("eth0").String()+":8080", "-m")
	}
	wantAnswers(t, client, url(top.VIP4, 8081, "/"), "an operator's mark", "server1", "server2")
	if saved := d.uvs("ipvsadm", "-S", "-n"); !strings.Contains(saved, "-A -f 9 -s rr\n-a -f 9 -r ") {
		t.Errorf("ipvsadm -Sn lacks the service:\n%s", saved)
	}
	d.stop()
}
