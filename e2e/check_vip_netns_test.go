//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// A vipSite has two directors of one pair, two servers by direct routing and a third by tunnels: gue for the IPv4 address, ipip
// over IPv4 for the IPv6 one.
type vipSite struct {
	t         *testing.T
	top       *netlab.Topology
	directors []*director // the master first
}

// The times of the checks, and how long they may take to find out: a period, a silence, the retry, and a silence.
const (
	vipTimes  = "check_vip {\n connect_timeout 1\n delay_loop 1\n retry 1\n delay_before_retry 0.5\n }\n"
	vipOut    = 3500 * time.Millisecond
	vipMargin = 2500 * time.Millisecond // of a busy machine
)

func newVIPSite(t *testing.T) *vipSite {
	s := &vipSite{t: t, top: labtest.OneArm(t, netlab.Plan{Directors: 2, Servers: 3, NoVIP: true})}
	top := s.top
	config := mode{kind: "DR", port: 80}.config(top)
	tunnels := map[netip.Addr]string{top.Servers[2].Addr4("eth0"): "TUN type gue port 6080", top.Servers[2].Addr6("eth0"): "TUN type ipip"}
	for a, words := range tunnels {
		row := fmt.Sprintf(" real_server %s 80 {\n", a)
		config = strings.ReplaceAll(config, row, row+"  lvs_method "+words+"\n")
	}
	config = strings.ReplaceAll(config, fmt.Sprintf("real_server %s ", top.Servers[2].Addr6("eth0")), fmt.Sprintf("real_server %s ", top.Servers[2].Addr4("eth0")))
	extra := filepath.Join(t.TempDir(), "extra.conf")
	write(t, extra, fmt.Sprintf("virtual_server %s 80 {\n %s}\nvirtual_server %s 80 {\n %s}\n", top.VIP4, vipTimes, top.VIP6, vipTimes))
	for i, priority := range []string{"priority 200", "priority 100"} {
		s.directors = append(s.directors, launch(t, top.Directors[i], strings.Replace(config, "priority 255", priority, 1), "--extra", extra))
	}
	for _, d := range s.directors {
		d.waitReady()
	}
	waitLog(t, s.directors[0], "Entering MASTER STATE")
	return s
}

// is waits until both directors know a server's check of a virtual address so, for words in its last error.
func (s *vipSite) is(vip netip.Addr, server int, want control.CheckState, words string) {
	s.t.Helper()
	began := time.Now()
	labtest.Eventually(s.t, vipOut+vipMargin, func() error {
		for i, d := range s.directors {
			r, c := s.check(d, vip, server)
			up := r.State == control.ServerUp
			if c.State != want || up != (want == control.CheckUp) || !strings.Contains(c.LastError, words) {
				return fmt.Errorf("director %d: server %d for %s is %s, check_vip %s, last error %q; want %s, %q", i+1, server+1, vip, r.State, c.State, c.LastError, want, words)
			}
		}
		return nil
	})
	_, c := s.check(s.directors[0], vip, server)
	s.t.Logf("server %d for %s: %s after %.1f s: %s", server+1, vip, want, time.Since(began).Seconds(), c.LastError)
}

// check is a server of a service, and its check of the virtual address.
func (s *vipSite) check(d *director, vip netip.Addr, server int) (control.Server, control.Check) {
	s.t.Helper()
	for _, x := range d.status().Services {
		if x.Address != vip {
			continue
		}
		for _, r := range x.Servers {
			h := s.top.Servers[server]
			if r.Address != h.Addr4("eth0") && r.Address != h.Addr6("eth0") {
				continue
			}
			for _, c := range r.Checks {
				if c.Kind == "check_vip" {
					return r, c
				}
			}
		}
	}
	s.t.Fatalf("server %d of %s has no check_vip:\n%s", server+1, vip, d.uvs("status"))
	return control.Server{}, control.Check{}
}

// TestCheckVIP: servers that do not take packets for a virtual address are out on both directors of a pair, though their own
// addresses answer, and back when they do; of direct routing and tunnels, for both families. The backup's questions never meet
// the master.
func TestCheckVIP(t *testing.T) {
	t.Parallel()
	s := newVIPSite(t)
	top, vips := s.top, []netip.Addr{s.top.VIP4, s.top.VIP6}
	for _, h := range top.Servers[:2] {
		startWeb(t, h)
	}
	web := startWeb(t, top.Servers[2])
	end := tunnelServers(t, top.Servers[2])[0]
	backup := fmt.Sprintf("tcp and (src host %s or src host %s) and (dst host %s or dst host %s)",
		top.Directors[1].Addr4("eth0"), top.Directors[1].Addr6("eth0"), top.VIP4, top.VIP6)
	seen := labtest.Capture(t, top.Directors[0], "eth0", backup)
	for _, vip := range vips {
		for i := range top.Servers {
			s.is(vip, i, control.CheckUp, "")
		}
	}

	lose := func(server int, vip netip.Addr, lost bool) {
		t.Helper()
		change := top.Servers[server].AddAddr
		if lost {
			change = top.Servers[server].DelAddr
		}
		if err := change("lo", netip.PrefixFrom(vip, vip.BitLen())); err != nil {
			t.Fatal(err)
		}
	}
	// One server by direct routing loses the one address, and another one the other; the tunnel's loses both.
	for i, vip := range vips {
		lose(i, vip, true)
		lose(2, vip, true)
	}
	for i, vip := range vips {
		s.is(vip, i, control.CheckDown, fmt.Sprintf("does not answer for %s: is the address on its loopback (ip addr add %s/%d dev lo)?", vip, vip, vip.BitLen()))
		s.is(vip, 1-i, control.CheckUp, "")
		s.is(vip, 2, control.CheckDown, "out of the tunnel")
		for _, d := range s.directors {
			if r, _ := s.check(d, vip, i); r.Checks[0].Kind != "TCP_CHECK" || r.Checks[0].State != control.CheckUp {
				t.Errorf("the server's own address is checked too: %+v", r.Checks)
			}
		}
	}
	wantAnswers(t, top.Clients[0], url(top.VIP4, 80, "/"), "one has the address", "server2")
	wantAnswers(t, top.Clients[0], url(top.VIP6, 80, "/"), "one has the address", "server1")
	for i, vip := range vips {
		lose(i, vip, false)
		lose(2, vip, false)
	}
	for _, vip := range vips {
		for i := range top.Servers {
			s.is(vip, i, control.CheckUp, "")
		}
	}
	wantAnswers(t, top.Clients[0], url(top.VIP4, 80, "/"), "all have the address", "server1", "server2", "server3")

	web.stop()
	for _, vip := range vips {
		s.is(vip, 2, control.CheckDown, "nothing listens on port 80")
	}
	web.start()
	for _, vip := range vips {
		s.is(vip, 2, control.CheckUp, "")
	}
	end.Close() //nolint:errcheck // what comes of it is seen
	s.is(top.VIP4, 2, control.CheckDown, fmt.Sprintf("%s says: port unreachable", top.Servers[2].Addr4("eth0")))
	s.is(top.VIP6, 2, control.CheckDown, fmt.Sprintf("%s says: protocol unreachable", top.Servers[2].Addr4("eth0")))

	packets, err := seen.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if len(packets) > 0 {
		t.Errorf("%d of the backup's questions came to the master, such as\n%s", len(packets), packets[0].String())
	}
	// A server that lacks the address and is a router sends questions on to the master, which serves nobody by them.
	for _, name := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := top.Servers[0].Sysctl(name, "1"); err != nil {
			t.Fatal(err)
		}
	}
	lose(0, top.VIP4, true)
	s.is(top.VIP4, 0, control.CheckDown, "")
	if _, c := s.check(s.directors[1], top.VIP4, 0); !strings.Contains(c.LastError, "unreachable") {
		t.Errorf("the backup's questions come back from the master with %q, want an error of its own", c.LastError)
	}
}
