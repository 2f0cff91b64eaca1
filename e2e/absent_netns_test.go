//go:build netns

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestAbsentVIP: a service whose address is on no interface is named in log and status, and
// works as soon as somebody adds the address.
func TestAbsentVIP(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{Servers: 1, NoVIP: true})
	startWeb(t, top.Servers[0])
	d := startDirector(t, top.Directors[0], fmt.Sprintf(
		"virtual_server %s 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server %s 8080 {\n }\n}\n",
		top.VIP4, top.Servers[0].Addr4("eth0")))
	want := fmt.Sprintf("no interface of this machine has the virtual address %s", top.VIP4)
	if notes := strings.Join(d.status().Notes, "\n"); !strings.Contains(notes, want) || !strings.Contains(d.proc.Output(), want) {
		t.Errorf("log and status should say %q; status has:\n%s", want, notes)
	}
	labtest.Run(t, top.Directors[0], "ip", "address", "add", top.VIP4.String()+"/32", "dev", "eth0")
	labtest.Eventually(t, startTimeout, func() error {
		body, err := tryCurl(t, top.Clients[0], url(top.VIP4, 80, "/"))
		if err == nil && strings.TrimSpace(body) != "server1" {
			return fmt.Errorf("answer %q", body)
		}
		return err
	})
}
