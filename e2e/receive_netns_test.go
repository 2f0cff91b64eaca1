//go:build netns

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// receiveSite is a site with one server that has a page, and the director's offloads on.
func receiveSite(t *testing.T) *netlab.Topology {
	t.Helper()
	top := labtest.TwoArm(t, netlab.Plan{Servers: 1, NoVIP: true})
	web := startWeb(t, top.Servers[0])
	if err := os.WriteFile(filepath.Join(web.dir, "www", "page"), make([]byte, 10*pageBytes), 0o644); err != nil {
		t.Fatal(err)
	}
	return top
}

// bothWays fetches the page and sends a file, over both families, and wants nothing lost
// to full rings.
func bothWays(t *testing.T, top *netlab.Topology, d *director) {
	t.Helper()
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		if got := curl(t, top.Clients[0], url(vip, 80, "/page")); len(got) != 10*pageBytes {
			t.Errorf("%s: %d bytes of the page, want %d", family(vip), len(got), 10*pageBytes)
		}
		if got := curl(t, top.Clients[0], "-F", "page=@/bin/bash", url(vip, 80, "/up")); got != "stored\n" {
			t.Errorf("%s: upload: %q", family(vip), got)
		}
	}
	for _, x := range d.status().Interfaces {
		if x.RxFrames == 0 || x.TxFrames == 0 {
			t.Errorf("%s received %d frames and sent %d, want traffic on both sides", x.Name, x.RxFrames, x.TxFrames)
		}
	}
}

// features are the settings of a host's interfaces that plain mode changes.
func features(t *testing.T, h *netlab.Host) string {
	t.Helper()
	return labtest.Run(t, h, "ethtool", "-k", "eth0") + labtest.Run(t, h, "ethtool", "-k", "eth1")
}

// TestReceive: every way for frames to come in carries pages and uploads, with all offloads of
// the site on, and is what status says. plain switches the offloads of the director off, and
// on again at the end, also when the end was a crash. It takes frames as an Ethernet has them:
// over a virtual link the other side's offloads, too, would lengthen them.
func TestReceive(t *testing.T) {
	t.Parallel()
	for io, mode := range map[string]string{
		"v3": "tpacket_v3/afxdp", "recvmmsg": "recvmmsg/afxdp", "plain": "plain tpacket_v2/afxdp",
	} {
		t.Run(io, func(t *testing.T) {
			top := receiveSite(t)
			director := top.Directors[0]
			if io == "plain" {
				for _, h := range []*netlab.Host{top.Clients[0], top.Servers[0]} {
					if err := h.SetOffload("eth0", netlab.OffloadTSO, false); err != nil {
						t.Fatal(err)
					}
				}
			}
			was := features(t, director)
			for _, crash := range []bool{false, true} {
				if crash && io != "plain" {
					continue // nothing of the interfaces is changed
				}
				d := startDirector(t, director, modes()[0].config(top), "--io", io, "--workers", "2")
				for _, x := range d.status().Interfaces {
					if x.Mode != mode || x.Reason != "" {
						t.Errorf("%s receives by %s (%s), want %s", x.Name, x.Mode, x.Reason, mode)
					}
				}
				if changed := features(t, director) != was; changed != (io == "plain") {
					t.Errorf("offloads are changed: %v", changed)
				}
				bothWays(t, top, d)
				if !crash {
					d.stop()
				} else {
					d.kill()
					d.uvs("cleanup")
				}
				if is := features(t, director); is != was {
					t.Errorf("offloads at the end (crash %v):\n%s\nbefore:\n%s", crash, is, was)
				}
			}
		})
	}
}

// TestLittleMemory: with less than 1 MiB for each worker, TPACKET_V3 is taken and status
// says why; all rings stay within what they may have, and the traffic flows.
func TestLittleMemory(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		memory, mode, reason string
	}{
		{"64m", "tpacket_v2/afxdp", ""},
		{"12m", "tpacket_v2/afxdp", ""},
		{"4m", "tpacket_v3/afxdp", "v2 does not fit 1.3 MiB"},
	} {
		t.Run(tc.memory, func(t *testing.T) {
			top := receiveSite(t)
			d := startDirector(t, top.Directors[0], modes()[0].config(top), "--ring-memory", tc.memory, "--workers", "2")
			bothWays(t, top, d)
			s, sum := d.status(), uint64(0)
			for _, x := range s.Interfaces {
				sum += x.RingBytes
				if x.Mode != tc.mode || !strings.HasPrefix(x.Reason, tc.reason) || (x.Reason == "") != (tc.reason == "") {
					t.Errorf("%s receives by %s (%s), want %s (%s)", x.Name, x.Mode, x.Reason, tc.mode, tc.reason)
				}
			}
			if s.Rings.Bytes != sum || sum == 0 || sum > s.Rings.Budget || s.Rings.Source != "--ring-memory" {
				t.Errorf("rings take %d bytes, together %d of %d (%s)", sum, s.Rings.Bytes, s.Rings.Budget, s.Rings.Source)
			}
			if table := d.uvs("status"); !strings.Contains(table, " MiB (--ring-memory)\n") || tc.reason != "" && !strings.Contains(table, "("+tc.reason) {
				t.Errorf("the table does not tell of the rings:\n%s", table)
			}
			d.stop()
		})
	}
}

// TestMaxConnections: a connection beyond the bound gets no answer and is counted; those within
// it go on, and one that ends makes room.
func TestMaxConnections(t *testing.T) {
	const bound = 100
	top := receiveSite(t)
	d := startDirector(t, top.Directors[0], modes()[0].config(top), "--max-connections", fmt.Sprint(bound))
	conns := make([]net.Conn, 0, bound)
	open := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		c, err := top.Clients[0].DialContext(ctx, "tcp", netip.AddrPortFrom(top.VIP4, 80).String())
		if err == nil {
			conns = append(conns, c)
			t.Cleanup(func() { c.Close() })
		}
		return err
	}
	for range bound {
		if err := open(); err != nil {
			t.Fatalf("connection %d of %d: %v", len(conns)+1, bound, err)
		}
	}
	if err := open(); err == nil || strings.Contains(err.Error(), "refused") {
		t.Errorf("a connection beyond the bound: %v, want silence", err)
	}
	s := d.status()
	if want := (control.Flows{Current: bound, Max: bound, MaxSource: "--max-connections", Created: bound}); s.Flows != want {
		t.Errorf("flows: %+v, want %+v", s.Flows, want)
	}
	if s.Drops["drop_table_full"] == 0 {
		t.Errorf("no drop for a full table: %v", s.Drops)
	}
	for i, c := range conns {
		if err := ask(c); err != nil {
			t.Errorf("connection %d while the table is full: %v", i, err)
		}
	}
	d.stop()
}
