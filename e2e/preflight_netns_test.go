//go:build netns

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestServerAnswersForVIP: a DR server that begins to answer ARP for the virtual address is
// named with its MAC in the log and, within ten seconds, in the status; and that it stopped.
func TestServerAnswersForVIP(t *testing.T) {
	dr := modes()[1]
	top := dr.site(t, netlab.Plan{Servers: 2, NoVIP: true})
	server := top.Servers[0]
	d := startDirector(t, top.Directors[0], uncheck(dr.config(top)))
	found := func(want bool) error {
		text := fmt.Sprintf("real server %s (%s) answers for the virtual address %s on eth0", server.Addr4("eth0"), macOf(t, server), top.VIP4)
		for _, f := range d.status().Host {
			if f.Problem && strings.HasPrefix(f.Text, text) {
				if want {
					return nil
				}
				return fmt.Errorf("the status still has %q", f.Text)
			}
		}
		if want {
			return fmt.Errorf("the status lacks %q; it has %v", text, d.status().Host)
		}
		return nil
	}
	if err := found(false); err != nil {
		t.Error(err)
	}
	for _, ignore := range []string{"0", "1"} {
		if err := server.Sysctl("net.ipv4.conf.all.arp_ignore", ignore); err != nil {
			t.Fatal(err)
		}
		labtest.Eventually(t, 10*time.Second, func() error { return found(ignore == "0") })
	}
	waitLog(t, d, "host: real server "+server.Addr4("eth0").String()+" ("+macOf(t, server)+") answers for the virtual address")
	waitLog(t, d, "host: over: real server")
	d.stop()
}

// TestCheckHost: `uvs check --host` tells what on the machine and beside it will make the
// site fail.
func TestCheckHost(t *testing.T) {
	nat, dr := modes()[0], modes()[1]
	for _, tc := range []struct {
		name  string
		m     mode
		spoil func(t *testing.T, top *netlab.Topology)
		want  []string // beginnings of lines, where # stands for server1's address; none: nothing is found
	}{
		{"NAT, all is well", nat, func(*testing.T, *netlab.Topology) {}, nil},
		{"DR, all is well", dr, func(*testing.T, *netlab.Topology) {}, nil},
		{"forwarding off", nat, func(t *testing.T, top *netlab.Topology) {
			for _, name := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
				if err := top.Directors[0].Sysctl(name, "0"); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{"note: net.ipv4.ip_forward is 0", "note: net.ipv6.conf.all.forwarding is 0"}},
		{"a NAT server without our gateway", nat, func(t *testing.T, top *netlab.Topology) {
			labtest.Run(t, top.Servers[0], "ip", "route", "del", "default")
		}, []string{"problem: real server # (NAT) answers "}},
		{"a narrow link behind", nat, func(t *testing.T, top *netlab.Topology) {
			labtest.Run(t, top.Directors[0], "ip", "link", "set", "eth1", "mtu", "1400")
		}, []string{"note: packets for VIP may have 1500 bytes on eth0 but only 1400 on eth1 towards real server #"}},
		{"firewall rules", nat, func(t *testing.T, top *netlab.Topology) {
			labtest.Run(t, top.Directors[0], "nft", fmt.Sprintf(
				"add table inet shop; add chain inet shop input { type filter hook input priority 0; }; add rule inet shop input ip daddr %s tcp dport 80 drop", top.VIP4))
		}, []string{"note: firewall rules mention the virtual address VIP (nft table inet shop chain input, handle "}},
		{"a DR server that answers ARP", dr, func(t *testing.T, top *netlab.Topology) {
			if err := top.Servers[0].Sysctl("net.ipv4.conf.all.arp_ignore", "0"); err != nil {
				t.Fatal(err)
			}
		}, []string{"problem: real server # ("}},
		{"a server without a route", nat, func(t *testing.T, top *netlab.Topology) {
			labtest.Run(t, top.Directors[0], "ip", "route", "add", "unreachable", top.Servers[0].Addr4("eth0").String())
		}, []string{"problem: there is no route to real server #"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			top := tc.m.site(t, netlab.Plan{Servers: 1, NoVIP: true, Forward: true})
			tc.spoil(t, top)
			file := writeConfig(t, uncheck(tc.m.config(top)))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			out, err := top.Directors[0].Run(ctx, labtest.Binary(t), "check", "--host", file)
			problem := false
			for _, want := range tc.want {
				problem = problem || strings.HasPrefix(want, "problem: ")
				want = strings.NewReplacer("#", top.Servers[0].Addr4("eth0").String(), "VIP", top.VIP4.String()).Replace(want)
				if !strings.Contains(out, "\n"+want) {
					t.Errorf("lacks a line that begins with %q:\n%s", want, out)
				}
			}
			if (err != nil) != problem {
				t.Errorf("exit status %v, want an error: %t\n%s", err, problem, out)
			}
			if tc.want == nil && !strings.Contains(out, "\nThis machine and its neighbours: nothing found\n") {
				t.Errorf("found something:\n%s", out)
			}
		})
	}
}
