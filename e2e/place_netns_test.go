//go:build netns

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestSite… are whole sites as people run them, with the software of Debian that they have and
// the configurations in config/testdata/keepalived. They mostly wait, and so run in parallel.

// A place is a site that is built network by network.
type place struct {
	t        *testing.T
	site     *netlab.Site
	networks map[string]*netlab.Bridge
}

func newPlace(t *testing.T) *place {
	t.Helper()
	return &place{t: t, site: labtest.New(t), networks: make(map[string]*netlab.Bridge)}
}

// host adds a host with arms, each written "NETWORK INTERFACE ADDRESS/LENGTH…", and runs
// commands there, each a line for ip or sysctl.
func (p *place) host(name string, arms []string, commands ...string) *netlab.Host {
	p.t.Helper()
	h := labtest.Host(p.t, p.site, name)
	for _, arm := range arms {
		words := strings.Fields(arm)
		network := p.networks[words[0]]
		if network == nil {
			var err error
			if network, err = p.site.AddBridge(words[0]); err != nil {
				p.t.Fatal(err)
			}
			p.networks[words[0]] = network
		}
		if err := network.Attach(h, words[1]); err != nil {
			p.t.Fatal(err)
		}
		for _, a := range words[2:] {
			if err := h.AddAddr(words[1], netip.MustParsePrefix(a)); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	run(p.t, h, commands...)
	return h
}

// run runs lines on a host, each a program with its arguments.
func run(t *testing.T, h *netlab.Host, lines ...string) {
	t.Helper()
	for _, line := range lines {
		words := strings.Fields(line)
		labtest.Run(t, h, words[0], words[1:]...)
	}
}

// hidesVIP has a direct-routing server own a virtual address without answering ARP for it.
func hidesVIP(t *testing.T, h *netlab.Host, vip string) {
	t.Helper()
	if err := netlab.HideVIP(h, netip.MustParseAddr(vip)); err != nil {
		t.Fatal(err)
	}
}

// redirectsVIP has a direct-routing server take a virtual address's packets without owning it.
func redirectsVIP(t *testing.T, h *netlab.Host, vip string, port int) {
	t.Helper()
	run(t, h, fmt.Sprintf("iptables -t nat -A PREROUTING -d %s/32 -p tcp --dport %d -j REDIRECT", vip, port))
}

// dies cuts a host's power: its uvs, if it has one, is killed, and nothing leaves it any more.
func dies(t *testing.T, h *netlab.Host, d *director, interfaces ...string) {
	t.Helper()
	for _, i := range interfaces {
		if err := h.SetDown(i); err != nil {
			t.Fatal(err)
		}
	}
	if d != nil {
		d.kill()
	}
}

// reference returns the text of one of keepalived's configurations.
func reference(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "config", "testdata", "keepalived", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// takeover waits until a director says that an instance of it is MASTER, and returns how long after
// since that was.
func takeover(t *testing.T, d *director, instance string, since time.Time) time.Duration {
	t.Helper()
	waitLog(t, d, fmt.Sprintf("(%s) Entering MASTER STATE", instance))
	return time.Since(since)
}

// A window is a time in which requests may fail, and why.
type window struct {
	why      string
	from, to time.Time
	hidden   bool // somebody between tries again: perhaps no request fails
}

// within wants all failures of a load to be of requests that touch a window, and at least one
// failure in each that is not hidden.
func within(t *testing.T, results []result, windows ...window) {
	t.Helper()
	const margin = 50 * time.Millisecond
	failed := make([]int, len(windows))
	for _, r := range results {
		if r.err == nil {
			continue
		}
		known := false
		for i, w := range windows {
			// A request that begins before an event may be waiting for an answer at it.
			if !known && r.ended.After(w.from.Add(-margin)) && r.started.Before(w.to.Add(margin)) {
				failed[i]++
				known = true
			}
		}
		if !known {
			t.Errorf("a request failed outside of all windows, at %s: %v", r.started.Format("15:04:05.000"), r.err)
		}
	}
	for i, w := range windows {
		t.Logf("%s: %d of %d requests failed, in %s", w.why, failed[i], len(results), w.to.Sub(w.from).Round(time.Millisecond))
		if failed[i] == 0 && !w.hidden {
			t.Errorf("%s: no request failed; the load did not meet it", w.why)
		}
	}
}
