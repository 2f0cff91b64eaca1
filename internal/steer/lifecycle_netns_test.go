//go:build netns

package steer_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/steer"
)

// onlyOne fails the test unless exactly one thing of ours is left in the dump, that of
// the backend.
func onlyOne(t *testing.T, h *netlab.Host, b steer.Backend) {
	t.Helper()
	d := dump(t, h)
	got := [...]int{
		strings.Count(d, ": uvs_steer "), strings.Count(d, "handle 0x75760002 uvs_steer "),
		strings.Count(d, "table netdev uvs_steer_"), strings.Count(d, "chain uvs-steer {"),
	}
	want := map[steer.Backend][len(got)]int{
		steer.TCX: {1, 0, 0, 0}, steer.Clsact: {0, 1, 0, 0}, steer.NFT: {0, 0, 1, 0},
		steer.Iptables: {0, 0, 0, 2}, // one for each family
	}[b]
	if got != want {
		t.Errorf("programs, filters, tables and chains of ours: %v, want %v\n%s", got, want, d)
	}
}

// TestSteeringSurvivesKill kills a process that steers and starts the next one, with
// the same backend and with the one after it in the list.
func TestSteeringSurvivesKill(t *testing.T) {
	forEachBackend(t, func(t *testing.T, first steer.Backend) {
		next := backends[(slices.Index(backends, first)+1)%len(backends)]
		for _, second := range []steer.Backend{first, next} {
			t.Run("then "+string(second), func(t *testing.T) {
				w := newWire(t, first, second)
				before := dump(t, w.director)
				rules := testRules(w.link.Index)
				kill(t, w.director, first, w.link.Index)
				onlyOne(t, w.director, first)
				frames := uint32(0)
				steered := func(when string) {
					t.Helper()
					f := flow{to: w.link.HardwareAddr, src: addrPort("203.0.113.9:5000"), dst: addrPort("198.51.100.80:80"), proto: tcp}
					w.inject(t, f.frame(t), frames)
					if passed := w.passed(t, frames+1); len(passed) != 0 {
						t.Errorf("%s: frame to a service reached the stack", when)
					}
					frames += 2
				}
				steered("after the kill")

				s := open(t, w.director, second)
				onlyOne(t, w.director, first)
				steered("after Open")
				apply(t, w.director, s, rules)
				onlyOne(t, w.director, second)
				steered("after Apply")
				apply(t, w.director, s, rules)
				onlyOne(t, w.director, second)

				inside(t, w.director, s.Remove)
				if after := dump(t, w.director); after != before {
					t.Errorf("filters before:\n%s\nafter Remove:\n%s", before, after)
				}
			})
		}
	})
}

// Environment of the process that kill starts.
const (
	envBackend = "STEER_TEST_BACKEND"
	envLink    = "STEER_TEST_LINK"
	envReport  = "STEER_TEST_REPORT" // set: the process tells what it found and ends
	readyLine  = "steering"
)

// TestMain is also the process that kill starts.
func TestMain(m *testing.M) {
	if b := os.Getenv(envBackend); b != "" {
		if err := steerUntilKilled(steer.Backend(b), os.Getenv(envLink)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// kill steers with testRules on a link of the host in a process of its own, and kills that.
func kill(t *testing.T, h *netlab.Host, b steer.Backend, index int) {
	t.Helper()
	p, err := h.StartCmd(netlab.Cmd{
		Name: os.Args[0],
		Env:  []string{envBackend + "=" + string(b), envLink + "=" + strconv.Itoa(index)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitOutput(labtest.Hang, readyLine); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
}

// steerUntilKilled steers with testRules on the link and returns only with an error.
func steerUntilKilled(b steer.Backend, link string) error {
	index, err := strconv.Atoi(link)
	if err != nil {
		return err
	}
	s, err := steer.Open(b)
	if err != nil {
		return err
	}
	if err := s.Apply(testRules(index)); err != nil {
		return err
	}
	fmt.Println(readyLine)
	if os.Getenv(envReport) != "" {
		fmt.Println("backend", s.Backend())
		for _, p := range s.PassedOver() {
			fmt.Println(p)
		}
		fmt.Println("unseen", s.Unseen())
		if err := s.Remove(); err != nil {
			return err
		}
		fmt.Println("removed")
		os.Exit(0)
	}
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt)
	<-interrupt
	return errors.New("interrupted instead of killed")
}

// TestCleanup removes what several runs left, and leaves alone what only looks like it.
func TestCleanup(t *testing.T) {
	netlab.Require(t)
	h := hostWithLink(t)
	index := index(t, h, "eth0")
	labtest.Run(t, h, "nft", `
		table netdev uvs_steer {
			chain c { type filter hook ingress device "eth0" priority 7; }
		}
		table netdev uvs_steer_mine {
			set s {
				type ipv4_addr
				elements = { 192.0.2.1 }
			}
		}
		table inet uvs_steer_1 {
			chain c {
				type filter hook prerouting priority raw
				tcp dport 80 accept
			}
		}`)
	attachForeign(t, h, index, "someone", false)
	attachForeign(t, h, index, "uvs_steer", true) // held by a link: not ours, whatever its name
	before := dump(t, h)

	if removed := cleanup(t, h); len(removed) != 0 {
		t.Errorf("Cleanup removed %q where nothing of ours was", removed)
	}
	for _, b := range backends {
		kill(t, h, b, index)
	}
	removed := cleanup(t, h)
	// Each run removed what the one before left, once its own was in place.
	if want := []string{"chain uvs-steer of iptables, table raw", "chain uvs-steer of ip6tables, table raw"}; !slices.Equal(removed, want) {
		t.Errorf("Cleanup removed %q, want %q", removed, want)
	}
	for b, want := range map[steer.Backend][]string{
		steer.TCX:    {"tcx program uvs_steer on eth0"},
		steer.Clsact: {"clsact filter uvs_steer on eth0", "clsact qdisc on eth0"},
		steer.NFT:    {"nft table netdev uvs_steer_1"},
	} {
		kill(t, h, b, index)
		if removed := cleanup(t, h); !slices.Equal(removed, want) {
			t.Errorf("Cleanup after %s removed %q, want %q", b, removed, want)
		}
	}
	if after := dump(t, h); after != before {
		t.Errorf("filters before:\n%s\nafter Cleanup:\n%s", before, after)
	}
}

// attachForeign attaches a program of someone else, with or without a link.
func attachForeign(t *testing.T, h *netlab.Host, index int, name string, byLink bool) {
	t.Helper()
	p := foreignProgram(t, name, tcxNext)
	inside(t, h, func() error {
		if !byLink {
			return link.RawAttachProgram(link.RawAttachProgramOptions{
				Target: index, Program: p, Attach: ebpf.AttachTCXIngress, Anchor: link.Tail(),
			})
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
}

// TestSteeringIsAheadOfOthers has a program there first that hands everything to the stack.
func TestSteeringIsAheadOfOthers(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		w := newWire(t, b)
		greedy := foreignProgram(t, "greedy", tcxPass)
		inside(t, w.director, func() error {
			if b == steer.Clsact { // which is behind tcx: see its doc
				return addFilter(w.link.Index, netlink.HANDLE_MIN_INGRESS, greedy)
			}
			return link.RawAttachProgram(link.RawAttachProgramOptions{
				Target: w.link.Index, Program: greedy, Attach: ebpf.AttachTCXIngress,
			})
		})
		apply(t, w.director, open(t, w.director, b), testRules(w.link.Index))
		f := flow{to: w.link.HardwareAddr, src: addrPort("203.0.113.9:5000"), dst: addrPort("198.51.100.80:80"), proto: tcp}
		w.inject(t, f.frame(t), 0)
		if passed := w.passed(t, 1); len(passed) != 0 {
			t.Error("frame to a service reached the stack")
		}
	})
}

// TestForeignFiltersStay checks that others keep what they have through the whole life of
// a Steerer, and that their programs still run.
func TestForeignFiltersStay(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		h := hostWithLink(t)
		link := index(t, h, "eth0")
		labtest.Run(t, h, "nft", `
			table inet filter {
				chain input {
					type filter hook input priority 0
					tcp dport 22 accept
				}
			}
			table netdev other {
				chain c { type filter hook ingress device "eth0" priority -500; }
			}`)
		attachForeign(t, h, link, "someone", false)
		attachForeign(t, h, link, "someone_else", true)
		for _, side := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			inside(t, h, func() error { return addFilter(link, side, foreignProgram(t, "someones_filter", tcxNext)) })
		}
		labtest.Run(t, h, "iptables", "-t", "raw", "-A", "PREROUTING", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
		labtest.Run(t, h, "iptables", "-t", "raw", "-N", "uvs-steer-mine")
		before := dump(t, h)
		s := open(t, h, b)
		for _, r := range []steer.Rules{testRules(link), {}, testRules(link), testRules()} {
			apply(t, h, s, r)
			for _, line := range strings.Split(strings.TrimSpace(before), "\n") {
				if !strings.Contains(dump(t, h), line) {
					t.Errorf("missing while steering: %s", line)
				}
			}
		}
		inside(t, h, s.Remove)
		if after := dump(t, h); after != before {
			t.Errorf("filters before:\n%s\nafter Remove:\n%s", before, after)
		}
	})
}

// TestApplyLinks follows devices that come and go.
func TestApplyLinks(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		h := hostWithLink(t)
		eth0 := index(t, h, "eth0")
		labtest.Run(t, h, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
		v0, v1 := index(t, h, "v0"), index(t, h, "v1")
		on := func() (steered []string) {
			d := dump(t, h)
			for _, name := range []string{"eth0", "v0", "v1"} {
				for _, sign := range []string{
					"tcx " + name + ": uvs_steer ", "tc " + name + " ingress: filter protocol all pref 1 bpf chain 0 handle 0x75760002 uvs_steer ",
					`ingress device "` + name + `" `, `iifname "` + name + `" `,
				} {
					if strings.Contains(d, sign) {
						steered = append(steered, name)
						break
					}
				}
			}
			return steered
		}
		check := func(want ...string) {
			t.Helper()
			if got := on(); !slices.Equal(got, want) {
				t.Errorf("steered devices: %q, want %q", got, want)
			}
		}
		s := open(t, h, b)
		const nobody = 4711
		apply(t, h, s, testRules(eth0, v0, nobody))
		check("eth0", "v0")
		apply(t, h, s, testRules(v1, v0))
		check("v0", "v1")
		labtest.Run(t, h, "ip", "link", "del", "v0")
		apply(t, h, s, testRules(v0, v1, eth0))
		check("eth0")
		// Somebody flushes everything: the next Apply repairs it.
		cleanup(t, h)
		check()
		apply(t, h, s, testRules(v0, v1, eth0))
		check("eth0")
		apply(t, h, s, testRules(v0, v1))
		check()
	})
}

// TestApplyAgain: the same rules once more touch nothing, but for nft's new generation, and
// bring back a part that somebody took away.
func TestApplyAgain(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		h := hostWithLink(t)
		link := index(t, h, "eth0")
		s := open(t, h, b)
		apply(t, h, s, testRules(link))
		before := dump(t, h)
		apply(t, h, s, testRules(link))
		if after := dump(t, h); after != before && b != steer.NFT {
			t.Errorf("filters before:\n%s\nafter the same rules again:\n%s", before, after)
		}
		if b != steer.Iptables {
			return
		}
		labtest.Run(t, h, "iptables", "-t", "raw", "-F", "uvs-steer-match")
		labtest.Run(t, h, "ip6tables", "-t", "raw", "-D", "PREROUTING", "-j", "uvs-steer")
		apply(t, h, s, testRules(link))
		if saved := labtest.Run(t, h, "iptables-save", "-t", "raw"); !strings.Contains(saved, "-A uvs-steer-match -d 198.51.100.80/32 ") {
			t.Errorf("rules that somebody flushed are not back:\n%s", saved)
		}
		if saved := labtest.Run(t, h, "ip6tables-save", "-t", "raw"); !strings.Contains(saved, "-A PREROUTING -j uvs-steer\n") {
			t.Errorf("the jump that somebody deleted is not back:\n%s", saved)
		}
	})
}

// TestApplyFailsAsAWhole makes the second of two devices refuse.
func TestApplyFailsAsAWhole(t *testing.T) {
	netlab.Require(t)
	h := hostWithLink(t)
	labtest.Run(t, h, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	eth0, v0 := index(t, h, "eth0"), index(t, h, "v0")
	s := open(t, h, steer.TCX)
	apply(t, h, s, testRules(eth0))
	const most = 63 // what a hook takes: BPF_MPROG_MAX less one
	for i := range most {
		attachForeign(t, h, v0, "full"+strconv.Itoa(i), false)
	}
	before := dump(t, h)
	more := testRules(eth0, v0)
	more.Services = append(more.Services, match("198.51.100.99", 99, tcp))
	var err error
	inside(t, h, func() error {
		err = s.Apply(more)
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("steer by tcx: interface %d: ", v0)) {
		t.Errorf("error %v, want one about interface %d", err, v0)
	}
	if after := dump(t, h); after != before {
		t.Errorf("filters before:\n%s\nafter the failed Apply:\n%s", before, after)
	}
	apply(t, h, s, testRules(eth0))
}

// TestApplyManyMatches fills more than one netlink message and a map of some size.
func TestApplyManyMatches(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		services := 20_000
		if b == steer.Iptables {
			services = 2_000 // it takes no more gladly, and neither do its packets
		}
		w := newWire(t, b)
		rules := testRules(w.link.Index)
		for i := range services {
			a := netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
			rules.Services = append(rules.Services, steer.Match{Addr: a, Port: 443, Proto: tcp})
		}
		s := open(t, w.director, b)
		start := time.Now()
		apply(t, w.director, s, rules)
		t.Logf("%d services in %v", services, time.Since(start))
		for i, m := range []steer.Match{rules.Services[len(rules.Services)-1], match("2001:db8::f:ffff", 443, tcp)} {
			f := flow{to: w.link.HardwareAddr, src: addrPort("[2001:db8:3::9]:5000"), dst: netip.AddrPortFrom(m.Addr, m.Port), proto: tcp}
			w.inject(t, f.frame(t), uint32(2*i))
			dropped := len(w.passed(t, uint32(2*i+1))) == 0
			if want := i == 0; dropped != want {
				t.Errorf("%s: dropped %v, want %v", m, dropped, want)
			}
		}
	})
}

func TestOpen(t *testing.T) {
	netlab.Require(t)
	h := hostWithLink(t)
	before := dump(t, h)
	s := open(t, h, steer.Auto)
	if s.Backend() != steer.TCX || len(s.PassedOver()) != 0 {
		t.Errorf("Open(auto) = %s, passing over %v", s.Backend(), s.PassedOver())
	}
	s = open(t, h, steer.NFT)
	if s.Backend() != steer.NFT || len(s.PassedOver()) != 0 {
		t.Errorf("Open(nft) = %s, passing over %v", s.Backend(), s.PassedOver())
	}
	_, err := steer.Open("ebtables")
	if want := `steering backend "ebtables" is not known (have: auto, tcx, clsact, nft, iptables, bare)`; err == nil || err.Error() != want {
		t.Errorf("Open(ebtables): %v, want %s", err, want)
	}
	inside(t, h, func() error {
		for _, p := range steer.Probe() {
			if p.Err != nil {
				t.Errorf("%s: %v", p.Backend, p.Err)
			}
		}
		return nil
	})
	if after := dump(t, h); after != before {
		t.Errorf("filters before:\n%s\nafter Open and Probe:\n%s", before, after)
	}
}

// TestDescriptorsAreClosed counts the open descriptors of the process over many updates.
func TestDescriptorsAreClosed(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		h := hostWithLink(t)
		link := index(t, h, "eth0")
		use := func() {
			inside(t, h, func() error {
				s, err := steer.Open(b)
				if err != nil {
					return err
				}
				for i := range 3 {
					r := testRules(link)
					r.Services = append(r.Services, match("198.51.100.99", uint16(i+1), tcp))
					if err := s.Apply(r); err != nil {
						return err
					}
				}
				return s.Close()
			})
		}
		use()
		before := descriptors(t)
		for range 5 {
			use()
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors are open after further runs, before them %d", after, before)
		}
	})
}

// descriptors counts the open descriptors of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
