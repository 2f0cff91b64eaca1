//go:build netns

package hostnet_test

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"uvs/internal/hostnet"
	"uvs/internal/netlab/labtest"
)

// inside runs f in the namespace of the bench's host.
func (b *bench) inside(t *testing.T, f func() error) {
	t.Helper()
	if err := b.host.Do(f); err != nil {
		t.Fatal(err)
	}
}

// ensure makes or adopts a device.
func (b *bench) ensure(t *testing.T, d hostnet.Device) (index int, adopted bool) {
	t.Helper()
	b.inside(t, func() (err error) { index, adopted, err = b.actor.EnsureDevice(d); return err })
	return index, adopted
}

// sysctl reads a parameter by its path below /proc/sys/net.
func (b *bench) sysctl(t *testing.T, name string) string {
	t.Helper()
	var v []byte
	b.inside(t, func() (err error) { v, err = os.ReadFile("/proc/sys/net/" + name); return err })
	return strings.TrimSpace(string(v))
}

func (b *bench) mustHave(t *testing.T, settings map[string]string) {
	t.Helper()
	for name, want := range settings {
		if got := b.sysctl(t, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestDeviceMacvlan(t *testing.T) {
	b := newBench(t)
	four := hostnet.Device{Name: "vrrp.41", Kind: hostnet.Macvlan, Parent: b.eth0, MAC: hostnet.VirtualMAC(41, false), IPv4: true}
	six := hostnet.Device{Name: "six", Kind: hostnet.Macvlan, Parent: b.eth1, MAC: hostnet.VirtualMAC(42, true), IPv6: true, Group: 7}
	index4, adopted4 := b.ensure(t, four)
	index6, adopted6 := b.ensure(t, six)
	if adopted4 || adopted6 {
		t.Errorf("adopted %v, %v a device that was not there", adopted4, adopted6)
	}
	b.mustShow(t, "<BROADCAST,MULTICAST,UP,LOWER_UP>", "link", "show", "vrrp.41")
	b.mustShow(t, "link/ether 00:00:5e:00:01:29", "link", "show", "vrrp.41")
	b.mustShow(t, "macvlan mode private", "-d", "link", "show", "vrrp.41")
	b.mustShow(t, "addrgenmode none", "-d", "link", "show", "vrrp.41")
	b.mustShow(t, "link/ether 00:00:5e:00:02:2a", "link", "show", "six")
	b.mustShow(t, "group 7", "link", "show", "six")
	b.mustNotShow(t, "scope link", "-6", "addr", "show", "dev", "six")
	b.mustHave(t, map[string]string{
		"ipv4/conf/vrrp.41/arp_ignore": "1", "ipv4/conf/vrrp.41/accept_local": "1", "ipv4/conf/vrrp.41/rp_filter": "0",
		"ipv4/conf/vrrp.41/promote_secondaries": "1", "ipv6/conf/vrrp.41/disable_ipv6": "1",
		"ipv4/conf/six/arp_ignore": "0", "ipv4/conf/six/accept_local": "0", "ipv6/conf/six/disable_ipv6": "0",
	})
	s := b.until(t, "the devices are there", func(s *hostnet.Snapshot) bool {
		l, _ := s.LinkByIndex(index6)
		_, ok := s.LinkByIndex(index4)
		return ok && l.Running && l.LowerUp && l.Up
	})
	if l, _ := s.LinkByIndex(index4); l.Name != "vrrp.41" || l.MAC != four.MAC || l.Parent != b.eth0 || !l.Private {
		t.Errorf("the snapshot has %+v", l)
	}

	// What the next run finds.
	next := openActor(t, b.host)
	list, err := next.VirtualDevices()
	left := []hostnet.Device{
		{Name: "vrrp.41", Kind: hostnet.Macvlan, Parent: b.eth0, MAC: four.MAC},
		{Name: "six", Kind: hostnet.Macvlan, Parent: b.eth1, MAC: six.MAC, Group: 7},
	}
	if err != nil || !slices.Equal(list, left) {
		t.Errorf("left behind: %+v, %v; want %+v", list, err, left)
	}
	b.ip(t, "link", "set", "vrrp.41", "down")
	if index, adopted := b.ensure(t, four); index != index4 || !adopted {
		t.Errorf("the same again: device %d, adopted %v; want %d, adopted", index, adopted, index4)
	}
	b.mustShow(t, "<BROADCAST,MULTICAST,UP,LOWER_UP>", "link", "show", "vrrp.41")

	for _, d := range list {
		if err := next.RemoveDevice(d); err != nil {
			t.Error(err)
		}
		if err := next.RemoveDevice(d); !errors.Is(err, hostnet.ErrNoDevice) {
			t.Errorf("again: %v, want ErrNoDevice", err)
		}
	}
	if list, err := next.VirtualDevices(); err != nil || len(list) != 0 {
		t.Errorf("left behind: %+v, %v; want none", list, err)
	}
}

func TestDeviceOfOthersStays(t *testing.T) {
	b := newBench(t)
	b.ip(t, "link", "add", "bridged", "link", "eth0", "address", "00:00:5e:00:01:29", "type", "macvlan", "mode", "bridge")
	b.ip(t, "link", "add", "other", "link", "eth0", "address", "02:00:00:00:00:29", "type", "macvlan", "mode", "private")
	b.ip(t, "link", "add", "above1", "link", "eth1", "address", "00:00:5e:00:01:29", "type", "macvlan", "mode", "private")
	for name, want := range map[string]string{
		"bridged": "mode", "other": "its MAC is 02:00:00:00:00:29, not 00:00:5e:00:01:29", "above1": "it is above device", "eth1": "it is no macvlan",
	} {
		d := hostnet.Device{Name: name, Kind: hostnet.Macvlan, Parent: b.eth0, MAC: hostnet.VirtualMAC(41, false), IPv4: true}
		err := b.host.Do(func() error { _, _, err := b.actor.EnsureDevice(d); return err })
		if !errors.Is(err, hostnet.ErrForeign) || !strings.Contains(err.Error(), want) {
			t.Errorf("ensure %s: %v, want ErrForeign with %q", name, err, want)
		}
		if err := b.actor.RemoveDevice(d); !errors.Is(err, hostnet.ErrForeign) {
			t.Errorf("remove %s: %v, want ErrForeign", name, err)
		}
		b.mustShow(t, "mtu 1500", "link", "show", name)
	}
}

// TestDeviceOnParentThatIsDown makes a device that can only come up later.
func TestDeviceOnParentThatIsDown(t *testing.T) {
	b := newBench(t)
	b.ip(t, "link", "set", "eth0", "down")
	index, _ := b.ensure(t, hostnet.Device{Name: "v", Kind: hostnet.Macvlan, Parent: b.eth0, MAC: hostnet.VirtualMAC(1, false), IPv4: true})
	b.mustNotShow(t, "<BROADCAST,MULTICAST,UP,LOWER_UP>", "link", "show", "v")
	b.ip(t, "link", "set", "eth0", "up")
	b.do(t, hostnet.SetUp{Link: index})
	b.mustShow(t, "<BROADCAST,MULTICAST,UP,LOWER_UP>", "link", "show", "v")
}

func TestDeviceIPVLAN(t *testing.T) {
	b := newBench(t)
	d := hostnet.Device{Name: "ipv", Kind: hostnet.IPVLAN, Parent: b.eth0, Mode: hostnet.IPVLANPrivate, IPv6: true}
	err := b.host.Do(func() error { _, _, err := b.actor.EnsureDevice(d); return err })
	_, errIP := b.host.Run(t.Context(), "ip", "link", "add", "probe", "link", "eth1", "type", "ipvlan")
	if errIP != nil {
		// The kernel has no ipvlan; then we must say so, and leave nothing.
		if err == nil || !strings.Contains(err.Error(), "make ipvlan ipv on device") {
			t.Errorf("got %v on a kernel without ipvlan: %v", err, errIP)
		}
		b.mustNotShow(t, "ipv@eth0:", "link")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	b.mustShow(t, "ipvlan mode l2 private", "-d", "link", "show", "ipv")
	b.mustShow(t, "addrgenmode none", "-d", "link", "show", "ipv")
	if _, adopted := b.ensure(t, d); !adopted {
		t.Error("not adopted")
	}
	if err := b.actor.RemoveDevice(d); err != nil {
		t.Error(err)
	}
}

func TestSettingsAreCountedAndRestored(t *testing.T) {
	b := newBench(t)
	promote, below := hostnet.PromoteSecondaries("eth0"), hostnet.BelowVirtualMAC("eth1")
	const promoted, ignore = "ipv4/conf/eth0/promote_secondaries", "ipv4/conf/eth1/arp_ignore"
	b.mustHave(t, map[string]string{promoted: "0", ignore: "0"})
	held := hostnet.NewSettings(nil)
	b.inside(t, func() error { return errors.Join(held.Hold(promote...), held.Hold(below...), held.Hold(below...)) })
	b.mustHave(t, map[string]string{promoted: "1", ignore: "1", "ipv4/conf/eth1/arp_filter": "1"})
	b.inside(t, func() error { return errors.Join(held.Release(promote...), held.Release(below...)) })
	b.mustHave(t, map[string]string{promoted: "0", ignore: "1"})
	if list := held.List(); len(list) != 2 || list[1] != (hostnet.Setting{Name: "net/" + ignore, Was: "0", Is: "1"}) {
		t.Errorf("still held: %+v", list)
	}

	// A crash: the next run has the list, and needs one of the two.
	next := hostnet.NewSettings(held.List())
	b.inside(t, func() error { return errors.Join(next.Hold(below[0]), next.ReleaseUnneeded()) })
	b.mustHave(t, map[string]string{ignore: "1", "ipv4/conf/eth1/arp_filter": "0"})
	b.inside(t, func() error { return next.Release(below[0]) })
	b.mustHave(t, map[string]string{ignore: "0"})

	// Somebody else's word counts.
	b.inside(t, func() error { return next.Hold(below[0]) })
	if err := b.host.Sysctl("net.ipv4.conf.eth1.arp_ignore", "2"); err != nil {
		t.Fatal(err)
	}
	b.inside(t, func() error { return next.Release(below[0]) })
	b.mustHave(t, map[string]string{ignore: "2"})

	// What cannot be set is undone as a whole.
	err := b.host.Do(func() error {
		return held.Hold(append(hostnet.PromoteSecondaries("eth0"), hostnet.PromoteSecondaries("eth9")...)...)
	})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a device that is not there: %v", err)
	}
	b.mustHave(t, map[string]string{promoted: "0"})
}

// TestReversePathPerDevice moves the filter of all devices to each.
func TestReversePathPerDevice(t *testing.T) {
	b := newBench(t)
	var list []hostnet.Sysctl
	b.inside(t, func() (err error) { list, err = hostnet.ReversePathPerDevice(); return err })
	if len(list) != 0 {
		t.Errorf("without a filter of all: %v", list)
	}
	for name, value := range map[string]string{"all": "1", "eth1": "2"} {
		if err := b.host.Sysctl("net.ipv4.conf."+name+".rp_filter", value); err != nil {
			t.Fatal(err)
		}
	}
	held := hostnet.NewSettings(nil)
	b.inside(t, func() (err error) {
		if list, err = hostnet.ReversePathPerDevice(); err != nil {
			return err
		}
		return held.Hold(list...)
	})
	const all, eth0, eth1, def = "ipv4/conf/all/rp_filter", "ipv4/conf/eth0/rp_filter", "ipv4/conf/eth1/rp_filter", "ipv4/conf/default/rp_filter"
	b.mustHave(t, map[string]string{all: "0", eth0: "1", eth1: "2", def: "1"})
	d := hostnet.Device{Name: "v", Kind: hostnet.Macvlan, Parent: b.eth0, MAC: hostnet.VirtualMAC(1, false), IPv4: true}
	b.ensure(t, d)
	b.mustHave(t, map[string]string{"ipv4/conf/v/rp_filter": "0"})
	b.inside(t, func() error { return held.Release(list...) })
	b.mustHave(t, map[string]string{all: "1", eth0: "0", eth1: "2", def: "0"})
}

// TestPromotedAddressesStay removes the primary address of a subnet whose secondary one is
// virtual.
func TestPromotedAddressesStay(t *testing.T) {
	b := newBench(t)
	held := hostnet.NewSettings(nil)
	b.inside(t, func() error { return held.Hold(hostnet.PromoteSecondaries("eth0")...) })
	vip := hostnet.Address{Link: b.eth0, Prefix: netip.MustParsePrefix("192.0.2.77/24")}
	b.do(t, hostnet.AddAddress{Address: vip})
	labtest.Run(t, b.host, "ip", "addr", "del", "192.0.2.1/24", "dev", "eth0")
	b.until(t, "the virtual address stays", func(s *hostnet.Snapshot) bool { return len(s.AddressesOf(b.eth0)) > 0 && s.HasAddress(vip) })
	b.mustShow(t, "inet 192.0.2.77/24 scope global eth0", "addr", "show", "dev", "eth0")
}
