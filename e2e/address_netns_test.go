//go:build netns

package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// hasAddress reports whether a host has an address on eth0.
func hasAddress(t *testing.T, h *netlab.Host, a netip.Addr) bool {
	t.Helper()
	return strings.Contains(labtest.Run(t, h, "ip", "-o", "address", "show", "dev", "eth0"), " "+a.String()+"/")
}

// wantAddresses compares what status says of the VIPs, and who has them.
func wantAddresses(t *testing.T, d *director, want control.AddressState, mac string) {
	t.Helper()
	list := d.status().Addresses
	if len(list) != 2 {
		t.Errorf("status has %d addresses, want 2", len(list))
	}
	for _, a := range list {
		if a.State != want || a.ConflictMAC != mac {
			t.Errorf("%s: status has %s as %s of %q, want %s of %q", d.host.Name(), a.Address, a.State, a.ConflictMAC, want, mac)
		}
		mine := want != control.AddressStandby
		if has := hasAddress(t, d.host, a.Address.Addr()); has != mine {
			t.Errorf("%s has %s: %t, want %t", d.host.Name(), a.Address, has, mine)
		}
	}
}

func macOf(t *testing.T, h *netlab.Host) string {
	t.Helper()
	mac, err := h.MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	return mac.String()
}

// addVIPs gives a host the VIPs of a site as an operator would.
func addVIPs(t *testing.T, top *netlab.Topology, h *netlab.Host) {
	t.Helper()
	for _, p := range []netip.Prefix{netip.PrefixFrom(top.VIP4, 24), netip.PrefixFrom(top.VIP6, 64)} {
		if err := h.AddAddr("eth0", p); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAddressOfAnotherHost: another machine, which knows nothing of VRRP, has the VIPs. Log and
// status name it; everything else goes on.
func TestAddressOfAnotherHost(t *testing.T) {
	t.Parallel()
	m := modes()[0]
	top := m.site(t, netlab.Plan{Clients: 2, Servers: 1, NoVIP: true})
	director, other := top.Directors[0], top.Clients[1]
	startWeb(t, top.Servers[0])
	addVIPs(t, top, other)
	mac := macOf(t, other)

	// One more service, on the director's own address.
	own := director.Addr4("eth0")
	config := m.config(top) + fmt.Sprintf("virtual_server %s 8000 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server %s 8080 {\n TCP_CHECK {\n}\n}\n}\n",
		own, top.Servers[0].Addr4("eth0"))
	before := dump(t, director)
	d := startDirector(t, director, config)
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		waitLog(t, d, fmt.Sprintf("address=%s", vip))
	}
	wantAddresses(t, d, control.AddressAdded, mac)
	if n := strings.Count(d.proc.Output(), "mac="+mac); n != 2 {
		t.Errorf("the log names the other host %d times, want 2", n)
	}
	if out := d.uvs("status"); !strings.Contains(out, mac) {
		t.Errorf("status for people does not name %s:\n%s", mac, out)
	}
	if got := curl(t, top.Clients[0], url(own, 8000, "/")); got != "server1\n" {
		t.Errorf("the rest does not run: %q", got)
	}
	d.stop()
	wantDump(t, director, before, "after SIGTERM")
}

// TestTwoDirectors: of two directors one has the addresses; the other takes them when it
// stops, and gives them back when it returns.
func TestTwoDirectors(t *testing.T) {
	t.Parallel()
	m := modes()[1]
	top := m.site(t, netlab.Plan{Directors: 2, Servers: 1, NoVIP: true})
	startWeb(t, top.Servers[0])
	config := func(priority int) string {
		return strings.Replace(m.config(top), "priority 255", fmt.Sprintf("priority %d", priority), 1)
	}
	served := func() {
		t.Helper()
		for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			if got := curl(t, top.Clients[0], url(vip, 80, "/")); got != "server1\n" {
				t.Errorf("%s serves %q", vip, got)
			}
		}
	}
	first := startDirector(t, top.Directors[0], config(150))
	waitLog(t, first, "Entering MASTER STATE")
	second := startDirector(t, top.Directors[1], config(100))
	waitLog(t, second, "sees master")
	wantAddresses(t, first, control.AddressAdded, "")
	wantAddresses(t, second, control.AddressStandby, "")
	served()

	first.stop()
	wantAddresses(t, second, control.AddressAdded, "")
	if hasAddress(t, first.host, top.VIP4) || hasAddress(t, first.host, top.VIP6) {
		t.Error("a director that stopped has a virtual address")
	}
	served()
	first = startDirector(t, top.Directors[0], config(150))
	waitLog(t, first, "Entering MASTER STATE")
	waitLog(t, second, "higher priority 150, ours 100")
	wantAddresses(t, second, control.AddressStandby, "")
	wantAddresses(t, first, control.AddressAdded, "")
	served()
	first.stop()
	second.stop()
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		if hasAddress(t, first.host, vip) || hasAddress(t, second.host, vip) {
			t.Errorf("a stopped director has %s", vip)
		}
	}
}

// refused starts uvs where it must not run, and wants exit status 1, one line that has all
// the words, and a host as before.
func refused(t *testing.T, h *netlab.Host, args []string, words ...string) {
	t.Helper()
	before := dump(t, h)
	p := labtest.Start(t, h, labtest.Binary(t), args...)
	select {
	case <-p.Done():
	case <-time.After(startTimeout):
		t.Fatalf("uvs %s goes on running:\n%s", strings.Join(args, " "), p.Output())
	}
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("uvs %s: %v, want exit status 1", strings.Join(args, " "), err)
	}
	lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "uvs: ") {
		t.Errorf("uvs %s says %q at the end, want a line that begins with \"uvs: \"", strings.Join(args, " "), last)
	}
	for _, line := range lines[:len(lines)-1] {
		if strings.HasPrefix(line, "uvs: ") {
			t.Errorf("uvs %s ends with more than one line:\n%s", strings.Join(args, " "), p.Output())
		}
	}
	for _, word := range words {
		if !strings.Contains(last, word) {
			t.Errorf("uvs %s says %q, want %q in it", strings.Join(args, " "), last, word)
		}
	}
	wantDump(t, h, before, "after a refused start")
}

// TestKeepalivedIsThere: where keepalived looks after addresses uvs does not start.
func TestKeepalivedIsThere(t *testing.T) {
	t.Parallel()
	m := modes()[1]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director := top.Directors[0]
	file := writeConfig(t, m.config(top))
	keepalived := labtest.Start(t, director, "keepalived", "-n", "-l", "-P", "-f", file)
	pid := ""
	labtest.Eventually(t, labtest.Hang, func() error {
		out, err := director.Run(t.Context(), "cat", "/run/keepalived.pid")
		pid = strings.TrimSpace(out)
		return err
	})
	// Its last act of starting is to take the address.
	labtest.Eventually(t, labtest.Hang, func() error {
		if !hasAddress(t, director, top.VIP4) || !hasAddress(t, director, top.VIP6) {
			return fmt.Errorf("keepalived has not added the VIPs: %s", keepalived.Output())
		}
		return nil
	})
	refused(t, director, []string{"run", "-f", file}, "keepalived (pid "+pid+")")
	select {
	case <-keepalived.Done():
		t.Error("keepalived ended")
	default:
	}
	if err := keepalived.Stop(); err != nil {
		t.Fatal(err)
	}
	startDirector(t, director, m.config(top)).stop()
}

// TestSecondStart: a second uvs is refused in the same run directory, and in another one of
// the same machine, where it names the first; so is cleanup while one runs.
func TestSecondStart(t *testing.T) {
	m := modes()[1]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director := top.Directors[0]
	startWeb(t, top.Servers[0])
	file := writeConfig(t, m.config(top))
	d := startDirector(t, director, m.config(top))
	pid := fmt.Sprint(d.status().PID)

	refused(t, director, []string{"run", "-f", file}, "run directory /run/uvs: another uvs is running")
	refused(t, director, []string{"run", "-f", file, "--run-dir", "/run/uvs-b"}, "pid "+pid)
	refused(t, director, []string{"cleanup"}, "another uvs")
	refused(t, director, []string{"cleanup", "--run-dir", "/run/uvs-b"}, "pid "+pid)
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		if got := curl(t, top.Clients[0], url(vip, 80, "/")); got != "server1\n" {
			t.Errorf("the first director serves %q", got)
		}
	}
}

// TestAnnouncement: gratuitous ARP and unsolicited neighbour advertisements are on the wire
// at start, and a client that knows the VIPs elsewhere learns at once.
func TestAnnouncement(t *testing.T) {
	m := modes()[1]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director, client := top.Directors[0], top.Clients[0]
	mac := macOf(t, director)
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		labtest.Run(t, client, "ip", "neighbour", "replace", vip.String(), "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "stale")
	}
	seen := labtest.Capture(t, client, "eth0", "ether src "+mac+" and (arp or icmp6)")
	startDirector(t, director, m.config(top))
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		if out := labtest.Run(t, client, "ip", "neighbour", "show", vip.String()); !strings.Contains(out, mac) {
			t.Errorf("the client knows the VIP as %q when uvs is ready, want %s", out, mac)
		}
	}
	packets, err := seen.Stop()
	if err != nil {
		t.Fatal(err)
	}
	announced := make(map[netip.Addr]int)
	for _, p := range packets {
		if a, ok := announcement(p); ok {
			announced[a]++
		}
	}
	const want = 5 // keepalived's vrrp_garp_master_repeat
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		if announced[vip] != want {
			t.Errorf("%s was announced %d times, want %d", vip, announced[vip], want)
		}
	}
}

// announcement returns the address that an ARP packet or a neighbour advertisement
// announces to everybody.
func announcement(p gopacket.Packet) (netip.Addr, bool) {
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		from, to := netip.AddrFrom4([4]byte(arp.SourceProtAddress)), netip.AddrFrom4([4]byte(arp.DstProtAddress))
		return from, from == to
	}
	if na, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement); ok {
		a, _ := netip.AddrFromSlice(na.TargetAddress)
		return a, !na.Solicited() && na.Override()
	}
	return netip.Addr{}, false
}

// TestAddressFromBefore: an address that the operator has put there is served and stays,
// after SIGTERM and after kill -9 and cleanup; what uvs wrote to /run goes.
func TestAddressFromBefore(t *testing.T) {
	m := modes()[1]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	host := top.Directors[0]
	startWeb(t, top.Servers[0])
	addVIPs(t, top, host)
	before := dump(t, host)
	start := func() *director {
		t.Helper()
		d := startDirector(t, host, m.config(top))
		wantAddresses(t, d, control.AddressPresent, "")
		for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			curl(t, top.Clients[0], url(vip, 80, "/"))
		}
		return d
	}
	start().stop()
	wantDump(t, host, before, "after SIGTERM")
	d := start()
	d.kill()
	d.uvs("cleanup")
	wantDump(t, host, before, "after kill -9 and cleanup")
}

// TestStopWhileStarting: SIGTERM in the middle of the start leaves nothing either.
func TestStopWhileStarting(t *testing.T) {
	m := modes()[1]
	top := m.site(t, netlab.Plan{Servers: 1, NoVIP: true})
	director := top.Directors[0]
	before := dump(t, director)
	probes := labtest.Start(t, top.Clients[0], "tcpdump", "-l", "-n", "--immediate-mode", "-i", "eth0", "arp")
	if err := probes.WaitOutput(labtest.Hang, "listening on"); err != nil {
		t.Fatal(err)
	}
	d := launch(t, director, m.config(top))
	if err := probes.WaitOutput(startTimeout, "who-has "+top.VIP4.String()); err != nil {
		t.Fatal(err)
	}
	d.stop()
	wantDump(t, director, before, "after SIGTERM")
	if out := d.proc.Output(); regexp.MustCompile(`level=(ERROR|WARN)`).MatchString(out) {
		t.Errorf("a stop is no reason to complain:\n%s", out)
	}
}

// writeConfig writes a configuration into a file of the test.
func writeConfig(t *testing.T, config string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
