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
	"regexp"
	"strconv"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// mtuBytes is what goes through in each direction.
const mtuBytes = 8 << 20

// An mtuSite is a site with a web server, and something to move both ways.
type mtuSite struct {
	t      *testing.T
	top    *netlab.Topology
	web    *webServer
	d      *director
	upload string
	hash   string
}

func newMTUSite(t *testing.T, m mode, narrow func(*netlab.Topology)) *mtuSite {
	t.Helper()
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	narrow(top)
	s := &mtuSite{t: t, top: top, web: startWeb(t, top.Servers[0]), upload: filepath.Join(t.TempDir(), "upload")}
	content := make([]byte, mtuBytes)
	rand.NewChaCha8([32]byte{9}).Read(content) //nolint:errcheck // never fails
	sum := sha256.Sum256(content)
	s.hash = hex.EncodeToString(sum[:])
	for _, name := range []string{s.upload, filepath.Join(s.web.dir, "www", "big")} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.d = startDirector(t, top.Directors[0], m.config(top), "--workers", "2")
	return s
}

// narrow gives a host's route to an interface's subnet a smaller MTU.
func narrow(t *testing.T, h *netlab.Host, to netip.Prefix, dev string, mtu int) {
	t.Helper()
	metric := "0"
	if to.Addr().Is6() {
		metric = "256" // as the kernel's own
	}
	labtest.Run(t, h, "ip", "route", "replace", to.String(), "dev", dev, "metric", metric, "mtu", strconv.Itoa(mtu))
}

// netOf is the subnet of a host's interface.
func netOf(h *netlab.Host, ifname string, v6 bool) netip.Prefix {
	for _, p := range h.Addrs(ifname) {
		if p.Addr().Is6() == v6 {
			return p.Masked()
		}
	}
	return netip.Prefix{}
}

// pathMTU is what a host has learned about the way to an address, 0 if nothing.
func pathMTU(t *testing.T, h *netlab.Host, to netip.Addr) int {
	t.Helper()
	out := labtest.Run(t, h, "ip", "route", "get", to.String())
	if found := regexp.MustCompile(`mtu (\d+)`).FindStringSubmatch(out); found != nil {
		n, _ := strconv.Atoi(found[1])
		return n
	}
	return 0
}

// reassembled counts the IPv4 packets that a host put together from fragments.
func reassembled(t *testing.T, h *netlab.Host) int {
	t.Helper()
	var names []string
	for line := range strings.Lines(labtest.Run(t, h, "cat", "/proc/net/snmp")) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Ip:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "ReasmOKs" {
				n, _ := strconv.Atoi(fields[i])
				return n
			}
		}
	}
	t.Fatal("no Ip ReasmOKs")
	return 0
}

// TestMTUTowardsTheServer: the client sends 1500-byte segments, merged by offloads, and the
// way to the server takes 1400. With DF it learns so from the director; without, the segments
// arrive in fragments. Either way the upload arrives as it was.
func TestMTUTowardsTheServer(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		for _, df := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, DF %t", m.name, df), func(t *testing.T) {
				s := newMTUSite(t, m, func(top *netlab.Topology) {
					d, dev := top.Directors[0], "eth0"
					if top.ServerNet != nil {
						dev = "eth1"
					}
					for _, v6 := range []bool{false, true} {
						narrow(t, d, netOf(d, dev, v6), dev, 1400)
					}
					fragment(t, top.Clients[0], df)
				})
				for _, vip := range []netip.Addr{s.top.VIP4, s.top.VIP6} {
					curl(t, s.top.Clients[0], "-T", s.upload, "-H", "Expect:", url(vip, 80, "/up"))
					s.wantUpload(vip)
					want := 1400
					if vip.Is4() && !df {
						want = 0
					}
					if got := pathMTU(t, s.top.Clients[0], vip); got != want {
						t.Errorf("%s: the client knows a path MTU of %d, want %d", family(vip), got, want)
					}
				}
				s.wantFragments(s.top.Servers[0], df)
			})
		}
	}
}

// TestMTUTowardsTheClient: the same for answers that pass the director.
func TestMTUTowardsTheClient(t *testing.T) {
	t.Parallel()
	m := modes()[0]
	for _, df := range []bool{true, false} {
		t.Run(fmt.Sprintf("%s, DF %t", m.name, df), func(t *testing.T) {
			s := newMTUSite(t, m, func(top *netlab.Topology) {
				d := top.Directors[0]
				for _, v6 := range []bool{false, true} {
					narrow(t, d, netOf(d, "eth0", v6), "eth0", 1400)
				}
				fragment(t, top.Servers[0], df)
			})
			client := s.top.Clients[0]
			errors := labtest.Capture(t, s.top.Servers[0], "eth0", "icmp or icmp6")
			for _, f := range []struct{ vip, client netip.Addr }{{s.top.VIP4, client.Addr4("eth0")}, {s.top.VIP6, client.Addr6("eth0")}} {
				s.wantDownload(client, f.vip)
				want := 1400
				if f.vip.Is4() && !df {
					want = 0
				}
				if got := pathMTU(t, s.top.Servers[0], f.client); got != want {
					t.Errorf("%s: the server knows a path MTU of %d, want %d", family(f.vip), got, want)
				}
			}
			packets, err := errors.Stop()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range icmpErrors(packets) {
				if d := s.top.Directors[0]; e.from != d.Addr4("eth1") && e.from != d.Addr6("eth1") {
					t.Errorf("the server was told by %s, want the director's address on its side", e)
				}
			}
			s.wantFragments(client, df)
		})
	}
}

// TestMTUBehindTheClient: a router on the client's side takes 1300 bytes. What it says to the
// virtual address is for the server.
func TestMTUBehindTheClient(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			var far *netlab.Host
			s := newMTUSite(t, m, func(top *netlab.Topology) { far = addFarHost(t, top, 1300) })
			for _, f := range []struct{ vip, far netip.Addr }{{s.top.VIP4, far.Addr4("eth0")}, {s.top.VIP6, far.Addr6("eth0")}} {
				s.wantDownload(far, f.vip)
				if got := pathMTU(t, s.top.Servers[0], f.far); got != 1300 {
					t.Errorf("%s: the server knows a path MTU of %d, want 1300", family(f.vip), got)
				}
			}
		})
	}
}

// addFarHost puts a host behind the first client, which is a router then whose way to it is
// narrow.
func addFarHost(t *testing.T, top *netlab.Topology, mtu int) *netlab.Host {
	t.Helper()
	router, far := top.Clients[0], labtest.Host(t, top.Site, "far")
	check := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	check(top.Connect(router, "eth1", far, "eth0"),
		router.Sysctl("net.ipv4.ip_forward", "1"), router.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	for _, p := range []struct{ net, router, far, via string }{
		{"10.9.0.0/24", "10.9.0.1/24", "10.9.0.2/24", router.Addr4("eth0").String()},
		{"2001:db8:99::/64", "2001:db8:99::1/64", "2001:db8:99::2/64", router.Addr6("eth0").String()},
	} {
		near, end, subnet := netip.MustParsePrefix(p.router), netip.MustParsePrefix(p.far), netip.MustParsePrefix(p.net)
		check(router.AddAddr("eth1", near), far.AddAddr("eth0", end))
		narrow(t, router, subnet, "eth1", mtu)
		everything := netip.MustParsePrefix("0.0.0.0/0")
		if end.Addr().Is6() {
			everything = netip.MustParsePrefix("::/0")
		}
		check(far.AddRoute(everything, near.Addr(), ""))
		hosts := []*netlab.Host{top.Directors[0]}
		if top.ServerNet == nil {
			hosts = append(hosts, top.Servers...)
		}
		for _, h := range hosts {
			check(h.AddRoute(subnet, netip.MustParseAddr(p.via), ""))
		}
	}
	return far
}

// fragment makes a host let its IPv4 packets be fragmented.
func fragment(t *testing.T, h *netlab.Host, df bool) {
	t.Helper()
	if df {
		return
	}
	if err := h.Sysctl("net.ipv4.ip_no_pmtu_disc", "1"); err != nil {
		t.Fatal(err)
	}
}

func (s *mtuSite) wantDownload(to *netlab.Host, vip netip.Addr) {
	s.t.Helper()
	down := filepath.Join(s.t.TempDir(), "down")
	curl(s.t, to, "-o", down, url(vip, 80, "/big"))
	if got := hashFile(s.t, down); got != s.hash {
		s.t.Errorf("%s: the download's SHA-256 is %s, want %s", family(vip), got, s.hash)
	}
}

func (s *mtuSite) wantUpload(vip netip.Addr) {
	s.t.Helper()
	stored, err := filepath.Glob(filepath.Join(s.web.dir, "up", "*"))
	if err != nil || len(stored) != 1 {
		s.t.Fatalf("%s: the server stored %v (%v), want one file", family(vip), stored, err)
	}
	if got := hashFile(s.t, stored[0]); got != s.hash {
		s.t.Errorf("%s: the upload's SHA-256 is %s, want %s", family(vip), got, s.hash)
	}
	if err := os.Remove(stored[0]); err != nil {
		s.t.Fatal(err)
	}
}

// wantFragments wants a receiver, and the director's counts, to tell of errors with DF and of
// fragments without it.
func (s *mtuSite) wantFragments(receiver *netlab.Host, df bool) {
	s.t.Helper()
	n, made := reassembled(s.t, receiver), s.d.status().Made
	if df != (n == 0) || made["icmp_too_big"] == 0 || df != (made["fragment"] == 0) {
		s.t.Errorf("%s put %d packets together, the director made %v; want fragments only without DF", receiver.Name(), n, made)
	}
	if got := checksumErrors(s.t, receiver); got != 0 {
		s.t.Errorf("%s received %d TCP segments with a wrong checksum", receiver.Name(), got)
	}
	s.t.Logf("%s put %d packets together, the director made %v", receiver.Name(), n, made)
}
