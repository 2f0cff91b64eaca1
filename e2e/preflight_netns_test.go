//go:build netns

package e2e

import (
	"context"
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

// TestServerAnswersForVIP: a DR server that begins to answer ARP for the virtual address is
// named with its MAC in the log and, within ten seconds, in the status; and that it stopped.
func TestServerAnswersForVIP(t *testing.T) {
	t.Parallel()
	dr := modes()[1]
	top := dr.site(t, netlab.Plan{Servers: 2, NoVIP: true})
	server := top.Servers[0]
	d := startDirector(t, top.Directors[0], uncheck(dr.config(top)))
	text := fmt.Sprintf("real server %s (%s) answers for the virtual address %s on eth0", server.Addr4("eth0"), macOf(t, server), top.VIP4)
	found := func(want bool) error { return hasFinding(d, text, true, want) }
	if err := found(false); err != nil {
		t.Error(err)
	}
	for _, ignore := range []string{"0", "1"} {
		if err := server.Sysctl("net.ipv4.conf.all.arp_ignore", ignore); err != nil {
			t.Fatal(err)
		}
		labtest.Eventually(t, labtest.Hang, func() error { return found(ignore == "0") })
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
		want  []string // beginnings of lines, where # and #6 stand for server1's addresses; none: nothing is found
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
			labtest.Run(t, top.Servers[0], "ip", "-6", "route", "del", "default")
		}, []string{"problem: real server # (NAT) answers ", "problem: real server #6 (NAT) answers "}},
		{"NAT servers with another gateway", nat, anotherGateway, []string{
			"problem: real server # (NAT) sends what is for other networks past this machine: its answer to 198.51.100.1 came in by eth0 over a router; make 192.0.2.1 its",
			"problem: real server #6 (NAT) sends what is for other networks past this machine: its answer to 2001:db8:1::1 came in by eth0 over a router; make 2001:db8:2::1 its",
		}},
		{"a strict reverse path filter and two links to the servers", nat, func(t *testing.T, top *netlab.Topology) {
			d := top.Directors[0]
			if err := top.ServerNet.Attach(d, "eth2"); err != nil {
				t.Fatal(err)
			}
			if err := d.AddAddr("eth2", netip.MustParsePrefix("192.0.2.2/24")); err != nil {
				t.Fatal(err)
			}
			if err := d.Sysctl("net.ipv4.conf.eth2.rp_filter", "1"); err != nil {
				t.Fatal(err)
			}
		}, []string{"note: net.ipv4.conf.eth2.rp_filter is 1, and real server # is on the network of eth2 although the way to it is eth1"}},
		{"a narrow link behind", nat, func(t *testing.T, top *netlab.Topology) {
			labtest.Run(t, top.Directors[0], "ip", "link", "set", "eth1", "mtu", "1400")
		}, []string{"note: packets for VIP may have 1500 bytes on eth0 but only 1400 on eth1 towards real server #"}},
		{"firewall rules", nat, func(t *testing.T, top *netlab.Topology) {
			labtest.Run(t, top.Directors[0], "nft", fmt.Sprintf(
				"add table inet shop; add chain inet shop input { type filter hook input priority 0; }; add rule inet shop input ip daddr %s tcp dport 80 drop", top.VIP4))
		}, []string{"note: firewall rules mention the virtual address VIP (nft table inet shop chain input, handle "}},
		{"firewall rules with sets", nat, func(t *testing.T, top *netlab.Topology) {
			labtest.Run(t, top.Directors[0], "nft", fmt.Sprintf("add table inet shop; add set inet shop open { type ipv4_addr . inet_service; flags interval; }; "+
				"add element inet shop open { 198.51.100.64-198.51.100.90 . 80 }; add chain inet shop input { type filter hook input priority 0; }; "+
				"add rule inet shop input ip daddr . tcp dport @open accept; add rule inet shop input ip6 daddr . tcp dport { %s . 80 } accept; "+
				"add rule inet shop input ip saddr 198.51.100.101 ip daddr %s drop", top.VIP6, top.VIP4))
		}, []string{
			"note: firewall rules mention the virtual address VIP (nft table inet shop chain input, handle 3; nft table inet shop chain input, handle 6)",
			"note: firewall rules mention the virtual address VIP6 (nft table inet shop chain input, handle 5)",
		}},
		{"a policy rule", nat, func(t *testing.T, top *netlab.Topology) {
			labtest.Run(t, top.Directors[0], "ip", "rule", "add", "from", top.VIP4.String(), "lookup", "100")
		}, []string{"note: policy rules (32765: from VIP/32 lookup 100) are not obeyed"}},
		{"rules of iptables", nat, func(t *testing.T, top *netlab.Topology) {
			labtest.Run(t, top.Directors[0], "iptables", "-A", "INPUT", "-d", top.VIP4.String(), "-p", "tcp", "--dport", "80", "-j", "DROP")
			labtest.Run(t, top.Directors[0], "ip6tables-legacy", "-A", "INPUT", "-d", top.VIP6.String(), "-j", "DROP")
		}, []string{
			"note: firewall rules mention the virtual address VIP (nft table ip filter chain INPUT, handle ",
			"note: firewall rules mention the virtual address VIP6 (ip6tables table filter chain INPUT)",
		}},
		{"a DR server that answers neighbour discovery", dr, func(t *testing.T, top *netlab.Topology) {
			host := netip.PrefixFrom(top.VIP6, 128)
			if err := top.Servers[0].DelAddr("lo", host); err != nil {
				t.Fatal(err)
			}
			if err := top.Servers[0].AddAddr("eth0", host); err != nil {
				t.Fatal(err)
			}
		}, []string{"problem: real server #6 ("}},
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
				want = strings.NewReplacer("#6", top.Servers[0].Addr6("eth0").String(), "#", top.Servers[0].Addr4("eth0").String(),
					"VIP6", top.VIP6.String(), "VIP", top.VIP4.String()).Replace(want)
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

// anotherGateway gives the servers a default gateway that reaches the clients' network past
// the director.
func anotherGateway(t *testing.T, top *netlab.Topology) {
	t.Helper()
	router := labtest.Host(t, top.Site, "router")
	check := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	check(top.ClientNet.Attach(router, "eth0"), top.ServerNet.Attach(router, "eth1"),
		router.Sysctl("net.ipv4.ip_forward", "1"), router.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	for _, x := range []struct{ ifname, addr string }{
		{"eth0", "198.51.100.9/24"}, {"eth0", "2001:db8:1::9/64"}, {"eth1", "192.0.2.9/24"}, {"eth1", "2001:db8:2::9/64"},
	} {
		check(router.AddAddr(x.ifname, netip.MustParsePrefix(x.addr)))
	}
	waitAddresses(t, router)
	for _, h := range top.Servers {
		waitAddresses(t, h)
		labtest.Run(t, h, "ip", "route", "replace", "default", "via", "192.0.2.9")
		labtest.Run(t, h, "ip", "-6", "route", "replace", "default", "via", "2001:db8:2::9")
	}
}

// TestHostAtRun: a director looks its machine over when it starts. Log and status tell all at
// once, and what the operator puts right is over.
func TestHostAtRun(t *testing.T) {
	t.Parallel()
	nat := modes()[0]
	top := nat.site(t, netlab.Plan{Servers: 2, NoVIP: true})
	director, lost := top.Directors[0], top.Servers[1].Addr4("eth0")
	anotherGateway(t, top)
	labtest.Run(t, director, "ip", "link", "set", "eth1", "mtu", "1400")
	labtest.Run(t, director, "ip", "route", "add", "unreachable", lost.String())
	labtest.Run(t, director, "nft", fmt.Sprintf(
		"add table inet shop; add chain inet shop input { type filter hook input priority 0; }; add rule inet shop input ip daddr %s tcp dport 80 drop", top.VIP4))
	d := startDirector(t, director, uncheck(nat.config(top)))
	server := top.Servers[0].Addr4("eth0")
	narrow := fmt.Sprintf("packets for %s may have 1500 bytes on eth0 but only 1400 on eth1 towards real server %s", top.VIP4, server)
	for _, want := range []struct {
		text    string
		problem bool
	}{
		{fmt.Sprintf("there is no route to real server %s", lost), true},
		{fmt.Sprintf("real server %s (NAT) sends what is for other networks past this machine", server), true},
		{"net.ipv4.ip_forward is 0", false},
		{narrow, false},
		{fmt.Sprintf("firewall rules mention the virtual address %s (nft table inet shop chain input", top.VIP4), false},
	} {
		labtest.Eventually(t, labtest.Hang, func() error { return hasFinding(d, want.text, want.problem, true) })
		waitLog(t, d, "host: "+want.text)
	}
	labtest.Run(t, director, "ip", "link", "set", "eth1", "mtu", "1500")
	labtest.Eventually(t, labtest.Hang, func() error { return hasFinding(d, narrow, false, false) })
	waitLog(t, d, "host: over: "+narrow)
	d.stop()
}

// hasFinding wants a director's status to have a finding that begins with a text, or not.
func hasFinding(d *director, text string, problem, want bool) error {
	list := d.status().Host
	has := slices.ContainsFunc(list, func(f control.Finding) bool { return f.Problem == problem && strings.HasPrefix(f.Text, text) })
	if has != want {
		return fmt.Errorf("finding %q in the status: %t, want %t: %v", text, has, want, list)
	}
	return nil
}
