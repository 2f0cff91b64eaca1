//go:build netns

package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestReloadIsAllOrNothing: a file that asks for one thing that the machine refuses changes
// nothing at all, whatever else it asks for: services, addresses, devices, sockets, pipes and
// timeouts are as before, and so are roles. Without that thing it is taken over whole, as
// --dry-run has said.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 2, NoVIP: true})
	client, host := top.Clients[0], top.Directors[0]
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	dir := t.TempDir()
	// base is what runs, and goal what is to run, with more words in global_defs, in the instance
	// that stays and at the end.
	service := func(port int) string {
		return fmt.Sprintf("virtual_server %s %d {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server %s 8080 {\n }\n}\n", top.VIP4, port, top.Servers[0].Addr4("eth0"))
	}
	instance := func(name string, vrid int, more string, vips ...string) string {
		return fmt.Sprintf("vrrp_instance %s {\n interface eth0\n virtual_router_id %d\n version 3\n advert_int 0.1\n priority 255\n %s\n virtual_ipaddress {\n  %s\n }\n}\n",
			name, vrid, more, strings.Join(vips, "\n  "))
	}
	base := "global_defs {\n vrrp_notify_fifo " + filepath.Join(dir, "old.fifo") + "\n}\n" +
		instance("VIPS", 5, "", top.VIP4.String()+"/24", "10.77.0.51") + service(80) + service(81)
	goal := func(global, inInstance, more string) string {
		return "global_defs {\n lvs_timeouts tcp 77\n vrrp_notify_fifo " + filepath.Join(dir, "new.fifo") + "\n " + global + "\n}\n" +
			instance("VIPS", 5, inInstance, top.VIP4.String()+"/24", "10.77.0.52") +
			instance("MORE", 6, "use_vmac more0", "10.77.0.53") + service(80) + service(82) + more
	}
	file := writeConfig(t, base)
	d := launchFile(t, host, file)
	d.waitReady()
	waitLog(t, d, "(VIPS) MASTER, was")
	site := url(top.VIP4, 80, "/")
	if got := answers(t, client, site, 2); len(got) != 1 {
		t.Fatalf("answers from %v", got)
	}
	// state is all that an operator sees of the director and the host.
	state := func() string {
		s := d.status()
		return strings.Join([]string{
			d.uvs("ipvsadm", "-S", "-n"), d.uvs("ipvsadm", "-L", "--timeout"), labtest.Run(t, host, "ip", "-o", "addr"), labtest.Run(t, host, "ip", "route"),
			fmt.Sprint(s.Config, s.VRRP.Instances[0].State, s.VRRP.Instances[0].BecameMaster, len(s.VRRP.Instances)),
			strings.Join(slices.Sorted(strings.Lines(labtest.Run(t, host, "ss", "-H", "-0", "-w", "-n", "-a"))), ""), fmt.Sprint(fifos(t, dir)), fmt.Sprintf("%d descriptors", len(descriptors(t, d))),
		}, "\n")
	}
	var before string
	unchanged := func(what string) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			if now := state(); now != before {
				return fmt.Errorf("%s changed something:\n%s\nbefore:\n%s", what, now, before)
			}
			return nil
		})
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	labtest.Run(t, host, "ip", "link", "add", "alien", "type", "veth", "peer", "name", "alien2")
	labtest.Eventually(t, labtest.Hang, func() error {
		if before = state(); strings.Contains(before, "[2054]:") {
			return errors.New("a master still asks whether another host answers for its addresses")
		}
		return nil
	})
	bfd, err := host.ListenPacket(t.Context(), "udp4", ":3784")
	if err != nil {
		t.Fatal(err)
	}
	defer bfd.Close()
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"a pipe where a directory is", goal("lvs_notify_fifo "+filepath.Join(dir, "directory"), "", ""), "is not a FIFO"},
		{"a program of a user that is none", goal("", "notify_master /bin/true nobody-of-that-name", ""), "nobody-of-that-name"},
		{"a device that is another's", goal("", "", instance("ALIEN", 9, "use_vmac alien", "10.77.0.59")), "alien"},
		{"a port that another program has", "bfd_instance peer {\n neighbor_ip 10.77.0.2\n}\n" + goal("", "track_bfd {\n  peer\n }", ""), "UDP port 3784 is in use"},
	} {
		write(tt.text)
		out, err := d.tryUVS("reload")
		if err == nil || !strings.Contains(out, "reload: nothing changed: ") || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %v\n%s", tt.name, err, out)
		}
		unchanged(tt.name)
	}

	// However few descriptors there are for it, a reload is done whole or not at all.
	write(goal("", "", ""))
	reasons := scarce(t, d, func() { unchanged("a reload that was short of descriptors") })
	t.Logf("short of descriptors: %d refusals, with %d different reasons: %q", len(reasons), len(slices.Compact(slices.Sorted(slices.Values(reasons)))), reasons)
	if len(reasons) < 4 {
		t.Errorf("a reload failed for want of descriptors %d times, want at least 4", len(reasons))
	}
	for _, want := range []struct {
		vip string
		has bool
	}{{"10.77.0.51", false}, {"10.77.0.52", true}} {
		if got := hasAddress(t, host, netip.MustParseAddr(want.vip)); got != want.has {
			t.Errorf("after the reload the host has %s: %t", want.vip, got)
		}
	}
	d.instance("MORE", func(i control.VRRPInstance) bool { return i.Name != "MORE" || i.State == "MASTER" })
	if got := fifos(t, dir); !slices.Equal(got, []string{"new.fifo"}) {
		t.Errorf("after the reload there are the pipes %v", got)
	}
	if got := answers(t, client, url(top.VIP4, 82, "/"), 2); len(got) != 1 {
		t.Errorf("the new service answers from %v", got)
	}
	if s := d.status().VRRP.Instances[0]; s.BecameMaster != 1 {
		t.Errorf("VIPS became master %d times", s.BecameMaster)
	}

	// The way back, said before it is done.
	write(base)
	dry := d.uvs("reload", "--dry-run")
	for _, want := range []string{"removed vrrp_instance MORE", "added service [" + top.VIP4.String() + "]:tcp:81", "removed address 10.77.0.52/32 on eth0", "changed timeouts: TCP 1m17s → default"} {
		if !strings.Contains(dry, want) {
			t.Errorf("--dry-run does not say %q:\n%s", want, dry)
		}
	}
	if !hasAddress(t, host, netip.MustParseAddr("10.77.0.52")) {
		t.Error("--dry-run took an address")
	}
	if real := d.uvs("reload"); real != dry {
		t.Errorf("the reload says\n%s\nand --dry-run said\n%s", real, dry)
	}
	if again := d.uvs("reload"); again != "nothing changed\n" {
		t.Errorf("once more: %s", again)
	}
	d.stop()
}

// fifos lists the pipes of a directory.
func fifos(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type() == os.ModeNamedPipe {
			names = append(names, e.Name())
		}
	}
	return names
}

// descriptors are the numbers of those that a director has open.
func descriptors(t *testing.T, d *director) map[int]bool {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.proc.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[int]bool)
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		open[n] = true
	}
	return open
}

// scarce has a director reload while it may open no descriptor more, then one more, and so on until
// the reload succeeds. It returns why the others failed, and calls check after each.
func scarce(t *testing.T, d *director, check func()) (reasons []string) {
	t.Helper()
	const refused, done = "reload: nothing changed: ", "configuration reloaded"
	pid := strconv.Itoa(d.proc.Pid())
	limit := func(n int) {
		if out, err := exec.CommandContext(t.Context(), "prlimit", "--pid", pid, fmt.Sprintf("--nofile=%d:4096", n)).CombinedOutput(); err != nil {
			t.Fatalf("prlimit: %v\n%s", err, out)
		}
	}
	for spare := range 40 {
		// The limit is on numbers: below it there are to be so many that are free.
		open := descriptors(t, d)
		most := 0
		for free := 0; free < spare || open[most]; most++ {
			if !open[most] {
				free++
			}
		}
		out := d.proc.Output()
		was := strings.Count(out, refused)
		limit(most)
		if err := d.proc.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		success := false
		labtest.Eventually(t, labtest.Hang, func() error {
			out = d.proc.Output()
			if success = strings.Contains(out, done); success || strings.Count(out, refused) > was {
				return nil
			}
			return fmt.Errorf("with %d descriptors more nothing came of a reload:\n%s", spare, out)
		})
		limit(1024)
		if success {
			return reasons
		}
		line, _, _ := strings.Cut(out[strings.LastIndex(out, refused)+len(refused):], "\n")
		reasons = append(reasons, line)
		check()
	}
	t.Errorf("a reload fails with 40 descriptors more than it had: %q", reasons)
	return reasons
}
