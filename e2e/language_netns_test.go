//go:build netns

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// acceptance holds the configurations that a drop-in must judge as keepalived does.
const acceptance = "../config/testdata/keepalived"

// languageHost makes the machine that the acceptance configurations were written for.
func languageHost(t *testing.T) *netlab.Host {
	t.Helper()
	h := labtest.Host(t, labtest.New(t), "director")
	for i, l := range []struct{ name, addrs string }{
		{"eth0", "192.168.1.11/24 2001:db8:1::11/64"},
		{"eth1", "10.0.30.11/16 2001:db8:2::11/64"},
		{"eth2", "10.20.30.11/24"},
		{"bond0.2", "192.168.0.150/24"},
		{"bond0.10", "172.16.0.1/24"},
		{"ens3", "172.18.1.23/24"},
	} {
		peer := fmt.Sprintf("p%d", i)
		labtest.Run(t, h, "ip", "link", "add", l.name, "type", "veth", "peer", "name", peer)
		for _, name := range []string{peer, l.name} {
			labtest.Run(t, h, "ip", "link", "set", name, "up")
		}
		for _, a := range strings.Fields(l.addrs) {
			args := []string{"address", "add", a, "dev", l.name}
			if strings.Contains(a, ":") {
				args = append(args, "nodad")
			}
			labtest.Run(t, h, "ip", args...)
		}
	}
	return h
}

// verdict runs a test of a configuration and returns its exit status, -1 if it was killed,
// and what it printed.
func verdict(t *testing.T, h *netlab.Host, name string, args ...string) (int, string) {
	t.Helper()
	out, err := h.Run(t.Context(), name, args...)
	var status *exec.ExitError
	switch {
	case err == nil:
		return 0, out
	case errors.As(err, &status):
		return status.ExitCode(), out
	}
	t.Fatal(err)
	return 0, ""
}

// adjusted are bad configurations of which all runs, with other values: notes, no errors.
var adjusted = map[string]bool{
	"bad/15-hysteresis-too-big.conf": true, "bad/17-nopreempt-with-master.conf": true,
	"bad/25-dr-port-mapping.conf": true, "bad/30-strict-mode.conf": true,
}

// TestKeepalivedVerdicts: `uvs keepalived -t` has keepalived's exit status on every
// acceptance configuration, valid and bad, and `uvs check` names the wrong lines.
func TestKeepalivedVerdicts(t *testing.T) {
	h := languageHost(t)
	uvs := labtest.Binary(t)
	link := filepath.Join(t.TempDir(), "keepalived")
	labtest.Run(t, h, "ln", "-s", uvs, link)
	wrong := regexp.MustCompile(`WRONG on line ([0-9, ]+):`)
	for _, pattern := range []string{"*.conf", "bad/*.conf"} {
		files, err := filepath.Glob(filepath.Join(acceptance, pattern))
		if err != nil || len(files) < 30 {
			t.Fatalf("%d files %s, %v", len(files), pattern, err)
		}
		for _, file := range files {
			abs, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimPrefix(file, acceptance+"/")
			args := []string{"-t", "-f", abs}
			if name == "37-parser-features.conf" {
				args = append(args, "-i", "main")
			}
			want, said := verdict(t, h, "keepalived", args...)
			if name == "bad/20-http-get-without-url.conf" { // it crashes keepalived
				want = 5
			}
			if got, out := verdict(t, h, uvs, slices.Concat([]string{"keepalived"}, args)...); got != want {
				t.Errorf("%s: exit status %d, want %d\nuvs:\n%s\nkeepalived:\n%s", name, got, want, out, said)
			}
			if got, _ := verdict(t, h, link, args...); got != want {
				t.Errorf("%s: exit status %d by the name keepalived, want %d", name, got, want)
			}
			status, out := verdict(t, h, uvs, slices.Concat([]string{"check"}, args[2:])...)
			bad := strings.HasPrefix(name, "bad/")
			if bad && !adjusted[name] != (status == 1) {
				t.Errorf("%s: exit status %d of uvs check\n%s", name, status, out)
			}
			if m := wrong.FindStringSubmatch(head(t, abs)); bad {
				if m == nil {
					t.Fatalf("%s does not say which lines are wrong", name)
				}
				for line := range strings.SplitSeq(m[1], ", ") {
					if !regexp.MustCompile(`(?m)^\S*` + regexp.QuoteMeta(filepath.Base(name)) + ":" + line + `:\d+: `).MatchString(out) {
						t.Errorf("%s: uvs check says nothing of line %s:\n%s", name, line, out)
					}
				}
			}
		}
	}
}

// head returns the beginning of a file.
func head(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return first
}
