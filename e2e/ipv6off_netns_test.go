//go:build netns

package e2e

import (
	"testing"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestIPv6Off: where the kernel does no IPv6, what is IPv4 of a configuration works, whichever
// backend steers, and status says what became of the rest.
func TestIPv6Off(t *testing.T) {
	t.Parallel()
	m := modes()[0]
	for _, backend := range []string{"auto", "iptables", "bare"} {
		t.Run(backend, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			director := top.Directors[0]
			startWeb(t, top.Servers[0])
			for _, name := range []string{"all", "default"} {
				if err := director.Sysctl("net/ipv6/conf/"+name+"/disable_ipv6", "1"); err != nil {
					t.Fatal(err)
				}
			}
			before := dump(t, director)
			d := startDirector(t, director, m.config(top), "--steer", backend)
			if got := curl(t, top.Clients[0], url(top.VIP4, 80, "/")); got != "server1\n" {
				t.Errorf("%s answers %q", top.VIP4, got)
			}
			for _, a := range d.status().Addresses {
				if a.Address.Addr() == top.VIP6 && backend != "bare" && (a.State != control.AddressFailed || a.Detail == "") {
					t.Errorf("IPv6 address: %+v, want it to have failed with a reason", a)
				}
			}
			d.stop()
			wantDump(t, director, before, "after SIGTERM")
		})
	}
	t.Run("no such sockets", func(t *testing.T) {
		top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
		startWeb(t, top.Servers[0])
		d := launchBy(t, top.Directors[0], func(command ...string) []string { return denied("inet6", command...) }, m.config(top))
		if got := curl(t, top.Clients[0], url(top.VIP4, 80, "/")); got != "server1\n" {
			t.Errorf("%s answers %q", top.VIP4, got)
		}
		// The check of the IPv6 server cannot even begin; keepalived says so and goes on.
		labtest.Eventually(t, startTimeout, func() error { return logged(d, "TCP connect fail to create socket. Rescheduling.") })
		d.stop()
	})
}
