//go:build netns

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// noAccept is a keepalived.conf with a word about acceptance in the instance of both addresses,
// and a service of each.
func noAccept(top *netlab.Topology, word string) string {
	return strings.Replace(modes()[0].config(top), "priority 255\n", "priority 100\n "+word+"\n", 1)
}

// TestNoAccept: a master that does not own the addresses accepts nothing for them but what is for
// its services, and what the network needs to find them. Its own programs reach them, netfilter
// masquerades with them, and a reload opens them. Nothing is left behind.
func TestNoAccept(t *testing.T) {
	for _, backend := range []string{"auto", "bare"} {
		t.Run(backend, func(t *testing.T) {
			top := modes()[0].site(t, netlab.Plan{Servers: 2, NoVIP: true, Forward: backend != "bare"})
			director, client := top.Directors[0], top.Clients[0]
			for _, h := range append(top.Servers, client) {
				startWeb(t, h)
			}
			labtest.Run(t, director, "nft", fmt.Sprintf(`table ip site { chain out { type nat hook postrouting priority 100; ip saddr 192.0.2.0/24 oifname "eth0" snat to %s; }; }`, top.VIP4))
			before := dump(t, director)
			file := filepath.Join(t.TempDir(), "keepalived.conf")
			write := func(word string) {
				if err := os.WriteFile(file, []byte(noAccept(top, word)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("no_accept")
			d := launchFile(t, director, file, "--steer", backend)
			d.waitReady()
			vips := []netip.Addr{top.VIP4, top.VIP6}
			for _, vip := range vips {
				labtest.Run(t, client, "ip", "neighbour", "flush", "all")
				labtest.Eventually(t, labtest.Hang, func() error {
					_, err := tryCurl(t, client, url(vip, 80, "/"))
					return err
				})
				if pings(t, client, vip) {
					t.Errorf("%s answers ping", vip)
				}
				wantSilentPort(t, top, vip, 7001, "another port")
				if backend != "bare" && !pings(t, director, vip) {
					t.Errorf("the director does not reach %s itself", vip)
				}
			}
			if backend != "bare" {
				curl(t, top.Servers[0], url(client.Addr4("eth0"), 8080, "/"))
				if seen := client.Addr4("eth0"); !pings(t, top.Servers[0], seen) {
					t.Errorf("a server does not reach %s by an address that is only for routing", seen)
				}
			}
			write("accept")
			d.uvs("reload")
			for _, vip := range vips {
				labtest.Eventually(t, labtest.Hang, func() error {
					if !pings(t, client, vip) {
						return fmt.Errorf("%s does not answer ping after a reload with accept", vip)
					}
					return nil
				})
			}
			d.stop()
			wantDump(t, director, before, "after SIGTERM")
		})
	}
}

// pings reports whether an address answers a ping within half a second.
func pings(t *testing.T, from *netlab.Host, addr netip.Addr) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := from.Run(ctx, "ping", "-n", "-c", "1", "-W", "0.5", addr.String())
	return err == nil
}
