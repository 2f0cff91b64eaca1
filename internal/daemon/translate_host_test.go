package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"uvs/config"
	"uvs/internal/hostnet"
)

// testLinks are the devices of the tests: eth0 is 10, eth1 11, those of instances 20 and up.
func testLinks(name string) (int, bool) {
	i, ok := map[string]int{"eth0": 10, "eth1": 11, "vrrp.43": 20, "vrrp1.43": 21, "vmac44": 22}[name]
	return i, ok
}

// A plainRoute is printed with all its fields.
type plainRoute hostnet.RouteSpec

// TestTranslateVRRP holds what VRRP does to a host by golden files. That it is right is
// judged by keepalived itself, in namespaces.
func TestTranslateVRRP(t *testing.T) {
	files, err := filepath.Glob("testdata/vrrp/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations to translate: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".conf"), func(t *testing.T) {
			c, findings := config.Load(os.DirFS("testdata/vrrp"), filepath.Base(file), config.Options{}, func(*config.File) config.Host { return config.Host{AnyInterface: true} })
			if findings.HasErrors() {
				t.Fatalf("the configuration has errors: %v", findings)
			}
			got := dumpVRRP(t, c)
			golden := strings.TrimSuffix(file, ".conf") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("translation differs (-want +got):\n%s", diff)
			}
		})
	}
}

// dumpVRRP writes all that is made of a configuration, a line for each thing.
func dumpVRRP(t *testing.T, c *config.Config) string {
	t.Helper()
	var b strings.Builder
	list := func(name string, as []config.Address, rs []config.Route, us []config.Rule, device func(config.Address) string) {
		fmt.Fprintf(&b, "%s\n", name)
		for _, a := range as {
			x, err := translateAddress(a, device(a), testLinks)
			fmt.Fprintf(&b, "  address %+v %v\n", x, err)
		}
		for _, r := range rs {
			x, err := translateRoute(r, testLinks)
			hops := x.Hops
			x.Hops = nil
			fmt.Fprintf(&b, "  route %+v %v\n", plainRoute(x), err)
			for _, h := range hops {
				encap := h.Encap
				h.Encap = nil
				fmt.Fprintf(&b, "    hop %+v\n", h)
				if encap != nil {
					fmt.Fprintf(&b, "      tunnel %+v\n", *encap)
				}
			}
		}
		for _, r := range us {
			fmt.Fprintf(&b, "  rule %s protocol %d\n", translateRule(r), translateRule(r).Protocol)
		}
	}
	list("static", c.Static.Addresses, c.Static.Routes, c.Static.Rules, func(a config.Address) string { return a.Device })
	for n := range c.Instances {
		i := &c.Instances[n]
		if d, ok, err := translateDevice(i, testLinks, map[string]uint32{"virtual": 5}); ok {
			fmt.Fprintf(&b, "device %+v %v\n", d, err)
		}
		own := ownMACs(c.Instances, "vrrp")
		var devices []hostnet.Device
		var err error
		for _, o := range own {
			if o.instance == i.Name {
				d, failed := o.device(testLinks)
				devices, err = append(devices, d), errors.Join(err, failed)
			}
		}
		fmt.Fprintf(&b, "devices of addresses %+v %v\n", devices, err)
		list(i.Name, append(i.Addresses, i.Excluded...), i.Routes, i.Rules, func(a config.Address) string { return onOwnDevice(i, []config.Address{a}, own)[0].Device })
	}
	return b.String()
}

func TestTranslateWithoutTheDevice(t *testing.T) {
	pos := config.Pos{File: "k.conf", Line: 3, Column: 5}
	i := config.Instance{Pos: pos, Name: "V", Interface: "eth9", MAC: &config.VirtualMAC{Name: "v"}, Addresses: []config.Address{{Pos: pos, Device: "eth9", MAC: config.OwnMAC}}}
	_, errAddress := translateAddress(config.Address{Pos: pos}, "eth9", testLinks)
	_, errRoute := translateRoute(config.Route{Pos: pos, NextHops: []config.NextHop{{Device: "eth9"}}}, testLinks)
	_, _, errDevice := translateDevice(&i, testLinks, nil)
	_, errOwn := ownMACs([]config.Instance{i}, "vrrp")[0].device(testLinks)
	for _, err := range []error{errAddress, errRoute, errDevice, errOwn} {
		if err == nil || !strings.HasPrefix(err.Error(), "k.conf:3:5: ") || !strings.HasSuffix(err.Error(), "interface eth9 does not exist") {
			t.Errorf("got %v, want where and that interface eth9 does not exist", err)
		}
	}
}

func TestTranslateDeviceGroup(t *testing.T) {
	for text, want := range map[string]uint32{"": 0, "virtual": 5, "7": 7, "0x10": 16} {
		if got, err := deviceGroup(text, map[string]uint32{"virtual": 5}); err != nil || got != want {
			t.Errorf("group %q is %d, %v; want %d", text, got, err, want)
		}
	}
	if _, err := deviceGroup("nobody's", nil); err == nil || !strings.Contains(err.Error(), `"nobody's"`) {
		t.Errorf("an unknown group: %v", err)
	}
}

// TestOwnMACNames are the names that keepalived 2.2.7 was seen to give.
func TestOwnMACNames(t *testing.T) {
	taken := map[string]bool{}
	free := func(n string) bool { return !taken[n] }
	for _, tc := range []struct {
		six  bool
		want string
	}{{false, "vrrp.43"}, {false, "vrrp1.43"}, {true, "vrrp6.43"}, {true, "vrrp2.43"}, {false, "vrrp3.43"}} {
		got := ownMACName("vrrp", 43, tc.six, free)
		if got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
		taken[got] = true
	}
	if got := ownMACName("a-long-prefix-is", 255, true, func(n string) bool { return !strings.HasSuffix(n, "x.255") && strings.Contains(n, "6") }); got != "a-long-pre6.255" {
		t.Errorf("got %s, cut to 15 bytes", got)
	}
}
