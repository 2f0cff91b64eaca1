//go:build netns

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/internal/netlab/labtest"
)

// TestWholeWords: words that concern the director as a whole. Programs run before and behind everything,
// and are waited for; the pipes hear at the start what is up, and at a reload what the instances are, and which living
// servers and services it leaves out; checks of a service whose address is not here wait.
func TestWholeWords(t *testing.T) {
	p := newPlace(t)
	host := p.host("director", []string{"lan eth0 192.0.2.1/24"})
	server := p.host("server", []string{"lan eth0 192.0.2.9/24"})
	startWeb(t, server)
	dir := openDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("told"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	script := func(name, text string) string {
		if err := os.WriteFile(at(name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	startup := script("startup", "echo \"startup, addresses: $(ip -br address show eth0 | grep -c 192.0.2.80)\" >>"+at("told"))
	shutdown := script("shutdown", "echo \"shutdown, addresses: $(ip -br address show eth0 | grep -c 192.0.2.80)\" >>"+at("told"))
	up := script("up", "echo up >>"+at("told"))
	down := script("down", "echo \"$* down\" >>"+at("told"))
	file := writeConfig(t, fmt.Sprintf(`global_defs {
	startup_script %s
	shutdown_script %s
	rs_init_notifies
	fifo_write_vrrp_states_on_reload
	lvs_flush
	lvs_flush_on_stop
	checker_log_all_failures
	script_user root
	notify_fifo %s
}
vrrp_instance VI {
	interface eth0
	virtual_router_id 7
	version 3
	advert_int 0.1
	priority 255
	virtual_ipaddress {
		192.0.2.80/24
	}
}
virtual_server 192.0.2.80 80 {
	protocol TCP
	lb_kind NAT
	lb_algo rr
	quorum_down "%[5]s quorum"
	real_server 192.0.2.9 80 {
		notify_up %[4]s
		notify_down "%[5]s first"
	}
	real_server 192.0.2.9 82 {
		notify_down "%[5]s second"
	}
}
virtual_server 203.0.113.80 80 {
	protocol TCP
	lb_kind NAT
	lb_algo rr
	ha_suspend
	delay_loop 0.2
	retry 1
	delay_before_retry 0.1
	real_server 192.0.2.9 81 {
		TCP_CHECK {
			connect_timeout 1
		}
	}
}
`, startup, shutdown, at("fifo"), up, down))
	d := launchFile(t, host, file)
	d.waitReady()
	fifo := labtest.Start(t, host, "cat", at("fifo"))
	if err := fifo.WaitOutput(labtest.Hang, "RS [192.0.2.9]:tcp:80 [192.0.2.80]:tcp:80 UP"); err != nil {
		t.Error(err)
	}
	told := func(want string) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			b, err := os.ReadFile(at("told"))
			if err == nil && !strings.Contains(string(b), want) {
				err = fmt.Errorf("%q was not told in %q", want, b)
			}
			return err
		})
	}
	told("startup, addresses: 0\nup\n")
	d.uvs("reload")
	labtest.Eventually(t, labtest.Hang, func() error {
		if n := strings.Count(fifo.Output(), `INSTANCE "VI" MASTER 255`); n < 2 {
			return fmt.Errorf("the state of VI was written %d times, want at the start and at the reload", n)
		}
		return nil
	})
	// A server goes, then the service with the other one.
	leaveOut := func(from, to string) {
		t.Helper()
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, rest, _ := strings.Cut(string(b), from)
		_, tail, found := strings.Cut(rest, to)
		if !found {
			t.Fatalf("nothing from %q to %q", from, to)
		}
		write(t, file, head+to+tail)
		d.uvs("reload")
	}
	const service = "[192.0.2.80]:tcp:80"
	leaveOut("\treal_server 192.0.2.9 82", "}\nvirtual_server")
	told("second down\n")
	leaveOut("virtual_server 192.0.2.80", "virtual_server 203.0.113.80")
	told("first down\n")
	told("quorum down\n")
	want := fmt.Sprintf("RS [192.0.2.9]:tcp:82 %[1]s DOWN\nRS [192.0.2.9]:tcp:80 %[1]s DOWN\nVS %[1]s DOWN\n", service)
	if err := fifo.WaitOutput(labtest.Hang, "VS "+service+" DOWN"); err != nil || !strings.Contains(onlyServers(fifo.Output()), want) {
		t.Errorf("the FIFO says\n%s, want in it\n%s (%v)", fifo.Output(), want, err)
	}
	// The address of the second service comes: only now its server is found dead.
	if strings.Contains(d.proc.Output(), "TCP_CHECK on service [192.0.2.9]:tcp:81 failed") {
		t.Error("a service whose address is not here was checked")
	}
	run(t, host, "ip address add 203.0.113.80/32 dev eth0")
	waitLog(t, d, "TCP_CHECK on service [192.0.2.9]:tcp:81 failed")
	d.stop()
	told("shutdown, addresses: 0\n")
}

// onlyServers leaves the lines about servers and quorums of what a FIFO says.
func onlyServers(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "RS ") || strings.HasPrefix(line, "VS ") {
			b.WriteString(line)
		}
	}
	return b.String()
}
