//go:build netns

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"uvs/internal/netlab"
	"uvs/internal/netlab/detunnel"
	"uvs/internal/netlab/labtest"
)

// guePort is where servers take GUE packets.
const guePort = 6080

// A tunnelType is a kind of tunnel in ipvsadm's words.
type tunnelType struct{ name, options string }

func tunnelTypes() []tunnelType {
	return []tunnelType{
		{"ipip", "--tun-type ipip"},
		{"gue", "--tun-type gue --tun-port 6080 --tun-nocsum"},
		{"gre", "--tun-type gre --tun-nocsum"},
		{"gue csum", "--tun-type gue --tun-port 6080 --tun-csum"},
		{"gue remcsum", "--tun-type gue --tun-port 6080 --tun-remcsum"},
		{"gre csum", "--tun-type gre --tun-csum"},
	}
}

// tunnelServers gives a site's servers the end of their tunnels.
func tunnelServers(t *testing.T, hosts ...*netlab.Host) (ends []*detunnel.End) {
	t.Helper()
	for _, h := range hosts {
		e, err := detunnel.Start(t.Context(), h, guePort)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() }) //nolint:errcheck // the test is over
		ends = append(ends, e)
	}
	return ends
}

// tunnelMode is direct routing's site with tunnels instead.
func tunnelMode() mode { return mode{"tun", "TUN", 80, labtest.OneArm} }

// ipvsadm runs a command line of ipvsadm.
func (d *director) ipvsadm(format string, args ...any) string {
	d.t.Helper()
	return d.uvs(append([]string{"ipvsadm"}, strings.Fields(fmt.Sprintf(format, args...))...)...)
}

// A pairing is a virtual address and a server's, of the same family or not.
type pairing struct{ vip, server netip.Addr }

func (p pairing) String() string { return family(p.vip) + " in " + family(p.server) }

// pairings are all families of a site's first server in all others.
func pairings(top *netlab.Topology, server *netlab.Host) (list []pairing) {
	for _, to := range []netip.Addr{server.Addr4("eth0"), server.Addr6("eth0")} {
		list = append(list, pairing{top.VIP4, to}, pairing{top.VIP6, to})
	}
	return list
}

// reach makes a server the only one of port 80 of a virtual address, by a kind of tunnel.
func (d *director) reach(p pairing, protocol byte, kind tunnelType) {
	d.t.Helper()
	service, server := netip.AddrPortFrom(p.vip, 80), netip.AddrPortFrom(p.server, 80)
	d.ipvsadm("-D -%c %s", protocol, service)
	d.ipvsadm("-A -%c %s -s rr", protocol, service)
	d.ipvsadm("-a -%c %s -r %s -i %s", protocol, service, server, kind.options)
}

// TestTunnelBulk: uploads of a real curl go through every kind of tunnel, every family in
// every other, and arrive at a real nginx as they were, as downloads do that answer past the
// director.
func TestTunnelBulk(t *testing.T) {
	m := tunnelMode()
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	client, server := top.Clients[0], top.Servers[0]
	end := tunnelServers(t, server)[0]
	web := startWeb(t, server)
	sizes := map[string]int{"small": 4 << 20, "large": bulkBytes}
	files, hashes := make(map[string]string), make(map[string]string)
	for name, n := range sizes {
		content := make([]byte, n)
		rand.NewChaCha8([32]byte{5}).Read(content) //nolint:errcheck // never fails
		sum := sha256.Sum256(content)
		hashes[name], files[name] = hex.EncodeToString(sum[:]), filepath.Join(t.TempDir(), name)
		for _, to := range []string{files[name], filepath.Join(web.dir, "www", name)} {
			if err := os.WriteFile(to, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := startDirector(t, top.Directors[0], m.config(top), "--workers", "2")
	for i, kind := range tunnelTypes() {
		for _, p := range pairings(top, server) {
			size := "small"
			if i < 3 && p.vip.Is4() == p.server.Is4() {
				size = "large"
			}
			t.Run(fmt.Sprintf("%s, %s, %s", kind.name, p, size), func(t *testing.T) {
				d.t = t
				d.reach(p, 't', kind)
				before := end.Taken()
				s := &mtuSite{t: t, top: top, web: web, d: d, upload: files[size], hash: hashes[size]}
				curl(t, client, "-T", s.upload, "-H", "Expect:", url(p.vip, 80, "/up"))
				s.wantUpload(p.vip)
				down := filepath.Join(t.TempDir(), "down")
				curl(t, client, "-o", down, url(p.vip, 80, "/"+size))
				if got := hashFile(t, down); got != s.hash {
					t.Errorf("the download's SHA-256 is %s, want %s", got, s.hash)
				}
				if n := end.Taken() - before; n < uint64(sizes[size]/1500) {
					t.Errorf("%d packets came through the tunnel, of an upload of %d bytes", n, sizes[size])
				}
			})
		}
	}
	d.t = t
	if n := checksumErrors(t, server); n != 0 || end.Bad() != 0 {
		t.Errorf("the server received %d TCP segments with a wrong checksum, and %d outer packets that are not right", n, end.Bad())
	}
	for _, x := range d.status().Interfaces {
		if x.RingDrops+x.TxErrors > 0 {
			t.Logf("%s: %d ring drops, %d send errors", x.Name, x.RingDrops, x.TxErrors)
		}
	}
}

// TestTunnelConfiguration: keepalived.conf's tunnels, one of each type and of both families, are
// checked at the servers' own addresses, balanced, listed, saved and restored.
func TestTunnelConfiguration(t *testing.T) {
	m := tunnelMode()
	top := m.site(t, netlab.Plan{Servers: 3, NoVIP: true})
	tunnelServers(t, top.Servers...)
	for _, h := range top.Servers {
		startWeb(t, h)
	}
	config := m.config(top)
	for i, words := range []string{"TUN type ipip", "TUN type gue port 6080 csum", "TUN type gre"} {
		for _, a := range []netip.Addr{top.Servers[i].Addr4("eth0"), top.Servers[i].Addr6("eth0")} {
			row := fmt.Sprintf(" real_server %s 80 {\n", a)
			config = strings.ReplaceAll(config, row, row+"  lvs_method "+words+"\n")
		}
	}
	// The second server of the IPv4 service is reached over IPv6, and the other way round.
	four, six := fmt.Sprintf("real_server %s ", top.Servers[1].Addr4("eth0")), fmt.Sprintf("real_server %s ", top.Servers[1].Addr6("eth0"))
	config = strings.NewReplacer(four, six, six, four).Replace(config)
	d := startDirector(t, top.Directors[0], config, "--workers", "2")
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		var got []string
		for range 6 {
			got = append(got, strings.TrimPrefix(strings.TrimSpace(curl(t, top.Clients[0], url(vip, 80, "/"))), "server"))
		}
		if want := "3 2 1 3 2 1"; strings.Join(got, " ") != want {
			t.Errorf("%s: answers came from %s, want %s", family(vip), strings.Join(got, " "), want)
		}
	}
	list := d.uvs("ipvsadm", "-L", "-n", "--tun-info")
	for _, want := range []string{" Tunnel  ipip ", " Tunnel  gue:6080:+c ", " Tunnel  gre:-c "} {
		if strings.Count(list, want) != 2 {
			t.Errorf("%q should be there for each family:\n%s", want, list)
		}
	}
	// A flow of one family names its server of the other.
	conns := d.uvs("ipvsadm", "-L", "-n", "-c")
	if want := fmt.Sprintf("[%s]:80", top.Servers[1].Addr6("eth0")); strings.Count(conns, want) != 2 {
		t.Errorf("want 2 connections to %s:\n%s", want, conns)
	}
	saved := d.uvs("ipvsadm", "-S", "-n")
	d.uvs("ipvsadm", "-C")
	file := filepath.Join(t.TempDir(), "saved")
	if err := os.WriteFile(file, []byte(saved), 0o644); err != nil {
		t.Fatal(err)
	}
	labtest.Run(t, top.Directors[0], "sh", "-c", d.bin+" ipvsadm -R <"+file)
	if again := d.uvs("ipvsadm", "-S", "-n"); again != saved {
		t.Errorf("restored:\n%s\nsaved:\n%s", again, saved)
	}
	d.ipvsadm("-L -n")
	if got := curl(t, top.Clients[0], url(top.VIP4, 80, "/")); !strings.HasPrefix(got, "server") {
		t.Errorf("after a restore: %q", got)
	}
}

// TestTunnelUDP: datagrams, long ones in fragments, go through tunnels.
func TestTunnelUDP(t *testing.T) {
	t.Parallel()
	m := tunnelMode()
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	server := top.Servers[0]
	tunnelServers(t, server)
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		echoUDP(t, server, m, vip)
	}
	d := startDirector(t, top.Directors[0], m.udpConfig(top), "--workers", "2")
	for i, kind := range tunnelTypes() {
		for j, p := range pairings(top, server) {
			t.Run(fmt.Sprintf("%s, %s", kind.name, p), func(t *testing.T) {
				d.t = t
				d.reach(p, 'u', kind)
				if got := askUDP(t, top.Clients[0], p.vip, 41000+10*i+j); got != "server1" {
					t.Errorf("answered by %q", got)
				}
			})
		}
	}
	d.t = t
}

// TestTunnelPathMTU: a router on the way to the server takes 1300 bytes. What it says to the
// director the client learns, less the tunnel's headers; the upload arrives as it was.
func TestTunnelPathMTU(t *testing.T) {
	t.Parallel()
	m := tunnelMode()
	for _, kind := range tunnelTypes()[:3] {
		t.Run(kind.name, func(t *testing.T) {
			var far *netlab.Host
			top := m.site(t, netlab.Plan{Clients: 2, Servers: 1, NoVIP: true})
			far = addFarHost(t, top, 1300)
			if err := netlab.HideVIP(far, top.VIP4, top.VIP6); err != nil {
				t.Fatal(err)
			}
			tunnelServers(t, far)
			s := &mtuSite{t: t, top: top, web: startWeb(t, far), upload: filepath.Join(t.TempDir(), "upload")}
			content := make([]byte, mtuBytes)
			rand.NewChaCha8([32]byte{9}).Read(content) //nolint:errcheck // never fails
			sum := sha256.Sum256(content)
			s.hash = hex.EncodeToString(sum[:])
			if err := os.WriteFile(s.upload, content, 0o644); err != nil {
				t.Fatal(err)
			}
			s.d = startDirector(t, top.Directors[0], uncheck(m.config(top)), "--workers", "2")
			for _, f := range s.d.status().Host {
				if f.Problem {
					t.Errorf("nothing is wrong here, and yet: %s", f.Text)
				}
			}
			over := map[string]int{"ipip": 0, "gue": 12, "gre": 4}[kind.name]
			for _, p := range pairings(top, far) {
				client := top.Clients[1]
				labtest.Run(t, client, "ip", "route", "flush", "cache")
				labtest.Run(t, client, "ip", "-6", "route", "flush", "cache")
				s.d.reach(p, 't', kind)
				curl(t, client, "-T", s.upload, "-H", "Expect:", url(p.vip, 80, "/up"))
				s.wantUpload(p.vip)
				want := 1300 - 20 - over
				switch {
				case p.server.Is6() && p.vip.Is6():
					want = 1280
				case p.server.Is6():
					want -= 20
				case p.vip.Is6(): // an IPv6 header has no DF to copy, and the router fragments
					want = 1500 - 20 - over
				}
				if got := pathMTU(t, client, p.vip); got != want {
					t.Errorf("%s: the client knows a path MTU of %d, want %d", p, got, want)
				}
			}
		})
	}
}

// TestTunnelRefused: a server that has no end of the tunnel says so to the director, and the
// client's connection fails at once.
func TestTunnelRefused(t *testing.T) {
	m := tunnelMode()
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	d := startDirector(t, top.Directors[0], uncheck(m.config(top)), "--workers", "2")
	told := labtest.Capture(t, top.Clients[0], "eth0", "icmp or icmp6")
	for _, kind := range []tunnelType{tunnelTypes()[0], tunnelTypes()[2], tunnelTypes()[3]} { // without a checksum UDP over IPv6 is dropped in silence
		for _, p := range pairings(top, top.Servers[0]) {
			d.reach(p, 't', kind)
			since := time.Now()
			if out, err := tryCurl(t, top.Clients[0], url(p.vip, 80, "/")); err == nil || time.Since(since) > 2*time.Second {
				t.Errorf("%s, %s: %q, %v after %v, want it to fail at once", kind.name, p, out, err, time.Since(since))
			}
		}
	}
	packets, err := told.Stop()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range icmpErrors(packets) {
		if e.from != top.VIP4 && e.from != top.VIP6 {
			t.Errorf("the client was told by %s, want the virtual address", e)
		}
	}
	if n := d.status().Made["icmp_unreachable"]; n < 12 {
		t.Errorf("the director made %d errors, want at least 12", n)
	}
}

// TestTunnelRepliesThroughTheDirector: where the director is the servers' router, it passes on what
// they answer in the name of the virtual address, and sees both directions of a connection.
func TestTunnelRepliesThroughTheDirector(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{Servers: 1, NoVIP: true})
	server := top.Servers[0]
	if err := netlab.HideVIP(server, top.VIP4, top.VIP6); err != nil {
		t.Fatal(err)
	}
	tunnelServers(t, server)
	startWeb(t, server)
	d := startDirector(t, top.Directors[0], uncheck(tunnelMode().config(top)), "--workers", "2")
	atClient := labtest.Capture(t, top.Clients[0], "eth0", "tcp")
	for _, p := range pairings(top, server) {
		d.reach(p, 't', tunnelTypes()[0])
		if got := curl(t, top.Clients[0], url(p.vip, 80, "/")); !strings.HasPrefix(got, "server1") {
			t.Errorf("%s answers %q", p, got)
		}
		for _, s := range d.status().Services {
			if s.Address == p.vip && s.Servers[0].Counters.OutPackets == 0 {
				t.Errorf("%s: no answers were counted", p)
			}
		}
	}
	packets, err := atClient.Stop()
	if err != nil {
		t.Fatal(err)
	}
	answers := 0
	for _, x := range packets {
		if h, ok := x.Layer(layers.LayerTypeTCP).(*layers.TCP); ok && h.SYN && h.ACK {
			answers++
		}
	}
	if answers != 4 {
		t.Errorf("4 connections had %d answers to their SYN: each is to be forwarded once", answers)
	}
}
