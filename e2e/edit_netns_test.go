//go:build netns

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// answers makes n requests and returns who answered, sorted, each once.
func answers(t *testing.T, client *netlab.Host, target string, n int) []string {
	t.Helper()
	var list []string
	for range n {
		list = append(list, strings.TrimSpace(curl(t, client, target)))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestIpvsadmSite builds, changes, saves and restores a site by ipvsadm alone, with traffic
// through it; what is not forwarded yet is listed, saved and named.
func TestIpvsadmSite(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{Servers: 2})
	client, director := top.Clients[0], top.Directors[0]
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	d := startEmpty(t, director, "--steer", "nft") // whose rules nft lists
	ipvsadm := ipvsadmName(t)
	run := func(command string) string {
		t.Helper()
		return labtest.Run(t, director, ipvsadm, strings.Fields(command)...)
	}
	service := fmt.Sprintf("-t %s:80", top.VIP4)
	server := func(i int) string { return fmt.Sprintf("%s -r %s:8080", service, top.Servers[i].Addr4("eth0")) }
	site := url(top.VIP4, 80, "/")
	wantAnswers := func(when string, want ...string) {
		t.Helper()
		if got := answers(t, client, site, 4); !slices.Equal(got, want) {
			t.Errorf("%s: answers from %v, want %v", when, got, want)
		}
	}

	run("-A " + service + " -s rr")
	run("-a " + server(0) + " -m")
	run("-a " + server(1) + " -m -w 3")
	wantAnswers("two servers", "server1", "server2")
	if list := run("-L -n -c"); strings.Count(list, "TIME_WAIT") < 4 {
		t.Errorf("connections:\n%s", list)
	}
	if stats := run("-L -n --stats --exact"); !strings.Contains(stats, fmt.Sprintf("TCP  %-28s        4 ", fmt.Sprintf("%s:80", top.VIP4))) {
		t.Errorf("counters:\n%s", stats)
	}
	run("-Z")
	if stats := run("-L -n --stats --exact"); !strings.Contains(stats, fmt.Sprintf("TCP  %-28s        0        0        0        0        0\n", fmt.Sprintf("%s:80", top.VIP4))) {
		t.Errorf("counters after -Z:\n%s", stats)
	}
	run("-e " + server(0) + " -m -w 0")
	wantAnswers("server1 quiesced", "server2")
	run("-E " + service + " -s wrr -p 300")
	run("-d " + server(1))
	run("-e " + server(0) + " -m -w 1")
	wantAnswers("server2 deleted", "server1")
	run("--set 800 100 200")
	if got, want := run("-L --timeout"), "Timeout (tcp tcpfin udp): 800 100 200\n"; got != want {
		t.Errorf("timeouts %q, want %q", got, want)
	}

	if got := run("-L --daemon"); got != "" {
		t.Errorf("daemons, of which none runs: %q", got)
	}

	run("-A -t 192.0.2.75:80 -s lblcr")
	// What gets no packets.
	run("-A -f 7 -s wlc")
	run("-A --sctp-service 192.0.2.76:80 -s rr")
	run("-A -u 192.0.2.77:53 -s twos -o")
	run("-a -u 192.0.2.77:53 -r 192.0.2.78:53 -i --tun-type gre")
	saved := run("-S -n")
	for _, want := range []string{
		fmt.Sprintf("-A %s -s wrr -p 300\n-a %s -m -w 1\n", service, server(0)),
		"-A -f 7 -s wlc\n",
		"-A -u 192.0.2.77:53 -s twos -o\n-a -u 192.0.2.77:53 -r 192.0.2.78:53 -i -w 1 --tun-type gre --tun-nocsum\n",
	} {
		if !strings.Contains(saved, want) {
			t.Errorf("-S -n lacks\n%s\n%s", want, saved)
		}
	}
	listings(t, run, fmt.Sprintf("%s:80", top.VIP4))
	steered := labtest.Run(t, director, "nft", "list", "ruleset")
	if !strings.Contains(steered, top.VIP4.String()) || strings.Contains(steered, "192.0.2.76") || strings.Contains(steered, "192.0.2.77") {
		t.Errorf("packets are taken of services that are not forwarded, or not of the one that is:\n%s", steered)
	}
	status := d.uvs("status")
	if want := "no rule gives mark 7 to IPv4 packets"; !strings.Contains(status, want) {
		t.Errorf("the status lacks %q:\n%s", want, status)
	}

	file := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte(saved), 0o644); err != nil {
		t.Fatal(err)
	}
	run("-C")
	if got := run("-S -n"); got != "" {
		t.Errorf("after -C:\n%s", got)
	}
	if _, err := tryCurl(t, client, "--max-time", "2", site); err == nil {
		t.Error("the service is served after -C")
	}
	labtest.Run(t, director, "sh", "-c", ipvsadm+" -R <"+file)
	if got := run("-S -n"); got != saved {
		t.Errorf("restored:\n%s\nsaved:\n%s", got, saved)
	}
	wantAnswers("restored", "server1")
	d.stop()
}

// listings asks for each form of a list of the services that TestIpvsadmSite has then.
func listings(t *testing.T, run func(string) string, web string) {
	t.Helper()
	services := func(command string) (list []string) {
		for line := range strings.Lines(run(command)) {
			switch f := strings.Fields(line); f[0] {
			case "TCP", "UDP", "SCTP", "FWM":
				list = append(list, f[1])
			}
		}
		return list
	}
	sorted := []string{"192.0.2.75:80", web, "192.0.2.77:53", "192.0.2.76:80", "7"}
	for _, command := range []string{
		"-L -n", "-L -n --sort", "-L -n --stats", "-L -n --rate", "-L -n --stats --exact", "-L -n --thresholds", "-L -n --persistent-conn", "-L -n --tun-info",
	} {
		if got := services(command); !slices.Equal(got, sorted) {
			t.Errorf("%s: services %v, want %v", command, got, sorted)
		}
	}
	unsorted := services("-L -n --nosort")
	if slices.Sort(unsorted); !slices.Equal(unsorted, slices.Sorted(slices.Values(sorted))) {
		t.Errorf("unsorted there are %v", unsorted)
	}
	names := run("-L") // nobody here knows names of the addresses; ports have them
	for _, want := range []string{"192.0.2.75:http ", "192.0.2.77:domain twos ops", "Masq "} {
		if !strings.Contains(names, want) {
			t.Errorf("-L lacks %q:\n%s", want, names)
		}
	}
	if one := run("-L -n -t " + web); strings.Contains(one, "version") || strings.Count(one, "\n") != 4 {
		t.Errorf("one service:\n%s", one)
	}
}

// TestReload: SIGHUP takes a good file over without a connection lost, and of one with
// errors nothing; what operators and checks did in between stays where the file did not
// change that very entry.
func TestReload(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 3, NoVIP: true})
	client, host := top.Clients[0], top.Directors[0]
	web := make([]*webServer, 3)
	for i, h := range top.Servers {
		web[i] = startWeb(t, h)
	}
	config := func(scheduler string, weights ...int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "vrrp_instance VIPS {\n interface eth0\n virtual_router_id 5\n version 3\n advert_int 0.1\n priority 255\n virtual_ipaddress {\n %s/24\n }\n}\n"+
			"virtual_server %s 80 {\n delay_loop 1\n lb_algo %s\n lb_kind NAT\n protocol TCP\n", top.VIP4, top.VIP4, scheduler)
		for i, w := range weights {
			fmt.Fprintf(&b, " real_server %s 8080 {\n  weight %d\n  TCP_CHECK {\n   connect_timeout 1\n   retry 1\n   delay_before_retry 1\n  }\n }\n",
				top.Servers[i].Addr4("eth0"), w)
		}
		return b.String() + "}\n"
	}
	file := writeConfig(t, config("rr", 1, 1))
	d := &director{t: t, host: host, bin: labtest.Binary(t)}
	d.proc = labtest.Start(t, host, d.bin, "run", "-f", file)
	d.waitReady()
	site := url(top.VIP4, 80, "/")
	if got, want := answers(t, client, site, 4), []string{"server1", "server2"}; !slices.Equal(got, want) {
		t.Fatalf("answers from %v, want %v", got, want)
	}
	loaded := d.status().Config.Loaded
	reload := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := d.proc.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	// weights wants these servers in the table, the newest first.
	weights := func(when string, want ...string) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			var got []string
			for line := range strings.Lines(d.uvs("ipvsadm", "-L", "-n")) {
				if f := strings.Fields(line); len(f) == 6 && f[0] == "->" && f[2] == "Masq" {
					host := strings.TrimSuffix(f[1], ":8080")
					for i, h := range top.Servers {
						if h.Addr4("eth0").String() == host {
							got = append(got, fmt.Sprintf("%d:%s", i+1, f[3]))
						}
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s: the table has %v, want %v\n%s", when, got, want, d.proc.Output())
			}
			return nil
		})
	}
	weights("at the start", "1:1", "2:1")

	// An operator's weight, a check's verdict and the file.
	one := fmt.Sprintf("%s:8080", top.Servers[0].Addr4("eth0"))
	d.uvs("ipvsadm", "-e", "-t", top.VIP4.String()+":80", "-r", one, "-m", "-w", "5")
	web[1].stop()
	weights("server2 is down", "1:5")
	reload(config("rr", 1, 7, 2))
	weights("server3 came, server2 has another weight in the file and is down", "1:5", "3:2")
	web[1].start()
	weights("server2 is back", "1:5", "2:7", "3:2")
	reload(config("wrr", 9, 7, 2))
	weights("the file changed the entry that the operator had", "1:9", "2:7", "3:2")

	// A file with errors.
	before := d.uvs("ipvsadm", "-S", "-n")
	reload(strings.Replace(config("lc", 4), "lb_kind NAT", "lb_kind MAGIC", 1))
	waitLog(t, d, "reload: nothing changed: 1 error in "+file+" (first: line 14: ")
	if out, err := d.tryUVS("reload"); err == nil || !strings.Contains(out, "line 14") {
		t.Errorf("uvs reload with a bad file: %v\n%s", err, out)
	}
	if after := d.uvs("ipvsadm", "-S", "-n"); after != before {
		t.Errorf("a file with errors changed the table:\n%s\nbefore:\n%s", after, before)
	}
	if s := d.status(); s.State != control.StateRunning || !s.Config.Loaded.After(loaded) {
		t.Errorf("the status says %s, loaded %s", s.State, s.Config.Loaded)
	}
	if got := answers(t, client, site, 18); len(got) != 3 {
		t.Errorf("answers from %v, want three servers", got)
	}
	d.stop()
}
