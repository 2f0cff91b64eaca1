//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestRefusedStartAfterCrash: a start that is refused leaves what the crash left, so that
// cleanup, or a start with a better file, still knows which addresses are ours.
func TestRefusedStartAfterCrash(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	d := startDirector(t, top.Directors[0], m.config(top))
	d.kill()
	refused := launch(t, top.Directors[0], m.config(top)+"nonsense\n", "--strict")
	if err := refused.proc.Wait(); err == nil {
		t.Fatal("--strict ran a file with an error")
	}
	removed := d.uvs("cleanup")
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		if !strings.Contains(removed, vip.String()) || hasAddress(t, top.Directors[0], vip) {
			t.Errorf("cleanup should remove %s; it says:\n%s", vip, removed)
		}
	}
}

// TestDownServerIsReachableDirectly: a server that its check took out of the table, but
// whose port is open, answers who goes to it past the service.
func TestDownServerIsReachableDirectly(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{Servers: 1, NoVIP: true, Forward: true})
	startWeb(t, top.Servers[0])
	server := top.Servers[0].Addr4("eth0")
	d := startDirector(t, top.Directors[0], fmt.Sprintf(`
vrrp_instance VIPS {
	interface eth0
	virtual_router_id 5
	version 3
	advert_int 0.1
	priority 255
	virtual_ipaddress {
		%[1]s/24
	}
}
virtual_server %[1]s 80 {
	delay_loop 1
	lb_algo rr
	lb_kind NAT
	protocol TCP
	real_server %[2]s 8080 {
		HTTP_GET {
			url {
				path /missing
			}
		}
	}
}
`, top.VIP4, server))
	waitServer(t, d, control.ServerRemoved)
	if got := strings.TrimSpace(curl(t, top.Clients[0], "--max-time", fmt.Sprint((5 * time.Second).Seconds()), url(server, 8080, "/"))); got != "server1" {
		t.Errorf("the server itself answered %q, want %q", got, "server1")
	}
}
