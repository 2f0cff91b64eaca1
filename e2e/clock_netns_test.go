//go:build netns && guest

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// stepClock sets the machine's clock on the wall forward or back.
func stepClock(t *testing.T, by time.Duration) {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		t.Fatal(err)
	}
	then := unix.NsecToTimespec(now.Nano() + int64(by))
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &then); err != nil {
		t.Fatal(err)
	}
}

// TestGuestClockSteps: the clock on the wall is set back and forth by 18 s, as one of the
// sites saw it, under a master, a backup, checks and connections. Nobody changes its state, no
// check probes more often than it should, and no connection ends.
func TestGuestClockSteps(t *testing.T) {
	m := modes()[0]
	top := m.site(t, netlab.Plan{Directors: 2, Servers: 1, NoVIP: true})
	startWeb(t, top.Servers[0])
	config := func(priority int) string {
		c := strings.Replace(m.config(top), "priority 255", fmt.Sprintf("priority %d", priority), 1)
		return strings.Replace(c, "advert_int 0.1", "advert_int 1", 1)
	}
	first := startDirector(t, top.Directors[0], config(150))
	waitLog(t, first, "Entering MASTER STATE")
	second := startDirector(t, top.Directors[1], config(100))
	waitLog(t, second, "sees master")
	type seen struct {
		state    string
		became   uint64
		services string
	}
	look := func(d *director) seen {
		i := d.status().VRRP.Instances[0]
		return seen{i.State, i.BecameMaster, d.uvs("ipvsadm", "-L", "-n", "--nosort")}
	}
	idle, err := top.Clients[0].DialContext(t.Context(), "tcp", top.VIP4.String()+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = idle.Close() }()
	flows := func() int { return strings.Count(first.uvs("ipvsadm", "-L", "-n", "-c"), "ESTABLISHED") }
	if flows() == 0 {
		t.Fatal("the connection is not listed")
	}
	before := []seen{look(first), look(second)}
	probes := labtest.Capture(t, top.Servers[0], "eth0", "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn")
	begin, end := time.Now(), time.Duration(0)
	for _, by := range []time.Duration{18 * time.Second, -18 * time.Second, -18 * time.Second, 18 * time.Second} {
		stepClock(t, by)
		after := time.NewTimer(5 * time.Second) // more than a master's silence is waited for
		<-after.C
	}
	end = time.Since(begin)
	packets, err := probes.Stop()
	if err != nil {
		t.Fatal(err)
	}
	for n, d := range []*director{first, second} {
		if now := look(d); now.state != before[n].state || now.became != before[n].became {
			t.Errorf("%s was %+v, is %+v", d.host.Name(), before[n], now)
		}
	}
	if flows() == 0 {
		t.Error("the connection has expired")
	}
	syns := 0
	for _, p := range packets {
		if tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok && tcp.SYN && !tcp.ACK {
			syns++
		}
	}
	// Two directors, checks of both families, delay_loop 1.
	if most := 4 * (int(end/time.Second) + 2); syns > most || syns < most/4 {
		t.Errorf("the server was probed %d times in %v, want at most %d and not none", syns, end, most)
	}
	first.stop()
	second.stop()
}
