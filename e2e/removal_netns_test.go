//go:build netns

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// A talk is one connection of TCP that lasts: the client says a line, and the server says it again.
type talk struct {
	net.Conn
	lines *bufio.Reader
}

// say says a line and waits for it to come back, for no longer than patience.
func (c *talk) say(line string, patience time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return err
	}
	got, err := c.lines.ReadString('\n')
	if err == nil && got != line+"\n" {
		err = fmt.Errorf("said %q, heard %q", line, got)
	}
	return err
}

// A talker is a server of such connections, which remembers how each ended.
type talker struct {
	mu   sync.Mutex // guards ends
	ends []error
}

// startTalker serves at an address until the end of the test.
func startTalker(t *testing.T, h *netlab.Host, addr netip.AddrPort) *talker {
	t.Helper()
	l, err := h.Listen(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	x := &talker{}
	var wg sync.WaitGroup
	var open sync.Map
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, nil)
			wg.Go(func() {
				defer c.Close() //nolint:errcheck // it is over
				_, err := io.Copy(c, c)
				x.mu.Lock()
				x.ends = append(x.ends, err)
				x.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close() //nolint:errcheck // the test is over
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		wg.Wait()
	})
	return x
}

// resets counts the connections that a reset ended.
func (x *talker) resets() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, err := range x.ends {
		if errors.Is(err, syscall.ECONNRESET) {
			n++
		}
	}
	return n
}

// A removing is a site with one director, and connections that are told of its servers' removal.
type removing struct {
	t      *testing.T
	d      *director
	client *netlab.Host
	config string // its file
	vip    netip.Addr
}

func (r *removing) connect(port int) *talk {
	r.t.Helper()
	c, err := r.client.DialContext(r.t.Context(), "tcp", netip.AddrPortFrom(r.vip, uint16(port)).String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() }) //nolint:errcheck // the test is over
	x := &talk{c, bufio.NewReader(c)}
	if err := x.say("hello", 5*time.Second); err != nil {
		r.t.Fatalf("port %d before the removal: %v", port, err)
	}
	return x
}

// refused waits until a new connection is refused.
func (r *removing) refused(port int) {
	r.t.Helper()
	labtest.Eventually(r.t, 5*time.Second, func() error {
		c, err := r.client.DialContext(r.t.Context(), "tcp", netip.AddrPortFrom(r.vip, uint16(port)).String())
		if err == nil {
			c.Close() //nolint:errcheck // it should not be there
			return fmt.Errorf("port %d takes new connections", port)
		}
		return nil
	})
}

// idleReset waits for a connection of which nobody says anything to be reset.
func (r *removing) idleReset(c *talk, what string) {
	r.t.Helper()
	c.SetDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck // the read tells
	if _, err := c.lines.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		r.t.Errorf("%s: the client sees %v, want its connection reset", what, err)
	}
}

// TestRemovedServers: what removed_servers says becomes of connections that last: they drain, for a time if there is one, are
// dropped, or reset at both ends at once though nobody says anything; by a reload that takes out a server or a whole service, and
// by ipvsadm. --dry-run says so, and status how many are left.
func TestRemovedServers(t *testing.T) {
	// Ports of the services and what the extra file says of them: 81 drains by the word for all.
	words := map[int]string{82: "drain 2", 83: "drop", 84: "reset", 86: "reset"}
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
			var talkers []*talker
			ports := []int{81, 82, 83, 84, 85, 86}
			file := func(gone ...int) string { // services whose server is gone or, of 85 and 86, that are gone themselves
				var b strings.Builder
				config, _, _ := strings.Cut(m.config(top), "virtual_server")
				b.WriteString(config)
				for _, port := range ports {
					if slices.Contains(gone, port) && port >= 85 {
						continue
					}
					fmt.Fprintf(&b, "virtual_server %s %d {\n lb_algo rr\n lb_kind %s\n protocol TCP\n", top.VIP4, port, m.kind)
					server := top.Servers[0]
					if slices.Contains(gone, port) {
						server = top.Servers[1] // on which nobody listens
					}
					fmt.Fprintf(&b, " real_server %s %d {\n }\n", server.Addr4("eth0"), port)
					b.WriteString("}\n")
				}
				return b.String()
			}
			for _, port := range ports {
				addr := top.VIP4
				if m.kind == "NAT" {
					addr = top.Servers[0].Addr4("eth0")
				}
				talkers = append(talkers, startTalker(t, top.Servers[0], netip.AddrPortFrom(addr, uint16(port))))
			}
			extra := filepath.Join(t.TempDir(), "extra.conf")
			text := "removed_servers drain\n"
			for port, word := range words {
				text += fmt.Sprintf("virtual_server %s %d {\n removed_servers %s\n}\n", top.VIP4, port, word)
			}
			if err := os.WriteFile(extra, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			r := &removing{t: t, client: top.Clients[0], config: writeConfig(t, file()), vip: top.VIP4}
			r.d = launchFile(t, top.Directors[0], r.config, "--workers", "2", "--extra", extra)
			r.d.waitReady()
			talks := make(map[int]*talk)
			for _, port := range ports {
				talks[port] = r.connect(port)
			}

			// By a reload: a server of 81, 82 and 83, and all of 85.
			if err := os.WriteFile(r.config, []byte(file(81, 82, 83, 85)), 0o644); err != nil {
				t.Fatal(err)
			}
			told := r.d.uvs("reload", "--dry-run")
			server := top.Servers[0].Addr4("eth0")
			for port, what := range map[int]string{
				81: "go on until they end", 82: "go on until they end, for 2s at most", 83: "are cut without a word", 85: "go on until they end",
			} {
				want := fmt.Sprintf("1 connection to server %s:%d of service [%s]:tcp:%d: %s\n", server, port, top.VIP4, port, what)
				if !strings.Contains(told, want) {
					t.Errorf("--dry-run says\n%s\nwant in it\n%s", told, want)
				}
			}
			r.d.uvs("reload")
			removed := time.Now()
			for _, port := range []int{81, 85} {
				if err := talks[port].say("still here", 5*time.Second); err != nil {
					t.Errorf("port %d drains: %v", port, err)
				}
				r.refused(port)
			}
			if err := talks[83].say("anybody", time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("port 83 drops: the client sees %v, want silence", err)
			}
			want := fmt.Sprintf("removed server %s:81 of service [%s]:tcp:81 drains: 1 connection left", server, top.VIP4)
			if !slices.Contains(r.d.status().Notes, want) {
				t.Errorf("status notes %q, want %q", r.d.status().Notes, want)
			}
			r.idleReset(talks[82], "port 82, whose time is over")
			if d := time.Since(removed); d < 2*time.Second || d > 5*time.Second {
				t.Errorf("port 82 was reset after %s, want some 2 s", d)
			}

			// By ipvsadm: a server of 84, and all of 86.
			r.d.edit(control.Edit{
				Op:      control.DeleteServer,
				Service: control.Service{Protocol: control.TCP, Address: top.VIP4, Port: 84},
				Server:  control.Server{Address: server, Port: 84},
			}, control.Edit{
				Op: control.DeleteService, Service: control.Service{Protocol: control.TCP, Address: top.VIP4, Port: 86},
			})
			removed = time.Now()
			for _, port := range []int{84, 86} {
				r.idleReset(talks[port], fmt.Sprintf("port %d", port))
			}
			labtest.Eventually(t, 5*time.Second, func() error {
				for i, want := range []int{0, 1, 0, 1, 0, 1} {
					if got := talkers[i].resets(); got != want {
						return fmt.Errorf("port %d: %d connections of the server were reset, want %d", ports[i], got, want)
					}
				}
				return nil
			})
			t.Logf("both ends of idle connections were reset within %s", time.Since(removed).Round(time.Millisecond))
			for _, port := range []int{81, 85} {
				if err := talks[port].say("and on", 5*time.Second); err != nil {
					t.Errorf("port %d drains to the end: %v", port, err)
				}
			}
		})
	}
}
