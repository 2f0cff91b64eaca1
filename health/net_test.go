package health_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"uvs/health"
)

// serve accepts on loopback and handles each connection, until the test ends.
func serve(t *testing.T, network, addr string, handle func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Skipf("listen: %v", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				handle(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// refused returns an address where nobody listens.
func refused(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func probe(t *testing.T, c health.Check) health.Outcome {
	t.Helper()
	return health.NetProber{}.Probe(t.Context(), health.Step{Check: &c})
}

func wantOutcome(t *testing.T, got health.Outcome, v health.Verdict, r health.Reason) {
	t.Helper()
	if got.Verdict != v || got.Reason != r {
		t.Errorf("outcome %d, %q (%v); want %d, %q", got.Verdict, got.Reason, got.Err, v, r)
	}
	if (got.Err == nil) != (v == health.Success) {
		t.Errorf("error %v with verdict %d", got.Err, v)
	}
}

func TestTCPProbe(t *testing.T) {
	closed := make(chan error, 1)
	v4 := serve(t, "tcp4", "127.0.0.1:0", func(c *net.TCPConn) {
		_, err := c.Read(make([]byte, 1))
		closed <- err
	})
	wantOutcome(t, probe(t, health.Check{Target: v4}), health.Success, health.NoReason)
	if err := <-closed; !errors.Is(err, io.EOF) {
		t.Errorf("the server saw %v, want a FIN", err)
	}
	wantOutcome(t, probe(t, health.Check{Target: v4, BindAddr: netip.MustParseAddr("127.0.0.2")}),
		health.Success, health.NoReason)
	if err := <-closed; !errors.Is(err, io.EOF) {
		t.Errorf("from 127.0.0.2 the server saw %v, want a FIN", err)
	}

	o := probe(t, health.Check{Target: refused(t)})
	wantOutcome(t, o, health.Failure, health.ConnectFailed)
	if got, want := o.Detail(), "connect: connection refused"; got != want {
		t.Errorf("detail %q, want %q", got, want)
	}
}

func TestTCPProbeIPv6(t *testing.T) {
	v6 := serve(t, "tcp6", "[::1]:0", func(*net.TCPConn) {})
	wantOutcome(t, probe(t, health.Check{Target: v6}), health.Success, health.NoReason)
}

func TestTCPProbeFromFixedPort(t *testing.T) {
	from := make(chan netip.AddrPort, 1)
	to := serve(t, "tcp4", "127.0.0.1:0", func(c *net.TCPConn) {
		from <- c.RemoteAddr().(*net.TCPAddr).AddrPort()
	})
	port := refused(t).Port()
	for _, bind := range []netip.Addr{{}, netip.MustParseAddr("127.0.0.3")} {
		wantOutcome(t, probe(t, health.Check{Target: to, BindPort: port, BindAddr: bind}),
			health.Success, health.NoReason)
		if got := <-from; got.Port() != port || bind.IsValid() && got.Addr() != bind {
			t.Errorf("came from %v, want %v port %d", got, bind, port)
		}
	}
}

// TestOwnSideIsNotTheServersFault: 203.0.113.0/24 is for documentation.
func TestOwnSideIsNotTheServersFault(t *testing.T) {
	to := serve(t, "tcp4", "127.0.0.1:0", func(*net.TCPConn) {})
	for name, c := range map[string]health.Check{
		"strange address": {Target: to, BindAddr: netip.MustParseAddr("203.0.113.9")},
		"other family":    {Target: to, BindAddr: netip.MustParseAddr("::1")},
		"no such device":  {Target: to, BindInterface: "nosuchdev0"},
	} {
		for _, kind := range []health.Kind{health.TCP, health.HTTP} {
			t.Run(fmt.Sprintf("%s/%v", name, kind), func(t *testing.T) {
				c.Kind = kind
				wantOutcome(t, probe(t, c), health.Rescheduled, health.BindFailed)
			})
		}
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	accepted := make(chan struct{}, 1)
	to := serve(t, "tcp4", "127.0.0.1:0", func(c *net.TCPConn) {
		io.ReadAll(io.LimitReader(c, 10))
		accepted <- struct{}{}
		io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-accepted
		cancel()
	}()
	c := health.Check{Kind: health.HTTP, Target: to}
	o := health.NetProber{}.Probe(ctx, health.Step{Check: &c})
	wantOutcome(t, o, health.Rescheduled, health.Canceled)
}

// TestRequestBytes holds the request to the last byte.
func TestRequestBytes(t *testing.T) {
	for _, tc := range []struct {
		name, network, addr string
		protocol            health.Protocol
		url                 health.URL
		want                string // ADDR stands for the server's address and port
	}{
		{"1.0", "tcp4", "127.0.0.1:0", health.HTTP10, health.URL{Path: "/"},
			"GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: ADDR\r\n\r\n"},
		{"1.0C", "tcp4", "127.0.0.1:0", health.HTTP10C, health.URL{Path: "/x?y=1"},
			"GET /x?y=1 HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: ADDR\r\n\r\n"},
		{"1.1", "tcp4", "127.0.0.1:0", health.HTTP11, health.URL{Path: "/"},
			"GET / HTTP/1.1\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: ADDR\r\n\r\n"},
		{"virtual host", "tcp4", "127.0.0.1:0", health.HTTP10, health.URL{Path: "/", VirtualHost: "www.example.com"},
			"GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: www.example.com\r\n\r\n"},
		{"IPv6", "tcp6", "[::1]:0", health.HTTP10, health.URL{Path: "/"},
			"GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: ADDR\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := make(chan string, 1)
			to := serve(t, tc.network, tc.addr, func(c *net.TCPConn) {
				req := make([]byte, 0, 1024)
				for !bytes.HasSuffix(req, []byte("\r\n\r\n")) {
					n, err := c.Read(req[len(req):cap(req)])
					if err != nil {
						break
					}
					req = req[:len(req)+n]
				}
				io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\n")
				got <- string(req)
			})
			wantOutcome(t, probe(t, health.Check{Kind: health.HTTP, Target: to,
				Protocol: tc.protocol, URLs: []health.URL{tc.url}}), health.Success, health.NoReason)
			want := strings.ReplaceAll(tc.want, "ADDR", to.String())
			if req := <-got; req != want {
				t.Errorf("request %q, want %q", req, want)
			}
		})
	}
}

// TestHTTPProbeWithNetHTTP asks a real web server, in all protocols.
func TestHTTPProbeWithNetHTTP(t *testing.T) {
	const page = "It works.\n"
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, page) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			w.Write(make([]byte, 10000))
		}
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusMovedPermanently) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	to := netip.MustParseAddrPort(srv.Listener.Addr().String())

	var moved, broken health.StatusSet
	moved.Add(301, 302)
	broken.Add(200, 200)
	broken.Add(500, 599)
	sum := health.Digest(md5.Sum([]byte(page)))
	for _, tc := range []struct {
		name   string
		url    health.URL
		reason health.Reason
	}{
		{"ok", health.URL{Path: "/ok"}, health.NoReason},
		{"a megabyte", health.URL{Path: "/big"}, health.NoReason},
		{"no content", health.URL{Path: "/empty"}, health.NoReason},
		{"digest", health.URL{Path: "/ok", Digest: sum}, health.NoReason},
		{"wrong digest", health.URL{Path: "/ok", Digest: health.Digest{1}}, health.DigestMismatch},
		{"digest of a megabyte", health.URL{Path: "/big", Digest: md5.Sum(make([]byte, 1e6))}, health.NoReason},
		{"not found", health.URL{Path: "/none"}, health.StatusMismatch},
		{"redirect", health.URL{Path: "/moved"}, health.StatusMismatch},
		{"redirect, listed", health.URL{Path: "/moved", Status: moved}, health.NoReason},
		{"error", health.URL{Path: "/broken"}, health.StatusMismatch},
		{"error, listed", health.URL{Path: "/broken", Status: broken}, health.NoReason},
		{"listed and digest", health.URL{Path: "/ok", Status: broken, Digest: sum}, health.NoReason},
		{"digest but not listed", health.URL{Path: "/ok", Status: moved, Digest: sum}, health.StatusMismatch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			protocols := []health.Protocol{health.HTTP10, health.HTTP10C, health.HTTP11}
			if tc.url.Path == "/big" && tc.url.Digest != (health.Digest{}) {
				protocols = protocols[:2] // 1.1 comes in chunks, which keepalived digests as they are
			}
			for _, p := range protocols {
				want := health.Failure
				if tc.reason == health.NoReason {
					want = health.Success
				}
				wantOutcome(t, probe(t, health.Check{Kind: health.HTTP, Target: to, Protocol: p,
					ConnectTimeout: 10 * s, URLs: []health.URL{tc.url}}), want, tc.reason)
			}
		})
	}
}

// TestHTTPProbeWithBadServers meets servers that do other things.
func TestHTTPProbeWithBadServers(t *testing.T) {
	request := func(c *net.TCPConn) { c.Read(make([]byte, 4096)) }
	untilClosed := func(c *net.TCPConn) { io.Copy(io.Discard, c) }
	for _, tc := range []struct {
		name   string
		handle func(*net.TCPConn)
		reason health.Reason
		detail string
	}{
		{"closes at once", request, health.NoData, "empty answer"},
		{"closes in the header", func(c *net.TCPConn) {
			request(c)
			io.WriteString(c, "HTTP/1.0 200 OK\r\nServer: ")
		}, health.NoData, "answer ends in its header"},
		{"resets", func(c *net.TCPConn) {
			request(c)
			c.SetLinger(0)
		}, health.ReadFailed, "read: connection reset by peer"},
		{"resets after the header", func(c *net.TCPConn) {
			request(c)
			io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\n")
			c.SetLinger(0)
		}, health.ReadFailed, "read: connection reset by peer"},
		{"says nothing", untilClosed, health.AnswerTimeout, "read: timeout"},
		{"stops in the middle", func(c *net.TCPConn) {
			request(c)
			io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			untilClosed(c)
		}, health.ReadTimeout, "read: timeout"},
		{"does not close", func(c *net.TCPConn) {
			request(c)
			io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfull")
			untilClosed(c)
		}, health.ReadTimeout, "read: timeout"},
		{"garbage", func(c *net.TCPConn) {
			request(c)
			io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n\r\n")
		}, health.StatusMismatch, "answer without a status code"},
		{"drips for ever", func(c *net.TCPConn) {
			request(c)
			tick := time.NewTicker(10 * ms)
			defer tick.Stop()
			io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\n")
			for _, err := c.Write([]byte(".")); err == nil; _, err = c.Write([]byte(".")) {
				<-tick.C
			}
		}, health.ReadTimeout, "read: timeout"},
		{"endless header", func(c *net.TCPConn) {
			request(c)
			io.WriteString(c, "HTTP/1.0 200 OK\r\n")
			for _, err := c.Write(make([]byte, 4096)); err == nil; _, err = c.Write(make([]byte, 4096)) {
			}
		}, health.NoData, "no end of header in 65536 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			to := serve(t, "tcp4", "127.0.0.1:0", tc.handle)
			o := probe(t, health.Check{Kind: health.HTTP, Target: to,
				ConnectTimeout: 100 * ms, DelayLoop: s, URLs: []health.URL{{Path: "/"}}})
			wantOutcome(t, o, health.Failure, tc.reason)
			if o.Detail() != tc.detail {
				t.Errorf("detail %q, want %q", o.Detail(), tc.detail)
			}
		})
	}
}

func TestHTTPProbeRefused(t *testing.T) {
	o := probe(t, health.Check{Kind: health.HTTP, Target: refused(t)})
	wantOutcome(t, o, health.Failure, health.ConnectFailed)
}

// TestLengthMismatchIsReported: it is no failure, and the digest is that of the length
// announced.
func TestLengthMismatchIsReported(t *testing.T) {
	to := serve(t, "tcp4", "127.0.0.1:0", func(c *net.TCPConn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\npagemore")
	})
	o := probe(t, health.Check{Kind: health.HTTP, Target: to,
		URLs: []health.URL{{Path: "/", Digest: md5.Sum([]byte("page"))}}})
	wantOutcome(t, o, health.Success, health.NoReason)
	if o.Announced != 4 || o.Received != 8 {
		t.Errorf("announced %d, received %d; want 4 and 8", o.Announced, o.Received)
	}
}

// TestSetOverTheNetwork runs a Set with real sockets: a server dies, another one lives.
func TestSetOverTheNetwork(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lives := serve(t, "tcp4", "127.0.0.1:0", func(*net.TCPConn) {})
	dies := l.Addr().(*net.TCPAddr).AddrPort()

	events := make(chan health.Event, 100)
	set := health.NewSet(health.Options{Early: punctual, OnEvent: func(e health.Event) { events <- e }})
	check := health.Check{Target: dies, DelayLoop: 100 * ms, Retry: 1}
	other := check
	other.Target = lives
	set.Apply([]health.Server{server("dies", check), server("lives", other)})
	ctx, cancel := context.WithTimeout(t.Context(), 10*s)
	defer cancel()
	done := make(chan error)
	go func() { done <- set.Run(ctx) }()
	passed := map[string]bool{}
	for {
		select {
		case e := <-events:
			if e.Kind == health.CheckSucceeded {
				if passed[e.Server] = true; len(passed) == 2 {
					l.Close()
				}
			}
			if e.Kind != health.ServerDown {
				continue
			}
			if e.Server != "dies" || !passed["dies"] || e.Time.Sub(e.Since) < health.MinGap {
				t.Errorf("event %+v, want the dead server, a retry after its first failure", e)
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			return
		case err := <-done:
			t.Fatalf("Run ended (%v) and no server was down", errors.Join(err, ctx.Err()))
		}
	}
}
