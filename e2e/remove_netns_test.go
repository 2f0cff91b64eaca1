//go:build netns

package e2e

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/capture"
	"uvs/internal/netlab/labtest"
)

// TestServerRemovedUnderADownload: an operator takes a NAT server out while clients download
// from it. As with IPVS, what the server sends is translated as before and the clients'
// packets are dropped: nobody is reset, and no packet passes untranslated although the
// director is a router. When the server is back the downloads go on to their end.
func TestServerRemovedUnderADownload(t *testing.T) {
	nat := modes()[0]
	top := nat.site(t, netlab.Plan{Servers: 1, NoVIP: true, Forward: true})
	client, server := top.Clients[0], top.Servers[0]
	web := startWeb(t, server)
	// The client's sockets hold little, so that there is always something on its way.
	if err := client.Sysctl("net.ipv4.tcp_rmem", "4096 131072 524288"); err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 12<<20) // 4 s of a download
	rand.Read(content)              //nolint:errcheck // never fails
	if err := os.WriteFile(filepath.Join(web.dir, "www", "big"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	d := startDirector(t, top.Directors[0], uncheck(nat.config(top)), "--workers", "2")
	atClient := labtest.Capture(t, client, "eth0", "tcp")
	atServer := labtest.Capture(t, server, "eth0", "tcp[tcpflags] & tcp-rst != 0 or ip6[53] & 4 != 0")

	type download struct {
		vip, server netip.Addr
		file        string
		curl        *netlab.Process
	}
	downloads := []*download{
		{vip: top.VIP4, server: server.Addr4("eth0")},
		{vip: top.VIP6, server: server.Addr6("eth0")},
	}
	for _, x := range downloads {
		x.file = filepath.Join(t.TempDir(), "down")
		x.curl = labtest.Start(t, client, "curl", "-sS", "-g", "--fail", "--limit-rate", "3M", "-o", x.file, url(x.vip, 80, "/big"))
	}
	for _, x := range downloads {
		waitPackets(t, atClient, x.vip, time.Time{}, 20)
	}
	edit := func(op control.Op) {
		t.Helper()
		var edits []control.Edit
		for _, x := range downloads {
			edits = append(edits, control.Edit{
				Op:      op,
				Service: control.Service{Protocol: control.TCP, Address: x.vip, Port: 80},
				Server:  control.Server{Address: x.server, Port: 8080, Method: control.NAT, Weight: 1},
			})
		}
		d.edit(edits...)
	}
	edit(control.DeleteServer)
	removed := time.Now()
	for _, x := range downloads {
		waitPackets(t, atClient, x.vip, removed.Add(100*time.Millisecond), 2) // repeated, as no answer comes
	}
	if got := d.status().Drops["drop_server_gone"]; got == 0 {
		t.Error("no packet of the clients was dropped because the server is gone")
	}
	edit(control.AddServer)
	for _, x := range downloads {
		if err := x.curl.Wait(); err != nil {
			t.Errorf("%s: the download ended: %v\n%s", family(x.vip), err, x.curl.Output())
		}
		if got, err := os.ReadFile(x.file); err != nil || string(got) != string(content) {
			t.Errorf("%s: downloaded %d bytes (%v), want the %d that are stored", family(x.vip), len(got), err, len(content))
		}
	}
	packets, err := atClient.Stop()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		_, src, dst, ok := decodeSegment(p)
		if tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok && (src.Port() == 8080 || dst.Port() == 8080 || tcp.RST) {
			t.Errorf("untranslated or a reset at the client: %s > %s, RST %t", src, dst, tcp.RST)
		}
	}
	resets, err := atServer.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if len(resets) != 0 {
		t.Errorf("the server saw %d resets, the first %s", len(resets), strings.TrimSpace(fmt.Sprint(resets[0])))
	}
}

// waitPackets waits for n packets from an address since a time.
func waitPackets(t *testing.T, c *capture.Capture, from netip.Addr, since time.Time, n int) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		packets, err := c.Packets()
		if err != nil {
			return err
		}
		have := 0
		for _, p := range packets {
			if _, src, _, ok := decodeSegment(p); ok && src.Addr() == from && p.Metadata().Timestamp.After(since) {
				have++
			}
		}
		if have < n {
			return fmt.Errorf("%d packets from %s since %s, want %d", have, from, since.Format("15:04:05.000"), n)
		}
		return nil
	})
}
