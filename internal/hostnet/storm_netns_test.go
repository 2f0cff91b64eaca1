//go:build netns

package hostnet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/internal/hostnet"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// neighbourBatch writes a file for `ip -batch` that adds or deletes 5 000 neighbours.
func neighbourBatch(t *testing.T, verb string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), verb)
	var text []byte
	for i := range 5000 {
		text = fmt.Appendf(text, "neigh %s 10.7.%d.%d lladdr 02:00:00:01:%02x:%02x dev eth1 nud permanent\n", verb, i/250, i%250+1, i/250, i%250)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// permanent counts the neighbours of a batch.
func permanent(s *hostnet.Snapshot) int {
	n := 0
	for _, e := range s.Neighbours {
		if e.State == hostnet.Permanent && e.Usable {
			n++
		}
	}
	return n
}

func TestStorm(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{})
	f := follow(t, top.Directors[0])
	add, del := neighbourBatch(t, "replace"), neighbourBatch(t, "del")
	start := time.Now()
	f.ip(t, "-batch", add)
	f.until(t, "all neighbours are there", func(s *hostnet.Snapshot) bool { return permanent(s) == 5000 })
	t.Logf("5000 neighbours in %v", time.Since(start))
	f.ip(t, "-batch", del)
	f.until(t, "all neighbours are gone", func(s *hostnet.Snapshot) bool { return permanent(s) == 0 })
}

// TestOverrun makes more events than the kernel keeps while nobody reads them.
func TestOverrun(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{})
	f := follow(t, top.Directors[0])
	add, del := neighbourBatch(t, "replace"), neighbourBatch(t, "del")
	f.gate.Lock()
	f.ip(t, "addr", "add", "203.0.113.9/32", "dev", "eth0")
	for range 4 {
		f.ip(t, "-batch", add)
		f.ip(t, "-batch", del)
	}
	f.ip(t, "-batch", add)
	f.ip(t, "addr", "del", "203.0.113.9/32", "dev", "eth0")
	f.ip(t, "route", "add", "10.0.0.0/8", "via", "192.0.2.201")
	lost := false
	for line := range strings.Lines(labtest.Run(t, f.host, "cat", "/proc/net/netlink")) {
		// Protocol 0 is rtnetlink; the ninth column counts what was lost.
		if field := strings.Fields(line); len(field) > 8 && field[1] == "0" && field[8] != "0" {
			lost = true
		}
	}
	f.gate.Unlock()
	if !lost {
		t.Error("no event was lost: the test tests nothing")
	}
	f.until(t, "all is known that happened meanwhile", func(s *hostnet.Snapshot) bool {
		_, ok := s.Lookup(addr("10.1.2.3"))
		return ok && permanent(s) == 5000 && !s.IsLocal(addr("203.0.113.9"))
	})
	checkAgainstKernel(t, f)
}
