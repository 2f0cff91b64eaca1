//go:build netns

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestSysctls: settings given at the start and changed in the running director, by what they
// do to a persistent client whose server is quiesced. Then the timeouts of the file, an
// operator's, and a signal of keepalived's that is not ours.
func TestSysctls(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{})
	client, director := top.Clients[0], top.Directors[0]
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	d := startDirector(t, director, "global_defs {\n lvs_timeouts tcp 600 udp 60\n}\n", "--vs", "sloppy_tcp=1", "--vs", "net.ipv4.vs.conn_reuse_mode=0")
	for name, want := range map[string]string{"sloppy_tcp": "1", "conn_reuse_mode": "0", "expire_quiescent_template": "0"} {
		if got, want := d.uvs("sysctl", name), fmt.Sprintf("net.ipv4.vs.%s = %s\n", name, want); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got, want := d.uvs("ipvsadm", "-L", "--timeout"), "Timeout (tcp tcpfin udp): 600 120 60\n"; got != want {
		t.Errorf("timeouts %q, want %q", got, want)
	}

	service := fmt.Sprintf("%s:80", top.VIP4)
	d.uvs("ipvsadm", "-A", "-t", service, "-s", "rr", "-p", "300")
	for _, s := range top.Servers {
		d.uvs("ipvsadm", "-a", "-t", service, "-r", fmt.Sprintf("%s:8080", s.Addr4("eth0")), "-m")
	}
	site := url(top.VIP4, 80, "/")
	first := answers(t, client, site, 4)
	if len(first) != 1 {
		t.Fatalf("a persistent client got answers from %v", first)
	}
	for _, s := range top.Servers {
		if s.Name() == first[0] {
			d.uvs("ipvsadm", "-e", "-t", service, "-r", fmt.Sprintf("%s:8080", s.Addr4("eth0")), "-m", "-w", "0")
		}
	}
	if got := answers(t, client, site, 4); !slices.Equal(got, first) {
		t.Errorf("with weight 0 the client moved from %v to %v", first, got)
	}
	if got, want := d.uvs("sysctl", "expire_quiescent_template=1"), "net.ipv4.vs.expire_quiescent_template = 1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := answers(t, client, site, 4); len(got) != 1 || slices.Equal(got, first) {
		t.Errorf("with expire_quiescent_template the answers are from %v, want the other than %v", got, first)
	}
	// No machine has so much free memory that this defence would not come into force.
	d.uvs("sysctl", "amemthresh=2147483647", "secure_tcp=1")
	labtest.Eventually(t, labtest.Hang, func() error {
		if got := d.uvs("sysctl", "secure_tcp"); got != "net.ipv4.vs.secure_tcp = 2\n" {
			return fmt.Errorf("with little memory %q", got)
		}
		return nil
	})
	for _, bad := range []string{"sloppy_tcp=2", "bogus=1", "bogus"} {
		if out, err := d.tryUVS("sysctl", bad); err == nil {
			t.Errorf("%s is taken:\n%s", bad, out)
		}
	}

	d.uvs("ipvsadm", "--set", "0", "0", "99")
	d.uvs("reload")
	if got, want := d.uvs("ipvsadm", "-L", "--timeout"), "Timeout (tcp tcpfin udp): 600 120 99\n"; got != want {
		t.Errorf("after a reload of the same file: timeouts %q, want %q", got, want)
	}
	if err := d.proc.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := d.proc.WaitOutput(labtest.Hang, "this signal has no effect"); err != nil {
		t.Error(err)
	}
	d.stop()
}

// TestSysctlsAreRefusedAtTheStart: a setting that does not exist is named.
func TestSysctlsAreRefusedAtTheStart(t *testing.T) {
	h := labtest.Host(t, labtest.New(t), "director")
	for _, bad := range []string{"bogus=1", "sloppy_tcp", "drop_entry=4"} {
		out, err := h.Run(t.Context(), labtest.Binary(t), "run", "-f", "", "--vs", bad)
		if name, _, _ := strings.Cut(bad, "="); err == nil || !strings.Contains(out, name) {
			t.Errorf("%s: %v\n%s", bad, err, out)
		}
	}
}
