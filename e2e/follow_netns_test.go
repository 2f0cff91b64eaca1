//go:build netns

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// follow is how long traffic may be gone after the network is whole again: what the
// machine's events take, and a health check that failed meanwhile (delay_loop 1).
const follow = slowness * 3 * time.Second

// A followed is a site whose director runs while the network around it changes.
type followed struct {
	t      *testing.T
	top    *netlab.Topology
	client *netlab.Host
	d      *director
	conns  []net.Conn // opened before the change, one for each family
	began  time.Time  // of the director
}

// startFollowed starts the director and one connection of each family.
func startFollowed(t *testing.T, top *netlab.Topology, client *netlab.Host, config string) *followed {
	t.Helper()
	f := &followed{t: t, top: top, client: client}
	f.d = startDirector(t, top.Directors[0], config, "--workers", "2")
	f.began = f.d.status().Started
	f.served("server1", "at first")
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		c, err := dialFor(t, client, netip.AddrPortFrom(vip, 80), labtest.Hang)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := ask(c); err != nil {
			t.Fatal(err)
		}
		f.conns = append(f.conns, c)
	}
	return f
}

// served waits until new connections of both families are answered by a server.
func (f *followed) served(server, when string) {
	f.t.Helper()
	f.servedWithin(follow, server, when)
}

func (f *followed) servedWithin(limit time.Duration, server, when string) {
	f.t.Helper()
	start := time.Now()
	for _, vip := range []netip.Addr{f.top.VIP4, f.top.VIP6} {
		labtest.Eventually(f.t, limit, func() error {
			got, err := tryCurl(f.t, f.client, "--max-time", fmt.Sprint(slowness*0.2), url(vip, 80, "/"))
			if err == nil && strings.TrimSpace(got) != server {
				err = fmt.Errorf("answer of %q, want %s", got, server)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", when, err)
			}
			return nil
		})
	}
	f.t.Logf("%s: served after %s", when, time.Since(start).Round(time.Millisecond))
}

// gone waits until nobody is served, so that a recovery afterwards is one.
func (f *followed) gone(when string) {
	f.t.Helper()
	for _, vip := range []netip.Addr{f.top.VIP4, f.top.VIP6} {
		labtest.Eventually(f.t, follow, func() error {
			if _, err := tryCurl(f.t, f.client, "--max-time", "0.1", url(vip, 80, "/")); err == nil {
				return fmt.Errorf("%s: %s is served", when, vip)
			}
			return nil
		})
	}
}

// sameConnections wants the connections from before to go on, by the same run of uvs.
func (f *followed) sameConnections(when string) {
	f.t.Helper()
	for _, c := range f.conns {
		if err := ask(c); err != nil {
			f.t.Errorf("%s: a connection from before: %v", when, err)
		}
	}
	if began := f.d.status().Started; !began.Equal(f.began) {
		f.t.Errorf("%s: uvs runs since %s, want %s", when, began, f.began)
	}
}

// underLoad makes requests by both families until unanswered.
func (f *followed) underLoad() []*load {
	f.t.Helper()
	var loads []*load
	for _, vip := range []netip.Addr{f.top.VIP4, f.top.VIP6} {
		l := startLoadOf(f.t, f.client, url(vip, 80, "/"), 100*time.Millisecond)
		l.waitFor("server1", 10)
		loads = append(loads, l)
	}
	return loads
}

// unanswered ends loads and wants requests that nobody served to have met silence: the
// director's stack must not answer for a service.
func (f *followed) unanswered(loads []*load) {
	f.t.Helper()
	served, lost := 0, 0
	for _, l := range loads {
		l.waitFor("server1", 10)
		for _, r := range l.stop() {
			switch {
			case r.err == nil:
				served++
			case strings.Contains(r.err.Error(), "refused") || strings.Contains(r.err.Error(), "reset"):
				f.t.Errorf("the stack answered for a service: %v", r.err)
			default:
				lost++
			}
		}
	}
	if lost == 0 {
		f.t.Errorf("%d requests were served and none lost: there was no load when nobody could serve", served)
	}
	f.t.Logf("under load %d requests were served and %d lost", served, lost)
}

// newMAC changes a host's hardware address; the host announces it, as machines do that are
// set up for it.
func newMAC(t *testing.T, h *netlab.Host, mac string) {
	t.Helper()
	for name, value := range map[string]string{"net.ipv4.conf.eth0.arp_notify": "1", "net.ipv6.conf.eth0.ndisc_notify": "1"} {
		if err := h.Sysctl(name, value); err != nil {
			t.Fatal(err)
		}
	}
	labtest.Run(t, h, "ip", "link", "set", "dev", "eth0", "address", mac)
}

// confirm is how long a silent change may take: three unanswered questions to the old MAC,
// a second apart, a failing check before them, and its success afterwards.
const confirm = slowness * 12 * time.Second

// silently changes a host's hardware address and lets the host tell nobody: it knows the
// MAC of the director, so it need not even ask.
func silently(t *testing.T, top *netlab.Topology, h *netlab.Host, mac string) {
	t.Helper()
	director := top.Directors[0]
	to, err := director.MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	labtest.Run(t, h, "sh", "-c", fmt.Sprintf(
		"ip link set dev eth0 address %s; for a in %s %s %s %s; do ip neighbour replace $a lladdr %s dev eth0 nud permanent; done",
		mac, director.Addr4("eth0"), director.Addr6("eth0"), top.VIP4, top.VIP6, to))
}

// TestServerMACChangesSilently: nothing but failing checks, or answers from another MAC,
// tell that a server was replaced.
func TestServerMACChangesSilently(t *testing.T) {
	m := modes()[1]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	startWeb(t, top.Servers[0])
	f := startFollowed(t, top, top.Clients[0], m.config(top))
	silently(t, top, top.Servers[0], "02:00:00:00:02:04")
	f.servedWithin(confirm, "server1", "new MAC, unannounced")
	f.sameConnections("new MAC, unannounced")
}

func TestServerMACChanges(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			startWeb(t, top.Servers[0])
			f := startFollowed(t, top, top.Clients[0], m.config(top))
			newMAC(t, top.Servers[0], "02:00:00:00:02:01")
			f.served("server1", "new MAC")
			f.sameConnections("new MAC")
		})
	}
}

func TestDirectorMACChanges(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			startWeb(t, top.Servers[0])
			f := startFollowed(t, top, top.Clients[0], m.config(top))
			newMAC(t, top.Directors[0], "02:00:00:00:02:03")
			f.served("server1", "new MAC")
			f.sameConnections("new MAC")
		})
	}
}

// TestLinkReplaced: an interface of the director disappears, and one of the same name takes
// its place, with another index and another MAC. The operator's tools give it the
// machine's own addresses.
func TestLinkReplaced(t *testing.T) {
	m := modes()[0]
	for _, ifname := range []string{"eth0", "eth1"} {
		t.Run(ifname, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			director := top.Directors[0]
			startWeb(t, top.Servers[0])
			own, bridge := director.Addrs(ifname), top.ClientNet
			if ifname == "eth1" {
				bridge = top.ServerNet
			}
			f := startFollowed(t, top, top.Clients[0], m.config(top))
			loads := f.underLoad()
			labtest.Run(t, director, "ip", "link", "delete", ifname)
			f.gone("no " + ifname)
			if err := bridge.Attach(director, ifname); err != nil {
				t.Fatal(err)
			}
			for _, p := range own {
				if err := director.AddAddr(ifname, p); err != nil {
					t.Fatal(err)
				}
			}
			// Of the machine's own addresses, such as the gateway's, nobody tells them.
			for _, h := range []*netlab.Host{top.Clients[0], top.Servers[0]} {
				labtest.Run(t, h, "ip", "neighbour", "flush", "all")
			}
			f.served("server1", "another "+ifname)
			f.sameConnections("another " + ifname)
			f.unanswered(loads)
		})
	}
}

// TestLinksRenamed: both links of the director get other names while it runs, as udev's rules may
// give them. Nothing changes for clients, and the virtual addresses are removed at the end.
func TestLinksRenamed(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director := top.Directors[0]
	startWeb(t, top.Servers[0])
	f := startFollowed(t, top, top.Clients[0], m.config(top))
	for _, x := range []struct{ from, to string }{{"eth0", "wan0"}, {"eth1", "lan0"}} {
		labtest.Run(t, director, "ip", "link", "set", x.from, "name", x.to)
	}
	labtest.Eventually(t, follow, func() error {
		if out := f.d.uvs("status"); !strings.Contains(out, "wan0") || !strings.Contains(out, "lan0") {
			return fmt.Errorf("the status lacks the new names:\n%s", out)
		}
		return nil
	})
	f.served("server1", "other names")
	f.sameConnections("other names")
	f.d.stop()
	left := labtest.Run(t, director, "ip", "-o", "address", "show", "dev", "wan0")
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		if strings.Contains(left, " "+vip.String()+"/") {
			t.Errorf("%s is left after SIGTERM", vip)
		}
	}
}

// keepIPv6 lets IPv6 addresses survive their interface's going down, as IPv4 ones do.
func keepIPv6(t *testing.T, h *netlab.Host) {
	t.Helper()
	if err := h.Sysctl("net.ipv6.conf.all.keep_addr_on_down", "1"); err != nil {
		t.Fatal(err)
	}
}

// flap takes a link away from a director, by its own hand and by the switch's, and brings
// it back, all under load.
func flap(f *followed, ifname string, far *netlab.Bridge) {
	f.t.Helper()
	loads := f.underLoad()
	defer func() { f.unanswered(loads) }()
	for _, x := range []struct {
		name   string
		host   *netlab.Host
		ifname string
	}{
		{ifname + " set down and up", f.d.host, ifname},
		{ifname + " without carrier for a while", far.Host, f.d.host.Name()},
	} {
		if err := x.host.SetDown(x.ifname); err != nil {
			f.t.Fatal(err)
		}
		f.gone(x.name)
		if err := x.host.SetUp(x.ifname); err != nil {
			f.t.Fatal(err)
		}
		f.served("server1", x.name)
		f.sameConnections(x.name)
	}
}

func TestServerLinkFlaps(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	keepIPv6(t, top.Directors[0])
	startWeb(t, top.Servers[0])
	flap(startFollowed(t, top, top.Clients[0], m.config(top)), "eth1", top.ServerNet)
}

func TestVIPLinkFlaps(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			keepIPv6(t, top.Directors[0])
			startWeb(t, top.Servers[0])
			flap(startFollowed(t, top, top.Clients[0], m.config(top)), "eth0", top.ClientNet)
		})
	}
}

// TestVIPComesBack: the kernel forgets the IPv6 addresses of a link that is set down. The
// operator's tools restore the machine's own; the VIP is ours.
func TestVIPComesBack(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director := top.Directors[0]
	startWeb(t, top.Servers[0])
	f := startFollowed(t, top, top.Clients[0], m.config(top))
	if err := director.SetDown("eth0"); err != nil {
		t.Fatal(err)
	}
	f.gone("down")
	if err := director.SetUp("eth0"); err != nil {
		t.Fatal(err)
	}
	own := netip.PrefixFrom(netip.MustParseAddr("2001:db8:1::1"), 64)
	if err := director.AddAddr("eth0", own); err != nil {
		t.Fatal(err)
	}
	// A client that still knows our MAC would be served all the same.
	labtest.Run(t, top.Clients[0], "ip", "neighbour", "flush", "all")
	f.served("server1", "up")
	f.sameConnections("up")
	wantAddresses(t, f.d, control.AddressAdded, "")
	f.d.stop()
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		if hasAddress(t, director, vip) {
			t.Errorf("%s is left after SIGTERM", vip)
		}
	}
}

// far4 and far6 are one server that both server1 and server2 have on lo: who answers shows
// which way the director takes.
var (
	far4 = netip.MustParseAddr("10.9.0.1")
	far6 = netip.MustParseAddr("2001:db8:9::1")
)

// TestRouteMoves: the route to a server moves to another gateway, and to another link.
func TestRouteMoves(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
	director := top.Directors[0]
	other, err := top.AddBridge("other-net")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		host   *netlab.Host
		ifname string
		part   string
	}{{director, "eth2", "1"}, {top.Servers[1], "eth1", "2"}} {
		if err := other.Attach(x.host, x.ifname); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"10.8.0." + x.part + "/24", "2001:db8:8::" + x.part + "/64"} {
			if err := x.host.AddAddr(x.ifname, netip.MustParsePrefix(p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, h := range top.Servers {
		startWeb(t, h)
		for _, a := range []netip.Addr{far4, far6} {
			if err := h.AddAddr("lo", netip.PrefixFrom(a, a.BitLen())); err != nil {
				t.Fatal(err)
			}
		}
	}
	via := func(h *netlab.Host, dst4, dst6 string, gateways ...netip.Addr) {
		t.Helper()
		for i, dst := range []string{dst4, dst6} {
			if err := h.AddRoute(netip.MustParsePrefix(dst), gateways[i], ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	to := func(gateways ...netip.Addr) { via(director, "10.9.0.1/32", "2001:db8:9::1/128", gateways...) }
	to(top.Servers[0].Addr4("eth0"), top.Servers[0].Addr6("eth0"))

	config := m.config(top)
	for _, h := range top.Servers { // one server for each family, which is far
		for _, a := range []netip.Addr{h.Addr4("eth0"), h.Addr6("eth0")} {
			config = strings.Replace(config, fmt.Sprintf("real_server %s ", a), fmt.Sprintf("real_server %s ", farOf(a)), 1)
		}
	}
	f := startFollowed(t, top, top.Clients[0], config)
	to(top.Servers[1].Addr4("eth0"), top.Servers[1].Addr6("eth0"))
	f.served("server2", "another gateway")

	via(top.Servers[1], "0.0.0.0/0", "::/0", netip.MustParseAddr("10.8.0.1"), netip.MustParseAddr("2001:db8:8::1"))
	to(netip.MustParseAddr("10.8.0.2"), netip.MustParseAddr("2001:db8:8::2"))
	f.served("server2", "another link")
	to(top.Servers[0].Addr4("eth0"), top.Servers[0].Addr6("eth0"))
	f.served("server1", "back")
	f.sameConnections("back")
}

func farOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return far4
	}
	return far6
}

// TestClientGateway: clients are behind a router, whose MAC changes, and which another one
// then takes over from.
func TestClientGateway(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Clients: 2, Servers: 1, NoVIP: true})
	director := top.Directors[0]
	startWeb(t, top.Servers[0])
	gateways := top.Clients // they have legs in both nets, and forward
	farNet, err := top.AddBridge("far-net")
	if err != nil {
		t.Fatal(err)
	}
	client := labtest.Host(t, top.Site, "far-client")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	nets := []netip.Prefix{netip.MustParsePrefix("10.7.0.0/24"), netip.MustParsePrefix("2001:db8:7::/64")}
	join := func(h *netlab.Host, ifname, part string) {
		t.Helper()
		check(farNet.Attach(h, ifname))
		check(h.AddAddr(ifname, netip.MustParsePrefix("10.7.0."+part+"/24")))
		check(h.AddAddr(ifname, netip.MustParsePrefix("2001:db8:7::"+part+"/64")))
	}
	join(client, "eth0", "9")
	for i, h := range gateways {
		join(h, "eth1", fmt.Sprint(1+i))
		check(h.Sysctl("net.ipv4.ip_forward", "1"))
		check(h.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	}
	through := func(i int) {
		t.Helper()
		check(client.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr(fmt.Sprintf("10.7.0.%d", 1+i)), ""))
		check(client.AddRoute(netip.MustParsePrefix("::/0"), netip.MustParseAddr(fmt.Sprintf("2001:db8:7::%d", 1+i)), ""))
		check(director.AddRoute(nets[0], gateways[i].Addr4("eth0"), ""))
		check(director.AddRoute(nets[1], gateways[i].Addr6("eth0"), ""))
	}
	through(0)

	f := startFollowed(t, top, client, m.config(top))
	newMAC(t, gateways[0], "02:00:00:00:02:02")
	f.served("server1", "new MAC of the gateway")
	f.sameConnections("new MAC of the gateway")
	through(1)
	check(gateways[0].SetDown("eth0"))
	f.served("server1", "another gateway")
	f.sameConnections("another gateway")
	silently(t, top, gateways[1], "02:00:00:00:02:05")
	f.servedWithin(confirm, "server1", "new MAC of that gateway, unannounced")
	f.sameConnections("new MAC of that gateway, unannounced")
}
