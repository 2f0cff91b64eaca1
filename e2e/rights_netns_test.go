//go:build netns

package e2e

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// fewRights is the command line that runs another one as root with CAP_NET_ADMIN and
// CAP_NET_RAW alone.
func fewRights(command ...string) []string { return withRights("+net_admin,+net_raw", command...) }

// withRights is the command line that runs another one as root with some capabilities alone.
func withRights(rights string, command ...string) []string {
	return append([]string{"setpriv", "--bounding-set", "-all," + rights, "--inh-caps", "-all," + rights}, command...)
}

// launchBy is launch by another program.
func launchBy(t *testing.T, h *netlab.Host, by func(command ...string) []string, config string, args ...string) *director {
	t.Helper()
	d := &director{t: t, host: h, bin: labtest.Binary(t)}
	command := by(append([]string{d.bin, "run", "-f", writeConfig(t, config)}, args...)...)
	d.proc = labtest.Start(t, h, command[0], command[1:]...)
	d.waitReady()
	return d
}

// passedOver wants status to give one reason, in its JSON and in its table, for each better
// backend.
func passedOver(t *testing.T, d *director, use string, want ...control.PassedOver) {
	t.Helper()
	s, table := d.status().Steering, d.uvs("status")
	if s.Backend != use || len(s.PassedOver) != len(want) {
		t.Fatalf("steering is %+v, want %s after %d others", s, use, len(want))
	}
	for i, p := range s.PassedOver {
		if p.Backend != want[i].Backend || !strings.Contains(p.Reason, want[i].Reason) || strings.Contains(p.Reason, "\n") {
			t.Errorf("passed over: %+v, want %+v", p, want[i])
		}
		if line := "not " + p.Backend + ": " + p.Reason + "\n"; !strings.Contains(table, line) {
			t.Errorf("the table does not say %q:\n%s", line, table)
		}
	}
}

// TestFewRights: with CAP_NET_ADMIN and CAP_NET_RAW no program can be loaded, so that nft is
// taken; where that is denied, iptables; and without its programs, bare. With CAP_BPF it is
// clsact. Status says why.
func TestFewRights(t *testing.T) {
	t.Parallel()
	noProgram := []control.PassedOver{{Backend: "tcx", Reason: "needs CAP_SYS_ADMIN "}, {Backend: "clsact", Reason: "needs CAP_BPF "}}
	noNFT := slices.Concat(noProgram, []control.PassedOver{{Backend: "nft", Reason: "operation not permitted"}})
	for _, tc := range []struct {
		name, use string
		by        func(command ...string) []string
		want      []control.PassedOver
	}{
		{name: "CAP_BPF", use: "clsact", want: noProgram[:1], by: func(command ...string) []string {
			return withRights("+net_admin,+net_raw,+bpf", command...)
		}},
		{name: "nft", use: "nft", by: fewRights, want: noProgram},
		{name: "nft denied", use: "iptables", want: noNFT, by: func(command ...string) []string {
			return denied("netfilter", fewRights(command...)...)
		}},
		{name: "nft denied, no iptables", use: "bare", want: slices.Concat(noNFT, []control.PassedOver{{Backend: "iptables", Reason: "needs the programs"}}),
			by: func(command ...string) []string { return denied("netfilter", fewRights(command...)...) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.use == "iptables" {
				if _, err := exec.LookPath("iptables-legacy-restore"); err != nil {
					t.Fatal("iptables' legacy programs, which do not need nft, are not installed")
				}
			}
			top := labtest.TwoArm(t, netlab.Plan{Servers: 2, NoVIP: true})
			director := top.Directors[0]
			for _, h := range top.Servers {
				startWeb(t, h)
			}
			if tc.use == "bare" {
				for _, kind := range []string{"nft", "legacy"} {
					labtest.Run(t, director, "mount", "--bind", "/dev/null", "/usr/sbin/xtables-"+kind+"-multi")
				}
			}
			labtest.Run(t, director, "touch", "/run/xtables.lock") // which iptables makes and leaves
			before := dump(t, director)
			d := launchBy(t, director, tc.by, modes()[0].config(top), "--workers", "2")
			passedOver(t, d, tc.use, tc.want...)
			if err := logged(d, "steering is bare: nothing in the kernel"); (err == nil) != (tc.use == "bare") {
				t.Errorf("steering by %s: %v", tc.use, err)
			}
			w := startWires(t, top)
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				for range 4 {
					if got := curl(t, top.Clients[0], url(vip, 80, "/")); !strings.HasPrefix(got, "server") {
						t.Errorf("%s answers %q", vip, got)
					}
				}
			}
			w.check(20)
			d.stop()
			wantDump(t, director, before, "after SIGTERM")
		})
	}
}
