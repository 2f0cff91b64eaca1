//go:build netns

package e2e

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// A slowDownload is a file that a client reads slowly on one connection. Its methods are safe for
// use by many goroutines.
type slowDownload struct {
	t    *testing.T
	conn net.Conn
	sum  hash.Hash
	got  atomic.Int64
	done chan struct{} // closed at the end
	err  error         // read only after done
}

// downloadBytes take downloads 8 s.
const (
	downloadBytes = 16 << 20
	downloadChunk = 16 << 10
	downloadPause = 8 * time.Millisecond
)

// downloadable puts the same random file on web servers and returns its hash.
func downloadable(t *testing.T, webs ...*webServer) [32]byte {
	t.Helper()
	content := make([]byte, downloadBytes)
	rand.NewChaCha8([32]byte{9}).Read(content) //nolint:errcheck // never fails
	for _, w := range webs {
		if err := os.WriteFile(filepath.Join(w.dir, "www", "big"), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return sha256.Sum256(content)
}

// startSlowDownload reads the file from an address of a host.
func startSlowDownload(t *testing.T, from *netlab.Host, source netip.Addr, service netip.AddrPort) *slowDownload {
	t.Helper()
	d := &slowDownload{t: t, sum: sha256.New(), done: make(chan struct{})}
	var c net.Conn
	err := from.Do(func() (err error) {
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), Timeout: 5 * time.Second}
		c, err = dialer.DialContext(t.Context(), "tcp", service.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// A small window: what is under way at any moment is little.
	if err := c.(*net.TCPConn).SetReadBuffer(4 * downloadChunk); err != nil {
		t.Fatal(err)
	}
	d.conn = c
	go func() {
		defer close(d.done)
		d.err = d.read(c)
	}()
	t.Cleanup(func() {
		c.Close() //nolint:errcheck // it ends the reader
		<-d.done
	})
	return d
}

func (d *slowDownload) read(c net.Conn) error {
	if _, err := io.WriteString(c, "GET /big HTTP/1.1\r\nHost: uvs\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, downloadChunk), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	pace := time.NewTicker(downloadPause)
	defer pace.Stop()
	for {
		<-pace.C
		n, err := io.CopyN(d.sum, resp.Body, downloadChunk)
		d.got.Add(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// progress waits until every download has read more since the call. One that has ended with
// an error fails the test.
func progress(t *testing.T, list []*slowDownload) {
	t.Helper()
	const more = 20 * downloadChunk
	for n, d := range list {
		from := d.got.Load()
		labtest.Eventually(t, labtest.Hang, func() error {
			select {
			case <-d.done:
				if d.err != nil {
					t.Fatalf("download %d broke off after %d bytes: %v", n, d.got.Load(), d.err)
				}
				return nil
			default:
			}
			if got := d.got.Load(); got < from+more {
				return fmt.Errorf("download %d stands at %d bytes", n, got)
			}
			return nil
		})
	}
}

// service is a TCP service for the VIP, on the same servers in the same order for all.
func service(top *netlab.Topology, kind, algo string, port int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "virtual_server %s 80 {\n lb_algo %s\n lb_kind %s\n protocol TCP\n", top.VIP4, algo, kind)
	for _, s := range top.Servers {
		fmt.Fprintf(&b, " real_server %s %d {\n }\n", s.Addr4("eth0"), port)
	}
	b.WriteString("}\n")
	return b.String()
}

// TestDownloadsSurviveTakeovers: with direct routing, mh and sloppy_tcp, downloads from eight
// addresses go on through a crash of the master and a planned stop of the next one.
func TestDownloadsSurviveTakeovers(t *testing.T) {
	top := labtest.OneArm(t, netlab.Plan{Directors: 2, Servers: 3, ClientAddrs: 7, NoVIP: true})
	var webs []*webServer
	for _, h := range top.Servers {
		webs = append(webs, startWeb(t, h))
	}
	want := downloadable(t, webs...)
	p := newPair(t, top, fastPace(), service(top, "DR", "mh", 80), "--vs", "sloppy_tcp=1")
	p.start(0, equal)
	p.heardFrom(0, 1)
	p.start(1, equal)
	p.heardFrom(0, 2)
	var list []*slowDownload
	for _, a := range top.Clients[0].Addrs("eth0") {
		if a.Addr().Is4() {
			list = append(list, startSlowDownload(t, top.Clients[0], a.Addr(), netip.AddrPortFrom(top.VIP4, 80)))
		}
	}
	progress(t, list)

	p.uvs[0].kill()
	p.heardFrom(1, 1)
	progress(t, list)
	p.start(0, equal)
	p.heardFrom(1, 2)
	p.uvs[1].stop()
	p.heardFrom(0, 1)
	progress(t, list)

	served := 0
	for _, s := range p.uvs[0].status().Services[0].Servers {
		if s.Active > 0 {
			served++
		}
	}
	if served < 2 {
		t.Errorf("%d servers have connections: the clients do not tell a scheduler that forgets from one that does not", served)
	}
	for n, d := range list {
		<-d.done
		if d.err != nil || [32]byte(d.sum.Sum(nil)) != want {
			t.Errorf("download %d: %d bytes, %v; want %d bytes, unchanged", n, d.got.Load(), d.err, downloadBytes)
		}
	}
}

// TestNATConnectionsEndWithTheirDirector: flows of NAT are in the memory of the director that
// made them. When another takes over, what a client sends on them is answered with a reset, as
// the stack behind IPVS does: it need not wait to connect again. If the other is a router,
// what the server sends comes to the client with the server's own address, and the client's
// reset ends the server's side. New connections are served.
func TestNATConnectionsEndWithTheirDirector(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash bool
		plan  netlab.Plan
	}{
		{"crash", true, netlab.Plan{Directors: 2, Servers: 1, NoVIP: true}},
		{"stop, and directors are routers", false, netlab.Plan{Directors: 2, Servers: 1, NoVIP: true, Forward: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := labtest.TwoArm(t, c.plan)
			gateway := netip.MustParseAddr("192.0.2.80")
			labtest.Run(t, top.Servers[0], "ip", "route", "replace", "default", "via", gateway.String())
			downloadable(t, startWeb(t, top.Servers[0]))
			p := newPair(t, top, fastPace(), service(top, "NAT", "rr", 8080))
			p.excluded = fmt.Sprintf("  %s/24 dev eth1\n", gateway)
			p.start(0, equal)
			p.heardFrom(0, 1)
			p.start(1, equal)
			p.heardFrom(0, 2)
			d := startSlowDownload(t, top.Clients[0], top.Clients[0].Addr4("eth0"), netip.AddrPortFrom(top.VIP4, 80))
			progress(t, []*slowDownload{d})
			if c.crash {
				p.uvs[0].kill()
			} else {
				p.uvs[0].stop()
			}
			p.heardFrom(1, 1)
			wantServerSide(t, top.Servers[0], !c.plan.Forward)
			wantReset(t, d)
			if got := strings.TrimSpace(curl(t, top.Clients[0], url(top.VIP4, 80, "/"))); got != "server1" {
				t.Errorf("a new connection got %q", got)
			}
			labtest.Eventually(t, labtest.Hang, func() error { // the server retransmits
				if n := p.uvs[1].status().Drops["drop_not_router"]; n > 0 == c.plan.Forward {
					return fmt.Errorf("%d of the server's segments were dropped as drop_not_router", n)
				}
				return nil
			})
		})
	}
}

// wantReset sends something on the connection of a download, which a director that knows
// nothing of it is to reset, if it has not done so for what the client has sent by itself.
func wantReset(t *testing.T, d *slowDownload) {
	t.Helper()
	_, _ = io.WriteString(d.conn, "GET / HTTP/1.1\r\n")
	select {
	case <-d.done:
		if !errors.Is(d.err, syscall.ECONNRESET) {
			t.Errorf("the download ended with %v, want a reset", d.err)
		}
	case <-time.After(labtest.Hang):
		t.Error("the client was not told that its connection is gone")
	}
}

// wantServerSide waits until a server has the connection of a download that stalls, or has it
// not any more.
func wantServerSide(t *testing.T, h *netlab.Host, want bool) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		out := labtest.Run(t, h, "ss", "-Htn", "state", "established", "sport", "=", ":8080")
		if got := strings.TrimSpace(out) != ""; got != want {
			return fmt.Errorf("the server has the connection: %t, want %t: %s", got, want, out)
		}
		return nil
	})
}
