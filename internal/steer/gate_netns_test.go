//go:build netns

package steer_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/steer"
)

// gates are the ways to close addresses.
func gates() map[string]func(from, to steer.Closed) error {
	return map[string]func(from, to steer.Closed) error{"nft": steer.NFTGate, "iptables-legacy": steer.XTGate}
}

// TestGateAcceptsAsSpecified sends packets of all kinds to a host and compares who gets through
// with Closed.Refuses, for each way to close.
func TestGateAcceptsAsSpecified(t *testing.T) {
	for name, set := range gates() {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, steer.Iptables)
			for _, a := range []string{"198.51.100.80/32", "198.51.100.81/32", "2001:db8:1::80/128", "2001:db8:1::81/128", "fe80::80/128"} {
				labtest.Run(t, w.director, "ip", "addr", "add", a, "dev", "eth0", "nodad")
			}
			labtest.Run(t, w.director, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0")
			labtest.Run(t, w.director, "ip", "route", "add", "default", "dev", "eth0")
			labtest.Run(t, w.director, "nft", `delete table inet sink`)
			labtest.Run(t, w.director, "nft", `table inet sink {
				set seen { type ether_addr; flags dynamic; size 65535; }
				chain note { type filter hook input priority 100; iifname "eth0" add @seen { ether saddr } drop; }
			}`)
			closed := testClosed()
			for i := range closed.Addrs {
				if closed.Addrs[i].Link != 0 {
					closed.Addrs[i].Link = w.link.Index
				}
			}
			inside(t, w.director, func() error { return set(steer.Closed{}, closed) })
			frames := make(map[uint32][]byte)
			for _, addr := range []string{"198.51.100.80", "198.51.100.81", "2001:db8:1::80", "2001:db8:1::81", "fe80::80"} {
				dst, src := netip.MustParseAddr(addr), addrPort("203.0.113.9:5000")
				if dst.Is6() {
					src = addrPort("[2001:db8:3::9]:5000")
					for _, kind := range []byte{128, 133, 135, 136} {
						frames[uint32(len(frames))] = message(t, addr, kind)
						frames[uint32(len(frames))] = message(t, addr, kind, ext{kind: destOpts})
					}
				}
				for _, proto := range []byte{tcp, udp, sctp, icmp, 50} {
					f := flow{src: src, dst: netip.AddrPortFrom(dst, 80), proto: proto}
					frames[uint32(len(frames))] = f.frame(t)
				}
			}
			for n, f := range frames {
				copy(f, w.link.HardwareAddr)
				w.inject(t, f, n)
			}
			last := uint32(len(frames))
			marker := flow{to: w.link.HardwareAddr, src: addrPort("203.0.113.9:9"), dst: addrPort("198.51.100.81:9"), proto: udp}
			w.inject(t, marker.frame(t), last)
			passed := make(map[string]bool)
			labtest.Eventually(t, labtest.Hang, func() error {
				for _, m := range macPattern.FindAllString(labtest.Run(t, w.director, "nft", "list", "set", "inet", "sink", "seen"), -1) {
					passed[m] = true
				}
				if !passed[numbered(last)] {
					return fmt.Errorf("the last frame is not seen, but %d others", len(passed))
				}
				return nil
			})
			refused := 0
			for n, f := range frames {
				want := closed.Refuses(f[14:], w.link.Index)
				if passed[numbered(n)] == want {
					t.Errorf("refused %v, want %v: % x", !want, want, f)
				}
				if want {
					refused++
				}
			}
			if refused < 15 {
				t.Errorf("only %d frames are refused", refused)
			}
			if removed := cleanup(t, w.director); !strings.Contains(strings.Join(removed, ", "), "accept") {
				t.Errorf("Cleanup removed %q", removed)
			}
		})
	}
}

// numbered is the hardware address that inject gives to the frame with a number.
func numbered(n uint32) string {
	return net.HardwareAddr{2, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}.String()
}

// TestGateFollows has a Gate close, change over and open, with somebody who flushes all rules in
// between.
func TestGateFollows(t *testing.T) {
	netlab.Require(t)
	site := labtest.New(t)
	h := labtest.Host(t, site, "director")
	ruleset := func() string { return labtest.Run(t, h, "nft", "list", "ruleset") }
	before := ruleset()
	a, b := steer.ClosedAddr{Addr: netip.MustParseAddr("192.0.2.1")}, steer.ClosedAddr{Addr: netip.MustParseAddr("192.0.2.2")}
	var g steer.Gate
	shut := func(addrs ...steer.ClosedAddr) {
		inside(t, h, func() error { return g.Close(steer.Closed{Addrs: addrs, Open: []int{1}}) })
	}
	has := func(want string) {
		t.Helper()
		if r := ruleset(); !strings.Contains(r, want) {
			t.Errorf("the ruleset lacks %q: %s", want, r)
		}
	}
	shut(a)
	has("elements = { 192.0.2.1 }")
	shut(b)
	has("elements = { 192.0.2.2 }")
	shut(a, b)
	has("elements = { 192.0.2.1, 192.0.2.2 }")
	labtest.Run(t, h, "nft", "flush", "ruleset")
	shut(a, b)
	has("elements = { 192.0.2.1, 192.0.2.2 }")
	labtest.Run(t, h, "nft", "flush", "set", "inet", "uvs_no_accept", "addrs4")
	shut(a)
	has("elements = { 192.0.2.1 }")
	inside(t, h, func() error { return g.Close(steer.Closed{Ready: true, Open: []int{1}}) })
	has("ip daddr @addrs4 drop")
	shut(b)
	has("elements = { 192.0.2.2 }")
	shut()
	if after := ruleset(); after != before {
		t.Errorf("after all the ruleset is %s, was %s", after, before)
	}
}
