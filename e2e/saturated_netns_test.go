//go:build netns

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestNoFalseTakeovers runs pairs with adverts of 100 ms while their data plane and all CPUs
// are saturated: uvs and keepalived in turn, 10 s each, or ten times a minute when there is
// time. A backup that takes over from a master that lives does so falsely. Of uvs each such
// takeover must be explained by timers that were late, and shown so in status, or by a machine
// that was taken away from us; and when there is time to count, there are no more than
// keepalived has.
func TestNoFalseTakeovers(t *testing.T) {
	turns, length := 1, 10*time.Second
	if soaking() {
		turns, length = 10, time.Minute
	}
	top := labtest.OneArm(t, netlab.Plan{Directors: 2, Servers: 1, NoVIP: true})
	echoUDP(t, top.Servers[0], modes()[1], top.VIP4)
	for range runtime.NumCPU() {
		labtest.Start(t, top.Clients[0], "sh", "-c", "while :; do :; done")
	}
	sent := flood(t, top.Clients[0], netip.AddrPortFrom(top.VIP4, 80))
	var uvs, other int
	for n := range turns {
		packets, steal := sent.Load(), stolen(t)
		took, late := uvsUnderLoad(t, top, length)
		steal = stolen(t) - steal
		uvs += took
		t.Logf("turn %d: uvs took over falsely %d times, timers late by %v at worst, %v stolen, %d packets/s sent",
			n+1, took, late, steal, (sent.Load()-packets)/uint64(length/time.Second))
		// Three adverts have to be missing and the skew be over, which is a delay of more than two.
		if enough := 2 * fastPace().interval; took > 0 && late < enough && steal < enough {
			t.Errorf("turn %d: nothing explains %d false takeovers", n+1, took)
		}
		k := keepalivedUnderLoad(t, top, length)
		other += k
		t.Logf("turn %d: keepalived took over falsely %d times", n+1, k)
	}
	t.Logf("%v each: uvs %d false takeovers, keepalived %d", time.Duration(turns)*length, uvs, other)
	if soaking() && uvs > other {
		t.Errorf("uvs took over falsely %d times, keepalived %d times", uvs, other)
	}
}

// uvsUnderLoad runs a pair of uvs for a time. It returns how often the backup took over, and
// how late a timer of either was at worst.
func uvsUnderLoad(t *testing.T, top *netlab.Topology, length time.Duration) (took int, late time.Duration) {
	t.Helper()
	p := newPair(t, top, fastPace(), echoService(top))
	p.start(0, equal)
	p.heardFrom(0, 1)
	p.start(1, lower)
	p.heardFrom(0, 3)
	took = p.watch(length)
	for _, d := range p.uvs {
		ctx, cancel := context.WithTimeout(t.Context(), labtest.Hang)
		s, err := control.Dial(fmt.Sprintf("/proc/%d/root/run/uvs", d.proc.Pid())).Status(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		timers := s.VRRP.Timers
		t.Logf("%s: %d deadlines, late by %v on the average, %v at worst", d.host.Name(), timers.Deadlines, timers.Mean.Duration(), timers.Worst.Duration())
		late = max(late, timers.Worst.Duration())
		d.stop()
	}
	return took, late
}

// keepalivedUnderLoad does the same to keepalived.
func keepalivedUnderLoad(t *testing.T, top *netlab.Topology, length time.Duration) (took int) {
	t.Helper()
	p := newPair(t, top, fastPace(), "")
	master := p.keepalived(0, equal)
	p.heardFrom(0, 1)
	backup := p.keepalived(1, lower)
	p.heardFrom(0, 3)
	took = p.watch(length)
	for _, k := range []*netlab.Process{backup, master} {
		if err := k.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	return took
}

// watch counts for a time how often director 1 advertises after director 0 has.
func (p *pair) watch(length time.Duration) (took int) {
	p.t.Helper()
	from := len(p.adverts())
	select {
	case <-time.After(length):
	case <-p.t.Context().Done():
	}
	packets, err := p.tap.Stop()
	if err != nil {
		p.t.Fatal(err)
	}
	list := advertsOf(packets)[from:]
	backup := p.top.Directors[1].Addr4("eth0")
	for n, a := range list {
		if a.source == backup && (n == 0 || list[n-1].source != backup) {
			took++
		}
	}
	if want := int(length / p.pace.interval); len(list) < want/2 {
		p.t.Errorf("%d adverts in %v, want about %d", len(list), length, want)
	}
	return took
}

// flood sends small datagrams as fast as it can until the test ends, and counts them.
func flood(t *testing.T, from *netlab.Host, to netip.AddrPort) *atomic.Uint64 {
	t.Helper()
	var sent atomic.Uint64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range runtime.NumCPU() {
		c, err := from.ListenPacket(ctx, "udp", netip.AddrPortFrom(from.Addr4("eth0"), 0).String())
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer c.Close() //nolint:errcheck // the test is over
			target := net.UDPAddrFromAddrPort(to)
			for ctx.Err() == nil {
				if _, err := c.WriteTo([]byte("0123456789abcdef"), target); err == nil {
					sent.Add(1)
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return &sent
}

// stolen is how long other machines have had our CPUs, by /proc/stat.
func stolen(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	const steal, tick = 8, 10 * time.Millisecond // USER_HZ is 100
	fields := strings.Fields(string(b))
	n, err := strconv.Atoi(fields[steal])
	if err != nil {
		t.Fatalf("steal in %v: %v", fields[:steal+1], err)
	}
	return time.Duration(n) * tick
}
