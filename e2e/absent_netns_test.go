//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestServersNetworkComesLater: the link to the servers is down and has no addresses when the
// director starts, and both come while it runs. What clients try meanwhile is refused.
func TestServersNetworkComesLater(t *testing.T) {
	t.Parallel()
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director, client := top.Directors[0], top.Clients[0]
	startWeb(t, top.Servers[0])
	own := director.Addrs("eth1")
	for _, p := range own {
		if err := director.DelAddr("eth1", p); err != nil {
			t.Fatal(err)
		}
	}
	if err := director.SetDown("eth1"); err != nil {
		t.Fatal(err)
	}
	d := startDirector(t, director, m.config(top))
	refused := func() {
		t.Helper()
		for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			labtest.Eventually(t, startTimeout, func() error {
				if body, err := tryCurl(t, client, "--max-time", "1", url(vip, 80, "/")); err == nil || !strings.Contains(err.Error(), "curl: (7)") {
					return fmt.Errorf("%s: answer %q, %w; want it refused", vip, body, err)
				}
				return nil
			})
		}
	}
	served := func() {
		t.Helper()
		for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			labtest.Eventually(t, startTimeout, func() error {
				_, err := tryCurl(t, client, "--max-time", "1", url(vip, 80, "/"))
				return err
			})
		}
	}
	refused()
	if err := director.SetUp("eth1"); err != nil {
		t.Fatal(err)
	}
	for _, p := range own {
		if err := director.AddAddr("eth1", p); err != nil {
			t.Fatal(err)
		}
	}
	served()
	d.stop()
}

// TestLastServerFails: when checks have taken the last server out, clients are refused at once,
// and served when it is back.
func TestLastServerFails(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			web := startWeb(t, top.Servers[0])
			d := startDirector(t, top.Directors[0], m.config(top))
			web.stop()
			waitLog(t, d, "Removing service ["+top.Servers[0].Addr4("eth0").String())
			waitLog(t, d, "Removing service ["+top.Servers[0].Addr6("eth0").String())
			before := d.status().Made["icmp_unreachable"]
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				wantRefused(t, top.Clients[0], "tcp", vip)
			}
			if n := d.status().Made["icmp_unreachable"] - before; n < 2 {
				t.Errorf("the director refused %d connections, want 2 at least", n)
			}
			web.start()
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				labtest.Eventually(t, startTimeout, func() error {
					_, err := tryCurl(t, top.Clients[0], "--max-time", "1", url(vip, 80, "/"))
					return err
				})
			}
			d.stop()
		})
	}
}

// TestAbsentVIP: a service whose address is on no interface is named in log and status, and
// works as soon as somebody adds the address.
func TestAbsentVIP(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 1, NoVIP: true})
	startWeb(t, top.Servers[0])
	d := startDirector(t, top.Directors[0], fmt.Sprintf(
		"virtual_server %s 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server %s 8080 {\n }\n}\n",
		top.VIP4, top.Servers[0].Addr4("eth0")))
	want := fmt.Sprintf("no interface of this machine has the virtual address %s", top.VIP4)
	if notes := strings.Join(d.status().Notes, "\n"); !strings.Contains(notes, want) || !strings.Contains(d.proc.Output(), want) {
		t.Errorf("log and status should say %q; status has:\n%s", want, notes)
	}
	labtest.Run(t, top.Directors[0], "ip", "address", "add", top.VIP4.String()+"/32", "dev", "eth0")
	labtest.Eventually(t, startTimeout, func() error {
		body, err := tryCurl(t, top.Clients[0], url(top.VIP4, 80, "/"))
		if err == nil && strings.TrimSpace(body) != "server1" {
			return fmt.Errorf("answer %q", body)
		}
		return err
	})
}
