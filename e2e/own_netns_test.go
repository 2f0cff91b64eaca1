//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestOwnConnection: a program on the director that connects to a virtual address, wherever
// the director has it, is refused at once, and log and status say why. Clients are served as
// before.
func TestOwnConnection(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		for _, device := range []string{"eth0", "lo"} {
			t.Run(m.name+", VIP on "+device, func(t *testing.T) {
				top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
				director, vips := top.Directors[0], []netip.Addr{top.VIP4, top.VIP6}
				config := m.config(top)
				if device == "lo" {
					_, services, _ := strings.Cut(config, "virtual_server")
					config = "virtual_server" + services
					for _, vip := range vips {
						labtest.Run(t, director, "ip", "addr", "add", netip.PrefixFrom(vip, vip.BitLen()).String(), "dev", "lo")
					}
				}
				startWeb(t, top.Servers[0])
				d := startDirector(t, director, config)
				for _, vip := range vips {
					start := time.Now()
					out, err := tryCurl(t, director, url(vip, 80, "/"))
					if took := time.Since(start); err == nil || !strings.Contains(err.Error(), "curl: (7)") || took > 2*time.Second {
						t.Errorf("%s: %q, %v after %s; want a refusal at once", family(vip), out, err, took)
					}
				}
				for _, vip := range vips {
					reason := fmt.Sprintf("own connection to VIP: a program on this machine sends to [%s]:tcp:80, which is not forwarded", vip)
					labtest.Eventually(t, labtest.Hang, func() error {
						if s := d.status(); !slices.ContainsFunc(s.Host, func(f control.Finding) bool { return strings.HasPrefix(f.Text, reason) && f.Problem }) {
							return fmt.Errorf("status does not say %q: %+v", reason, s.Host)
						}
						return nil
					})
					waitLog(t, d, reason)
					if device == "eth0" { // who has it on lo needs somebody who answers ARP
						if got := strings.TrimSpace(curl(t, top.Clients[0], url(vip, 80, "/"))); got != "server1" {
							t.Errorf("%s: a client is answered by %q", family(vip), got)
						}
					}
				}
			})
		}
	}
}
