//go:build netns

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestStandby: a backup that has the virtual address on lo serves what reaches it, as IPVS
// does; with backup_only it leaves packets to its stack as long as another one is master.
func TestStandby(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Directors: 2, Servers: 1, NoVIP: true})
	startWeb(t, top.Servers[0])
	client := top.Clients[0]
	labtest.Run(t, top.Directors[1], "ip", "address", "add", top.VIP4.String()+"/32", "dev", "lo")
	config := func(priority int) string {
		return strings.Replace(m.config(top), "priority 255", fmt.Sprintf("priority %d", priority), 1)
	}
	first := startDirector(t, top.Directors[0], config(150))
	waitLog(t, first, "Entering MASTER STATE")
	second := startDirector(t, top.Directors[1], config(100))
	waitLog(t, second, "sees master")
	ask := func(when string, want bool) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			labtest.Run(t, client, "ip", "neighbour", "replace", top.VIP4.String(), "lladdr", macOf(t, second.host), "dev", "eth0", "nud", "permanent")
			out, err := tryCurl(t, client, url(top.VIP4, 80, "/"))
			if served := err == nil && out == "server1\n"; served != want {
				return fmt.Errorf("%s the second director serves: %t, want %t (%q, %s)", when, served, want, out, fmt.Sprint(err))
			}
			return nil
		})
	}
	// The server answers by its default gateway, the first director: the second's flows need
	// the way back.
	for _, server := range top.Servers {
		labtest.Run(t, server, "ip", "route", "replace", "default", "via", second.host.Addr4("eth1").String())
	}
	ask("as a backup", true)
	second.uvs("sysctl", "backup_only=1")
	ask("with backup_only", false)
	first.stop()
	ask("with backup_only and no other master", true)
	second.stop()
}
