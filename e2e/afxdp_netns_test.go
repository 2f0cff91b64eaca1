//go:build netns

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// xdpMode is what status says of an interface whose plain frames come in by AF_XDP.
const xdpMode = "afxdp+tpacket_v2/afxdp"

// wantModes wants all interfaces but lo to receive and send in a way.
func wantModes(t *testing.T, d *director, mode, reason string) {
	t.Helper()
	for _, x := range d.status().Interfaces {
		if x.Name != "lo" && (x.Mode != mode || !strings.HasPrefix(x.Reason, reason) || (x.Reason == "") != (reason == "")) {
			t.Errorf("%s works by %s (%s), want %s (%s)", x.Name, x.Mode, x.Reason, mode, reason)
		}
	}
}

// TestAFXDP: with plain frames redirected to AF_XDP sockets 100 MB go down and up unchanged by
// NAT and direct routing, checksums that the other end's kernel left unfinished or completed;
// whatever is not a service's still reaches the stack; and after a crash the program is gone, its
// clients meet silence, and the next start serves.
func TestAFXDP(t *testing.T) {
	t.Parallel()
	for _, m := range modes() {
		for _, complete := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ends complete checksums %v", m.name, complete), func(t *testing.T) {
				content := make([]byte, bulkBytes)
				if complete {
					content = content[:bulkBytes/10]
				}
				rand.NewChaCha8([32]byte{9}).Read(content) //nolint:errcheck // never fails
				sum := sha256.Sum256(content)
				want, upload := hex.EncodeToString(sum[:]), filepath.Join(t.TempDir(), "upload")
				if err := os.WriteFile(upload, content, 0o644); err != nil {
					t.Fatal(err)
				}
				top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
				director := top.Directors[0]
				for _, h := range []*netlab.Host{top.Clients[0], top.Servers[0]} {
					if !complete {
						break
					}
					if err := h.SetOffload("eth0", netlab.OffloadTX, false); err != nil {
						t.Fatal(err)
					}
				}
				web := startWeb(t, top.Servers[0])
				if err := os.WriteFile(filepath.Join(web.dir, "www", "big"), content, 0o644); err != nil {
					t.Fatal(err)
				}
				before := dump(t, director)
				d := startDirector(t, director, m.config(top), "--io", "afxdp", "--workers", "2")
				wantModes(t, d, xdpMode, "")
				// Packet taps of the director see none of the service's frames, in either direction.
				tap := labtest.Capture(t, director, "eth0", "tcp port 80")
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					if got := curl(t, top.Clients[0], url(vip, 80, "/")); got != "server1\n" {
						t.Errorf("%s serves %q", vip, got)
					}
				}
				if seen, err := tap.Stop(); len(seen) > 0 || err != nil {
					t.Errorf("%d frames of the service came by the stack's way, %v", len(seen), err)
				}
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					transfer(t, top, web, vip, upload, want)
					labtest.Run(t, top.Clients[0], "ping", "-n", "-c", "2", "-i", "0.01", "-W", "2", vip.String())
					if _, err := dialFor(t, top.Clients[0], netip.AddrPortFrom(vip, 81), labtest.Hang); err == nil || !strings.Contains(err.Error(), "refused") {
						t.Errorf("%s, a port beside the service: %v, want it refused by the director's stack", family(vip), err)
					}
				}
				for _, h := range []*netlab.Host{top.Clients[0], top.Servers[0]} {
					if n := checksumErrors(t, h); n != 0 {
						t.Errorf("%s received %d TCP segments with a wrong checksum", h.Name(), n)
					}
				}
				if !complete {
					d.kill()
					wantSilentPort(t, top, top.VIP4, 80, "after a crash")
					d = startDirector(t, director, m.config(top), "--io", "afxdp", "--workers", "2")
					wantModes(t, d, xdpMode, "")
					for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
						if got := curl(t, top.Clients[0], url(vip, 80, "/")); got != "server1\n" {
							t.Errorf("after a crash %s serves %q", vip, got)
						}
					}
				}
				d.ipvsadm("-D -t %s:80", top.VIP4)
				if _, err := dialFor(t, top.Clients[0], netip.AddrPortFrom(top.VIP4, 80), labtest.Hang); err == nil || !strings.Contains(err.Error(), "refused") {
					t.Errorf("a service that was removed: %v, want it refused by the director's stack", err)
				}
				d.stop()
				wantDump(t, director, before, "after SIGTERM")
				for _, name := range []string{"eth0", "eth1"} {
					if out, err := director.Run(t.Context(), "ip", "link", "show", name); err == nil && strings.Contains(out, "xdp") {
						t.Errorf("a program is left: %s", out)
					}
				}
			})
		}
	}
}

// TestAFXDPRefused: where plain frames cannot come in by AF_XDP they come as all others do, and
// status says why; a program of somebody else stays where it is.
func TestAFXDPRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, director *netlab.Host)
		by      func(command ...string) []string
		reason  string
	}{
		{name: "foreign program", prepare: func(t *testing.T, director *netlab.Host) {
			for _, name := range []string{"eth0", "eth1"} {
				attachXDP(t, director, name)
			}
		}, reason: "nothing comes in by afxdp: another XDP program is attached, which stays"},
		{name: "few rights", by: fewRights, reason: "nothing comes in by afxdp, which needs CAP_BPF and CAP_NET_ADMIN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			top := receiveSite(t)
			if tc.prepare != nil {
				tc.prepare(t, top.Directors[0])
			}
			if tc.by == nil {
				tc.by = func(command ...string) []string { return command }
			}
			d := launchBy(t, top.Directors[0], tc.by, modes()[0].config(top), "--io", "afxdp", "--workers", "2")
			wantModes(t, d, "tpacket_v2/afxdp", tc.reason)
			bothWays(t, top, d)
			d.stop()
		})
	}
}

// attachXDP has a program of the test's own at an interface until the test ends.
func attachXDP(t *testing.T, h *netlab.Host, ifname string) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "theirs", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	if err := h.Do(func() error {
		ifi, err := net.InterfaceByName(ifname)
		if err != nil {
			return err
		}
		l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifi.Index})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
