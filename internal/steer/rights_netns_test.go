//go:build netns

package steer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/steer"
)

// TestIptablesOfTheOlderKind steers by the programs that do not go through nf_tables, and has
// a director with the other ones take over.
func TestIptablesOfTheOlderKind(t *testing.T) {
	netlab.Require(t)
	legacy, err := exec.LookPath("xtables-legacy-multi")
	if err != nil {
		t.Skip("iptables' legacy programs are not installed")
	}
	w := newWire(t, steer.Iptables)
	before := dump(t, w.director)
	older := t.TempDir()
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			if err := os.Symlink(legacy, filepath.Join(older, name+suffix)); err != nil {
				t.Fatal(err)
			}
		}
	}
	saved := func() string {
		return labtest.Run(t, w.director, "iptables-legacy-save", "-t", "raw") + labtest.Run(t, w.director, "ip6tables-legacy-save", "-t", "raw")
	}
	path := os.Getenv("PATH")
	use := func(dir string) *steer.Steerer {
		t.Setenv("PATH", dir+path)
		s := open(t, w.director, steer.Iptables)
		apply(t, w.director, s, testRules(w.link.Index))
		return s
	}
	steered := func(when string, number uint32) {
		t.Helper()
		for i, f := range []flow{
			{src: addrPort("203.0.113.9:5000"), dst: addrPort("198.51.100.80:80"), proto: tcp},
			{src: addrPort("[2001:db8:3::9]:5000"), dst: addrPort("[2001:db8:1::80]:80"), proto: tcp},
		} {
			f.to = w.link.HardwareAddr
			w.inject(t, f.frame(t), number+uint32(2*i))
			if passed := w.passed(t, number+uint32(2*i+1)); len(passed) != 0 {
				t.Errorf("%s: frame to %s reached the stack", when, f.dst)
			}
		}
	}
	use(older + ":")
	if n := strings.Count(saved(), "-A PREROUTING -j uvs-steer\n"); n != 2 {
		t.Errorf("%d jumps in the older tables, want one for each family:\n%s", n, saved())
	}
	steered("by the older kind", 0)
	s := use("")
	if strings.Contains(saved(), "uvs-steer") {
		t.Errorf("after a change to the newer kind:\n%s", saved())
	}
	steered("by the newer kind", 10)
	use(older + ":")
	inside(t, w.director, s.Remove)
	if strings.Contains(saved(), "uvs-steer") {
		t.Errorf("after Remove:\n%s", saved())
	}
	if after := dump(t, w.director); after != before {
		t.Errorf("filters before:\n%s\nafter Remove:\n%s", before, after)
	}
}

// TestBare: what it cannot do without is asked for, each in one line.
func TestBare(t *testing.T) {
	netlab.Require(t)
	h := hostWithLink(t)
	before := dump(t, h)
	link := index(t, h, "eth0")
	s := open(t, h, steer.Bare)
	nat := testRules(link)
	direct := nat
	direct.Servers = nil
	refused := func(what string, r steer.Rules, want string) {
		t.Helper()
		if err := h.Do(func() error { return s.Apply(r) }); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q in one line", what, err, want)
		}
	}
	apply(t, h, s, nat)
	for _, file := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/eth0/forwarding", "net/ipv6/conf/all/forwarding"} {
		if err := h.Sysctl(file, "1"); err != nil {
			t.Fatal(err)
		}
		refused("NAT with "+file, nat, "is 1, so that the kernel forwards the untranslated answers of NAT servers")
		refused("direct routing with "+file, direct, "is 1, so that the kernel forwards packets to virtual addresses")
		apply(t, h, s, testRules()) // nothing is captured: nothing can go wrong
		for _, file := range []string{file, "net/ipv4/ip_forward"} {
			if err := h.Sysctl(file, "0"); err != nil {
				t.Fatal(err)
			}
		}
		apply(t, h, s, nat)
	}
	labtest.Run(t, h, "ip", "address", "add", "198.51.100.80/32", "dev", "lo")
	refused("VIP on lo", direct, "198.51.100.80 is on lo, so that the kernel's stack answers for it; remove it there")
	labtest.Run(t, h, "ip", "address", "del", "198.51.100.80/32", "dev", "lo")
	apply(t, h, s, direct)
	inside(t, h, s.Remove)
	if after := dump(t, h); after != before {
		t.Errorf("filters before:\n%s\nafter Remove:\n%s", before, after)
	}
}

// withRights runs the process that reports, as root with these capabilities alone.
func withRights(t *testing.T, h *netlab.Host, rights string, b steer.Backend, link int) string {
	t.Helper()
	return labtest.Run(t, h, "setpriv", "--bounding-set", "-all,"+rights, "--inh-caps", "-all,"+rights,
		"env", envReport+"=1", envBackend+"="+string(b), envLink+"="+strconv.Itoa(link), os.Args[0])
}

// TestBPFRight: with CAP_BPF beside the two that everything needs, it is clsact, which finds
// its filters again without any further right, and takes over what a crash left.
func TestBPFRight(t *testing.T) {
	netlab.Require(t)
	h := hostWithLink(t)
	link := index(t, h, "eth0")
	kill(t, h, steer.Clsact, link)
	attachForeign(t, h, link, "someone", false)
	out := withRights(t, h, "+net_admin,+net_raw,+bpf", steer.Auto, link)
	for _, want := range []string{"backend clsact\n", "tcx: needs CAP_SYS_ADMIN and CAP_NET_ADMIN ", "unseen [tcx]\n", "steering\n", "removed\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if d := dump(t, h); strings.Contains(d, "uvs_") {
		t.Errorf("left:\n%s", d)
	}
}

// TestFewRights: without the right to load programs, and so without that to look for those
// of earlier runs, nft is chosen and told why. A Steerer works and goes all the same.
func TestFewRights(t *testing.T) {
	netlab.Require(t)
	h := hostWithLink(t)
	index := index(t, h, "eth0")
	for _, others := range []string{"[]", "[tcx]"} {
		out := withRights(t, h, "+net_admin,+net_raw", steer.Auto, index)
		for _, want := range []string{
			"backend nft\n", "tcx: needs CAP_SYS_ADMIN ", "clsact: needs CAP_BPF ", "unseen " + others + "\n", "steering\n", "removed\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in:\n%s", want, out)
			}
		}
		if d := dump(t, h); strings.Contains(d, "uvs_") {
			t.Errorf("left:\n%s", d)
		}
		attachForeign(t, h, index, "someone", false) // who it is takes rights to know
	}
}
