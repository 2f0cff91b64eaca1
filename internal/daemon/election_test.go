package daemon

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"uvs/config"
)

// rivalOf binds a file with one instance, VI_1 on eth0 unless words say otherwise.
func rivalOf(t *testing.T, file string, source netip.Addr, words string) *rival {
	t.Helper()
	c := bindVRRP(t, oneInstance("", words), "a.conf")
	for n := range c.Instances {
		c.Instances[n].Pos.File = file
	}
	return newRival(file, c, func(*config.Instance) netip.Addr { return source })
}

// TestElections is what `uvs check --peer` says, line by line.
func TestElections(t *testing.T) {
	first, second, third := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	pass := func(word string) string {
		return "\nauthentication {\n auth_type PASS\n auth_pass " + word + "\n}"
	}
	for name, x := range map[string]struct {
		ours            string
		peers           []string
		lines, findings []string
	}{
		"its own figures": {ours: vips + "\npriority 150", lines: []string{
			"vrrp_instance A: VRID 7, priority 150, takes over 3.41 s after a crash of the master, 0.41 s after a clean stop"}},
		"version 3": {ours: vips + "\npriority 150\nversion 3\nadvert_int 0.1\nnopreempt", lines: []string{
			"vrrp_instance A: VRID 7, priority 150, takes over 0.34 s after a crash of the master, 0.04 s after a clean stop, and leaves a living master alone"}},
		"preempt_delay": {ours: vips + "\npreempt_delay 20", lines: []string{
			"vrrp_instance A: VRID 7, priority 100, takes over 3.61 s after a crash of the master, 0.61 s after a clean stop, and a living master alone for 20.00 s"}},
		"in FAULT": {ours: vips + "\nunicast_fault_no_peer", lines: []string{
			"vrrp_instance A: VRID 7, priority 100, takes over 3.61 s after a crash of the master, 0.61 s after a clean stop; but it stays in FAULT: it has no unicast_peer"}},
		"a pair": {ours: vips + "\npriority 150", peers: []string{vips}, lines: []string{
			"vrrp_instance A: VRID 7, priority 150, takes over 3.41 s after a crash of the master, 0.41 s after a clean stop",
			"  start of all at once: one.conf is MASTER after 3.41 s: it has the highest priority, 150",
			"  all up: one.conf is MASTER, whoever was before",
			"  without one.conf: two.conf takes over 3.61 s after a crash, 0.61 s after a clean stop"}},
		"equal, both nopreempt": {ours: vips + "\nnopreempt", peers: []string{vips + "\nnopreempt"}, lines: []string{
			"vrrp_instance A: VRID 7, priority 100, takes over 3.61 s after a crash of the master, 0.61 s after a clean stop, and leaves a living master alone",
			"  start of all at once: two.conf is MASTER after 3.61 s: priority 100 is equal, and 192.0.2.2 the higher address",
			"  all up: of two.conf and one.conf whoever is MASTER first stays",
			"  without two.conf: one.conf takes over 3.61 s after a crash, 0.61 s after a clean stop"}},
		"everything differs": {ours: vips + pass("secret"), peers: []string{"advert_int 2\nvirtual_ipaddress {\n 192.0.2.81\n}" + pass("other")}, lines: []string{
			"vrrp_instance A: VRID 7, priority 100, takes over 3.61 s after a crash of the master, 0.61 s after a clean stop",
			"  2 are MASTER at a time: one.conf, and two.conf"},
			findings: []string{
				"a.conf:9:1: vrrp_instance A and that of a.conf:8:1 would both be MASTER: password differs from ours",
				"a.conf:5:1: vrrp_instance A and that of one.conf:2:1 would both be MASTER: advert interval 2s, ours 1s",
				"a.conf:6:1: vrrp_instance A and that of a.conf:5:1 would both be MASTER: addresses differ: only theirs 192.0.2.81, only ours 192.0.2.80"}},
		"another VRID": {ours: vips, peers: []string{vips + "\nvirtual_router_id 8"}, lines: []string{
			"vrrp_instance A: VRID 7, priority 100, takes over 3.61 s after a crash of the master, 0.61 s after a clean stop",
			"  2 are MASTER at a time: one.conf, and two.conf"},
			findings: []string{"a.conf:8:1: vrrp_instance A and that of a.conf:4:2 would both be MASTER: VRID 8, ours 7"}},
		"two owners": {ours: vips + "\npriority 255", peers: []string{vips + "\npriority 255"}, lines: []string{
			"vrrp_instance A: VRID 7, priority 255, takes over 3.00 s after a crash of the master, 0.00 s after a clean stop",
			"  start of all at once: two.conf is MASTER after 0.00 s: priority 255 is equal, and 192.0.2.2 the higher address",
			"  all up: of two.conf and one.conf whoever is MASTER first stays",
			"  without two.conf: one.conf takes over 3.00 s after a crash, 0.00 s after a clean stop"},
			findings: []string{"a.conf:8:1: vrrp_instance A and that of a.conf:8:1 would both be MASTER: priority 255 is for one router, the owner of the addresses, ours has it"}},
		"no counterpart": {ours: vips, peers: []string{"virtual_router_id 9\nvirtual_ipaddress {\n fe80::1\n}"}, lines: []string{
			"vrrp_instance A: VRID 7, priority 100, takes over 3.61 s after a crash of the master, 0.61 s after a clean stop"},
			findings: []string{"two.conf: there is no vrrp_instance like A of one.conf:2:1, by virtual_router_id 7, by addresses or by name"}},
		"the third does not fit": {ours: vips + "\npriority 150", peers: []string{vips, vips + "\nadvert_int 2"}, lines: []string{
			"vrrp_instance A: VRID 7, priority 150, takes over 3.41 s after a crash of the master, 0.41 s after a clean stop",
			"  2 are MASTER at a time: one.conf or two.conf, and three.conf",
			"  start of all at once: one.conf is MASTER after 3.41 s: it has the highest priority, 150",
			"  all up: one.conf is MASTER, whoever was before",
			"  without one.conf: two.conf takes over 3.61 s after a crash, 0.61 s after a clean stop"},
			findings: []string{"a.conf:8:1: vrrp_instance A and that of one.conf:2:1 would both be MASTER: advert interval 2s, ours 1s"}},
	} {
		t.Run(name, func(t *testing.T) {
			var peers []*rival
			for n, words := range x.peers {
				peers = append(peers, rivalOf(t, []string{"two.conf", "three.conf"}[n], []netip.Addr{second, third}[n], words))
			}
			lines, findings := elections(rivalOf(t, "one.conf", first, x.ours), peers)
			if diff := cmp.Diff(x.lines, lines); diff != "" {
				t.Errorf("lines differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(x.findings, findings); diff != "" {
				t.Errorf("findings differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReadPeers holds that nothing of this machine is asked of another's file, but its own
// errors are told.
func TestReadPeers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peer.conf")
	text := "vrrp_instance A {\n interface nowhere0\n virtual_router_id 7\n @b priority 150\n priorty 9\n notify /nowhere/script\n" + vips + "\n}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	peers, findings, err := readPeers([]PeerFile{{File: file}, {File: file, ConfigID: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []uint8{100, 150} {
		if got := peers[n].spec.Instances[0].Priority; got != want {
			t.Errorf("peer %d has priority %d, want %d", n, got, want)
		}
	}
	if len(findings) != 2 || !strings.Contains(findings[0], `peer.conf:5:2: "priorty" is not a keyword`) {
		t.Errorf("findings %q, want the misspelt word, once for each peer", findings)
	}
}
