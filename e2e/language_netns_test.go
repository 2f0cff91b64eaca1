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

// TestKeepalivedVerdictsOfLines: both have the same exit status for lines that are out of the ordinary.
func TestKeepalivedVerdictsOfLines(t *testing.T) {
	h := languageHost(t)
	uvs := labtest.Binary(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "other.inc"), "$B=1\n")
	block := func(lines string) string { return "$A=1\nglobal_defs {\n" + lines + "\n}\n" }
	long := strings.Repeat("x", 1100)
	for name, text := range map[string]string{
		"a long comment":                  block("router_id a # " + long),
		"a long comment of comments":      block("router_id a " + strings.Repeat("#", 1100)),
		"a long word":                     block("router_id " + long),
		"blanks ahead":                    block(strings.Repeat(" ", 1100) + "router_id a"),
		"blanks within":                   block("router_id " + strings.Repeat(" ", 1100) + "a"),
		"a NUL":                           block("router_id a\x00b"),
		"a NUL alone":                     block("\x00\nrouter_id a"),
		"a NUL within a word":             block("rou\x00ter_id a"),
		"a byte order mark":               "\xef\xbb\xbf" + block("router_id a"),
		"one before a comment":            "\xef\xbb\xbf# a comment\n" + block("router_id a"),
		"UTF-16":                          "\xff\xfe$\x00A\x00=\x001\x00\n\x00",
		"include of itself":               "include x.conf\n",
		"includer of itself":              "includer x.conf\n",
		"include of a pattern":            "includem *.gone\n",
		"include_check":                   block("include_check") + "include gone\n",
		"include_check of two words":      block("include_check read match") + "include other.inc\n",
		"include_check before a failure":  block("include_check match all") + "include gone\n",
		"include_check with signs":        block("include_check match -match +brace_match") + "include gone\ninclude {other.inc,gone}\n",
		"include_check elsewhere":         "include_check match\ninclude gone\n",
		"an environment variable":         block("router_id a${_ENV HOME}"),
		"one in quotes":                   block(`router_id "${_ENV HOME}"`),
		"~LST of two words":               block("router_id a\n~LST(i,1 2,3) router_id ${i}"),
		"~LST of two words in two places": block("router_id a\n~LST({i,j},{1 2,3},{4,5}) router_id ${i}${j}"),
	} {
		write(t, filepath.Join(dir, "x.conf"), text)
		args := []string{"-t", "-f", filepath.Join(dir, "x.conf")}
		want, said := verdict(t, h, "keepalived", args...)
		if got, out := verdict(t, h, uvs, slices.Concat([]string{"keepalived"}, args)...); got != want {
			t.Errorf("%s: exit status %d, want %d\nuvs:\n%s\nkeepalived:\n%s", name, got, want, out, said)
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
