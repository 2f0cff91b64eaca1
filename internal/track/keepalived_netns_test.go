//go:build netns

package track_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"uvs/internal/command"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/track"
)

// planScript behaves at its nth run as the nth letter of its second argument says, and then as the last: a digit is an
// exit status, k a signal, t too long. The first argument is where it counts. It starts no process but the one that is too
// long: a run that is to end must do so within its time on a machine that has much else to do.
const planScript = `#!/bin/sh
n=
[ ! -e "$1" ] || read -r n <"$1"
rest=${2#"$n"}
[ ${#rest} -le 1 ] || printf '%s\n' "$n${rest%"${rest#?}"}" >"$1"
case $rest in
k*) kill -9 $$ ;;
t*) exec sleep 1000 ;;
esac
exit "${rest%"${rest#?}"}"
`

// A joint script is one that both run, by a plan.
type joint struct {
	name, plan string
	rise, fall int
	initFail   bool
	lines      int // that are logged in the end
}

// times returns the seconds from run to run, and what a run may take. The two are well apart where runs take too long: of a
// run that is not over when the next is due keepalived 2.2.7 says that it skips one, and counts a success.
func (j *joint) times() (interval, timeout int) {
	if strings.Contains(j.plan, "t") {
		return 3, 1
	}
	return 1, 5
}

// TestScriptsAsKeepalived: keepalived and a Set run scripts that do the same; both log the same about each.
func TestScriptsAsKeepalived(t *testing.T) {
	site := labtest.New(t)
	h, other := labtest.Host(t, site, "director"), labtest.Host(t, site, "other")
	if err := site.Connect(h, "eth0", other, "eth0"); err != nil {
		t.Fatal(err)
	}
	if err := h.AddAddr("eth0", netip.MustParsePrefix("192.0.2.1/24")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		differ, skipped := runBoth(t, h, []joint{
			{"good", "0", 1, 1, false, 1},
			{"bad", "1", 3, 3, false, 2},
			{"fall", "00110111", 1, 3, false, 5},
			{"rise", "10010002", 3, 1, false, 8},
			{"initfail", "000", 3, 1, true, 1},
			{"initfail2", "2001", 2, 1, true, 6},
			{"initfail3", "t00", 2, 1, true, 2},
			{"signal", "0kk00", 1, 2, false, 3},
			{"statuses", "0230", 1, 5, false, 4},
			{"slow", "0t0", 1, 1, false, 3},
			{"slowstart", "t0", 1, 1, false, 2},
		})
		switch {
		case skipped:
			t.Logf("the machine was so busy that keepalived skipped a run: once more\n%s", differ)
			continue
		case differ != "":
			t.Error(differ)
		}
		return
	}
	t.Error("keepalived skipped a run each time")
}

// runBoth runs scripts by keepalived and by a Set until both have logged all that is to come, and says where they differ, and
// whether keepalived has skipped a run.
func runBoth(t *testing.T, h *netlab.Host, scripts []joint) (differ string, skipped bool) {
	dir := t.TempDir()
	plan := filepath.Join(dir, "plan.sh")
	if err := os.WriteFile(plan, []byte(planScript), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := "global_defs {\n    script_user root\n    enable_script_security\n}\n"
	tracked := ""
	var ours []track.Script
	for _, s := range scripts {
		word := ""
		if s.initFail {
			word = "    init_fail\n"
		}
		interval, timeout := s.times()
		conf += fmt.Sprintf("vrrp_script %s {\n    script \"%s %s %s\"\n    interval %d\n    timeout %d\n    rise %d\n    fall %d\n%s    weight 1\n}\n",
			s.name, plan, filepath.Join(dir, s.name+".theirs"), s.plan, interval, timeout, s.rise, s.fall, word)
		tracked += "        " + s.name + "\n"
		ours = append(ours, track.Script{Name: s.name, Rise: s.rise, Fall: s.fall, InitFail: s.initFail, Interval: time.Duration(interval) * time.Second,
			Program: command.Program{Args: []string{plan, filepath.Join(dir, s.name+".ours"), s.plan}, Timeout: time.Duration(timeout) * time.Second, Secure: true}})
	}
	conf += "vrrp_instance V {\n    interface eth0\n    virtual_router_id 1\n    virtual_ipaddress {\n        192.0.2.100\n    }\n    track_script {\n" + tracked + "    }\n}\n"
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	keepalived := labtest.Start(t, h, "keepalived", "-n", "-l", "-P", "-D", "-f", file, "-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
	said := runScripts(t, ours)
	skips := func() bool { return strings.Contains(keepalived.Output(), "skipping run") }
	for _, s := range scripts {
		var a, b []string
		labtest.Eventually(t, labtest.Hang, func() error {
			a, b = about(s.name, logged(keepalived)), about(s.name, said())
			if !skips() && (len(a) < s.lines || len(b) < s.lines) {
				return fmt.Errorf("%s: keepalived has logged\n%s\nwe\n%s", s.name, strings.Join(a, "\n"), strings.Join(b, "\n"))
			}
			return nil
		})
		if !slices.Equal(a, b) {
			differ += fmt.Sprintf("%s: keepalived logged\n%s\nwe\n%s\n", s.name, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
	if err := keepalived.Stop(); err != nil {
		t.Error(err)
	}
	return differ, skips()
}

// logged returns the lines that a process has written so far, without one that it is still writing.
func logged(p *netlab.Process) []string {
	whole := func(s string) []string { return strings.Split(s[:strings.LastIndex(s, "\n")+1], "\n") }
	return append(whole(p.Stdout()), whole(p.Stderr())...)
}

// about picks the lines about a script.
func about(name string, lines []string) (some []string) {
	for _, l := range lines {
		for _, begin := range []string{"VRRP_Script(" + name + ") ", "Script `" + name + "` "} {
			if i := strings.Index(l, begin); i >= 0 {
				some = append(some, l[i:])
			}
		}
	}
	return some
}

// runScripts tracks scripts until the test ends and returns what there is to log so far.
func runScripts(t *testing.T, scripts []track.Script) (said func() []string) {
	t.Helper()
	var mu sync.Mutex
	var lines []string
	r := command.NewRunner(command.Options{})
	set := track.NewSet(track.Options{Start: r.Start, OnEvent: func(e track.Event) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, e.Message)
	}}, scripts, nil, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- set.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(lines)
	}
}
