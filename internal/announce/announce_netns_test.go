//go:build netns

package announce_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"uvs/internal/announce"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// linkOf describes an interface of a host.
func linkOf(t *testing.T, h *netlab.Host, name string) announce.Link {
	t.Helper()
	var l announce.Link
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err == nil {
			l = announce.Link{Index: ifi.Index, Name: ifi.Name, MAC: [6]byte(ifi.HardwareAddr)}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func probe(t *testing.T, h *netlab.Host, addr netip.Addr, o announce.ProbeOptions) (owner string, found bool) {
	t.Helper()
	link := linkOf(t, h, "eth0")
	err := h.Do(func() error {
		mac, ok, err := announce.Probe(t.Context(), link, addr, o)
		owner, found = mac.String(), ok
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return owner, found
}

func macOf(t *testing.T, h *netlab.Host, name string) string {
	t.Helper()
	mac, err := h.MAC(name)
	if err != nil {
		t.Fatal(err)
	}
	return mac.String()
}

func TestProbeOnTheWire(t *testing.T) {
	top := labtest.OneArm(t, netlab.Plan{})
	director, client := top.Directors[0], top.Clients[0]
	for _, tc := range []struct {
		name string
		addr netip.Addr
		want string // owner's MAC, empty: nobody
	}{
		{"IPv4 with an owner", client.Addr4("eth0"), macOf(t, client, "eth0")},
		{"IPv6 with an owner", client.Addr6("eth0"), macOf(t, client, "eth0")},
		{"IPv4 of nobody", netip.MustParseAddr("198.51.100.89"), ""},
		{"IPv6 of nobody", netip.MustParseAddr("2001:db8:1::89"), ""},
		{"our own IPv4", director.Addr4("eth0"), ""},
		{"our own IPv6", director.Addr6("eth0"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			owner, found := probe(t, director, tc.addr, announce.ProbeOptions{})
			if found != (tc.want != "") || owner != tc.want {
				t.Errorf("owner %q, found %v; want %q", owner, found, tc.want)
			}
			if took := time.Since(start); tc.want == "" && took > 2*time.Second || tc.want != "" && took > 700*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestTwoProbeAtOnce has two directors ask for the same free address, as after a power
// failure. At least one must notice the other and leave it the address: that is the one
// which hears a probe; it falls silent then, so the other need not hear any.
func TestTwoProbeAtOnce(t *testing.T) {
	top := labtest.OneArm(t, netlab.Plan{Directors: 2})
	for _, addr := range []netip.Addr{netip.MustParseAddr("198.51.100.89"), netip.MustParseAddr("2001:db8:1::89")} {
		t.Run(addr.String(), func(t *testing.T) {
			var found [2]bool
			done := make(chan error, 2)
			for i, d := range top.Directors {
				link := linkOf(t, d, "eth0")
				go func() {
					done <- d.Do(func() (err error) {
						_, found[i], err = announce.Probe(t.Context(), link, addr, announce.ProbeOptions{})
						return err
					})
				}()
			}
			for range top.Directors {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			if !found[0] && !found[1] {
				t.Error("both would take the address")
			}
		})
	}
}

func TestAnnounceMovesTheAddress(t *testing.T) {
	top := labtest.OneArm(t, netlab.Plan{Directors: 2, NoVIP: true})
	client, taker := top.Clients[0], top.Directors[1]
	link := linkOf(t, taker, "eth0")
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		t.Run(vip.String(), func(t *testing.T) {
			old := macOf(t, top.Directors[0], "eth0")
			labtest.Run(t, client, "ip", "neigh", "replace", vip.String(), "lladdr", old, "dev", "eth0", "nud", "stale")
			dump := labtest.Start(t, client, "tcpdump", "-nevvl", "--immediate-mode", "-i", "eth0", "arp or icmp6")
			if err := dump.WaitOutput(labtest.Hang, "listening"); err != nil {
				t.Fatal(err)
			}
			if err := taker.Do(func() error {
				return announce.Burst(t.Context(), []announce.Target{{Link: link, Addr: vip, Router: true}}, 5)
			}); err != nil {
				t.Fatal(err)
			}
			labtest.Eventually(t, labtest.Hang, func() error {
				if out := labtest.Run(t, client, "ip", "neigh", "show", vip.String()); !strings.Contains(out, macOf(t, taker, "eth0")) {
					return fmt.Errorf("neighbour table: %q", out)
				}
				return nil
			})
			want := fmt.Sprintf("Request who-has %s (ff:ff:ff:ff:ff:ff) tell %s", vip, vip)
			if vip.Is6() {
				want = fmt.Sprintf("neighbor advertisement, length 32, tgt is %s, Flags [router, override]", vip)
			}
			labtest.Eventually(t, labtest.Hang, func() error {
				if n := strings.Count(dump.Output(), want); n != 5 {
					return fmt.Errorf("%d frames with %q, want 5:\n%s", n, want, dump.Output())
				}
				return nil
			})
		})
	}
}

func TestErrorsNameTheInterface(t *testing.T) {
	top := labtest.OneArm(t, netlab.Plan{})
	director := top.Directors[0]
	link := linkOf(t, director, "eth0")
	free := netip.MustParseAddr("198.51.100.89")
	try := func(f func() error) error { return director.Do(f) }
	probe := func(ctx context.Context, link announce.Link, addr netip.Addr) error {
		return try(func() error { _, _, err := announce.Probe(ctx, link, addr, announce.ProbeOptions{}); return err })
	}

	gone := link
	gone.Index, gone.Name = 4711, "eth9"
	if err := probe(t.Context(), gone, free); err == nil || !strings.Contains(err.Error(), "198.51.100.89 on eth9: ") {
		t.Errorf("missing device: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := probe(ended, link, free); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if err := probe(t.Context(), link, netip.MustParseAddr("ff02::1")); err == nil || !strings.Contains(err.Error(), "is not a host's") {
		t.Errorf("multicast address: %v", err)
	}
	if err := director.SetDown("eth0"); err != nil {
		t.Fatal(err)
	}
	if err := try(func() error {
		return announce.Burst(t.Context(), []announce.Target{{Link: link, Addr: free}}, 5)
	}); err == nil || !strings.Contains(err.Error(), "down") {
		t.Errorf("device that is down: %v", err)
	}
}

// TestNoDescriptorsStay counts open descriptors around many probes.
func TestNoDescriptorsStay(t *testing.T) {
	top := labtest.OneArm(t, netlab.Plan{})
	client := top.Clients[0]
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	probe(t, top.Directors[0], client.Addr4("eth0"), announce.ProbeOptions{})
	before := count()
	for range 20 {
		probe(t, top.Directors[0], client.Addr4("eth0"), announce.ProbeOptions{})
		probe(t, top.Directors[0], client.Addr6("eth0"), announce.ProbeOptions{})
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors after, %d before", after, before)
	}
}

// TestAnswer: hosts find, ping and respect addresses that nobody's kernel has.
func TestAnswer(t *testing.T) {
	top := labtest.OneArm(t, netlab.Plan{NoVIP: true})
	director, client := top.Directors[0], top.Clients[0]
	ctx, cancel := context.WithCancel(t.Context())
	link := linkOf(t, director, "eth0")
	vips := []netip.Addr{top.VIP4, top.VIP6}
	spoken := []announce.Spoken{{Addr: top.VIP4}, {Addr: top.VIP6}}
	done := make(chan error, 1)
	go func() {
		done <- director.Do(func() error { return announce.Answer(ctx, link, spoken) })
	}()
	for _, vip := range vips {
		labtest.Eventually(t, labtest.Hang, func() error {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			_, err := client.Run(ctx, "ping", "-n", "-c", "3", "-i", "0.01", "-s", "1400", "-W", "1", vip.String())
			return err
		})
		if out := labtest.Run(t, client, "ip", "neighbour", "show", vip.String()); !strings.Contains(out, macOf(t, director, "eth0")) {
			t.Errorf("the client knows %s as %q", vip, out)
		}
		if owner, found := probe(t, client, vip, announce.ProbeOptions{}); !found || owner != macOf(t, director, "eth0") {
			t.Errorf("a probe for %s finds %q, %v", vip, owner, found)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, found := probe(t, client, top.VIP4, announce.ProbeOptions{}); found {
		t.Error("somebody answers after the end")
	}
	// A link that goes down ends it with an error.
	go func() {
		done <- director.Do(func() error { return announce.Answer(t.Context(), link, spoken) })
	}()
	labtest.Eventually(t, labtest.Hang, func() error {
		if _, found := probe(t, client, top.VIP4, announce.ProbeOptions{Count: 1, Interval: 50 * time.Millisecond}); !found {
			return errors.New("nobody answers")
		}
		return nil
	})
	labtest.Run(t, director, "ip", "link", "set", "eth0", "down")
	if err := <-done; err == nil || !strings.Contains(err.Error(), "answer on eth0: ") {
		t.Errorf("with the link down: %v", err)
	}
}
