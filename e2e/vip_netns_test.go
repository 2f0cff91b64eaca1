//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestVIPOnAnyInterface: a virtual address may be on lo, on a bridge without ports, on the
// side of the servers or on that of the clients; its packets are forwarded all the same.
func TestVIPOnAnyInterface(t *testing.T) {
	t.Parallel()
	top := labtest.TwoArm(t, netlab.Plan{NoVIP: true})
	director := top.Directors[0]
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	labtest.Run(t, director, "ip", "link", "add", "vips0", "type", "bridge")
	labtest.Run(t, director, "ip", "link", "set", "vips0", "up")
	d := startEmpty(t, director)
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		service := netip.AddrPortFrom(vip, 80).String()
		d.uvs("ipvsadm", "-A", "-t", service, "-s", "rr")
		for _, s := range top.Servers {
			server := s.Addr4("eth0")
			if vip.Is6() {
				server = s.Addr6("eth0")
			}
			d.uvs("ipvsadm", "-a", "-t", service, "-r", netip.AddrPortFrom(server, 8080).String(), "-m")
		}
	}
	// Neighbour discovery is answered only where the address is.
	labtest.Run(t, top.Clients[0], "ip", "-6", "route", "add", fmt.Sprintf("%s/128", top.VIP6), "via", director.Addr6("eth0").String())
	for _, device := range []string{"lo", "vips0", "eth1", "eth0"} {
		t.Run(device, func(t *testing.T) {
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				prefix := netip.PrefixFrom(vip, vip.BitLen()).String()
				labtest.Run(t, director, "ip", "address", "add", prefix, "dev", device)
				wantAnswers(t, top.Clients[0], url(vip, 80, "/"), device, "server1", "server2")
				labtest.Run(t, director, "ip", "address", "del", prefix, "dev", device)
			}
		})
	}
	d.stop()
}
