//go:build netns

package notify_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/ipv4"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/vrrp/notify"
)

// A comparison is a keepalived whose scripts and FIFO reader write down what they get, and what we say they should get.
// Both are lines by file: fifoLines, and for each script the arguments of its calls.
type comparison struct {
	t    *testing.T
	dir  string
	want map[string][]string
}

const fifoLines = "fifo.lines"

func (c *comparison) path(name string) string { return filepath.Join(c.dir, name) }

func (c *comparison) write(name, text string, mode os.FileMode) string {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), []byte(text), mode); err != nil {
		c.t.Fatal(err)
	}
	return c.path(name)
}

// got returns the lines of a file, none while it is not there.
func (c *comparison) got(name string) (list []string) {
	b, err := os.ReadFile(c.path(name))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		list = append(list, strings.TrimSuffix(line, "\n"))
	}
	return list
}

// up and down make a tracked script succeed and fail.
func (c *comparison) up(name string) { c.write(name+".ok", "", 0o644) }

func (c *comparison) down(name string) {
	c.t.Helper()
	if err := os.Remove(c.path(name + ".ok")); err != nil {
		c.t.Fatal(err)
	}
}

// told are the events of one subject.
type told struct {
	subject  *notify.Subject
	event    notify.Event
	priority uint8
}

// expect notes what we do for events, and waits until keepalived has called and written as often.
func (c *comparison) expect(step string, list ...told) {
	c.t.Helper()
	for _, x := range list {
		for _, act := range x.subject.Acts(x.event, x.priority) {
			switch {
			case act.Run != nil:
				name := strings.TrimSuffix(filepath.Base(act.Run.Args[0]), ".sh")
				c.want[name] = append(c.want[name], bracketed(act.Run.Args[1:]))
			case act.Line != "":
				c.want[fifoLines] = append(c.want[fifoLines], strings.TrimSuffix(act.Line, "\n"))
			}
		}
	}
	labtest.Eventually(c.t, labtest.Hang, func() error {
		for name, lines := range c.want {
			if got := c.got(name); len(got) < len(lines) {
				return fmt.Errorf("%s: %d lines in %s, want %d:\n%s", step, len(got), name, len(lines), strings.Join(got, "\n"))
			}
		}
		return nil
	})
}

func bracketed(args []string) (s string) {
	for _, a := range args {
		s += "[" + a + "]"
	}
	return s
}

// settle compares all that was recorded. Instances change independently of each other, but those of a group with it.
func (c *comparison) settle(groups ...string) {
	c.t.Helper()
	for name, want := range c.want {
		got := c.got(name)
		if name != fifoLines {
			if !slices.Equal(got, want) {
				c.t.Errorf("calls of %s: keepalived\n%s\nwe\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			continue
		}
		for _, names := range groups {
			of := func(lines []string) (some []string) {
				for _, l := range lines {
					if f := strings.Split(l, `"`); len(f) == 3 && strings.Contains(names, f[1]) {
						some = append(some, l)
					}
				}
				return some
			}
			if got, want := of(got), of(want); !slices.Equal(got, want) {
				c.t.Errorf("FIFO: keepalived\n%s\nwe\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		if len(got) != len(want) {
			c.t.Errorf("FIFO: keepalived wrote %d lines, we %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
		}
	}
}

// commands sets a script for each event of a subject, and returns the lines of keepalived.conf for the same.
func (c *comparison) commands(name string, config *notify.Config, group bool) (conf string) {
	add := func(word, event string, to **notify.Command, args ...string) {
		script := c.write(name+"."+event+".sh", fmt.Sprintf("#!/bin/sh\nfor a; do line=\"$line[$a]\"; done\necho \"$line\" >>%q\n",
			c.path(name+"."+event)), 0o755)
		*to = &notify.Command{Args: append([]string{script}, args...)}
		quoted := ""
		for _, a := range args {
			quoted += " '" + a + "'"
		}
		conf += fmt.Sprintf("    %s \"%s%s\"\n", word, script, quoted)
	}
	add("notify_master", "master", &config.Master, "to master", "x")
	add("notify_backup", "backup", &config.Backup)
	add("notify_fault", "fault", &config.Fault, "")
	add("notify_stop", "stop", &config.Stop, "stop")
	add("notify", "any", &config.Any, "any", "of it")
	if group {
		return conf
	}
	add("notify_master_rx_lower_pri", "lower", &config.MasterRxLowerPri, "lower")
	switch {
	case config.OnDelete && name == "A":
		add("notify_deleted", "deleted", &config.Deleted, "gone")
	case config.OnDelete:
		conf += "    notify_deleted\n"
	}
	if config.PriorityChanges {
		conf += "    notify_priority_changes true\n"
	}
	return conf
}

// instance returns a subject and its block of keepalived.conf.
func (c *comparison) instance(name string, id int, track string, config notify.Config) (*notify.Subject, string) {
	conf := fmt.Sprintf("vrrp_instance %s {\n    state BACKUP\n    interface eth0\n    virtual_router_id %d\n    priority 100\n"+
		"    advert_int 0.1\n    virtual_ipaddress {\n        192.0.2.%d\n    }\n    track_script {\n        %s\n    }\n%s}\n",
		name, id, 100+id, track, c.commands(name, &config, false))
	return notify.Instance(name, config), conf
}

// global returns what stands before the instances.
func (c *comparison) global() string {
	reader := c.write("reader.sh", fmt.Sprintf("#!/bin/sh\necho \"[$1][$2][$#]\" >%q\ntrap '' TERM\nexec <\"$2\"\n"+
		"while read line; do echo \"$line\" >>%q; done\n", c.path("reader"), c.path(fifoLines)), 0o755)
	conf := fmt.Sprintf("global_defs {\n    script_user root\n    enable_script_security\n    vrrp_version 3\n    vrrp_notify_fifo %s\n"+
		"    vrrp_notify_fifo_script \"%s arg\"\n}\n", c.path("fifo"), reader)
	for _, name := range []string{"weighted", "needed", "needed2"} {
		c.up(name)
		conf += fmt.Sprintf("vrrp_script %s {\n    script \"/usr/bin/test -e %s\"\n    interval 1\n}\n", name, c.path(name+".ok"))
	}
	return conf
}

// pair makes two hosts on one wire.
func pair(t *testing.T) (h, peer *netlab.Host) {
	t.Helper()
	site := labtest.New(t)
	h, peer = labtest.Host(t, site, "director"), labtest.Host(t, site, "peer")
	if err := site.Connect(h, "eth0", peer, "eth0"); err != nil {
		t.Fatal(err)
	}
	for i, host := range []*netlab.Host{h, peer} {
		if err := host.AddAddr("eth0", netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	return h, peer
}

// TestSameAsKeepalived: one keepalived goes through all states with scripts, FIFO and tracked scripts; what it calls and
// writes, to the argument, is what Acts says for the same changes.
func TestSameAsKeepalived(t *testing.T) {
	h, peer := pair(t)
	c := &comparison{t: t, dir: t.TempDir(), want: make(map[string][]string)}
	if err := os.Chmod(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	global := c.global()
	A, a := c.instance("A", 1, "weighted weight -20\n        needed", notify.Config{PriorityChanges: true, OnDelete: true})
	B, b := c.instance("B", 2, "needed2", notify.Config{OnDelete: true})
	C, cc := c.instance("C", 3, "needed2", notify.Config{})
	D, d := c.instance("D", 4, "needed2", notify.Config{})
	var config notify.Config
	d += "vrrp_sync_group G {\n    group {\n        D\n    }\n" + c.commands("G", &config, true) + "}\n"
	G := notify.Group("G", config)
	rest := func(e notify.Event) []told { return []told{{B, e, 100}, {C, e, 100}, {D, e, 100}, {G, e, 0}} }

	conf := c.write("keepalived.conf", global+a+b+cc+d, 0o644)
	keepalived := labtest.Start(t, h, "keepalived", "-n", "-l", "-P", "-D", "-f", conf, "-p", c.path("pid"), "-r", c.path("vrrp.pid"))
	for _, e := range []notify.Event{notify.Backup, notify.Master} {
		c.expect("start", append(rest(e), told{A, e, 100})...)
	}
	c.down("weighted")
	c.expect("less weight", told{A, notify.MasterPriority, 80})
	c.down("needed")
	c.expect("fault", told{A, notify.Fault, 80})
	c.up("weighted")
	c.expect("weight in FAULT", told{A, notify.BackupPriority, 100})
	c.up("needed")
	c.expect("no fault", told{A, notify.Backup, 100}, told{A, notify.Master, 100})
	c.down("needed2")
	c.expect("faults", rest(notify.Fault)...)
	c.up("needed2")
	c.expect("no faults", append(rest(notify.Backup), rest(notify.Master)...)...)
	lowerAdvert(t, peer)
	c.expect("a lower advert", told{A, notify.MasterRxLowerPri, 100})
	c.write("keepalived.conf", global+d, 0o644)
	labtest.Run(t, h, "sh", "-c", "kill -HUP $(cat "+c.path("pid")+")")
	c.expect("reload", told{A, notify.Deleted, 100}, told{B, notify.Deleted, 100}, told{C, notify.Deleted, 100})
	if err := keepalived.Stop(); err != nil {
		t.Fatal(err)
	}
	c.expect("stop", told{D, notify.Stop, 100}, told{G, notify.Stop, 0})
	c.settle("A", "B", "C", "DG")
	if got, want := c.got("reader"), bracketed([]string{"arg", c.path("fifo"), "2"}); len(got) != 1 || got[0] != want {
		t.Errorf("reader called with %q, want %s", got, want)
	}
}

// lowerAdvert sends one advert for router 1 with priority 50, as VRRP version 3 has it.
func lowerAdvert(t *testing.T, h *netlab.Host) {
	t.Helper()
	src, group, vip := netip.MustParseAddr("192.0.2.2").As4(), netip.MustParseAddr("224.0.0.18").As4(), netip.MustParseAddr("192.0.2.101").As4()
	advert := append([]byte{0x31, 1, 50, 1, 0, 10, 0, 0}, vip[:]...)
	const protocol, ttl = 112, 255
	sum := uint32(0)
	for _, part := range [][]byte{src[:], group[:], {0, protocol, 0, byte(len(advert))}, advert} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(part[i])<<8 | uint32(part[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	advert[6], advert[7] = byte(^sum>>8), byte(^sum)
	c, err := h.ListenPacket(t.Context(), "ip4:112", "192.0.2.2")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := ipv4.NewPacketConn(c).SetMulticastTTL(ttl); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo(advert, &net.IPAddr{IP: group[:]}); err != nil {
		t.Fatal(err)
	}
}
