//go:build netns

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestRareWordsOfVRRP: a short outage of an interface is none (interface_up_down_delays), a keepalived
// of another VRID is named (log_unknown_vrids), and the servers' network hears of the address that
// is on it more than once (garp_extra_if), which has the virtual router's MAC there (use_vmac_addr).
func TestRareWordsOfVRRP(t *testing.T) {
	top := modes()[0].site(t, netlab.Plan{NoVIP: true})
	host, client, server := top.Directors[0], top.Clients[0], top.Servers[0]
	const gateway = "192.0.2.80"
	seen := labtest.Capture(t, server, "eth0", "arp")
	d := startDirector(t, host, fmt.Sprintf(`global_defs {
	log_unknown_vrids
	vrrp_garp_extra_if 1
	vrrp_garp_master_repeat 1
	vrrp_garp_master_delay 0
}
interface_up_down_delays {
	eth0 1 0.1
}
vrrp_instance VI {
	interface eth0
	virtual_router_id 51
	priority 255
	advert_int 1
	use_vmac_addr
	virtual_ipaddress {
		%s/24
		%s/24 dev eth1
	}
}
`, top.VIP4, gateway))
	waitLog(t, d, "(VI) MASTER, was")
	startKeepalived(t, client, fmt.Sprintf("vrrp_instance OTHER {\n interface eth0\n virtual_router_id 77\n priority 200\n virtual_ipaddress {\n  %s\n }\n}\n", "198.51.100.87/24"))
	waitLog(t, d, fmt.Sprintf("Unknown VRID(77) received on interface(eth0). ignoring... (from %s, said once)", client.Addr4("eth0")))
	labtest.Eventually(t, labtest.Hang, func() error {
		packets, err := seen.Packets()
		if err != nil {
			return err
		}
		told := 0
		for _, p := range packets {
			ether, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
			if a, ok := announcement(p); ok && a.String() == gateway && ether.SrcMAC.String() == "00:00:5e:00:01:33" {
				told++
			}
		}
		if told < 3 {
			return fmt.Errorf("%s was announced with its virtual MAC %d times, want 3: when it came, and each second", gateway, told)
		}
		return nil
	})
	d.uvs("reload") // which goes on with the same device
	for range 3 {
		if err := host.SetDown("eth0"); err != nil {
			t.Fatal(err)
		}
		if err := host.SetUp("eth0"); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	if err := host.SetDown("eth0"); err != nil {
		t.Fatal(err)
	}
	waitLog(t, d, "(VI) FAULT, was MASTER: interface eth0 down")
	if took := time.Since(begin); took < 900*time.Millisecond {
		t.Errorf("an interface that is down counts so after %v, want 1 s", took)
	}
	if n := strings.Count(d.proc.Output(), "entering FAULT state"); n != 1 {
		t.Errorf("the instance was in FAULT %d times, want once", n)
	}
	if err := host.SetUp("eth0"); err != nil {
		t.Fatal(err)
	}
	waitLog(t, d, "(VI) MASTER, was FAULT")
	d.stop()
	if out := labtest.Run(t, host, "ip", "-o", "link"); strings.Contains(out, "vrrp.51") {
		t.Errorf("a device is left: %s", out)
	}
}
