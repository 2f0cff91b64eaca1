//go:build netns

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"uvs/internal/netlab"
)

// TestSIPEngine: by direct routing and one-packet scheduling, messages of one call come to one
// server from whatever port they are sent, calls are spread, and the listing names them.
func TestSIPEngine(t *testing.T) {
	m := modes()[1]
	top := m.site(t, netlab.Plan{Servers: 3, NoVIP: true})
	for _, h := range top.Servers {
		echoUDP(t, h, m, top.VIP4)
	}
	config := strings.ReplaceAll(uncheck(m.config(top)), " protocol TCP\n", " protocol UDP\n ops\n persistence_timeout 60\n persistence_granularity 0.0.0.0\n persistence_engine sip\n")
	config, _, _ = strings.Cut(config, fmt.Sprintf("virtual_server %s", top.VIP6))
	d := startDirector(t, top.Directors[0], config, "--workers", "2")
	servers := make(map[string]string)
	for port := range 6 {
		for _, call := range []string{"one@example.org", "two@example.org", "three@example.org"} {
			local := netip.AddrPortFrom(top.Clients[0].Addr4("eth0"), uint16(40000+port))
			c, err := top.Clients[0].ListenPacket(t.Context(), "udp", local.String())
			if err != nil {
				t.Fatal(err)
			}
			answer, err := exchangeUDP(c, net.UDPAddrFromAddrPort(netip.AddrPortFrom(top.VIP4, 80)), []byte("OPTIONS sip:x SIP/2.0\r\nCall-ID: "+call+"\r\n\r\n"))
			c.Close() //nolint:errcheck // it was for one question
			if err != nil {
				t.Fatal(err)
			}
			server, _, _ := strings.Cut(answer, " ")
			if was, known := servers[call]; known && was != server {
				t.Errorf("%s met %s, then %s", call, was, server)
			}
			servers[call] = server
		}
	}
	met := make(map[string]bool)
	for _, s := range servers {
		met[s] = true
	}
	if len(met) != 3 {
		t.Errorf("three calls met %v", servers)
	}
	list := d.uvs("ipvsadm", "-L", "-n", "-c", "--persistent-conn")
	if strings.Count(list, " sip ") != 3 || !strings.Contains(list, "one@example.org") {
		t.Errorf("the calls are not listed:\n%s", list)
	}
	if services := d.uvs("ipvsadm", "-L", "-n"); !strings.Contains(services, "rr persistent 60 mask 0.0.0.0 pe sip ops") {
		t.Errorf("the service is listed as\n%s", services)
	}
}
