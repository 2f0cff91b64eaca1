//go:build netns

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

const squidConf = `
http_port 8080
acl all_clients src all
http_access allow all_clients
pid_filename %[1]s/squid.pid
cache_log %[1]s/cache.log
access_log stdio:%[1]s/access.log
coredump_dir %[1]s
visible_hostname %[2]s
cache deny all
shutdown_lifetime 0 seconds
pinger_enable off
icon_directory /usr/share/squid/icons
`

// A squid is a proxy on port 8080.
type squid struct {
	*daemon
	dir string
}

func startSquid(t *testing.T, h *netlab.Host) *squid {
	t.Helper()
	dir := openDir(t)
	if err := os.Chmod(dir, 0o777); err != nil { // it does not stay root
		t.Fatal(err)
	}
	conf := write(t, filepath.Join(dir, "squid.conf"), fmt.Sprintf(squidConf, dir, h.Name()))
	s := &squid{&daemon{t: t, host: h, port: 8080, command: []string{"squid", "-N", "-f", conf}}, dir}
	s.start()
	return s
}

// clients returns the addresses of who asked, with the hosts they asked for.
func (s *squid) clients() (list []string) {
	b, _ := os.ReadFile(filepath.Join(s.dir, "access.log")) // there is none before the first request
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 6 {
			list = append(list, f[2]+" "+f[6])
		}
	}
	return list
}

// TestSiteProxies is two squids on port 8080 behind two directors, by direct routing: their logs have
// the clients' addresses. They have two uplinks. Pages come by the first; what is said in the
// virtual address's name goes out by the second, to clients there that the first uplink does
// not know. A squid dies, then a director, under load.
func TestSiteProxies(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	web := p.host("web", []string{"world eth0 198.51.100.7/24"}, "ip route add default via 198.51.100.1")
	startWeb(t, web)
	p.host("uplink1", []string{"world eth0 198.51.100.1/24", "lan eth1 192.168.100.1/24"}, "sysctl -q -w net.ipv4.ip_forward=1")
	p.host("uplink2", []string{"branch eth0 203.0.113.1/24", "lan eth1 192.168.100.2/24"}, "sysctl -q -w net.ipv4.ip_forward=1")
	near := p.host("near", []string{"lan eth0 192.168.100.5/24"})
	far := p.host("far", []string{"branch eth0 203.0.113.5/24"}, "ip route add default via 203.0.113.1")
	var directors []*netlab.Host
	var squids []*squid
	for i := range 2 {
		directors = append(directors, p.host(fmt.Sprintf("lb%d", i+1), []string{fmt.Sprintf("lan eth0 192.168.100.%d/24", 11+i)}))
		h := p.host(fmt.Sprintf("squid%d", i+1), []string{fmt.Sprintf("lan eth0 192.168.100.%d/24", 21+i)},
			"ip route add default via 192.168.100.1",
			"ip route add default via 192.168.100.2 table 2",
			"ip rule add from 192.168.100.10 to 192.168.100.0/24 lookup main priority 99",
			"ip rule add from 192.168.100.10 lookup 2 priority 100")
		hidesVIP(t, h, "192.168.100.10")
		squids = append(squids, startSquid(t, h))
	}
	first := startDirector(t, directors[0], reference(t, "10-seed-proxy-dsr-lb1.conf"))
	takeover(t, first, "PROXY_VIP", time.Now())
	second := startDirector(t, directors[1], reference(t, "11-seed-proxy-dsr-lb2.conf"))
	waitLog(t, second, "(PROXY_VIP) sees master 192.168.100.11")

	ask := func(from *netlab.Host) error {
		out, err := tryCurl(t, from, "--max-time", "3", "-x", "http://192.168.100.10:8080", "http://198.51.100.7/")
		if err == nil && strings.TrimSpace(out) != "web" {
			err = fmt.Errorf("the page is %q", out)
		}
		return err
	}
	for _, from := range []*netlab.Host{near, far, near, far} {
		if err := ask(from); err != nil {
			t.Errorf("%s: %v", from.Name(), err)
		}
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		all := strings.Join(append(squids[0].clients(), squids[1].clients()...), "\n")
		for _, want := range []string{"192.168.100.5 http://198.51.100.7/", "203.0.113.5 http://198.51.100.7/"} {
			if !strings.Contains(all, want) {
				return fmt.Errorf("the squids' logs lack %q:\n%s", want, all)
			}
		}
		return nil
	})

	// One that is refused connections is out after a delay_loop and two retries.
	died := time.Now()
	squids[0].kill()
	waitLog(t, first, "Removing service [192.168.100.21]:tcp:8080 from VS [192.168.100.10]:tcp:8080")
	t.Logf("a squid is killed: out after %s", time.Since(died).Round(time.Millisecond))
	for range 4 {
		if err := ask(far); err != nil {
			t.Errorf("with one squid: %v", err)
		}
	}
	squids[0].start()
	waitLog(t, first, "Adding service [192.168.100.21]:tcp:8080 to VS [192.168.100.10]:tcp:8080")

	died = time.Now()
	dies(t, directors[0], first, "eth0")
	took := takeover(t, second, "PROXY_VIP", died)
	t.Logf("the director's power fails: the other one is MASTER after %s", took.Round(time.Millisecond))
	if limit := slowPace().masterDown(100) + 100*time.Millisecond; took > limit {
		t.Errorf("the other director is MASTER after %s, want %s at the most", took, limit)
	}
	for _, from := range []*netlab.Host{near, far} {
		if err := ask(from); err != nil {
			t.Errorf("%s, after the takeover: %v", from.Name(), err)
		}
	}
	second.stop()
}
