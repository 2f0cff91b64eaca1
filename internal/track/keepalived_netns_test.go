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
	"uvs/internal/netlab/labtest"
	"uvs/internal/track"
)

// planScript behaves at its nth run as the nth letter of its second argument says, and then as the last: a digit is an
// exit status, k a signal, t too long. The first argument is where it counts.
const planScript = `#!/bin/sh
n=$(cat "$1" 2>/dev/null || echo 0)
[ "$n" -ge $((${#2} - 1)) ] || echo $((n + 1)) >"$1"
c=$(echo "$2" | cut -c $((n + 1)))
case $c in
k) kill -9 $$ ;;
t) exec sleep 1000 ;;
esac
exit "$c"
`

// TestScriptsAsKeepalived: keepalived and a Set run scripts that do the same; both log the same about each, but for the
// runs that are left out, which are a matter of milliseconds.
func TestScriptsAsKeepalived(t *testing.T) {
	site := labtest.New(t)
	h, other := labtest.Host(t, site, "director"), labtest.Host(t, site, "other")
	if err := site.Connect(h, "eth0", other, "eth0"); err != nil {
		t.Fatal(err)
	}
	if err := h.AddAddr("eth0", netip.MustParsePrefix("192.0.2.1/24")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plan := filepath.Join(dir, "plan.sh")
	if err := os.WriteFile(plan, []byte(planScript), 0o755); err != nil {
		t.Fatal(err)
	}
	scripts := []struct {
		name, plan string
		rise, fall int
		initFail   bool
		lines      int // that are logged in the end
	}{
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
	}
	conf := "global_defs {\n    script_user root\n    enable_script_security\n}\n"
	tracked := ""
	var ours []track.Script
	for _, s := range scripts {
		word := ""
		if s.initFail {
			word = "    init_fail\n"
		}
		conf += fmt.Sprintf("vrrp_script %s {\n    script \"%s %s %s\"\n    interval 1\n    rise %d\n    fall %d\n%s    weight 1\n}\n",
			s.name, plan, filepath.Join(dir, s.name+".theirs"), s.plan, s.rise, s.fall, word)
		tracked += "        " + s.name + "\n"
		ours = append(ours, track.Script{Name: s.name, Rise: s.rise, Fall: s.fall, InitFail: s.initFail, Interval: time.Second,
			Program: command.Program{Args: []string{plan, filepath.Join(dir, s.name+".ours"), s.plan}, Timeout: time.Second, Secure: true}})
	}
	conf += "vrrp_instance V {\n    interface eth0\n    virtual_router_id 1\n    virtual_ipaddress {\n        192.0.2.100\n    }\n    track_script {\n" + tracked + "    }\n}\n"
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	keepalived := labtest.Start(t, h, "keepalived", "-n", "-l", "-P", "-D", "-f", file, "-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
	said := runScripts(t, ours)
	for _, s := range scripts {
		var a, b []string
		labtest.Eventually(t, time.Minute, func() error {
			a, b = about(s.name, strings.Split(keepalived.Output(), "\n")), about(s.name, said())
			if len(a) < s.lines || len(b) < s.lines {
				return fmt.Errorf("%s: keepalived has logged\n%s\nwe\n%s", s.name, strings.Join(a, "\n"), strings.Join(b, "\n"))
			}
			return nil
		})
		if !slices.Equal(a, b) {
			t.Errorf("%s: keepalived logged\n%s\nwe\n%s", s.name, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
	if err := keepalived.Stop(); err != nil {
		t.Error(err)
	}
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
