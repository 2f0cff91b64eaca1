//go:build netns

package session

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// mark has each speaker forget what it has said.
func mark(speakers ...*speaker) {
	for _, s := range speakers {
		s.skip()
	}
}

func TestSessionsComeUpAndNoticeACut(t *testing.T) {
	p := newPair(t)
	far, back := to4("192.0.2.2"), to4("192.0.2.1")
	far.Name, far.MultiHop, back.Name, back.MultiHop = "far", true, "far", true
	begin := time.Now()
	a := startSpeaker(t, p.a, to4("192.0.2.2"), to6("2001:db8::2"), far)
	b := startSpeaker(t, p.b, to4("192.0.2.1"), to6("2001:db8::1"), back)
	up := func(from time.Time, why string) {
		for _, name := range []string{"v4", "v6", "far"} {
			for _, s := range []*speaker{a, b} {
				at := s.find(name + " up (" + name + ") Entering Up state")
				between(t, name+" up after "+why, from, at, 0, comeUp)
			}
		}
		mark(a, b)
	}
	up(begin, "start")
	for range 3 {
		cut := time.Now()
		check(t, p.net.SetDown("a"))
		for _, s := range []*speaker{a, b} {
			at := s.find("v6 down by Control Detection Time Expired")
			between(t, "v6 down after cut", cut, at, detection6-period6, detection6+slack)
			at = s.find("v4 down by Control Detection Time Expired")
			between(t, "v4 down after cut", cut, at, detection4-period4, detection4+slack)
			s.find("far down by Control Detection Time Expired")
		}
		mark(a, b)
		check(t, p.net.SetUp("a"))
		up(time.Now(), "heal")
	}
	t.Log(a.report())
}

func TestOneWayCut(t *testing.T) {
	p := newPair(t)
	a, b := startSpeaker(t, p.a, to4("192.0.2.2")), startSpeaker(t, p.b, to4("192.0.2.1"))
	a.find("v4 up")
	b.find("v4 up")
	mark(a, b)
	heal := deafen(t, p.b)
	cut := time.Now()
	atB := b.find("v4 down by Control Detection Time Expired")
	between(t, "deaf end down after cut", cut, atB, detection4-period4-slack, detection4+slack) // the cut itself takes time
	atA := a.find("v4 down by Neighbor Signaled Session Down (Control Detection Time Expired)")
	between(t, "other end down after the deaf one", atB, atA, -slack, slack)
	heal()
	healed := time.Now()
	between(t, "up after heal", healed, a.find("v4 up"), 0, comeUp)
	between(t, "up after heal", healed, b.find("v4 up"), 0, comeUp)
}

func TestPeerRestarts(t *testing.T) {
	p := newPair(t)
	a, b := startSpeaker(t, p.a, to4("192.0.2.2")), startSpeaker(t, p.b, to4("192.0.2.1"))
	a.find("v4 up")
	b.find("v4 up")

	mark(a)
	stop := time.Now()
	check(t, b.proc.Stop())
	at := a.find("v4 down by Neighbor Signaled Session Down (Administratively Down)")
	between(t, "down after a planned stop", stop, at, 0, slack)
	mark(a)
	b = startSpeaker(t, p.b, to4("192.0.2.1"))
	between(t, "up after a restart", time.Now(), a.find("v4 up"), 0, comeUp)
	b.find("v4 up")

	mark(a)
	crash := time.Now()
	check(t, b.proc.Signal(os.Kill))
	at = a.find("v4 down by Control Detection Time Expired")
	between(t, "down after a crash", crash, at, detection4-period4, detection4+slack)
	<-b.proc.Done()

	// A restart faster than the detection time: the new life's first packet ends the old session.
	mark(a)
	b = startSpeaker(t, p.b, to4("192.0.2.1"))
	a.find("v4 up")
	b.find("v4 up")
	mark(a)
	check(t, b.proc.Signal(os.Kill))
	b = startSpeaker(t, p.b, to4("192.0.2.1"))
	a.find("v4 down by Neighbor Signaled Session Down")
	a.find("v4 up")
	b.find("v4 up")
}

func TestNewIntervalsWhileUp(t *testing.T) {
	p := newPair(t)
	capture := labtest.Capture(t, p.a, "eth0", "udp dst port 3784")
	mine, theirs := to4("192.0.2.2"), to4("192.0.2.1")
	a, b := startSpeaker(t, p.a, mine), startSpeaker(t, p.b, theirs)
	a.find("v4 up")
	b.find("v4 up")
	mark(a, b)

	mine.MinTx, mine.MinRx, mine.Multiplier = 50*ms, 300*ms, 4
	theirs.MinRx = 40 * ms
	a.apply(mine)
	b.apply(theirs)
	want := func(s *speaker, text string) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error { return s.reports(text) })
	}
	want(a, "Period:50ms Detection:900ms Polling:false") // b's 3 × our 300 ms
	want(b, "Period:300ms Detection:200ms Polling:false")
	a.never("down")
	b.never("down")

	// Slow again, which waits for the poll: nobody misses a packet.
	mine.MinTx = 400 * ms
	a.apply(mine)
	want(a, "Period:400ms Detection:900ms Polling:false")
	want(b, "Period:300ms Detection:1.6s Polling:false")
	a.never("down")
	b.never("down")

	packets, err := capture.Stop()
	check(t, err)
	port := map[string]layers.UDPPort{}
	for _, pk := range packets {
		ip, udp := pk.Layer(layers.LayerTypeIPv4).(*layers.IPv4), pk.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if ip.TTL != 255 || ip.TOS != 0xc0 || udp.SrcPort < 49152 {
			t.Errorf("TTL %d, TOS %#x, source port %d; want 255, 0xc0, 49152 or more", ip.TTL, ip.TOS, udp.SrcPort)
		}
		if old, ok := port[ip.SrcIP.String()]; ok && old != udp.SrcPort {
			t.Errorf("source port of %s went from %d to %d", ip.SrcIP, old, udp.SrcPort)
		}
		port[ip.SrcIP.String()] = udp.SrcPort
	}
	if len(packets) < 10 {
		t.Errorf("%d packets captured", len(packets))
	}
}

// TestOwnStall has a speaker stand still for longer than its own detection time and shorter than its peer's. What came
// meanwhile has been waiting in the socket and shows that the peer was there.
func TestOwnStall(t *testing.T) {
	p := newPair(t)
	patient := to4("192.0.2.2")
	patient.Multiplier = 20
	a, b := startSpeaker(t, p.a, patient), startSpeaker(t, p.b, to4("192.0.2.1"))
	a.find("v4 up")
	b.find("v4 up")
	labtest.Eventually(t, labtest.Hang, func() error { return a.reports("Detection:600ms") })
	mark(a, b)
	check(t, a.proc.Signal(syscall.SIGSTOP))
	begin := time.Now()
	labtest.Eventually(t, labtest.Hang, func() error { return after(begin, 1500*ms) })
	check(t, a.proc.Signal(syscall.SIGCONT))
	labtest.Eventually(t, labtest.Hang, func() error { return a.reports("Over100ms:1") })
	a.never("down")
	b.never("down")
}

func TestAddressReturns(t *testing.T) {
	p := newPair(t)
	own := netip.MustParsePrefix("192.0.2.1/24")
	c := to4("192.0.2.2")
	c.Source = own.Addr()
	check(t, p.a.DelAddr("eth0", own))
	a, b := startSpeaker(t, p.a, c), startSpeaker(t, p.b, to4("192.0.2.1"))
	a.find("note (v4) nothing is sent to 192.0.2.2: bind 192.0.2.1: cannot assign requested address")
	check(t, p.a.AddAddr("eth0", own))
	a.find("note (v4) sending to 192.0.2.2 again")
	a.find("v4 up")
	b.find("v4 up")

	mark(a, b)
	check(t, p.a.DelAddr("eth0", own))
	b.find("v4 down")
	a.find("note (v4) nothing is sent to 192.0.2.2")
	check(t, p.a.AddAddr("eth0", own))
	a.find("v4 up")
	b.find("v4 up")
}

// TestInterfaceReturns has link-local addresses, which are nothing without their interface.
func TestInterfaceReturns(t *testing.T) {
	p := newPair(t)
	addr := func(h *netlab.Host, n int) {
		check(t, h.AddAddr("eth0", netip.MustParsePrefix(fmt.Sprintf("fe80::%d/64", n))))
	}
	addr(p.a, 1)
	addr(p.b, 2)
	near, far := to6("fe80::2%eth0"), to6("fe80::1%eth0")
	near.Source = netip.MustParseAddr("fe80::1%eth0")
	a, b := startSpeaker(t, p.a, near), startSpeaker(t, p.b, far)
	a.find("v6 up")
	b.find("v6 up")

	mark(a, b)
	labtest.Run(t, p.a, "ip", "link", "delete", "eth0")
	a.find("v6 down")
	b.find("v6 down")
	a.find("note (v6) nothing is sent to fe80::2%eth0")
	check(t, p.net.Attach(p.a, "eth0"))
	addr(p.a, 1)
	a.find("note (v6) sending to fe80::2%eth0 again")
	a.find("v6 up")
	b.find("v6 up")
}

func TestPortInUse(t *testing.T) {
	p := newPair(t)
	other, err := p.a.ListenPacket(t.Context(), "udp4", "0.0.0.0:3784")
	check(t, err)
	a := startSpeaker(t, p.a, to4("192.0.2.2"), to6("2001:db8::2"))
	b := startSpeaker(t, p.b, to4("192.0.2.1"), to6("2001:db8::1"))
	a.find("note no BFD packets are received: UDP port 3784 is in use: another program speaks BFD here")
	a.find("v6 up")
	check(t, other.Close())
	a.find("note BFD packets are received again")
	a.find("v4 up")
	b.find("v4 up")
	if n := strings.Count(a.proc.Stdout(), "is in use"); n != 1 {
		t.Errorf("told %d times that the port is in use", n)
	}
}

// TestHopsAreCounted has a router between the ends.
func TestHopsAreCounted(t *testing.T) {
	r := newRoute(t)
	near, far := to4("198.51.100.1"), to4("192.0.2.1")
	near.MultiHop, far.MultiHop, far.MaxHops = true, true, 1
	a, b := startSpeaker(t, r.a, near), startSpeaker(t, r.b, far)
	a.find("note (v4) packet from 198.51.100.1 dropped: TTL is too low: 254, wanted 255 or more")
	a.never("v4 up")
	near.MaxHops = 1
	a.apply(near)
	a.find("v4 up")
	b.find("v4 up")
}
