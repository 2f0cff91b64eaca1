//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestPanicThreshold: when the links of all servers are cut at once, the table keeps them and requests are
// served as soon as the links are back, before any check has run; status and log say PANIC. Too few
// that die leave.
func TestPanicThreshold(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 4, NoVIP: true})
	var web []*webServer
	for _, h := range top.Servers[:3] {
		web = append(web, startWeb(t, h))
	}
	extra := filepath.Join(t.TempDir(), "extra.conf")
	write(t, extra, fmt.Sprintf("virtual_server %s 80 {\n panic_threshold 100\n}\n", top.VIP4))
	config := strings.ReplaceAll(quorumConfig(top, ""), fmt.Sprintf(" sorry_server %s 8080\n", top.Servers[3].Addr4("eth0")), "") // the fourth is nobody
	d := startDirector(t, top.Directors[0], config, "--extra", extra)
	service := fmt.Sprintf("VS [%s]:tcp:80", top.VIP4)
	site := url(top.VIP4, 80, "/")
	wantAnswers(t, top.Clients[0], site, "all servers live", "server1", "server2", "server3")
	checks := func(when string, want control.CheckState) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			for _, r := range d.status().Services[0].Servers {
				if got := r.Checks[0].State; got != want {
					return fmt.Errorf("%s: the check of %s is %s, want %s", when, r.Address, got, want)
				}
			}
			return nil
		})
	}
	checks("before", control.CheckUp)

	cut := func(set func(*netlab.Host) error) {
		t.Helper()
		for _, h := range top.Servers[:3] {
			if err := set(h); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut(func(h *netlab.Host) error { return h.SetDown("eth0") })
	checks("links cut", control.CheckDown)
	waitLog(t, d, "PANIC: 3 of 3 servers of "+service)
	s := d.status().Services[0]
	for _, r := range s.Servers {
		if r.State != control.ServerUp || r.EffectiveWeight != 1 || r.Checks[0].LastError == "" {
			t.Errorf("in a panic server %s is %s with weight %d, last error %q", r.Address, r.State, r.EffectiveWeight, r.Checks[0].LastError)
		}
	}
	if text := d.uvs("status"); !s.Panic || !strings.Contains(text, "PANIC: servers went down at once and stay as they were") ||
		!strings.Contains(text, s.Servers[0].Checks[0].LastError) {
		t.Errorf("status does not say PANIC and why:\n%s", text)
	}
	if strings.Contains(d.proc.Output(), "Lost quorum") {
		t.Error("the quorum was lost in a panic")
	}
	cut(func(h *netlab.Host) error { return restore(top, h) })
	wantAnswers(t, top.Clients[0], site, "links are back", "server1", "server2", "server3")
	waitLog(t, d, "PANIC is over for "+service)
	checks("links back", control.CheckUp)

	for i, w := range web[:2] { // too few for a panic
		w.stop()
		wantRemoved(t, d, top.Servers[i].Addr4("eth0").String())
	}
	wantAnswers(t, top.Clients[0], site, "two died", "server3")
	if n := strings.Count(d.proc.Output(), "PANIC: "); n != 1 {
		t.Errorf("%d panics, want 1", n)
	}
}

// restore sets a server's link up, with the routes that went with it.
func restore(top *netlab.Topology, h *netlab.Host) error {
	if err := h.SetUp("eth0"); err != nil {
		return err
	}
	return h.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), top.Directors[0].Addr4("eth1"), "eth0")
}

// wantRemoved waits until a server is out of the table.
func wantRemoved(t *testing.T, d *director, address string) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		for _, r := range d.status().Services[0].Servers {
			if r.Address.String() == address && r.State != control.ServerRemoved {
				return fmt.Errorf("server %s is %s", address, r.State)
			}
		}
		return nil
	})
}
