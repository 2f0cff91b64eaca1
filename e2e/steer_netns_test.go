//go:build netns

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

const (
	pageBytes = 200 << 10 // a page that takes many segments
	fileBytes = 64 << 20  // a file that a slow reader is not done with
)

// TestSteering: whatever ends a director, the machine is as it was after SIGTERM, after
// kill -9 and cleanup, and after kill -9, restart and SIGTERM. In all that time each
// segment crosses once and nobody sends a reset, also while there is no director.
func TestSteering(t *testing.T) {
	t.Parallel()
	forEachSteering(t, func(t *testing.T, backend string, m mode, forward bool) {
		newSteering(t, backend, m, forward).run()
	})
}

// forEachSteering runs a test with tcx and nft in every mode, and with the backends that
// work as they do where there is most to go wrong: the director is a router, and NAT's
// answers pass through it.
func forEachSteering(t *testing.T, f func(t *testing.T, backend string, m mode, forward bool)) {
	for _, backend := range []string{"tcx", "clsact", "nft", "iptables"} {
		for _, m := range modes() {
			for _, forward := range []bool{false, true} {
				if like := backend == "clsact" || backend == "iptables"; like && (m.kind != "NAT" || !forward) {
					continue
				}
				t.Run(fmt.Sprintf("%s, %s, ip_forward %t", backend, m.name, forward), func(t *testing.T) {
					f(t, backend, m, forward)
				})
			}
		}
	}
}

// A steering is one row of TestSteering.
type steering struct {
	t       *testing.T
	top     *netlab.Topology
	mode    mode
	forward bool
	backend string
	config  string
	wires   *wires
	before  string // dump of the director that never ran
}

func newSteering(t *testing.T, backend string, m mode, forward bool) *steering {
	top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true, Forward: forward})
	for _, h := range top.Servers {
		web := startWeb(t, h)
		for name, size := range map[string]int64{"page": pageBytes, "file": fileBytes} {
			f, err := os.Create(filepath.Join(web.dir, "www", name))
			if err == nil {
				err = errors.Join(f.Truncate(size), f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return &steering{
		t: t, top: top, mode: m, forward: forward, backend: backend, config: m.config(top),
		wires: startWires(t, top), before: dump(t, top.Directors[0]),
	}
}

func (s *steering) run() {
	t := s.t
	d := s.start()
	idle := s.openIdle()
	s.exchange()
	d.stop()
	s.unchanged("after SIGTERM")

	d = s.start()
	idle = append(idle, s.openIdle()...)
	s.exchange()
	back := s.wires.killed()
	tries := s.killAndTry(d)
	wantSilence(t, idle)
	tries.giveUp()
	out := d.uvs("cleanup")
	for _, want := range []string{"address " + s.top.VIP4.String(), "address " + s.top.VIP6.String(), "steer"} {
		if !strings.Contains(out, want) {
			t.Errorf("cleanup does not tell of %q:\n%s", want, out)
		}
	}
	s.unchanged("after kill -9 and cleanup")

	d = s.start()
	back()
	idle = s.openIdle()
	downloads := s.openDownloads()
	direct := s.openDirect()
	s.exchange()
	back = s.wires.killed()
	tries = s.killAndTry(d)
	wantSilence(t, idle)
	d = s.start()
	back()
	tries.succeed()
	s.exchange()
	for _, x := range downloads {
		if x.done() {
			t.Error("a download was over before the director was killed: it proves nothing")
		}
	}
	wantSilence(t, idle)
	for _, c := range direct {
		if err := ask(c); err != nil {
			t.Errorf("past the service: %v", err)
		}
	}
	s.wires.check(100)
	d.stop()
	s.unchanged("after kill -9, restart and SIGTERM")
}

func (s *steering) vips() []netip.Addr { return []netip.Addr{s.top.VIP4, s.top.VIP6} }

func (s *steering) start() *director {
	s.t.Helper()
	d := startDirector(s.t, s.top.Directors[0], s.config, "--steer", s.backend, "--workers", "2")
	if got := d.status().Steering.Backend; got != s.backend {
		s.t.Fatalf("steering by %q, want %q", got, s.backend)
	}
	return d
}

func (s *steering) unchanged(when string) {
	s.t.Helper()
	wantDump(s.t, s.top.Directors[0], s.before, when)
}

// exchange brings pages and an upload across, on two connections for each family.
func (s *steering) exchange() {
	s.t.Helper()
	for _, vip := range s.vips() {
		page := url(vip, 80, "/page")
		if got := curl(s.t, s.top.Clients[0], page, page); len(got) != 2*pageBytes {
			s.t.Errorf("%s: %d bytes of two pages arrived, want %d", family(vip), len(got), 2*pageBytes)
		}
		curl(s.t, s.top.Clients[0], "-F", "page=@/bin/true", url(vip, 80, "/up"))
	}
	// What closes when the director goes would go on closing for minutes.
	for _, h := range append(s.top.Clients, s.top.Servers...) {
		labtest.Eventually(s.t, labtest.Hang, func() error {
			closing := labtest.Run(s.t, h, "ss", "-Htn", "state", "last-ack", "state", "close-wait", "state", "fin-wait-1", "state", "closing")
			if closing != "" {
				return fmt.Errorf("%s: connections are closing:\n%s", h.Name(), closing)
			}
			return nil
		})
	}
}

func (s *steering) dial(ctx context.Context, vip netip.Addr) (net.Conn, error) {
	c, err := s.top.Clients[0].DialContext(ctx, "tcp", netip.AddrPortFrom(vip, 80).String())
	if err == nil {
		s.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// openIdle opens a connection for each family, uses it once and leaves it alone.
func (s *steering) openIdle() []net.Conn {
	s.t.Helper()
	var conns []net.Conn
	for _, vip := range s.vips() {
		c, err := s.dial(s.t.Context(), vip)
		if err == nil {
			err = ask(c)
		}
		if err != nil {
			s.t.Fatalf("%s: %v", family(vip), err)
		}
		conns = append(conns, c)
	}
	return conns
}

// ask makes a small request and reads what comes first of the answer.
func ask(c net.Conn) error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(labtest.Hang)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 4096))
	return err
}

// wantSilence uses connections that lost their director: no answer, and no reset either.
func wantSilence(t *testing.T, conns []net.Conn) {
	t.Helper()
	until := time.Now().Add(200 * time.Millisecond)
	for _, c := range conns {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Errorf("connection from before: write: %v", err)
		}
		if err := c.SetReadDeadline(until); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 4096)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection from before: read %d bytes, %v; want silence", n, err)
		}
	}
}

// openDirect opens connections to a server past the service, where the director routes.
func (s *steering) openDirect() []net.Conn {
	s.t.Helper()
	if s.mode.kind != "NAT" || !s.forward {
		return nil
	}
	var conns []net.Conn
	server := s.top.Servers[0]
	for _, a := range []netip.Addr{server.Addr4("eth0"), server.Addr6("eth0")} {
		c, err := dialFor(s.t, s.top.Clients[0], netip.AddrPortFrom(a, uint16(s.mode.port)), labtest.Hang)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { c.Close() })
		if err := ask(c); err != nil {
			s.t.Fatal(err)
		}
		conns = append(conns, c)
	}
	return conns
}

// A download reads a file slowly until the test ends.
type download struct {
	conn net.Conn
	got  atomic.Int64
}

func (x *download) done() bool { return x.got.Load() >= fileBytes }

// openDownloads starts one for each family and returns when all are under way.
func (s *steering) openDownloads() []*download {
	s.t.Helper()
	var list []*download
	for _, vip := range s.vips() {
		c, err := s.dial(s.t.Context(), vip)
		if err == nil {
			_, err = io.WriteString(c, "GET /file HTTP/1.0\r\n\r\n")
		}
		if err != nil {
			s.t.Fatalf("%s: %v", family(vip), err)
		}
		x := &download{conn: c}
		go x.run(s.t.Context())
		list = append(list, x)
	}
	labtest.Eventually(s.t, labtest.Hang, func() error {
		for _, x := range list {
			if n := x.got.Load(); n < 1<<20 {
				return fmt.Errorf("download at %d bytes", n)
			}
		}
		return nil
	})
	return list
}

// run reads some 16 MB a second. It ends with the connection.
func (x *download) run(ctx context.Context) {
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	buf := make([]byte, 32<<10)
	for {
		n, err := x.conn.Read(buf)
		x.got.Add(int64(n))
		if err != nil {
			return
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
	}
}

// Tries are connections that are asked for while there is no director.
type tries struct {
	t      *testing.T
	cancel context.CancelFunc
	n      int
	done   chan error
}

// killAndTry kills the director and returns when the clients' first SYNs are out.
func (s *steering) killAndTry(d *director) *tries {
	s.t.Helper()
	d.kill()
	ctx, cancel := context.WithCancel(s.t.Context())
	x := &tries{t: s.t, cancel: cancel, n: 4, done: make(chan error, 4)}
	since := time.Now()
	for i := range x.n {
		go func() {
			c, err := s.dial(ctx, s.vips()[i%2])
			if err == nil {
				err = ask(c)
			}
			x.done <- err
		}()
	}
	s.wires.waitSYN(x.n, since)
	return x
}

// giveUp ends the tries. None may have come to anything, a refusal included.
func (x *tries) giveUp() {
	x.t.Helper()
	x.cancel()
	for range x.n {
		if err := <-x.done; err == nil || strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "reset") {
			x.t.Errorf("connecting without a director: %v, want silence", err)
		}
	}
}

// succeed waits until all of them have come through by the clients' own retries.
func (x *tries) succeed() {
	x.t.Helper()
	defer x.cancel()
	late := time.After(10 * time.Second)
	for range x.n {
		select {
		case err := <-x.done:
			if err != nil {
				x.t.Errorf("a connection that was tried without a director: %v", err)
			}
		case <-late:
			x.t.Fatal("a connection that was tried without a director did not come up within 10 s of the restart")
		}
	}
}
