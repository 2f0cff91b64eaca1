//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// prioritiesOf are the priorities of the adverts of a VRID with a source MAC, in their order.
func prioritiesOf(packets []gopacket.Packet, vrid uint8, mac string) (priorities []byte) {
	for _, p := range packets {
		ether, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
		ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if ok && ip.Protocol == 112 && ip.Payload[1] == vrid && ether.SrcMAC.String() == mac {
			priorities = append(priorities, ip.Payload[2])
		}
	}
	return priorities
}

// TestReloadOfInstances: one that is left out says so by its device before that is gone, one
// that becomes another router owns its addresses and has its MAC, and neighbours hear of an address that is
// new with a master.
func TestReloadOfInstances(t *testing.T) {
	top := modes()[0].site(t, netlab.Plan{NoVIP: true})
	host, client := top.Directors[0], top.Clients[0]
	vip := func(n int) string { return fmt.Sprintf("10.77.0.%d", n) }
	instance := func(name string, vrid int, more string, vips ...string) string {
		return fmt.Sprintf("vrrp_instance %s {\n interface eth0\n virtual_router_id %d\n version 3\n advert_int 0.1\n %s\n virtual_ipaddress {\n  %s\n }\n}\n",
			name, vrid, more, strings.Join(vips, "\n  "))
	}
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	write := func(text ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.Join(text, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(instance("A", 61, "priority 200", vip(61)), instance("B", 62, "priority 200\n use_vmac", vip(62)), instance("C", 63, "priority 255", vip(63)),
		instance("E", 66, "priority 200\n use_vmac own0", vip(66)))
	d := launchFile(t, host, file)
	d.waitReady()
	for _, name := range []string{"A", "B", "C", "E"} {
		waitLog(t, d, "("+name+") MASTER, was")
	}
	seen := labtest.Capture(t, client, "eth0", "ip proto 112 or arp")
	write(instance("A", 61, "priority 200", vip(61), vip(64)), instance("D", 65, "priority 200\n use_vmac", vip(65)), instance("C", 73, "priority 255", vip(63)),
		instance("E", 76, "priority 200\n use_vmac own0", vip(66)))
	d.uvs("reload")
	for n, want := range map[int]bool{61: true, 62: false, 63: true, 64: true} {
		if hasAddress(t, host, netip.MustParseAddr(vip(n))) != want {
			t.Errorf("after the reload the host has %s: %t, want %t", vip(n), !want, want)
		}
	}
	if out := labtest.Run(t, host, "ip", "link", "show", "own0"); !strings.Contains(out, "00:00:5e:00:01:4c") {
		t.Errorf("after the reload the device of VRID 76 is %s", out)
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		packets, err := seen.Packets()
		if err != nil {
			return err
		}
		for _, p := range packets {
			if a, ok := announcement(p); ok && a.String() == vip(64) {
				return nil
			}
		}
		return fmt.Errorf("nobody is told of %s", vip(64))
	})
	// Another name is no reason to give anything up.
	changes := labtest.Start(t, host, "ip", "monitor", "address")
	write(instance("Renamed", 61, "priority 200", vip(61), vip(64), vip(67)), instance("D", 65, "priority 200\n use_vmac", vip(65)), instance("C", 73, "priority 255", vip(63)),
		instance("E", 76, "priority 200\n use_vmac own0", vip(66)))
	d.uvs("reload")
	waitLog(t, d, "(A) is (Renamed) from now on")
	d.instance("after the reload", func(i control.VRRPInstance) bool { return i.Name == "Renamed" && i.State == "MASTER" })
	if err := changes.WaitOutput(labtest.Hang, vip(67)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(changes.Output(), "Deleted") {
		t.Errorf("addresses were away: %s", changes.Output())
	}
	d.stop()
	packets, err := seen.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if got := prioritiesOf(packets, 62, "00:00:5e:00:01:3e"); len(got) == 0 || got[len(got)-1] != 0 {
		t.Errorf("of B, which the reload left out, adverts with the priorities %d were seen, want 0 at the end", got)
	}
	if out := labtest.Run(t, host, "ip", "-o", "link"); strings.Contains(out, "macvlan") || strings.Contains(out, "own0") || strings.Contains(out, "vrrp.") {
		t.Errorf("devices are left: %s", out)
	}
	for _, wrong := range []string{"(B) adverts cannot be sent", "(B) entering FAULT", "(D) entering FAULT"} {
		if strings.Contains(d.proc.Output(), wrong) {
			t.Errorf("the log has %q", wrong)
		}
	}
}
