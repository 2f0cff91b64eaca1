//go:build netns

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestMailDigest: servers that die within the time of a digest are told by one mail to a real mail server.
func TestMailDigest(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 4, NoVIP: true})
	var web []*webServer
	for _, h := range top.Servers[:3] {
		web = append(web, startWeb(t, h))
	}
	server := startMail(t, top.Directors[0])
	extra := filepath.Join(t.TempDir(), "extra.conf")
	write(t, extra, "mail_digest 5\n")
	d := startDirector(t, top.Directors[0], `global_defs {
	router_id lb1
	notification_email {
		ops@example.com
	}
	smtp_server 127.0.0.1 2525
}
`+quorumConfig(top, ""), "--extra", extra)
	for _, h := range top.Servers[:3] {
		waitLog(t, d, fmt.Sprintf("TCP connection to [%s]:tcp:8080 success.", h.Addr4("eth0")))
	}
	for _, w := range web {
		w.stop()
	}
	var told string
	labtest.Eventually(t, labtest.Hang, func() error {
		if told = server.Output(); !strings.Contains(told, " alerts, the first: ") {
			return fmt.Errorf("no digest came:\n%s", told)
		}
		return nil
	})
	end := func(i int) string { return fmt.Sprintf("[%s]:tcp:8080", top.Servers[i].Addr4("eth0")) }
	if strings.Count(told, "Subject: ") != 1 || !strings.Contains(told, "Subject: [lb1] 3 alerts, the first: Realserver ") {
		t.Errorf("the mail server was told\n%s\nwant one mail of 3 alerts", told)
	}
	for i := range web {
		line := fmt.Sprintf(" Realserver %s of virtual server [%s]:tcp:80 - DOWN => TCP CHECK failed on service <=", end(i), top.VIP4)
		if !strings.Contains(told, line) {
			t.Errorf("the mail lacks %q:\n%s", line, told)
		}
	}
}
