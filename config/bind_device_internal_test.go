package config

import "testing"

// TestDeviceNames: a device of an instance keeps its name while it is there, and does not take that of another.
func TestDeviceNames(t *testing.T) {
	draft := func(ipv6 bool) *instanceDraft {
		d := &instanceDraft{}
		d.Name, d.Interface, d.VRID, d.IPv6, d.MAC = "VI", "eth0", 51, ipv6, &VirtualMAC{}
		return d
	}
	ours := Link{Name: "vrrp.51", Kind: "macvlan", Base: "eth0", Private: true, MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
	other := func(change func(*Link)) Link { l := ours; change(&l); return l }
	for _, tt := range []struct {
		name  string
		there Link
		ipv6  bool
		want  string
	}{
		{"none", Link{Name: "eth1"}, false, "vrrp.51"},
		{"its own", ours, false, "vrrp.51"},
		{"that of IPv4", ours, true, "vrrp6.51"},
		{"that of IPv6", other(func(l *Link) { l.MAC[4] = 2 }), false, "vrrp1.51"},
		{"on another interface", other(func(l *Link) { l.Base = "eth1" }), false, "vrrp1.51"},
		{"not private", other(func(l *Link) { l.Private = false }), false, "vrrp1.51"},
		{"of another kind", other(func(l *Link) { l.Kind = "" }), false, "vrrp1.51"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &binder{host: Host{Links: []Link{tt.there}}}
			b.defaults.macPrefix = "vrrp"
			b.deviceOwner = make(map[string]string)
			d := draft(tt.ipv6)
			b.completeDevices(d)
			if d.MAC.Name != tt.want {
				t.Errorf("with %+v the device is %s, want %s", tt.there, d.MAC.Name, tt.want)
			}
		})
	}
}
