//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// withErrors adds to a configuration values and a block that cannot be run. It returns how
// each error is named, the file's name aside.
func withErrors(config string) (bad string, errors []string) {
	bad = `virtual_server 198.51.100.81 80 {
 lb_algo wrx
 lb_kind NAT
 protocol TCP
 real_server 192.0.2.201 8080 {
  weight 12x
  TCP_CHECK {
  }
 }
}
virtual_srever 198.51.100.82 80 {
}
`
	line := strings.Count(config, "\n")
	return config + bad, []string{
		fmt.Sprintf(":%d:10: lb_algo \"wrx\"", line+2),
		fmt.Sprintf(":%d:10: weight \"12x\"", line+6),
		fmt.Sprintf(":%d:1: \"virtual_srever\"", line+11),
	}
}

// TestConfigWithErrors: the rest of the file runs, and each error is named with its place.
func TestConfigWithErrors(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director := top.Directors[0]
	startWeb(t, top.Servers[0])
	before := dump(t, director)
	config, errors := withErrors(m.config(top))
	d := startDirector(t, director, config)
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		if got := curl(t, top.Clients[0], url(vip, 80, "/")); got != "server1\n" {
			t.Errorf("%s serves %q", vip, got)
		}
	}
	notes := strings.Join(d.status().Notes, "\n")
	for _, want := range errors {
		// The log quotes.
		if !strings.Contains(strings.ReplaceAll(d.proc.Output(), `\"`, `"`), want) {
			t.Errorf("the log does not name %q", want)
		}
		if !strings.Contains(notes, want) {
			t.Errorf("status does not name %q:\n%s", want, notes)
		}
	}
	d.stop()
	wantDump(t, director, before, "after SIGTERM")
}

// TestRefusedInput: what cannot be run at all, or only in part when all is asked for, ends
// in one line, with nothing touched.
func TestRefusedInput(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director := top.Directors[0]
	config, errors := withErrors(m.config(top))
	bad := writeConfig(t, config)
	first := "first: line " + strings.Split(errors[0], ":")[1]
	good := writeConfig(t, m.config(top))
	dir := t.TempDir()
	notDir := filepath.Join(dir, "file")
	if err := os.WriteFile(notDir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"errors and --strict", []string{"run", "--strict", "-f", bad}, []string{bad, "3 errors", first}},
		{"no such file", []string{"run", "-f", filepath.Join(dir, "absent.conf")}, []string{filepath.Join(dir, "absent.conf"), "no such file"}},
		{"a directory", []string{"run", "-f", dir}, []string{dir, "is a directory"}},
		{"a file as run directory", []string{"run", "-f", good, "--run-dir", notDir}, []string{notDir, "not a directory"}},
	} {
		t.Run(tc.name, func(t *testing.T) { refused(t, director, tc.args, tc.words...) })
	}
	t.Run("nobody's rights", func(t *testing.T) {
		before := dump(t, director)
		out, err := director.Run(t.Context(), "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", "-all", "--inh-caps", "-all",
			labtest.Binary(t), "run", "-f", good, "--run-dir", filepath.Join(dir, "mine"))
		if err == nil || strings.Count(out, "uvs: ") != 1 || !strings.Contains(out, "permi") {
			t.Errorf("without rights: %v, output %q, want one line about permissions", err, out)
		}
		wantDump(t, director, before, "after a refused start")
	})
}
