//go:build netns

package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uvs/config"
	"uvs/internal/hostnet"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// A parityHost is one of two hosts that are the same but for who works on them.
type parityHost struct {
	*netlab.Host
	actor *hostnet.Actor
}

// newParityHost makes a host with eth0 and eth1, whose MACs and addresses are the same in
// every site.
func newParityHost(t *testing.T) *parityHost {
	t.Helper()
	site := labtest.New(t)
	p := &parityHost{Host: labtest.Host(t, site, "director")}
	peer := labtest.Host(t, site, "peer")
	for i, prefix := range []string{"192.168.1.2/24", "10.0.0.2/16"} {
		name := fmt.Sprintf("eth%d", i)
		if err := site.Connect(p.Host, name, peer, name); err != nil {
			t.Fatal(err)
		}
		labtest.Run(t, p.Host, "ip", "link", "set", name, "down")
		labtest.Run(t, p.Host, "ip", "link", "set", name, "address", "02:00:00:00:00:0"+name[3:])
		labtest.Run(t, p.Host, "ip", "link", "set", name, "up")
		if err := p.AddAddr(name, netip.MustParsePrefix(prefix)); err != nil {
			t.Fatal(err)
		}
	}
	err := p.Do(func() (err error) {
		if p.actor, err = hostnet.OpenActor(); err != nil {
			return err
		}
		t.Cleanup(func() { _ = p.actor.Close() })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// snapshot is the host's network as it is now.
func (p *parityHost) snapshot(t *testing.T) *hostnet.Snapshot {
	t.Helper()
	var s *hostnet.Snapshot
	err := p.Do(func() error {
		w, err := hostnet.Open()
		if err != nil {
			return err
		}
		s = w.Snapshot()
		return w.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *parityHost) links(t *testing.T) linkIndex {
	s := p.snapshot(t)
	return func(name string) (int, bool) {
		l, ok := s.LinkByName(name)
		return l.Index, ok
	}
}

// These are what of ip's output is not the same in two namespaces, or depends on sockets:
// numbers of devices, promiscuity.
var (
	ifNumber  = regexp.MustCompile(`(?m)^\d+: |@if\d+`)
	changing  = regexp.MustCompile(`promiscuity \d+`)
	netnsPeer = regexp.MustCompile(`link-netnsid \d+`)
)

// picture is all that a director may have changed.
func (p *parityHost) picture(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, args := range []string{
		"-d link", "-4 addr", "-6 addr", "-d -4 route show table all", "-d -6 route show table all", "-4 rule", "-6 rule",
	} {
		out := labtest.Run(t, p.Host, "ip", strings.Fields(args)...)
		for _, r := range []*regexp.Regexp{ifNumber, changing, netnsPeer} {
			out = r.ReplaceAllString(out, "")
		}
		fmt.Fprintf(&b, "# ip %s\n%s\n", args, out)
	}
	for _, pattern := range []string{`net\.ipv4\.conf`, `net\.ipv6\.conf`} {
		fmt.Fprintf(&b, "# %s\n%s\n", pattern, labtest.Run(t, p.Host, "sysctl", "-a", "--pattern", pattern))
	}
	return b.String()
}

// A hosting is what a configuration does to a host while its instances are MASTER.
type hosting struct {
	devices  []hostnet.Device
	settings [][]hostnet.Sysctl
	before   []hostnet.Change // static
	adding   []hostnet.Change
	deleting []hostnet.Change
}

// prepare makes the devices of a configuration, and translates the rest of it.
func (p *parityHost) prepare(t *testing.T, c *config.Config, ensure func(hostnet.Device)) hosting {
	t.Helper()
	var h hosting
	base := p.links(t)
	own := ownMACs(c.Instances, "vrrp")
	make1 := func(d hostnet.Device, interfaceName string) {
		ensure(d)
		h.devices = append(h.devices, d)
		if d.IPv4 {
			h.settings = append(h.settings, hostnet.BelowVirtualMAC(interfaceName))
		}
	}
	for n := range c.Instances {
		i := &c.Instances[n]
		d, ok, err := translateDevice(i, base, nil)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			make1(d, i.Interface)
		}
		for _, o := range own {
			if o.instance != i.Name {
				continue
			}
			d, err := o.device(base)
			if err != nil {
				t.Fatal(err)
			}
			make1(d, o.base)
		}
		if i.PromoteSecondaries {
			h.settings = append(h.settings, hostnet.PromoteSecondaries(i.Interface))
		}
	}
	links := p.links(t)
	h.before = changesOf(t, c.Static.Addresses, c.Static.Routes, c.Static.Rules, links, func(a config.Address) string { return a.Device })
	for n := range c.Instances {
		i := &c.Instances[n]
		device := func(a config.Address) string { return onOwnDevice(i, []config.Address{a}, own)[0].Device }
		h.adding = append(h.adding, changesOf(t, append(i.Addresses, i.Excluded...), i.Routes, i.Rules, links, device)...)
	}
	for _, c := range append(h.before, h.adding...) {
		h.deleting = append([]hostnet.Change{opposite(c)}, h.deleting...)
	}
	return h
}

func changesOf(t *testing.T, as []config.Address, rs []config.Route, us []config.Rule, links linkIndex, device func(config.Address) string) (out []hostnet.Change) {
	t.Helper()
	for _, a := range as {
		x, err := translateAddress(a, device(a), links)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, hostnet.AddAddress{Address: x})
	}
	for _, r := range rs {
		x, err := translateRoute(r, links)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, hostnet.AddRoute{RouteSpec: x})
	}
	for _, r := range us {
		out = append(out, hostnet.AddRule{Rule: translateRule(r)})
	}
	return out
}

func opposite(c hostnet.Change) hostnet.Change {
	switch c := c.(type) {
	case hostnet.AddAddress:
		return hostnet.DeleteAddress(c)
	case hostnet.AddRoute:
		return hostnet.DeleteRoute(c)
	case hostnet.AddRule:
		return hostnet.DeleteRule(c)
	}
	return nil
}

// lacks returns a change that has not happened on a host, or nil.
func lacks(s *hostnet.Snapshot, changes []hostnet.Change) hostnet.Change {
	for _, c := range changes {
		there := false
		switch c := c.(type) {
		case hostnet.AddAddress:
			there = s.HasAddress(c.Address)
		case hostnet.AddRoute:
			there = c.Protocol != hostnet.ProtocolKeepalived || s.HasRoute(c.RouteSpec)
		case hostnet.AddRule:
			there = s.HasRule(c.Rule)
		}
		if !there {
			return c
		}
	}
	return nil
}

// TestHostIsAsKeepalivedMakesIt lets Debian's keepalived be MASTER on one host, and does
// what we translate of the same configuration on another.
func TestHostIsAsKeepalivedMakesIt(t *testing.T) {
	for _, file := range []string{
		"../../config/testdata/keepalived/12-vrrp-pair-a.conf",
		"../../config/testdata/keepalived/20-vrrp-vmac.conf",
		"../../config/testdata/keepalived/22-vrrp-routes-rules-static.conf",
		"testdata/vrrp/options.conf",
		"testdata/vrrp/macs.conf",
	} {
		t.Run(filepath.Base(file), func(t *testing.T) { hostParity(t, file) })
	}
}

func hostParity(t *testing.T, file string) {
	theirs, ours := newParityHost(t), newParityHost(t)
	empty := theirs.picture(t)
	if diff := cmp.Diff(empty, ours.picture(t)); diff != "" {
		t.Fatalf("the hosts differ from the start:\n%s", diff)
	}
	c, findings := config.Load(os.DirFS(filepath.Dir(file)), filepath.Base(file), config.Options{}, func(*config.File) config.Host { return config.Host{AnyInterface: true} })
	if findings.HasErrors() {
		t.Fatalf("the configuration has errors: %v", findings)
	}

	// Ours.
	h := ours.prepare(t, c, func(d hostnet.Device) {
		if err := ours.Do(func() error { _, _, err := ours.actor.EnsureDevice(d); return err }); err != nil {
			t.Fatal(err)
		}
	})
	held := hostnet.NewSettings(nil)
	for _, s := range h.settings {
		if err := ours.Do(func() error { return held.Hold(s...) }); err != nil {
			t.Fatal(err)
		}
	}
	mustDo(t, ours.actor, append(h.before, h.adding...))
	if c := lacks(ours.snapshot(t), append(h.before, h.adding...)); c != nil {
		t.Errorf("done and not seen: %s", c)
	}

	// Theirs.
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := labtest.Start(t, theirs.Host, "keepalived", "-n", "-l", "-P", "-f", abs, "-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
	labtest.Eventually(t, labtest.Hang, func() error {
		s := theirs.snapshot(t)
		for _, d := range h.devices {
			if l, ok := s.LinkByName(d.Name); !ok || !l.Running {
				return fmt.Errorf("keepalived has not made %s", d.Name)
			}
		}
		want := theirs.prepare(t, c, func(hostnet.Device) {})
		if c := lacks(s, append(want.before, want.adding...)); c != nil {
			return fmt.Errorf("keepalived has not done yet: %s", c)
		}
		return nil
	})
	if diff := cmp.Diff(theirs.picture(t), ours.picture(t)); diff != "" {
		t.Errorf("(-keepalived +uvs):\n%s", diff)
	}
	left := theirs.snapshot(t)
	t.Logf("%d devices, %d addresses, routes and rules; keepalived's %d routes and %d addresses seen",
		len(h.devices), len(h.before)+len(h.adding), len(left.OwnRoutes), len(left.Addresses))

	// And nothing is left by either.
	if err := p.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(labtest.Hang):
		t.Fatal("keepalived does not stop")
	}
	mustDo(t, ours.actor, h.deleting)
	for _, d := range h.devices {
		if err := ours.actor.RemoveDevice(d); err != nil {
			t.Error(err)
		}
	}
	for _, s := range h.settings {
		if err := ours.Do(func() error { return held.Release(s...) }); err != nil {
			t.Error(err)
		}
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		if diff := cmp.Diff(empty, ours.picture(t)); diff != "" {
			return fmt.Errorf("left behind:\n%s", diff)
		}
		return nil
	})
}

func mustDo(t *testing.T, a *hostnet.Actor, changes []hostnet.Change) {
	t.Helper()
	for _, err := range a.Do(changes...) {
		if err != nil {
			t.Error(err)
		}
	}
}
