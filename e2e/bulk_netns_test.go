//go:build netns

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// bulkBytes is what goes through in each direction, by each family.
const bulkBytes = 100 << 20

// TestBulkChecksums: 100 MB down and up arrive unchanged, and no receiver sees a wrong TCP
// checksum, whoever has to complete or verify it:
//
//   - all offloads on: checksums stay partial from end to end and nobody verifies them;
//   - tx off on the director: the kernel completes our partial sum on the way out and the
//     receiver verifies it, so that a wrong update of the partial field shows;
//   - tx off on the ends: complete checksums come in, we update them in full, and the
//     receiver verifies.
func TestBulkChecksums(t *testing.T) {
	content := make([]byte, bulkBytes)
	rand.NewChaCha8([32]byte{7}).Read(content) //nolint:errcheck // never fails
	sum := sha256.Sum256(content)
	want := hex.EncodeToString(sum[:])
	upload := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(upload, content, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, m := range modes() {
		for _, setting := range []struct {
			name string
			off  func(*netlab.Topology) map[*netlab.Host][]string
		}{
			{"all offloads on", func(*netlab.Topology) map[*netlab.Host][]string { return nil }},
			{"tx off on the director", func(top *netlab.Topology) map[*netlab.Host][]string {
				arms := []string{"eth0"}
				if top.ServerNet != nil {
					arms = append(arms, "eth1")
				}
				return map[*netlab.Host][]string{top.Directors[0]: arms}
			}},
			{"tx off on the ends", func(top *netlab.Topology) map[*netlab.Host][]string {
				return map[*netlab.Host][]string{top.Clients[0]: {"eth0"}, top.Servers[0]: {"eth0"}}
			}},
		} {
			t.Run(m.name+", "+setting.name, func(t *testing.T) {
				top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
				for h, names := range setting.off(top) {
					for _, name := range names {
						if err := h.SetOffload(name, netlab.OffloadTX, false); err != nil {
							t.Fatal(err)
						}
					}
				}
				web := startWeb(t, top.Servers[0])
				if err := os.WriteFile(filepath.Join(web.dir, "www", "big"), content, 0o644); err != nil {
					t.Fatal(err)
				}
				d := startDirector(t, top.Directors[0], m.config(top), "--workers", "2")
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					transfer(t, top, web, vip, upload, want)
				}
				for _, h := range []*netlab.Host{top.Clients[0], top.Servers[0]} {
					if n := checksumErrors(t, h); n != 0 {
						t.Errorf("%s received %d TCP segments with a wrong checksum", h.Name(), n)
					}
				}
				for _, x := range d.status().Interfaces {
					if x.RingDrops+x.TxErrors > 0 {
						t.Logf("%s: %d ring drops, %d send errors", x.Name, x.RingDrops, x.TxErrors)
					}
				}
			})
		}
	}
}

// transfer moves the content down and up and compares hashes.
func transfer(t *testing.T, top *netlab.Topology, web *webServer, vip netip.Addr, upload, want string) {
	t.Helper()
	down := filepath.Join(t.TempDir(), "down")
	curl(t, top.Clients[0], "-o", down, url(vip, 80, "/big"))
	if got := hashFile(t, down); got != want {
		t.Errorf("%s: the download's SHA-256 is %s, want %s", family(vip), got, want)
	}
	curl(t, top.Clients[0], "-T", upload, "-H", "Expect:", url(vip, 80, "/up"))
	stored, err := filepath.Glob(filepath.Join(web.dir, "up", "*"))
	if err != nil || len(stored) != 1 {
		t.Fatalf("%s: the server stored %v (%v), want one file", family(vip), stored, err)
	}
	if got := hashFile(t, stored[0]); got != want {
		t.Errorf("%s: the upload's SHA-256 is %s, want %s", family(vip), got, want)
	}
	if err := os.Remove(stored[0]); err != nil {
		t.Fatal(err)
	}
}

func hashFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// checksumErrors reads TcpInCsumErrors of a host (/proc/net/snmp, which serves both families).
func checksumErrors(t *testing.T, h *netlab.Host) int {
	t.Helper()
	out := labtest.Run(t, h, "cat", "/proc/net/snmp")
	var names []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "InCsumErrors" {
				n, err := strconv.Atoi(fields[i])
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatalf("no Tcp InCsumErrors in %q", out)
	return 0
}
