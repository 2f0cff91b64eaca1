//go:build netns

package e2e

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestHTTPGetFollowsTheContent: a server whose page no longer has the configured digest,
// or answers another status, leaves the table although its port is open, and comes back.
func TestHTTPGetFollowsTheContent(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 1, NoVIP: true})
	web := startWeb(t, top.Servers[0])
	page := filepath.Join(web.dir, "www", "status.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("all is well\n")
	sum := md5.Sum([]byte("all is well\n"))
	d := startDirector(t, top.Directors[0], fmt.Sprintf(`
virtual_server %s 80 {
	delay_loop 1
	lb_algo rr
	lb_kind NAT
	protocol TCP
	virtualhost www.example.com
	real_server %s 8080 {
		HTTP_GET {
			url {
				path /status.txt
				digest %s
				status_code 200
			}
			url {
				path /
			}
			connect_timeout 2
			retry 1
			delay_before_retry 1
			fast_recovery
		}
	}
}
`, top.VIP4, top.Servers[0].Addr4("eth0"), hex.EncodeToString(sum[:])))
	victim := fmt.Sprintf("[%s]:tcp:8080", top.Servers[0].Addr4("eth0"))
	for _, step := range []struct{ name, content, want string }{
		{"the digest differs", "all is lost\n", "HTTP_CHECK on service " + victim + " failed after 1 retries."},
		{"the digest is right again", "all is well\n", "Remote Web server " + victim + " succeed on service."},
	} {
		logged := strings.Count(d.proc.Output(), step.want)
		write(step.content)
		labtest.Eventually(t, labtest.Hang, func() error {
			if strings.Count(d.proc.Output(), step.want) == logged {
				return fmt.Errorf("%s: log lacks %q", step.name, step.want)
			}
			return nil
		})
	}
	if err := os.Remove(page); err != nil {
		t.Fatal(err)
	}
	waitServer(t, d, control.ServerRemoved)
	for _, line := range web.accessLog() {
		if !strings.HasSuffix(line, "/status.txt") && !strings.HasSuffix(line, " /") {
			t.Errorf("a probe asked for %q", line)
		}
	}
}

func waitServer(t *testing.T, d *director, want control.ServerState) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		if got := d.status().Services[0].Servers[0].State; got != want {
			return fmt.Errorf("server is %s, want %s", got, want)
		}
		return nil
	})
}

// TestDeadServerIsNotFlooded is the small appliance of the field reports: HTTP_GET without
// delay_before_retry, or with 0, met a dead server with 700 probes a second. Here a dead
// server must see at most the floor of one probe in 100 ms, and one in delay_loop once it
// is down.
func TestDeadServerIsNotFlooded(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 2, NoVIP: true})
	d := startDirector(t, top.Directors[0], fmt.Sprintf(`
virtual_server %s 80 {
	delay_loop 1
	warmup 0
	lb_algo rr
	lb_kind NAT
	protocol TCP
	real_server %s 8080 {
		HTTP_GET {
			url {
				path /
			}
		}
	}
	real_server %s 8080 {
		HTTP_GET {
			url {
				path /
			}
			delay_before_retry 0
		}
	}
}
`, top.VIP4, top.Servers[0].Addr4("eth0"), top.Servers[1].Addr4("eth0")))
	waitServer(t, d, control.ServerRemoved)
	capture := labtest.Capture(t, top.Directors[0], "eth1", "tcp and dst port 8080")
	const watch = 5 * time.Second
	end := time.NewTimer(watch)
	<-end.C
	packets, err := capture.Stop()
	if err != nil {
		t.Fatal(err)
	}
	probes := map[string]int{}
	for _, p := range packets {
		if tcp, ok := p.TransportLayer().(*layers.TCP); ok && tcp.SYN {
			probes[p.NetworkLayer().NetworkFlow().Dst().String()]++
		}
	}
	for _, h := range top.Servers {
		// One a second while down; 2 for the edges of the window.
		if n := probes[h.Addr4("eth0").String()]; n < 1 || n > int(watch/time.Second)+2 {
			t.Errorf("%s had %d probes in %s, want about one a second", h.Name(), n, watch)
		}
	}
}
