//go:build netns

package hostnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"uvs/internal/hostnet"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// A follower is a watcher that runs in a host.
type follower struct {
	*hostnet.Watcher
	host    *netlab.Host
	changes chan *hostnet.Snapshot
	gate    sync.Mutex // whoever holds it keeps Run from going on after a change
}

// follow opens and runs a watcher in a host until the test ends.
func follow(t *testing.T, h *netlab.Host) *follower {
	t.Helper()
	f := &follower{host: h, changes: make(chan *hostnet.Snapshot, 4096)}
	if err := h.Do(func() (err error) { f.Watcher, err = hostnet.Open(); return err }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- f.Run(ctx, func(s *hostnet.Snapshot) {
			f.changes <- s
			f.gate.Lock()
			defer f.gate.Unlock()
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return f
}

// until waits for a snapshot of which cond is true.
func (f *follower) until(t *testing.T, what string, cond func(s *hostnet.Snapshot) bool) *hostnet.Snapshot {
	t.Helper()
	timeout := time.After(labtest.Hang)
	for s := f.Snapshot(); ; {
		if cond(s) {
			return s
		}
		select {
		case s = <-f.changes:
		case <-timeout:
			t.Fatalf("no snapshot in which %s; the last:\n%s", what, strings.Join(describe(f.Snapshot()), "\n"))
		}
	}
}

// describe returns all that a snapshot holds, a line each.
func describe(s *hostnet.Snapshot) []string {
	var out []string
	for _, l := range s.Links {
		out = append(out, fmt.Sprintf("link %+v", l))
	}
	for _, a := range s.Addresses {
		out = append(out, fmt.Sprintf("address %+v", a))
	}
	for _, n := range s.Neighbours {
		out = append(out, fmt.Sprintf("neighbour %+v", n))
	}
	for r := range s.Routes() {
		out = append(out, r.String())
	}
	for _, r := range s.Rules {
		out = append(out, "rule "+r.String())
	}
	return append(out, fmt.Sprintf("forwarding %v %v", s.Forwarding4, s.Forwarding6))
}

// lacking returns the first few lines of a that b does not have.
func lacking(a, b []string) []string {
	lines := slices.DeleteFunc(slices.Clone(a), func(line string) bool { return slices.Contains(b, line) })
	return lines[:min(len(lines), 5)]
}

// index returns the index of a device.
func (f *follower) index(t *testing.T, name string) int {
	t.Helper()
	l, ok := f.Snapshot().LinkByName(name)
	if !ok {
		t.Fatalf("no device %s", name)
	}
	return l.Index
}

func (f *follower) ip(t *testing.T, args ...string) {
	t.Helper()
	labtest.Run(t, f.host, "ip", args...)
}

func TestOpenSeesTheNetwork(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{})
	f := follow(t, top.Directors[0])
	s := f.Snapshot()

	eth0, ok := s.LinkByName("eth0")
	mac, err := f.host.MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if !ok || !eth0.Up || !eth0.Admin || !eth0.Ethernet || eth0.Loopback || eth0.Kind != "veth" || eth0.MTU != 1500 || net.HardwareAddr(eth0.MAC[:]).String() != mac.String() {
		t.Errorf("eth0 is %+v", eth0)
	}
	if lo, ok := s.LinkByName("lo"); !ok || !lo.Loopback || !lo.Up || lo.Ethernet {
		t.Errorf("lo is %+v", lo)
	}
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6, f.host.Addr4("eth1"), f.host.Addr6("eth1")} {
		if !s.IsLocal(vip) {
			t.Errorf("%s is not local", vip)
		}
	}
	eth1 := f.index(t, "eth1")
	for _, server := range []netip.Addr{top.Servers[0].Addr4("eth0"), top.Servers[0].Addr6("eth0")} {
		r, ok := s.Lookup(server)
		if !ok || r.Kind != hostnet.Unicast || len(r.Hops) != 1 || r.Hops[0] != (hostnet.Hop{Link: eth1, Weight: 1}) {
			t.Errorf("route to %s: %v, %v", server, r, ok)
		}
	}
	want := []int{eth0.Index, eth1}
	if got := hostnet.CapturePoints(s, []netip.Addr{top.VIP4, top.VIP6}, []netip.Addr{top.Servers[0].Addr4("eth0")}); !slices.Equal(got, want) {
		t.Errorf("capture points %v, want %v", got, want)
	}
	if s.Forwarding4 || s.Forwarding6 || len(s.Rules) != 0 {
		t.Errorf("forwarding %v %v, rules %v; want none", s.Forwarding4, s.Forwarding6, s.Rules)
	}
}

func TestRunFollows(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{})
	f := follow(t, top.Directors[0])
	eth0, eth1 := f.index(t, "eth0"), f.index(t, "eth1")
	far, far6 := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("2001:db8:ffff::1")
	linkWith := func(name string, cond func(hostnet.Link) bool) func(*hostnet.Snapshot) bool {
		return func(s *hostnet.Snapshot) bool { l, ok := s.LinkByName(name); return ok && cond(l) }
	}
	hops := func(s *hostnet.Snapshot, dst netip.Addr) []hostnet.Hop { r, _ := s.Lookup(dst); return r.Hops }
	gateway, gateway2 := hostnet.Hop{Link: eth1, Gateway: netip.MustParseAddr("192.0.2.201"), Weight: 1}, hostnet.Hop{Link: eth1, Gateway: netip.MustParseAddr("192.0.2.202"), Weight: 2}
	gateway6 := hostnet.Hop{Link: eth1, Gateway: netip.MustParseAddr("fe80::9"), Weight: 1}

	steps := []struct {
		name string
		do   []string
		want func(*hostnet.Snapshot) bool
	}{
		{"address added", []string{"addr", "add", "203.0.113.9/32", "dev", "eth0", "label", "eth0:x"}, func(s *hostnet.Snapshot) bool {
			return slices.ContainsFunc(s.AddressesOf(eth0), func(a hostnet.Address) bool {
				return a.Prefix == prefix("203.0.113.9/32") && a.Label == "eth0:x"
			}) && s.IsLocal(addr("203.0.113.9"))
		}},
		{"address deleted", []string{"addr", "del", "203.0.113.9/32", "dev", "eth0"}, func(s *hostnet.Snapshot) bool { return !s.IsLocal(addr("203.0.113.9")) }},
		{"route by a gateway", []string{"route", "add", "10.0.0.0/8", "via", "192.0.2.201"}, func(s *hostnet.Snapshot) bool { return slices.Equal(hops(s, far), []hostnet.Hop{gateway}) }},
		{"route replaced by two gateways", []string{"route", "replace", "10.0.0.0/8", "mtu", "1400", "nexthop", "via", "192.0.2.201", "nexthop", "via", "192.0.2.202", "weight", "2"}, func(s *hostnet.Snapshot) bool {
			r, _ := s.Lookup(far)
			return slices.Equal(r.Hops, []hostnet.Hop{gateway, gateway2}) && r.MTU == 1400
		}},
		{"second route with another metric", []string{"route", "add", "10.0.0.0/8", "via", "192.0.2.202", "metric", "9"}, func(s *hostnet.Snapshot) bool { return len(hops(s, far)) == 2 }},
		{"first route deleted", []string{"route", "del", "10.0.0.0/8", "metric", "0"}, func(s *hostnet.Snapshot) bool {
			r, _ := s.Lookup(far)
			return r.Metric == 9 && len(r.Hops) == 1
		}},
		{"IPv6 route by a link-local gateway", []string{"route", "add", "2001:db8:ffff::/48", "via", "fe80::9", "dev", "eth1"}, func(s *hostnet.Snapshot) bool { return slices.Equal(hops(s, far6), []hostnet.Hop{gateway6}) }},
		{"IPv6 route gets a second hop", []string{"-6", "route", "append", "2001:db8:ffff::/48", "via", "fe80::7", "dev", "eth1"}, func(s *hostnet.Snapshot) bool { return len(hops(s, far6)) == 2 }},
		{"IPv6 route loses a hop", []string{"-6", "route", "del", "2001:db8:ffff::/48", "via", "fe80::7", "dev", "eth1"}, func(s *hostnet.Snapshot) bool { return slices.Equal(hops(s, far6), []hostnet.Hop{gateway6}) }},
		{"blackhole", []string{"route", "add", "blackhole", "10.1.0.0/16"}, func(s *hostnet.Snapshot) bool {
			r, _ := s.Lookup(far)
			return r.Kind == hostnet.Blackhole && r.Hops == nil
		}},
		{"neighbour by hand", []string{"neigh", "add", "192.0.2.99", "lladdr", "02:00:00:00:00:99", "dev", "eth1", "nud", "permanent"}, func(s *hostnet.Snapshot) bool {
			n, ok := s.Neighbour(eth1, addr("192.0.2.99"))
			return ok && n.Usable && n.State == hostnet.Permanent && n.MAC == [6]byte{2, 5: 0x99}
		}},
		{"neighbour deleted", []string{"neigh", "del", "192.0.2.99", "dev", "eth1"}, func(s *hostnet.Snapshot) bool { _, ok := s.Neighbour(eth1, addr("192.0.2.99")); return !ok }},
		{"rule", []string{"rule", "add", "from", "192.0.2.0/24", "lookup", "100", "pref", "90"}, func(s *hostnet.Snapshot) bool {
			return len(s.Rules) == 1 && s.Rules[0].String() == "90: from 192.0.2.0/24 lookup 100"
		}},
		{"rule deleted", []string{"rule", "del", "pref", "90"}, func(s *hostnet.Snapshot) bool { return len(s.Rules) == 0 }},
		{"MAC changed", []string{"link", "set", "eth1", "address", "02:00:00:00:aa:bb"}, linkWith("eth1", func(l hostnet.Link) bool { return l.MAC == [6]byte{2, 0, 0, 0, 0xaa, 0xbb} })},
		{"MTU changed", []string{"link", "set", "eth1", "mtu", "1400"}, linkWith("eth1", func(l hostnet.Link) bool { return l.MTU == 1400 })},
		{"macvlan added", []string{"link", "add", "link", "eth0", "name", "vrrp.51", "type", "macvlan", "mode", "bridge"}, linkWith("vrrp.51", func(l hostnet.Link) bool {
			return l.Kind == "macvlan" && l.Parent == eth0 && !l.Admin && l.Ethernet
		})},
		{"macvlan deleted", []string{"link", "del", "vrrp.51"}, func(s *hostnet.Snapshot) bool { _, ok := s.LinkByName("vrrp.51"); return !ok }},
		{"bridge added", []string{"link", "add", "br9", "type", "bridge"}, linkWith("br9", func(l hostnet.Link) bool { return l.Kind == "bridge" })},
		{"port enslaved", []string{"link", "set", "eth1", "master", "br9"}, linkWith("eth1", func(l hostnet.Link) bool { return l.Master != 0 && l.MasterKind == "bridge" })},
		{"port freed", []string{"link", "set", "eth1", "nomaster"}, linkWith("eth1", func(l hostnet.Link) bool { return l.Master == 0 && l.MasterKind == "" })},
		{"device renamed", []string{"link", "set", "br9", "name", "br8"}, func(s *hostnet.Snapshot) bool {
			_, old := s.LinkByName("br9")
			_, ok := s.LinkByName("br8")
			return ok && !old
		}},
	}
	for _, step := range steps {
		f.ip(t, step.do...)
		f.until(t, step.name, step.want)
	}
	for _, family := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := f.host.Sysctl(family, "1"); err != nil {
			t.Fatal(err)
		}
	}
	f.until(t, "both families are forwarded", func(s *hostnet.Snapshot) bool { return s.Forwarding4 && s.Forwarding6 })
	checkAgainstKernel(t, f)
}

// TestLinkDown takes a device down and up: the kernel drops its IPv4 routes without a word.
func TestLinkDown(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{})
	f := follow(t, top.Directors[0])
	f.ip(t, "route", "add", "10.0.0.0/8", "via", "192.0.2.201")
	far := addr("10.1.2.3")
	f.until(t, "there is the route", func(s *hostnet.Snapshot) bool { _, ok := s.Lookup(far); return ok })

	if err := f.host.SetDown("eth1"); err != nil {
		t.Fatal(err)
	}
	s := f.until(t, "the device is down", func(s *hostnet.Snapshot) bool { l, ok := s.LinkByName("eth1"); return ok && !l.Admin && !l.Up })
	if r, ok := s.Lookup(far); ok {
		t.Errorf("route %v by a device that is down", r)
	}
	f.until(t, "its routes are gone", func(s *hostnet.Snapshot) bool {
		for r := range s.Routes() {
			if r.Dst == prefix("10.0.0.0/8") {
				return false
			}
		}
		return true
	})

	if err := f.host.SetUp("eth1"); err != nil {
		t.Fatal(err)
	}
	f.until(t, "the subnet is reachable again", func(s *hostnet.Snapshot) bool {
		r, ok := s.Lookup(top.Servers[0].Addr4("eth0"))
		return ok && len(r.Hops) == 1
	})
	// The device's peer goes: carrier is lost.
	port := f.host.Name()
	if err := top.ServerNet.SetDown(port); err != nil {
		t.Fatal(err)
	}
	f.until(t, "carrier is lost", func(s *hostnet.Snapshot) bool { l, ok := s.LinkByName("eth1"); return ok && l.Admin && !l.Up })
	checkAgainstKernel(t, f)
}

// checkAgainstKernel compares what was followed with a fresh reading.
func checkAgainstKernel(t *testing.T, f *follower) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		var fresh *hostnet.Watcher
		if err := f.host.Do(func() (err error) { fresh, err = hostnet.Open(); return err }); err != nil {
			return err
		}
		defer func() { _ = fresh.Close() }()
		got, want := describe(f.Snapshot()), describe(fresh.Snapshot())
		if !slices.Equal(got, want) {
			return fmt.Errorf("only followed: %q; only read afresh: %q", lacking(got, want), lacking(want, got))
		}
		return nil
	})
}

func TestAddAndDeleteAddress(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{NoVIP: true})
	f := follow(t, top.Directors[0])
	eth0 := f.index(t, "eth0")
	for _, tc := range []struct {
		name string
		add  hostnet.Address
		want func(a hostnet.Address) bool
	}{
		{"IPv4", hostnet.Address{Prefix: prefix("198.51.100.80/32")}, func(a hostnet.Address) bool { return !a.Broadcast.IsValid() && a.Label == "eth0" }},
		{
			"IPv4 with label, broadcast and scope",
			hostnet.Address{Prefix: prefix("203.0.113.81/24"), Label: "eth0:vip", Broadcast: addr("203.0.113.255"), Scope: hostnet.ScopeLink},
			func(a hostnet.Address) bool {
				return a.Label == "eth0:vip" && a.Broadcast == addr("203.0.113.255") && a.Scope == hostnet.ScopeLink
			},
		},
		{"IPv6", hostnet.Address{Prefix: prefix("2001:db8:1::80/128")}, func(a hostnet.Address) bool {
			return a.Usable() && a.Flags&(hostnet.FlagDeprecated|hostnet.FlagNoDAD|hostnet.FlagPermanent) == hostnet.FlagDeprecated|hostnet.FlagNoDAD|hostnet.FlagPermanent
		}},
		{"IPv6 with a subnet", hostnet.Address{Prefix: prefix("2001:db8:1::81/64")}, func(a hostnet.Address) bool { return a.Usable() && a.Flags&hostnet.FlagDeprecated == 0 }},
		{"without a route for the subnet", hostnet.Address{Prefix: prefix("203.0.113.1/24"), Flags: hostnet.FlagNoPrefixRoute}, func(a hostnet.Address) bool { return a.Flags&hostnet.FlagNoPrefixRoute != 0 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.add.Link = eth0
			if err := f.AddAddress(tc.add); err != nil {
				t.Fatal(err)
			}
			has := func(s *hostnet.Snapshot) bool {
				return slices.ContainsFunc(s.AddressesOf(eth0), func(a hostnet.Address) bool { return a.Prefix == tc.add.Prefix && tc.want(a) })
			}
			f.until(t, "the address is as wanted", has)
			if err := f.AddAddress(tc.add); !errors.Is(err, hostnet.ErrExists) {
				t.Errorf("again: %v, want ErrExists", err)
			}
			if err := f.DeleteAddress(tc.add); err != nil {
				t.Fatal(err)
			}
			f.until(t, "the address is gone", func(s *hostnet.Snapshot) bool { return !s.IsLocal(tc.add.Prefix.Addr()) })
			if err := f.DeleteAddress(tc.add); !errors.Is(err, hostnet.ErrNoAddress) {
				t.Errorf("delete again: %v, want ErrNoAddress", err)
			}
		})
	}
	err := f.AddAddress(hostnet.Address{Link: 4711, Prefix: prefix("198.51.100.80/32")})
	if err == nil || errors.Is(err, hostnet.ErrExists) {
		t.Errorf("address on a device that is not there: %v", err)
	}
}

func TestResolve(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{})
	f := follow(t, top.Directors[0])
	eth1 := f.index(t, "eth1")
	mac, err := top.Servers[0].MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	// A stale entry is confirmed after this time; 5 s is the kernel's default.
	for _, family := range []string{"ipv4", "ipv6"} {
		if err := f.host.Sysctl("net."+family+".neigh.eth1.delay_first_probe_time", "1"); err != nil {
			t.Fatal(err)
		}
	}
	for _, server := range []netip.Addr{top.Servers[0].Addr4("eth0"), top.Servers[0].Addr6("eth0")} {
		family := "-4"
		if server.Is6() {
			family = "-6"
		}
		reachable := func(s *hostnet.Snapshot) bool {
			n, ok := s.Neighbour(eth1, server)
			return ok && n.Usable && n.State == hostnet.Reachable && net.HardwareAddr(n.MAC[:]).String() == mac.String()
		}
		is := func(state hostnet.NeighbourState) func(*hostnet.Snapshot) bool {
			return func(s *hostnet.Snapshot) bool { n, ok := s.Neighbour(eth1, server); return ok && n.State == state }
		}
		f.ip(t, family, "neigh", "flush", "dev", "eth1")
		for _, before := range []struct {
			name string
			set  func()
		}{
			{"absent", func() {}},
			{"stale", func() {
				f.ip(t, "neigh", "replace", server.String(), "lladdr", mac.String(), "dev", "eth1", "nud", "stale")
				f.until(t, "the neighbour is stale", is(hostnet.Stale))
			}},
			{"failed", func() {
				f.ip(t, "neigh", "replace", server.String(), "dev", "eth1", "nud", "failed")
				f.until(t, "the neighbour has failed", is(hostnet.Failed))
			}},
		} {
			before.set()
			if err := f.Resolve(eth1, server); err != nil {
				t.Fatalf("%s, %s: %v", server, before.name, err)
			}
			f.until(t, fmt.Sprintf("%s, %s, becomes reachable", server, before.name), reachable)
		}
	}
	// Somebody who does not exist: asked for, never usable.
	nobody := addr("192.0.2.250")
	if err := f.Resolve(eth1, nobody); err != nil {
		t.Fatal(err)
	}
	s := f.until(t, "an unknown neighbour is tried", func(s *hostnet.Snapshot) bool { _, ok := s.Neighbour(eth1, nobody); return ok })
	if n, _ := s.Neighbour(eth1, nobody); n.Usable {
		t.Errorf("%+v is usable", n)
	}
	if err := f.Resolve(4711, nobody); err == nil {
		t.Error("no error for a device that is not there")
	}
}

// TestFirstChangeComesSoon measures the way from a system call to the callback.
func TestFirstChangeComesSoon(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{})
	f := follow(t, top.Directors[0])
	eth0 := f.index(t, "eth0")
	best := time.Hour
	for i := range 10 {
		a := hostnet.Address{Link: eth0, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}), 32)}
		<-time.After(100 * time.Millisecond) // silence
		start := time.Now()
		if err := f.AddAddress(a); err != nil {
			t.Fatal(err)
		}
		f.until(t, "the address is there", func(s *hostnet.Snapshot) bool { return s.IsLocal(a.Prefix.Addr()) })
		best = min(best, time.Since(start))
	}
	t.Logf("fastest of ten: %v", best)
	if best > 20*time.Millisecond {
		t.Errorf("the fastest change took %v, want about 2 ms", best)
	}
}

func TestEndOfRunAndClose(t *testing.T) {
	site := labtest.New(t)
	h := labtest.Host(t, site, "one")
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	open := func() *hostnet.Watcher {
		var w *hostnet.Watcher
		if err := h.Do(func() (err error) { w, err = hostnet.Open(); return err }); err != nil {
			t.Fatal(err)
		}
		return w
	}
	_ = open().Close() // the runtime's poller has its descriptors now
	before := count()
	for range 10 {
		w := open()
		done := make(chan error)
		go func() { done <- w.Run(t.Context(), nil) }()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Run after Close: %v, want net.ErrClosed", err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if w.Snapshot() == nil {
			t.Error("no snapshot after Close")
		}
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors after, %d before", after, before)
	}
}
