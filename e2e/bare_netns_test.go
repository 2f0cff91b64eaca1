//go:build netns

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestBare: with nothing in the kernel, services work in both modes, and who asks for a
// virtual address finds it. What else it promises, and what not, is in uvs status.
func TestBare(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
			director := top.Directors[0]
			for _, h := range top.Servers {
				startWeb(t, h)
			}
			before := dump(t, director)
			// A crashed run with another backend leaves addresses that must not be there.
			d := startDirector(t, director, m.config(top), "--workers", "2")
			d.kill()
			d = startDirector(t, director, m.config(top), "--steer", "bare", "--workers", "2")
			w := startWires(t, top)
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				bareService(t, top, vip)
			}
			w.check(20)
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				wantSilentPort(t, top, vip, 7001, "another port")
			}
			s := d.status()
			if s.Steering.Backend != "bare" || len(s.Steering.Limits) == 0 || !strings.Contains(d.uvs("status"), "limit: "+s.Steering.Limits[0]+"\n") {
				t.Errorf("status does not say what bare does not promise: %+v", s.Steering)
			}
			for _, a := range s.Addresses {
				if a.State != control.AddressAnswered {
					t.Errorf("address %s is %s, want answered", a.Address, a.State)
				}
			}
			d.kill()
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				wantSilentPort(t, top, vip, 80, "without a director")
			}
			// The run directory's file is all that is left.
			d = startDirector(t, director, m.config(top), "--steer", "bare")
			d.stop()
			wantDump(t, director, before, "after SIGTERM")
		})
	}
}

// bareService uses a service and all that is promised beside it.
func bareService(t *testing.T, top *netlab.Topology, vip netip.Addr) {
	t.Helper()
	if hasAddress(t, top.Directors[0], vip) {
		t.Errorf("%s is on an interface", vip)
	}
	client := top.Clients[0]
	labtest.Run(t, client, "ip", "neighbour", "flush", "all")
	for range 4 {
		if got := curl(t, client, url(vip, 80, "/")); !strings.HasPrefix(got, "server") {
			t.Errorf("%s answers %q", vip, got)
		}
	}
	labtest.Run(t, client, "ping", "-n", "-c", "2", "-i", "0.01", "-W", "2", vip.String())
	mac, err := top.Directors[0].MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if out := labtest.Run(t, client, "ip", "neighbour", "show", vip.String()); !strings.Contains(out, mac.String()) {
		t.Errorf("the client knows %s as %q, want %s", vip, out, mac)
	}
}

// logged wants words in a director's log.
func logged(d *director, words string) error {
	if out := strings.ReplaceAll(d.proc.Output(), `\"`, `"`); !strings.Contains(out, words) {
		return fmt.Errorf("the log does not say %q:\n%s", words, out)
	}
	return nil
}

// wantSilentPort connects to a port from which nothing is to come back.
func wantSilentPort(t *testing.T, top *netlab.Topology, vip netip.Addr, port uint16, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := top.Clients[0].DialContext(ctx, "tcp", netip.AddrPortFrom(vip, port).String()); err == nil || strings.Contains(err.Error(), "refused") {
		t.Errorf("%s of %s: %v, want silence", what, vip, err)
	}
}

// TestBareRefuses: a machine that forwards, or has a virtual address, is refused in one line
// that says what to change, at the start; while uvs runs, log and status say so.
func TestBareRefuses(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director := top.Directors[0]
	config := writeConfig(t, m.config(top))
	args := []string{"run", "-f", config, "--steer", "bare"}
	set := func(value string) {
		t.Helper()
		if err := director.Sysctl("net/ipv4/ip_forward", value); err != nil {
			t.Fatal(err)
		}
	}
	set("1")
	refused(t, director, args, "steer by bare", "net/ipv4/ip_forward is 1", "answers of NAT servers", "set it to 0")
	set("0")
	labtest.Run(t, director, "ip", "address", "add", top.VIP4.String()+"/32", "dev", "eth1")
	refused(t, director, args, "steer by bare", top.VIP4.String()+" is on eth1", "ip address del")
	labtest.Run(t, director, "ip", "address", "del", top.VIP4.String()+"/32", "dev", "eth1")

	startWeb(t, top.Servers[0])
	d := startDirector(t, director, m.config(top), "--steer", "bare")
	told := func(words string) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			notes := strings.Join(d.status().Notes, "\n")
			if (words == "") != !strings.Contains(notes, "could be followed") || !strings.Contains(notes, words) {
				return fmt.Errorf("want %q in status: %s", words, notes)
			}
			return logged(d, words)
		})
	}
	set("1")
	told("net/ipv4/ip_forward is 1")
	set("0")
	told("")
	labtest.Run(t, director, "ip", "address", "add", top.VIP4.String()+"/32", "dev", "eth1")
	told("is on eth1, so that the kernel's stack answers")
	labtest.Run(t, director, "ip", "address", "del", top.VIP4.String()+"/32", "dev", "eth1")
	told("")
	d.stop()
}
