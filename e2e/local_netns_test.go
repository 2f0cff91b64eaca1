//go:build netns

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// localConfig is a keepalived.conf for both families of a site, whose services have the director
// itself for their first server, by its addresses on a device, and the hosts after it.
func (m mode) localConfig(top *netlab.Topology, device string, servers ...*netlab.Host) string {
	return m.ownConfig(top, top.Directors[0].Addr4(device), top.Directors[0].Addr6(device), servers...)
}

func (m mode) ownConfig(top *netlab.Topology, own4, own6 netip.Addr, servers ...*netlab.Host) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vrrp_instance VIPS {\n interface eth0\n virtual_router_id 5\n version 3\n advert_int 0.1\n priority 255\n virtual_ipaddress {\n %s/24\n }\n"+
		" virtual_ipaddress_excluded {\n %s/64\n }\n}\n", top.VIP4, top.VIP6)
	for _, v6 := range []bool{false, true} {
		vip, list := top.VIP4, []netip.Addr{own4}
		if v6 {
			vip, list = top.VIP6, []netip.Addr{own6}
		}
		for _, h := range servers {
			if v6 {
				list = append(list, h.Addr6("eth0"))
			} else {
				list = append(list, h.Addr4("eth0"))
			}
		}
		fmt.Fprintf(&b, "virtual_server %s 80 {\n delay_loop 1\n lb_algo rr\n lb_kind %s\n protocol TCP\n", vip, m.kind)
		for _, a := range list {
			fmt.Fprintf(&b, " real_server %s %d {\n  HTTP_GET {\n   url {\n    path /\n    status_code 200\n   }\n   connect_timeout 2\n  }\n }\n", a, m.port)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// TestLocalServer: the director is one of three servers, by NAT and DR, whichever backend steers;
// it is checked as the others are, and its port is reached directly as well. Neither a strict
// reverse-path filter nor a stop nor a crash changes or leaves anything.
func TestLocalServer(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		for _, backend := range []string{"auto", "nft", "iptables"} {
			t.Run(m.name+", "+backend, func(t *testing.T) {
				top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
				director, client := top.Directors[0], top.Clients[0]
				if err := director.Sysctl("net.ipv4.conf.all.rp_filter", "1"); err != nil {
					t.Fatal(err)
				}
				startWeb(t, director)
				for _, h := range top.Servers {
					startWeb(t, h)
				}
				waitAddresses(t, director)
				before := dump(t, director)
				d := startDirector(t, director, m.localConfig(top, "eth0", top.Servers...), "--workers", "2", "--steer", backend)
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					wantAnswers(t, client, url(vip, 80, "/"), family(vip), director.Name(), "server1", "server2")
				}
				// To the port itself a client may also come; the filter must be a loose one then.
				if err := director.Sysctl("net.ipv4.conf.all.rp_filter", "2"); err != nil {
					t.Fatal(err)
				}
				for _, own := range []netip.Addr{director.Addr4("eth0"), director.Addr6("eth0")} {
					if got := answers(t, client, url(own, m.port, "/"), 1); got[0] != director.Name() {
						t.Errorf("%s: directly, %s answers", family(own), got)
					}
				}
				if out := d.uvs("status"); !strings.Contains(out, "uvs0") {
					t.Errorf("status does not show the way into the own stack:\n%s", out)
				}
				list := d.uvs("ipvsadm", "-Ln")
				if n := strings.Count(list, map[string]string{"nat": " Masq ", "dr": " Route "}[m.name]); n != 6 {
					t.Errorf("a server is listed by another method (kernel: no Local since 2.6.37):\n%s", list)
				}
				if conns := d.uvs("ipvsadm", "-Lnc"); !strings.Contains(conns, fmt.Sprintf(" %s:80 ", top.VIP4)) || strings.Contains(conns, "SYN_RECV") {
					t.Errorf("the states of connections:\n%s", conns)
				}
				d.stop()
				wantDump(t, director, before, "after the stop")

				d = startDirector(t, director, m.localConfig(top, "eth0"), "--workers", "1", "--steer", backend)
				if got := answers(t, client, url(top.VIP4, 80, "/"), 1); got[0] != director.Name() {
					t.Errorf("the only server: %v", got)
				}
				d.kill()
				labtest.Run(t, director, d.bin, "cleanup")
				wantDump(t, director, before, "after a crash and a cleanup")
			})
		}
	}
}

// TestSorryServer: while all servers are down a program on the director says so, one that listens
// on the loopback address alone, by NAT to another port; by DR one that listens on the virtual
// address.
func TestSorryServer(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			director, client := top.Directors[0], top.Clients[0]
			web := startWeb(t, top.Servers[0])
			sorry4, sorry6, port := "127.0.0.1", "::1", 8081
			listen := []string{"127.0.0.1:8081", "[::1]:8081"}
			if m.name == "dr" {
				port, listen = 80, []string{"[::]:80"} // of IPv4 as well
			}
			for _, at := range listen {
				serveSorry(t, director, at)
			}
			config := m.config(top)
			config = strings.Replace(config, "lb_algo rr", fmt.Sprintf("sorry_server %s %d\n lb_algo rr", sorry4, port), 1)
			i := strings.LastIndex(config, "lb_algo rr")
			config = config[:i] + fmt.Sprintf("sorry_server %s %d\n ", sorry6, port) + config[i:]
			d := startDirector(t, director, config, "--workers", "2")
			vips := []netip.Addr{top.VIP4, top.VIP6}
			for _, vip := range vips {
				wantAnswers(t, client, url(vip, 80, "/"), "at first", "server1")
			}
			web.stop()
			for _, vip := range vips {
				wantAnswers(t, client, url(vip, 80, "/"), "while the server is down", "sorry")
			}
			web.start()
			for _, vip := range vips {
				wantAnswers(t, client, url(vip, 80, "/"), "when it is back", "server1")
			}
			d.stop()
		})
	}
}

// serveSorry says sorry to everybody who comes to an address of a host.
func serveSorry(t *testing.T, h *netlab.Host, at string) {
	t.Helper()
	l, err := h.Listen(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "sorry\n") })} //nolint:errcheck // the client is gone
	go s.Serve(l)                                                                                                               //nolint:errcheck // ends with the listener
	t.Cleanup(func() { s.Close() })
}

// TestLocalBulk: 100 MB down and up through the director's own stack arrive unchanged, by NAT and
// DR.
func TestLocalBulk(t *testing.T) {
	content := make([]byte, bulkBytes)
	rand.NewChaCha8([32]byte{9}).Read(content) //nolint:errcheck // never fails
	sum := sha256.Sum256(content)
	want := hex.EncodeToString(sum[:])
	upload := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(upload, content, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			web := startWeb(t, top.Directors[0])
			if err := os.WriteFile(filepath.Join(web.dir, "www", "big"), content, 0o644); err != nil {
				t.Fatal(err)
			}
			d := startDirector(t, top.Directors[0], m.localConfig(top, "eth0"), "--workers", "2")
			began := time.Now()
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				transfer(t, top, web, vip, upload, want)
			}
			t.Logf("%d MB in %s", 4*bulkBytes>>20, time.Since(began))
			for _, h := range []*netlab.Host{top.Clients[0], top.Directors[0]} {
				if n := checksumErrors(t, h); n != 0 {
					t.Errorf("%s received %d TCP segments with a wrong checksum", h.Name(), n)
				}
			}
			d.stop()
		})
	}
}

// TestLocalServerIsLookedAfter: without TAP devices one line says what is missing and the other
// servers serve; what somebody does to the device is undone; downloads get through links
// that are narrower than Ethernet, and than the device.
func TestLocalServerIsLookedAfter(t *testing.T) {
	t.Parallel()
	nat := modes()[0]
	top := nat.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director, client := top.Directors[0], top.Clients[0]
	web := startWeb(t, director)
	startWeb(t, top.Servers[0])
	config := nat.localConfig(top, "eth0", top.Servers...)
	labtest.Run(t, director, "mount", "-t", "tmpfs", "none", "/dev/net")
	d := startDirector(t, director, config)
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		wantAnswers(t, client, url(vip, 80, "/"), "without /dev/net/tun", "server1")
	}
	if err := logged(d, "load the kernel module tun, or give the container /dev/net/tun"); err != nil {
		t.Error(err)
	}
	if out := d.uvs("status"); !strings.Contains(out, "nothing leads into its stack") || !strings.Contains(out, "open /dev/net/tun") {
		t.Errorf("status does not say why the local server serves nobody:\n%s", out)
	}
	d.stop()
	labtest.Run(t, director, "umount", "/dev/net")

	d = startDirector(t, director, config)
	both := []string{director.Name(), "server1"}
	wantAnswers(t, client, url(top.VIP4, 80, "/"), "with it", both...)
	for _, deed := range [][]string{
		{"ip", "link", "set", "uvs0", "down"},
		{"ip", "link", "delete", "uvs0"},
		{"ip", "rule", "delete", "priority", "1"},
	} {
		labtest.Run(t, director, deed[0], deed[1:]...)
		wantAnswers(t, client, url(top.VIP4, 80, "/"), strings.Join(deed, " "), both...)
		wantAnswers(t, client, url(top.VIP6, 80, "/"), strings.Join(deed, " "), both...)
	}
	if err := os.WriteFile(filepath.Join(web.dir, "www", "big"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	d.uvs("ipvsadm", "-e", "-t", top.VIP4.String()+":80", "-r", top.Servers[0].Addr4("eth0").String()+":8080", "-m", "-w", "0")
	for _, mtu := range []int{1400, 1000} {
		narrow(t, director, netOf(client, "eth0", false), "eth0", mtu)
		if n := len(curl(t, client, url(top.VIP4, 80, "/big"))); n != 1<<20 {
			t.Errorf("%d bytes over a path of %d, want %d", n, mtu, 1<<20)
		}
	}
	d.stop()
}

// TestLocalTakeover: each of two directors serves by itself while it is master.
func TestLocalTakeover(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Directors: 2, NoVIP: true})
			start := func(i int) *director {
				own := top.Directors[i]
				config := m.ownConfig(top, own.Addr4("eth0"), own.Addr6("eth0"))
				return startDirector(t, own, strings.ReplaceAll(config, "priority 255", fmt.Sprintf("priority %d", 150-50*i)))
			}
			for _, h := range top.Directors {
				startWeb(t, h)
			}
			served := func(by int, when string) {
				t.Helper()
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					wantAnswers(t, top.Clients[0], url(vip, 80, "/"), when, top.Directors[by].Name())
				}
			}
			first := start(0)
			start(1)
			served(0, "at first")
			first.kill()
			labtest.Run(t, top.Directors[0], first.bin, "cleanup")
			served(1, "after the crash of the master")
			start(0)
			served(0, "when it is back")
		})
	}
}
