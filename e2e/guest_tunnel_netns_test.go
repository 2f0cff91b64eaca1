//go:build netns && guest

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/capture"
	"uvs/internal/netlab/labtest"
)

// kernelEnds gives a server the kernel's own ends of tunnels from the director's addresses. A GRE
// device of the kernel's takes packets either with a checksum or without.
func kernelEnds(t *testing.T, server, director *netlab.Host, checksum bool) {
	t.Helper()
	modprobe(t, "ipip", "sit", "ip6_tunnel", "ip_gre", "ip6_gre", "fou", "fou6", "nf_tables")
	local4, remote4 := server.Addr4("eth0").String(), director.Addr4("eth0").String()
	local6, remote6 := server.Addr6("eth0").String(), director.Addr6("eth0").String()
	sum := ""
	if checksum {
		sum = " icsum"
	}
	for _, device := range []string{
		"t44 type ipip local " + local4 + " remote " + remote4,
		"t64 type sit local " + local4 + " remote " + remote4,
		"t6 type ip6tnl mode any local " + local6 + " remote " + remote6,
		"g4 type gre local " + local4 + " remote " + remote4 + sum,
		"g6 type ip6gre local " + local6 + " remote " + remote6 + sum,
	} {
		labtest.Run(t, server, "ip", append([]string{"link", "add"}, strings.Fields(device)...)...)
		labtest.Run(t, server, "ip", "link", "set", strings.Fields(device)[0], "up")
	}
	labtest.Run(t, server, "ip", "fou", "add", "port", fmt.Sprint(guePort), "gue")
	labtest.Run(t, server, "ip", "-6", "fou", "add", "port", fmt.Sprint(guePort), "gue")
}

// TestGuestTunnels: the kernel's own ends of tunnels take out what the director puts in: every
// type with every checksum, every family in every other.
func TestGuestTunnels(t *testing.T) {
	content := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{3}).Read(content) //nolint:errcheck // never fails
	sum := sha256.Sum256(content)
	upload := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(upload, content, 0o644); err != nil {
		t.Fatal(err)
	}
	m := tunnelMode()
	for _, checksum := range []bool{false, true} {
		top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
		server := top.Servers[0]
		kernelEnds(t, server, top.Directors[0], checksum)
		web := startWeb(t, server)
		d := startDirector(t, top.Directors[0], uncheck(m.config(top)), "--workers", "2")
		for _, kind := range tunnelTypes() {
			if strings.HasPrefix(kind.name, "gre") && (kind.name == "gre csum") != checksum || !strings.HasPrefix(kind.name, "gre") && checksum {
				continue
			}
			for _, p := range pairings(top, server) {
				t.Run(fmt.Sprintf("%s, %s", kind.name, p), func(t *testing.T) {
					d.t = t
					d.reach(p, 't', kind)
					s := &mtuSite{t: t, top: top, web: web, d: d, hash: hex.EncodeToString(sum[:])}
					curl(t, top.Clients[0], "-T", upload, "-H", "Expect:", url(p.vip, 80, "/up"))
					s.wantUpload(p.vip)
				})
			}
		}
		d.t = t
		if n := checksumErrors(t, server); n != 0 {
			t.Errorf("the server received %d TCP segments with a wrong checksum", n)
		}
		d.stop()
	}
}

// TestGuestTunnelsAsIPVS: of one datagram, real IPVS and the director make the same outer packet,
// but for its identification and, in GUE, for the source port.
func TestGuestTunnelsAsIPVS(t *testing.T) {
	modprobe(t, "ip_vs", "ip_vs_rr", "nf_tables")
	m := tunnelMode()
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	client, host, server := top.Clients[0], top.Directors[0], top.Servers[0]
	labtest.Run(t, host, "ip", "address", "add", top.VIP4.String()+"/32", "dev", "eth0")
	// As keepalived has it: else the kernel takes it for the outer packets' source.
	labtest.Run(t, host, "ip", "address", "add", top.VIP6.String()+"/128", "dev", "eth0", "nodad", "preferred_lft", "0")
	for _, h := range []*netlab.Host{client, host} { // so that captures show complete checksums
		if err := h.SetOffload("eth0", netlab.OffloadTX, false); err != nil {
			t.Fatal(err)
		}
	}
	type key struct {
		kind string
		p    pairing
		size int
	}
	ask := func(say func(string)) map[key][]byte {
		outer := make(map[key][]byte)
		c := labtest.Capture(t, server, "eth0", "ip or ip6")
		for i, kind := range tunnelTypes() {
			for j, p := range pairings(top, server) {
				service, to := netip.AddrPortFrom(p.vip, 80), netip.AddrPortFrom(p.server, 80)
				say(fmt.Sprintf("-A -u %s -s rr", service))
				say(fmt.Sprintf("-a -u %s -r %s -i %s", service, to, kind.options))
				for _, size := range []int{16, 33, 1400} {
					outer[key{kind.name, p, size}] = outerOf(t, client, c, p, 42000+100*i+10*j+size%7, size)
				}
				say("-D -u " + service.String())
			}
		}
		if _, err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		return outer
	}
	want := ask(func(line string) {
		labtest.Run(t, host, "ipvsadm", strings.Fields(line)...)
	})
	d := startDirector(t, host, "", "--workers", "1")
	got := ask(func(line string) { d.ipvsadm("%s", line) })
	for k, packet := range want {
		if a, b := plain(packet, k.kind), plain(got[k], k.kind); !bytes.Equal(a, b) {
			t.Errorf("%s, %s, %d bytes: IPVS makes\n% x\nthe director\n% x", k.kind, k.p, k.size, a, b)
		}
	}
}

// outerOf sends a datagram from a port that no other one has had, and returns the outer IP packet that
// the server captures.
func outerOf(t *testing.T, client *netlab.Host, at *capture.Capture, p pairing, port, size int) (packet []byte) {
	t.Helper()
	local := netip.AddrPortFrom(client.Addr4("eth0"), uint16(port))
	if p.vip.Is6() {
		local = netip.AddrPortFrom(client.Addr6("eth0"), uint16(port))
	}
	c, err := client.ListenPacket(t.Context(), "udp", local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing is lost
	payload := fmt.Appendf(nil, "port %d ", port)
	payload = append(payload, bytes.Repeat([]byte{'x'}, size-len(payload))...)
	labtest.Eventually(t, slowness*10*time.Second, func() error { // the first may wait for ARP
		if _, err := c.WriteTo(payload, net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.vip, 80))); err != nil {
			return err
		}
		list, err := at.Packets()
		for _, x := range list {
			if b := x.Data(); packet == nil && len(b) > 14 && bytes.HasSuffix(b, payload) {
				packet = b[14:]
			}
		}
		if err == nil && packet == nil {
			err = fmt.Errorf("no outer packet among %d", len(list))
		}
		return err
	})
	return packet
}

// plain blanks what may differ: identifications with the header's checksum, and the source port of
// GUE with its checksum, of which only counts whether there is one.
func plain(packet []byte, kind string) []byte {
	b := bytes.Clone(packet)
	blank := func(ip []byte) (behind []byte) {
		if ip[0]>>4 == 6 {
			return ip[40:]
		}
		clear(ip[4:6])
		clear(ip[10:12])
		return ip[20:]
	}
	l4 := blank(b)
	header := map[string]int{"gre": 4, "gre csum": 8}[kind]
	if strings.HasPrefix(kind, "gue") {
		header = 12
		clear(l4[:2])
		if binary.BigEndian.Uint16(l4[6:]) != 0 {
			l4[6], l4[7] = 1, 1
		}
	}
	blank(l4[header:])
	return b
}
