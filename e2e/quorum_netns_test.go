//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// quorumConfig is a service of three servers with a sorry server, the fourth host; words are
// lines for the virtual_server.
func quorumConfig(top *netlab.Topology, words string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vrrp_instance VIPS {\n interface eth0\n virtual_router_id 5\n version 3\n advert_int 0.1\n priority 255\n virtual_ipaddress {\n %s/24\n }\n}\n"+
		"virtual_server %s 80 {\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n retry 1\n delay_before_retry 1\n warmup 0\n%s"+
		" sorry_server %s 8080\n", top.VIP4, top.VIP4, words, top.Servers[3].Addr4("eth0"))
	for _, s := range top.Servers[:3] {
		fmt.Fprintf(&b, " real_server %s 8080 {\n  TCP_CHECK {\n   connect_timeout 1\n  }\n }\n", s.Addr4("eth0"))
	}
	return b.String() + "}\n"
}

// wantAnswers waits until exactly these servers answer requests.
func wantAnswers(t *testing.T, client *netlab.Host, target, when string, want ...string) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		var got []string
		for range 6 {
			out, err := tryCurl(t, client, "--max-time", "2", target)
			if err != nil {
				return fmt.Errorf("%s: %w", when, err)
			}
			got = append(got, strings.TrimSpace(out))
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			return fmt.Errorf("%s: answers from %v, want %v", when, got, want)
		}
		return nil
	})
}

// TestQuorum kills real servers until the quorum is lost, has the sorry server answer, and
// brings them back: with hysteresis the quorum returns later than it went.
func TestQuorum(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 4, NoVIP: true})
	var web []*webServer
	for _, h := range top.Servers {
		web = append(web, startWeb(t, h))
	}
	d := startDirector(t, top.Directors[0], quorumConfig(top, " quorum 2\n hysteresis 1\n"))
	site := url(top.VIP4, 80, "/")
	end := func(i int) string { return fmt.Sprintf("[%s]:tcp:8080", top.Servers[i].Addr4("eth0")) }
	service := fmt.Sprintf("[%s]:tcp:80", top.VIP4)
	want := func(when string, servers ...string) {
		t.Helper()
		wantAnswers(t, top.Clients[0], site, when, servers...)
	}

	want("all servers live", "server1", "server2", "server3")
	web[0].stop()
	want("one server is dead", "server2", "server3")
	web[1].stop()
	want("the weight is 1: below the quorum, within the hysteresis", "server3")
	web[2].stop()
	want("no server lives", "server4")
	waitLog(t, d, "Lost quorum 2-1=1 > 0 for VS "+service)
	waitLog(t, d, fmt.Sprintf("Adding sorry server %s to VS %s", end(3), service))
	if list, row := d.uvs("ipvsadm", "-L", "-n"), fmt.Sprintf("  -> %s:8080 ", top.Servers[3].Addr4("eth0")); strings.Count(list, "  -> ") != 2 || !strings.Contains(list, row) {
		t.Errorf("the table has not the sorry server alone:\n%s", list)
	}
	if status := d.uvs("status"); !strings.Contains(status, "sorry") {
		t.Errorf("the status says nothing of the sorry server:\n%s", status)
	}

	// The sorry server stays until the quorum and the hysteresis are there: 2+1.
	for i := range 2 {
		web[i].start()
		waitLog(t, d, fmt.Sprintf("Adding service %s to VS %s", end(i), service))
		want(fmt.Sprintf("%d servers are back", i+1), "server4")
	}
	web[2].start()
	waitLog(t, d, "Gained quorum 2+1=3 <= 3 for VS "+service)
	waitLog(t, d, fmt.Sprintf("Removing sorry server %s from VS %s", end(3), service))
	want("the quorum is back", "server1", "server2", "server3")
	d.stop()
}

// TestAlphaAndOmega: with alpha the sorry server answers until checks have succeeded. Scripts
// and the FIFO hear of it, and with omega also of the end.
func TestAlphaAndOmega(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 4, NoVIP: true})
	web := []*webServer{nil, startWeb(t, top.Servers[1]), startWeb(t, top.Servers[2]), startWeb(t, top.Servers[3])}
	for _, w := range web[1:3] {
		w.stop()
	}
	before := dump(t, top.Directors[0])
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "told"), []byte("#!/bin/sh\necho \"$*\" >> "+filepath.Join(dir, "log")+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "told")
	config := "global_defs {\n script_user root\n lvs_notify_fifo " + dir + "/fifo\n}\n" +
		quorumConfig(top, fmt.Sprintf(" alpha\n omega\n quorum_up \"%[1]s quorum up\"\n quorum_down \"%[1]s quorum down\"\n", script))
	config = strings.ReplaceAll(config, "  TCP_CHECK {", fmt.Sprintf("  notify_up \"%[1]s server up\"\n  notify_down \"%[1]s server down\"\n  TCP_CHECK {", script))
	d := startDirector(t, top.Directors[0], config)
	fifo := labtest.Start(t, top.Directors[0], "cat", dir+"/fifo")
	site := url(top.VIP4, 80, "/")
	wantAnswers(t, top.Clients[0], site, "no check has succeeded", "server4")
	web[2].start()
	waitLog(t, d, fmt.Sprintf("Gained quorum 1+0=1 <= 1 for VS [%s]:tcp:80", top.VIP4))
	wantAnswers(t, top.Clients[0], site, "one server is up", "server3")
	d.stop()
	wantDump(t, top.Directors[0], before, "after a stop with omega")
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"server up", "quorum up", "server down", "quorum down"} {
		if n := strings.Count(string(log), line+"\n"); n != 1 {
			t.Errorf("scripts were told %q %d times, want once:\n%s", line, n, log)
		}
	}
	<-fifo.Done()
	service, server := fmt.Sprintf("[%s]:tcp:80", top.VIP4), fmt.Sprintf("[%s]:tcp:8080", top.Servers[2].Addr4("eth0"))
	want := fmt.Sprintf("RS %[2]s %[1]s UP\nVS %[1]s UP\nRS %[2]s %[1]s DOWN\nVS %[1]s DOWN\n", service, server)
	if got := fifo.Output(); !strings.Contains(got, want) {
		t.Errorf("the FIFO says\n%s, want\n%s", got, want)
	}
}

// TestServerGroup: a group of addresses, a range of them, a prefix and a mark. Each address
// is a service, and their servers are probed once for all.
func TestServerGroup(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{NoVIP: true})
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	var b strings.Builder
	b.WriteString("vrrp_instance VIPS {\n interface eth0\n virtual_router_id 5\n version 3\n advert_int 0.1\n priority 255\n virtual_ipaddress {\n")
	served := []string{"198.51.100.80", "198.51.100.81", "198.51.100.82", "198.51.100.83"}
	for i := range 8 {
		served = append(served, fmt.Sprintf("198.51.100.%d", 88+i))
	}
	for _, a := range served {
		fmt.Fprintf(&b, "  %s/24\n", a)
	}
	b.WriteString(" }\n}\nvirtual_server_group SITES {\n 198.51.100.80 80\n 198.51.100.81-83 80\n 198.51.100.88/29 80\n fwmark 7\n}\n" +
		"virtual_server group SITES {\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n")
	for _, s := range top.Servers {
		fmt.Fprintf(&b, " real_server %s 8080 {\n  TCP_CHECK {\n   connect_timeout 1\n  }\n }\n", s.Addr4("eth0"))
	}
	b.WriteString("}\n")
	d := startDirector(t, top.Directors[0], b.String())
	for _, a := range served {
		wantAnswers(t, top.Clients[0], url(netip.MustParseAddr(a), 80, "/"), a, "server1", "server2")
	}
	var listed []string
	for line := range strings.Lines(d.uvs("ipvsadm", "-L", "-n")) {
		if f := strings.Fields(line); f[0] == "TCP" || f[0] == "FWM" {
			listed = append(listed, strings.TrimSuffix(f[1], ":80"))
		}
	}
	if want := append(slices.Clone(served), "7"); !slices.Equal(listed, want) {
		t.Errorf("services %v, want %v", listed, want)
	}
	if status := d.uvs("status"); !strings.Contains(status, "no rule gives mark 7 to IPv4 packets") {
		t.Errorf("the status does not say that nothing has the mark:\n%s", status)
	}
	d.stop()
}
