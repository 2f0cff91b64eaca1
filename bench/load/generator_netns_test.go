//go:build netns

package load

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// pair is two hosts with a veth pair, the second of which counts and drops UDP to port 9.
type pair struct {
	a, b  *netlab.Host
	index int
	s     Stream
}

func newPair(t *testing.T) *pair {
	t.Helper()
	netlab.Require(t)
	site := labtest.New(t)
	p := &pair{a: labtest.Host(t, site, "a"), b: labtest.Host(t, site, "b")}
	if err := site.Connect(p.a, "eth0", p.b, "eth0"); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		h    *netlab.Host
		addr string
	}{{p.a, "192.0.2.1/24"}, {p.b, "192.0.2.2/24"}} {
		if err := x.h.AddAddr("eth0", netip.MustParsePrefix(x.addr)); err != nil {
			t.Fatal(err)
		}
	}
	from, err := p.a.MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	to, err := p.b.MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	p.s = Stream{Source: wire.MAC(from), Next: wire.MAC(to), Target: netip.MustParseAddrPort("192.0.2.2:9"), Ports: 1, Flows: 100, Size: 64}
	if err := p.a.Do(func() error {
		i, err := net.InterfaceByName("eth0")
		p.index = i.Index
		return err
	}); err != nil {
		t.Fatal(err)
	}
	rules := `table netdev sink {
	chain sink {
		type filter hook ingress device eth0 priority 0
		udp dport 9 counter drop
	}
}`
	if out, err := p.b.Run(t.Context(), "nft", rules); err != nil {
		t.Fatal(err, out)
	}
	return p
}

var packets = regexp.MustCompile(`packets (\d+)`)

// arrived returns what the sink has counted.
func (p *pair) arrived(t *testing.T) int {
	t.Helper()
	out, err := p.b.Run(t.Context(), "nft", "list", "table", "netdev", "sink")
	if err != nil {
		t.Fatal(err)
	}
	m := packets.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no counter in %s", out)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// generator opens one in a's namespace that sends by the given method.
func (p *pair) generator(t *testing.T, method Method) *Generator {
	t.Helper()
	m, err := newMaker(p.s)
	if err != nil {
		t.Fatal(err)
	}
	g := &Generator{maker: m, method: method}
	if err := p.a.Do(func() error {
		if method == XDP {
			g.port, err = newXDP(p.index, m.template)
		} else {
			g.port, err = newMmsg(p.index, m.template)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// TestGenerator: by either method the frames that it reports arrive, more of them than a ring
// has places and never more than that, at the rate that it was told. A busy machine may lose a few, which are
// made up for in a burst.
func TestGenerator(t *testing.T) {
	for _, method := range []Method{XDP, Sendmmsg} {
		t.Run(string(method), func(t *testing.T) {
			p := newPair(t)
			g := p.generator(t, method)
			const frames, rate = 10_000, 20_000
			for i := 1; i <= 2; i++ {
				sent, err := g.Run(t.Context(), Plan{Frames: frames, Rate: rate, Sleep: i == 2})
				if err != nil {
					t.Fatal(err)
				}
				if sent.Frames != frames {
					t.Errorf("sent %d frames, want %d", sent.Frames, frames)
				}
				if sent.Rate() > 1.05*rate {
					t.Errorf("sent %.0f frames/s, want %d", sent.Rate(), rate)
				}
				// The last ones may still be on their way.
				labtest.Eventually(t, labtest.Hang, func() error {
					if got := p.arrived(t); got > i*frames || got < i*frames*95/100 {
						return fmt.Errorf("%d frames arrived, want %d", got, i*frames)
					}
					return nil
				})
			}
		})
	}
}

// TestPace: the rate changes while the generator runs, which tells how far it is and does not
// make up for what it did not send at the rate before.
func TestPace(t *testing.T) {
	p := newPair(t)
	g := p.generator(t, Sendmmsg)
	const crawl, walk = 100, 20_000
	pace := NewPace(crawl)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type end struct {
		sent Sent
		err  error
	}
	done := make(chan end, 1)
	go func() {
		sent, err := g.Run(ctx, Plan{Pace: pace, For: time.Minute})
		done <- end{sent, err}
	}()
	reach := func(frames uint64) time.Duration {
		start := time.Now()
		labtest.Eventually(t, labtest.Hang, func() error {
			if got := pace.Sent(); got < frames {
				return fmt.Errorf("sent %d frames, want %d", got, frames)
			}
			return nil
		})
		return time.Since(start)
	}
	reach(8)
	pace.Set(walk)
	before := pace.Sent()
	if took := reach(before + walk/4); took < 200*time.Millisecond {
		t.Errorf("a quarter of a second's frames took %v", took)
	}
	pace.Set(crawl)
	stop()
	if e := <-done; e.err != nil || e.sent.Frames != pace.Sent() {
		t.Errorf("sent %d frames, %v; the pace says %d", e.sent.Frames, e.err, pace.Sent())
	}
}

// TestGeneratorTakesTheFasterMethod and falls back where there is no such device.
func TestGeneratorTakesTheFasterMethod(t *testing.T) {
	p := newPair(t)
	var g *Generator
	if err := p.a.Do(func() (err error) {
		g, err = NewGenerator(p.index, p.s, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, err := os.Stat("/proc/net/xdp"); err == nil && g.Method() != XDP {
		t.Errorf("sends by %s", g.Method())
	}
	err := p.a.Do(func() error {
		_, err := NewGenerator(9999, p.s, 0)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "bind") {
		t.Errorf("on no device: %v", err)
	}
}

// TestPingPong: answers are timed, and those that do not come are lost.
func TestPingPong(t *testing.T) {
	p := newPair(t)
	var e *Echo
	if err := p.b.Do(func() (err error) {
		e, err = NewEcho(7000, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ping := func(port uint16) Pings {
		var got Pings
		if err := p.a.Do(func() (err error) {
			got, err = PingPong(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("192.0.2.2"), port), 0, 300*time.Millisecond, time.Millisecond)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := ping(7000); len(got.Times) < 5 || got.Lost > len(got.Times) {
		t.Errorf("%d answers, %d lost", len(got.Times), got.Lost)
	}
	if got := ping(9); len(got.Times) > 0 || got.Lost == 0 {
		t.Errorf("from the sink: %d answers, %d lost", len(got.Times), got.Lost)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
