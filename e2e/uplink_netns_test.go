//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestReplyByUplink: a client behind two uplinks reaches a virtual address on each of them. The
// director has its route by the first, and the client takes answers only where it asked, as a
// provider does that filters sources. With reply_by_uplink, which a reload brings, answers
// go back the way that requests came.
func TestReplyByUplink(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{NoVIP: true})
	client, director := top.Clients[0], top.Directors[0]
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	second, err := top.AddBridge("uplink2")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*netlab.Host{client, director} {
		if err := second.Attach(h, "up2"); err != nil {
			t.Fatal(err)
		}
	}
	for _, cmd := range []struct {
		h    *netlab.Host
		line string
	}{
		{director, "ip address add 100.64.2.1/24 dev up2"},
		{director, "ip address add 100.64.2.80/32 dev up2"},
		{director, "ip -6 address add 2001:db8:64::1/64 dev up2 nodad"},
		{director, "ip -6 address add 2001:db8:64::80/128 dev up2 nodad"},
		{client, "ip address add 100.64.2.101/24 dev up2"},
		{client, "ip -6 address add 2001:db8:64::101/64 dev up2 nodad"},
		// The address that it is known by everywhere.
		{client, "ip address add 203.0.113.7/32 dev lo"},
		{client, "ip -6 address add 2001:db8:3::7/128 dev lo nodad"},
		{client, "ip route add 100.64.2.80/32 dev up2 src 203.0.113.7"},
		{client, "ip -6 route add 2001:db8:64::80/128 dev up2 src 2001:db8:3::7"},
		{director, "ip route add 203.0.113.7/32 via " + client.Addr4("eth0").String()},
		{director, "ip -6 route add 2001:db8:3::7/128 via " + client.Addr6("eth0").String()},
		{client, "sysctl -q -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1"},
		{client, "ip6tables -t raw -A PREROUTING -i eth0 -s 2001:db8:64::80 -j DROP"},
	} {
		words := strings.Fields(cmd.line)
		labtest.Run(t, cmd.h, words[0], words[1:]...)
	}
	vips := []netip.Addr{netip.MustParseAddr("100.64.2.80"), netip.MustParseAddr("2001:db8:64::80")}
	var config, extra strings.Builder
	for _, vip := range vips {
		fmt.Fprintf(&config, "virtual_server %s 80 {\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n", vip)
		for _, s := range top.Servers {
			addr := s.Addr4("eth0")
			if vip.Is6() {
				addr = s.Addr6("eth0")
			}
			fmt.Fprintf(&config, " real_server %s 8080 { }\n", addr)
		}
		config.WriteString("}\n")
		fmt.Fprintf(&extra, "virtual_server %s 80 {\n reply_by_uplink\n}\n", vip)
	}
	file := filepath.Join(t.TempDir(), "extra.conf")
	if err := os.WriteFile(file, []byte("# nothing yet\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := startDirector(t, director, config.String(), "--extra", file)
	for _, vip := range vips {
		if out, err := tryCurl(t, client, "--max-time", "1", url(vip, 80, "/")); err == nil {
			t.Errorf("without reply_by_uplink the client gets %q from %s: the routes do not tell the uplinks apart", out, vip)
		}
	}
	if err := os.WriteFile(file, []byte("virtual_server nowhere 80 {\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := d.tryUVS("reload"); err == nil || !strings.Contains(out, file+":1:16") {
		t.Errorf("an extra file with an error reloads: %v\n%s", err, out)
	}
	if err := os.WriteFile(file, []byte(extra.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := d.uvs("reload"); !strings.Contains(out, "changed service [100.64.2.80]:tcp:80 in the extra file") {
		t.Errorf("the reload does not name the change:\n%s", out)
	}
	for _, vip := range vips {
		wantAnswers(t, client, url(vip, 80, "/"), "reply_by_uplink", "server1", "server2")
	}
	d.stop()
}
