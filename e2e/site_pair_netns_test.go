//go:build netns

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestSiteDirectorPair is a pair of directors with two virtual addresses in one instance, the
// services' outside and the servers' gateway inside, in front of two web servers by NAT, with
// persistence, nopreempt and a password that is cut. When the master's power fails both addresses
// move, and with them the servers' way out; the old master stays BACKUP when it returns.
func TestSiteDirectorPair(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	client := p.host("client", []string{"outside eth0 10.0.10.5/24"}, "ip route add 192.168.100.0/22 via 10.0.10.50")
	startWeb(t, client) // somebody outside whom the servers ask
	var directors, servers []*netlab.Host
	var configs []string
	for i := range 2 {
		directors = append(directors, p.host(fmt.Sprintf("lvs%d", i+1), []string{
			fmt.Sprintf("outside eth0 10.0.10.%d/24", 51+i), fmt.Sprintf("inside eth1 192.168.100.%d/22", 11+i)},
			"sysctl -q -w net.ipv4.ip_forward=1"))
		name := fmt.Sprintf("%02d-seed-two-vip-nat-lvs%d.conf", 6+i, i+1)
		configs = append(configs, strings.ReplaceAll(reference(t, name), "protocol TCP\n", "protocol TCP\n    persistence_timeout 300\n"))
		servers = append(servers, p.host(fmt.Sprintf("server%d", i+1), []string{fmt.Sprintf("inside eth0 192.168.100.%d/22", 101+i)},
			"ip route add default via 192.168.100.10"))
		startWeb(t, servers[i])
	}
	first := startDirector(t, directors[0], configs[0])
	waitLog(t, first, "auth_pass has 9 bytes and is cut to 8")
	takeover(t, first, "VI", time.Now())
	second := startDirector(t, directors[1], configs[1])
	waitLog(t, second, "(VI) sees master") // of a lower priority, which nopreempt leaves alone

	site := func(name string) string {
		t.Helper()
		out := labtest.Run(t, servers[0], "curl", "-sS", "--max-time", "3", "http://10.0.10.5/")
		if strings.TrimSpace(out) != "client" {
			t.Errorf("%s: the servers' way out leads to %q", name, out)
		}
		return strings.TrimSpace(curl(t, client, "--max-time", "3", "http://10.0.10.50/"))
	}
	persistent := site("at first")
	for range 5 {
		if got := strings.TrimSpace(curl(t, client, "http://10.0.10.50/")); got != persistent {
			t.Errorf("a client with persistence meets %s after %s", got, persistent)
		}
	}
	load := startLoadOf(t, client, "http://10.0.10.50/", 3*time.Second)
	load.waitFor(persistent, 20)
	died := time.Now()
	dies(t, directors[0], first, "eth0", "eth1")
	took := takeover(t, second, "VI", died)
	t.Logf("the director's power fails: the other one is MASTER after %s", took.Round(time.Millisecond))
	if limit := slowPace().masterDown(101) + 100*time.Millisecond; took > limit {
		t.Errorf("the other director is MASTER after %s, want %s at the most", took, limit)
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		_, err := tryCurl(t, client, "--max-time", "1", "http://10.0.10.50/")
		return err
	})
	within(t, load.stop(), window{why: "the director's power fails", from: died, to: died.Add(took)})
	site("after the takeover")

	for _, i := range []string{"eth0", "eth1"} {
		if err := directors[0].SetUp(i); err != nil {
			t.Fatal(err)
		}
	}
	returned := startDirector(t, directors[0], configs[0])
	waitLog(t, returned, "(VI) sees master 192.168.100.12")
	second.instance("the other one goes on", inState("MASTER", 101))
	site("after the return")
	returned.stop()
	second.stop()
}
