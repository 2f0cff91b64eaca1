//go:build netns

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// poolOf returns the local ends that tests use on a host's network: its last byte replaced by
// some, as first and last address.
func poolOf(a netip.Addr, first, last byte) (from, to netip.Addr) {
	b := a.AsSlice()
	b[len(b)-1] = first
	from, _ = netip.AddrFromSlice(b)
	b[len(b)-1] = last
	to, _ = netip.AddrFromSlice(b)
	return from, to
}

// poolFile is an extra file that gives both services of a site pools in the servers' network, with
// more words behind them.
func poolFile(t *testing.T, top *netlab.Topology, first, last byte, more string) string {
	t.Helper()
	var b strings.Builder
	for _, x := range []struct{ vip, server netip.Addr }{
		{top.VIP4, top.Servers[0].Addr4("eth0")}, {top.VIP6, top.Servers[0].Addr6("eth0")},
	} {
		from, to := poolOf(x.server, first, last)
		fmt.Fprintf(&b, "virtual_server %s 80 {\n fullnat %s-%s %s\n}\n", x.vip, from, to, more)
	}
	file := filepath.Join(t.TempDir(), "extra.conf")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// noWayBack takes every route from servers but that to their own network.
func noWayBack(t *testing.T, top *netlab.Topology) {
	t.Helper()
	for _, h := range top.Servers {
		for _, family := range []string{"-4", "-6"} {
			labtest.Run(t, h, "sh", "-c", "ip "+family+" route flush default; ip "+family+" route flush root 203.0.113.0/24 2>/dev/null; true")
		}
	}
}

// TestFullNAT: servers without a way back serve clients of other networks and of their own, by two
// arms and by one; they see the addresses of the pool come, each as often; 100 MB arrive
// unchanged both ways; and nothing is left after a stop, or a crash and a cleanup.
func TestFullNAT(t *testing.T) {
	t.Parallel()
	content := make([]byte, bulkBytes)
	rand.NewChaCha8([32]byte{11}).Read(content) //nolint:errcheck // never fails
	sum := sha256.Sum256(content)
	upload := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(upload, content, 0o644); err != nil {
		t.Fatal(err)
	}
	nat := modes()[0]
	for _, arms := range []struct {
		name string
		site func(testing.TB, netlab.Plan) *netlab.Topology
	}{{"two arms", labtest.TwoArm}, {"one arm", labtest.OneArm}} {
		t.Run(arms.name, func(t *testing.T) {
			top := arms.site(t, netlab.Plan{Servers: 1, NoVIP: true})
			noWayBack(t, top)
			director, client := top.Directors[0], top.Clients[0]
			web := startWeb(t, top.Servers[0])
			if err := os.WriteFile(filepath.Join(web.dir, "www", "big"), content, 0o644); err != nil {
				t.Fatal(err)
			}
			waitAddresses(t, director)
			before := dump(t, director)
			extra := poolFile(t, top, 210, 211, "")
			d := startDirector(t, director, nat.config(top), "--workers", "2", "--extra", extra)
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				for range 6 {
					if got := curl(t, client, url(vip, 80, "/")); got != "server1\n" {
						t.Errorf("%s: %q", family(vip), got)
					}
				}
				count := make(map[string]int)
				labtest.Eventually(t, labtest.Hang, func() error {
					clear(count)
					for _, line := range web.accessLog() {
						if source, path, _ := strings.Cut(line, " "); path == "/" {
							count[source]++
						}
					}
					first, last := poolOf(top.Servers[0].Addr4("eth0"), 210, 211)
					if vip.Is6() {
						first, last = poolOf(top.Servers[0].Addr6("eth0"), 210, 211)
					}
					if count[first.String()] != 3 || count[last.String()] != 3 {
						return fmt.Errorf("%s: the server sees %v, want three from each of %s and %s", family(vip), count, first, last)
					}
					return nil
				})
				transfer(t, top, web, vip, upload, hex.EncodeToString(sum[:]))
			}
			for _, h := range []*netlab.Host{client, top.Servers[0]} {
				if n := checksumErrors(t, h); n != 0 {
					t.Errorf("%s received %d TCP segments with a wrong checksum", h.Name(), n)
				}
			}
			for _, f := range d.status().Host {
				if strings.Contains(f.Text, "is not its default gateway") {
					t.Errorf("a server that needs no way back is asked for one: %s", f.Text)
				}
			}
			if list := d.uvs("ipvsadm", "-Lnc"); !strings.Contains(list, fmt.Sprintf(" %s:80 ", top.VIP4)) || strings.Contains(list, ".210:") {
				t.Errorf("connections are listed as those by NAT are:\n%s", list)
			}
			d.stop()
			wantDump(t, director, before, "after the stop")
			d = startDirector(t, director, nat.config(top), "--workers", "1", "--extra", extra)
			if got := curl(t, client, url(top.VIP6, 80, "/")); got != "server1\n" {
				t.Errorf("by one worker: %q", got)
			}
			d.kill()
			labtest.Run(t, director, d.bin, "cleanup")
			wantDump(t, director, before, "after a crash and a cleanup")
		})
	}
}

// TestFullNATPoolUsedUp: a pool of five ports serves five clients at a time towards each server;
// others wait, which is counted, and are served when one has gone.
func TestFullNATPoolUsedUp(t *testing.T) {
	t.Parallel()
	nat := modes()[0]
	top := nat.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	noWayBack(t, top)
	echoUDP(t, top.Servers[0], nat, top.VIP4)
	config := strings.ReplaceAll(nat.config(top), "protocol TCP", "protocol UDP")
	d := startDirector(t, top.Directors[0], uncheck(config), "--workers", "2", "--extra", poolFile(t, top, 210, 210, "ports 10000-10004"))
	d.uvs("ipvsadm", "--set", "0", "0", "2")
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(top.VIP4, 80))
	var clients []net.PacketConn
	for range 6 {
		c, err := top.Clients[0].ListenPacket(t.Context(), "udp4", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // the test is over
		clients = append(clients, c)
	}
	for i, c := range clients[:5] {
		if _, err := exchangeUDP(c, to, []byte("hello")); err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
	}
	if _, err := clients[5].WriteTo([]byte("hello"), to); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		if n := d.status().Drops["drop_pool_used_up"]; n != 1 {
			return fmt.Errorf("drop_pool_used_up is %d, want 1", n)
		}
		return nil
	})
	labtest.Eventually(t, labtest.Hang, func() error { // two seconds later they are free
		_, err := exchangeUDP(clients[5], to, []byte("hello"))
		return err
	})
}

// TestFullNATTakeover: the addresses of a pool move with the virtual address, and the servers send
// to the new master at once.
func TestFullNATTakeover(t *testing.T) {
	nat := modes()[0]
	top := nat.site(t, netlab.Plan{Directors: 2, Servers: 1, NoVIP: true})
	noWayBack(t, top)
	startWeb(t, top.Servers[0])
	extra := poolFile(t, top, 210, 212, "")
	var directors []*director
	for i, h := range top.Directors {
		config := strings.ReplaceAll(nat.config(top), "priority 255", fmt.Sprintf("priority %d", 150-50*i))
		directors = append(directors, startDirector(t, h, config, "--extra", extra))
	}
	first4, _ := poolOf(top.Servers[0].Addr4("eth0"), 210, 212)
	first6, _ := poolOf(top.Servers[0].Addr6("eth0"), 210, 212)
	owner := func(want int, when string) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error {
			for i, h := range top.Directors {
				out := labtest.Run(t, h, "ip", "address", "show", "dev", "eth1")
				for _, a := range []netip.Addr{first4, first6} {
					if has := strings.Contains(out, " "+a.String()+"/"); has != (i == want) {
						return fmt.Errorf("%s: %s has %s on eth1: %v", when, h.Name(), a, has)
					}
				}
			}
			return nil
		})
		for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			wantAnswers(t, top.Clients[0], url(vip, 80, "/"), when, "server1")
		}
	}
	owner(0, "at first")
	directors[0].kill()
	labtest.Run(t, top.Directors[0], directors[0].bin, "cleanup")
	owner(1, "after the crash of the master")
	config := strings.ReplaceAll(nat.config(top), "priority 255", "priority 150")
	startDirector(t, top.Directors[0], config, "--extra", extra)
	owner(0, "when it is back")
}

// TestFullNATConfiguration: check says what is wrong with a pool and where, and a reload adds and
// takes away one under traffic.
func TestFullNATConfiguration(t *testing.T) {
	nat := modes()[0]
	top := nat.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	startWeb(t, top.Servers[0])
	host := top.Directors[0]
	extra := filepath.Join(t.TempDir(), "extra.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(extra, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	d := startDirector(t, host, nat.config(top), "--extra", extra)
	load := startLoad(t, top.Clients[0], url(top.VIP4, 80, "/"))
	from, to := poolOf(top.Servers[0].Addr4("eth0"), 210, 213)
	write(fmt.Sprintf("virtual_server %s 80 {\n fullnat %s-%s\n}\n", top.VIP4, from, to))
	d.uvs("reload")
	if got := d.pool(host); !slices.Equal(got, []string{"210", "211", "212", "213"}) {
		t.Errorf("after the reload eth1 has %v", got)
	}
	write(fmt.Sprintf("virtual_server %s 80 {\n fullnat %s-9\n}\n", top.VIP4, from))
	if _, err := d.tryUVS("reload"); err == nil || !strings.Contains(err.Error(), "nothing changed: 1 error") {
		t.Errorf("a reload of a bad pool: %v", err)
	}
	if got := d.pool(host); len(got) != 4 {
		t.Errorf("after the bad reload eth1 has %v", got)
	}
	write("")
	d.uvs("reload")
	if got := d.pool(host); len(got) != 0 {
		t.Errorf("without the pool eth1 has %v", got)
	}
	for _, r := range load.stop() {
		if r.err != nil {
			t.Errorf("a request failed: %v", r.err)
		}
	}
}

// pool lists the last bytes, from 210 on, of IPv4 addresses on a director's eth1.
func (d *director) pool(h *netlab.Host) (list []string) {
	for line := range bytes.Lines([]byte(labtest.Run(d.t, h, "ip", "-4", "-o", "address", "show", "dev", "eth1"))) {
		fields := strings.Fields(string(line))
		if p, err := netip.ParsePrefix(fields[3]); err == nil && p.IsSingleIP() {
			list = append(list, fmt.Sprint(p.Addr().As4()[3]))
		}
	}
	return list
}
