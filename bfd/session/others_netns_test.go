//go:build netns

package session

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uvs/bfd"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// An otherSpeaker is another program that speaks BFD on a host.
type otherSpeaker struct {
	t    *testing.T
	proc *netlab.Process
	log  func() string
	seen int // bytes of the log that tests have looked at
}

func (o *otherSpeaker) skip() { o.seen = len(o.log()) }

func (o *otherSpeaker) find(text string) {
	o.t.Helper()
	labtest.Eventually(o.t, labtest.Hang, func() error {
		if log := o.log()[o.seen:]; !strings.Contains(log, text) {
			return fmt.Errorf("no %q in:\n%s", text, log)
		}
		return nil
	})
}

// keepalivedConf tracks an instance, as nobody else would notice it.
const keepalivedConf = `bfd_instance peer4 {
	neighbor_ip 192.0.2.1
	source_ip 192.0.2.2
	min_rx 150
	min_tx 120
	multiplier 4
}
bfd_instance peer6 {
	neighbor_ip 2001:db8::1
	source_ip 2001:db8::2
	min_rx 40
	min_tx 40
	%s
}
vrrp_instance v {
	state BACKUP
	interface eth0
	virtual_router_id 7
	priority 100
	track_bfd {
		peer4
	}
	virtual_ipaddress {
		192.0.2.99
	}
}
`

func startKeepalived(t *testing.T, h *netlab.Host, extra string) *otherSpeaker {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "keepalived.conf")
	check(t, os.WriteFile(conf, []byte(fmt.Sprintf(keepalivedConf, extra)), 0o644))
	p := labtest.Start(t, h, "keepalived", "-n", "-l", "-D", "-f", conf)
	return &otherSpeaker{t: t, proc: p, log: p.Output}
}

// fromKeepalived4 is what the rules make of 192.0.2.1's to4 and keepalived's peer4: it sends at the larger of its 120
// and our 200 ms, we at the larger of our 200 and its 150 ms.
const fromKeepalived4 = "Period:200ms Detection:800ms Polling:false"

func TestKeepalived(t *testing.T) {
	p := newPair(t)
	k := startKeepalived(t, p.b, "")
	a := startSpeaker(t, p.a, to4("192.0.2.2"), to6("2001:db8::2"))
	up := func() {
		t.Helper()
		a.find("v4 up (v4) Entering Up state")
		a.find("v6 up (v6) Entering Up state")
		k.find("(peer4) Entering Up state")
		k.find("(peer6) Entering Up state")
		k.find("VRRP_Instance(v) Tracked BFD instance peer4 is UP")
		labtest.Eventually(t, labtest.Hang, func() error { return a.reports(fromKeepalived4) })
		k.find("Detection time is 600000 us") // our 3 × 200 ms
		mark(a)
		k.skip()
	}
	up()
	detection := 800 * ms

	cut := time.Now()
	check(t, p.net.SetDown("b"))
	at := a.find("v4 down by Control Detection Time Expired")
	between(t, "down after cut", cut, at, detection-200*ms, detection+slack)
	k.find("(peer4) Entering Down state (Local diagnostic - Control Detection Time Expired")
	k.find("VRRP_Instance(v) Tracked BFD instance peer4 is DOWN")
	mark(a)
	k.skip()
	check(t, p.net.SetUp("b"))
	up()

	// keepalived hears nothing and says so; we go down by its word.
	heal := deafen(t, p.b)
	a.find("v4 down by Neighbor Signaled Session Down (Control Detection Time Expired)")
	k.find("(peer4) Entering Down state (Local diagnostic - Control Detection Time Expired, Remote diagnostic - No Diagnostic)")
	mark(a)
	k.skip()
	heal()
	up()

	// We hear nothing and say so.
	heal = deafen(t, p.a)
	a.find("v4 down by Control Detection Time Expired")
	k.find("(peer4) Entering Down state (Local diagnostic - Neighbor Signaled Session Down, Remote diagnostic - Control Detection Time Expired)")
	mark(a)
	k.skip()
	heal()
	up()

	// Our planned stop is known at once, its own is not: keepalived says no farewell.
	check(t, a.proc.Stop())
	k.find("(peer4) Entering Down state (Local diagnostic - Neighbor Signaled Session Down, Remote diagnostic - Administratively Down)")
	k.skip()
	a = startSpeaker(t, p.a, to4("192.0.2.2"), to6("2001:db8::2"))
	up()
	stop := time.Now()
	check(t, k.proc.Stop())
	at = a.find("v4 down by Control Detection Time Expired")
	between(t, "down after keepalived's stop", stop, at, detection-200*ms, detection+slack+2*time.Second) // it takes a second to stop
	mark(a)
	k = startKeepalived(t, p.b, "")
	up()

	// Other intervals of ours, by a poll that keepalived answers.
	faster := to4("192.0.2.2")
	faster.MinTx, faster.MinRx, faster.Multiplier = 50*ms, 50*ms, 5
	a.apply(faster, to6("2001:db8::2"))
	labtest.Eventually(t, labtest.Hang, func() error { return a.reports("Period:150ms Detection:480ms Polling:false") })
	k.find("Detection time is 750000 us (was 600000 us)")
	a.never("down")
	if log := k.log()[k.seen:]; strings.Contains(log, "Entering Down") {
		t.Errorf("keepalived went down:\n%s", log)
	}
}

func TestPassiveKeepalived(t *testing.T) {
	p := newPair(t)
	k := startKeepalived(t, p.b, "passive")
	a := startSpeaker(t, p.a, to6("2001:db8::2"))
	a.find("v6 up")
	k.find("(peer6) Entering Up state")
}

func TestPassiveToKeepalived(t *testing.T) {
	p := newPair(t)
	c := to4("192.0.2.2")
	c.Passive = true
	a := startSpeaker(t, p.a, c)
	labtest.Eventually(t, labtest.Hang, func() error { return a.reports("Sent:0 ") })
	k := startKeepalived(t, p.b, "")
	a.find("v4 up")
	k.find("(peer4) Entering Up state")
}

// frrConf gives bfdd the peer at 192.0.2.1 with its own intervals, and one behind a router.
const frrConf = `log stdout debugging
debug bfd peer
bfd
 peer 192.0.2.1
  receive-interval 90
  transmit-interval 70
  detect-multiplier 4
 !
 peer 192.0.2.1 multihop local-address 198.51.100.1
  receive-interval 100
  transmit-interval 100
 !
`

// startFRR runs zebra and bfdd from the host's private /run. They run as the user of Debian's package.
func startFRR(t *testing.T, h *netlab.Host) (show func() string, bfdd *netlab.Process) {
	t.Helper()
	const programs, run = "/usr/lib/frr/", "/run/frr"
	if _, err := os.Stat(programs + "bfdd"); err != nil {
		t.Fatalf("%v: install the package frr (scripts/packages.sh)", err)
	}
	labtest.Run(t, h, "install", "-d", "-o", "frr", "-g", "frr", run)
	labtest.Run(t, h, "sh", "-c", fmt.Sprintf("printf %%s '%s' >%s/bfdd.conf && : >%s/zebra.conf && chown frr:frr %s/*.conf", frrConf, run, run, run))
	zebra := labtest.Start(t, h, programs+"zebra", "-f", run+"/zebra.conf", "-A", "127.0.0.1", "--log", "stdout")
	labtest.Eventually(t, labtest.Hang, func() error {
		out, err := h.Run(t.Context(), "test", "-S", run+"/zserv.api")
		if err != nil {
			return fmt.Errorf("zebra has no socket yet: %s%s", out, zebra.Output())
		}
		return nil
	})
	bfdd = labtest.Start(t, h, programs+"bfdd", "-f", run+"/bfdd.conf", "-A", "127.0.0.1", "--log", "stdout")
	return func() string {
		out, err := h.Run(t.Context(), "vtysh", "--vty_socket", run, "-d", "bfdd", "-c", "show bfd peers")
		if err != nil {
			return err.Error()
		}
		return out
	}, bfdd
}

// shows returns an error that has what FRR shows, unless that has all of the texts.
func shows(show func() string, texts ...string) error {
	out := show()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			return fmt.Errorf("no %q in:\n%s", text, out)
		}
	}
	return nil
}

func TestFRR(t *testing.T) {
	p := newPair(t)
	show, bfdd := startFRR(t, p.b)
	a := startSpeaker(t, p.a, to4("192.0.2.2"))
	up := func() {
		t.Helper()
		a.find("v4 up")
		labtest.Eventually(t, labtest.Hang, func() error {
			return shows(show, "Status: up", "Receive interval: 200ms", "Transmission interval: 200ms")
		})
		labtest.Eventually(t, labtest.Hang, func() error { return a.reports("Period:200ms Detection:800ms Polling:false") })
		mark(a)
	}
	up()
	cut := time.Now()
	check(t, p.net.SetDown("b"))
	at := a.find("v4 down by Control Detection Time Expired")
	between(t, "down after cut", cut, at, 600*ms, 800*ms+slack)
	labtest.Eventually(t, labtest.Hang, func() error { return shows(show, "Status: down", "Diagnostics: control detection time expired") })
	mark(a)
	check(t, p.net.SetUp("b"))
	up()

	heal := deafen(t, p.b)
	a.find("v4 down by Neighbor Signaled Session Down (Control Detection Time Expired)")
	mark(a)
	heal()
	up()
	heal = deafen(t, p.a)
	a.find("v4 down by Control Detection Time Expired")
	labtest.Eventually(t, labtest.Hang, func() error { return shows(show, "Remote diagnostics: control detection time expired") })
	mark(a)
	heal()
	up()

	// New intervals while up: FRR answers our poll.
	c := to4("192.0.2.2")
	c.MinTx, c.MinRx = 60*ms, 300*ms
	a.apply(c)
	labtest.Eventually(t, labtest.Hang, func() error { return a.reports("Period:90ms Detection:1.2s Polling:false") })
	labtest.Eventually(t, labtest.Hang, func() error {
		return shows(show, "Status: up", "Receive interval: 300ms", "Transmission interval: 60ms")
	})
	a.never("down")

	check(t, a.proc.Stop())
	labtest.Eventually(t, labtest.Hang, func() error { return shows(show, "Status: down", "Remote diagnostics: administratively down") })
	a = startSpeaker(t, p.a, to4("192.0.2.2"))
	up()

	// Switched off by its operator it is not taken for dead.
	vtysh := func(word string) {
		labtest.Run(t, p.b, "vtysh", "--vty_socket", "/run/frr", "-d", "bfdd", "-c", "configure terminal", "-c", "bfd", "-c", "peer 192.0.2.1", "-c", word)
	}
	vtysh("shutdown")
	a.find("note (v4) Entering Down state (Local diagnostic - Neighbor Signaled Session Down") // FRR gives no diagnostic
	vtysh("no shutdown")
	a.find("note (v4) Entering Up state")
	a.never("v4 down by")

	check(t, bfdd.Stop())
	a.find("v4 down by")
}

func TestFRRMultiHop(t *testing.T) {
	r := newRoute(t)
	show, _ := startFRR(t, r.b)
	c := Config{
		Config: bfd.Config{Name: "far", MinTx: 100 * ms, MinRx: 100 * ms, IdleTx: time.Second, Multiplier: 3},
		Peer:   netip.MustParseAddr("198.51.100.1"), TTL: 255, MaxHops: 1, MultiHop: true,
	}
	a := startSpeaker(t, r.a, c)
	a.find("far up")
	labtest.Eventually(t, labtest.Hang, func() error { return shows(show, "multihop local-address 198.51.100.1", "Status: up") })
	mark(a)
	heal := deafen(t, r.a)
	a.find("far down by Control Detection Time Expired")
	heal()
	a.find("far up")
}
