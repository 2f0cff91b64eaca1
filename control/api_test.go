package control_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"uvs/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Director with fixed answers.
type fake struct {
	control.Director // nil: not asked here

	status      control.Status
	services    control.ServiceList
	connections int // how many to pass
	err         error
}

func (f fake) Status(context.Context) (control.Status, error) { return f.status, f.err }

func (f fake) Services(context.Context) (control.ServiceList, error) { return f.services, f.err }

func (f fake) Connections(_ context.Context, yield func(control.Connection) error) error {
	for i := range f.connections {
		if err := yield(connection(i)); err != nil {
			return err
		}
	}
	return f.err
}

// connection is the i-th of many distinct connections.
func connection(i int) control.Connection {
	client := netip.AddrFrom4([4]byte{203, 0, byte(i >> 16), byte(i >> 8)})
	return control.Connection{
		Protocol: control.TCP,
		State:    "ESTABLISHED",
		Expires:  control.Seconds(time.Duration(i%900) * time.Second),
		Client:   netip.AddrPortFrom(client, 1024+uint16(i&0xff)),
		Virtual:  netip.MustParseAddrPort("[2001:db8::10]:80"),
		Server:   netip.MustParseAddrPort("198.51.100.11:8080"),
	}
}

// serve runs d's API in a fresh run directory until the test ends.
func serve(t *testing.T, d control.Director) (runDir string) {
	t.Helper()
	runDir = t.TempDir()
	l, err := control.Listen(runDir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, d) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return runDir
}

func fullStatus() control.Status {
	return control.Status{
		Version: "0.2.0",
		PID:     4242,
		State:   control.StateRunning,
		Started: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Uptime:  control.Seconds(90 * time.Minute),
		RunDir:  "/run/uvs",
		Config: control.Config{
			File: "keepalived.conf", Errors: 1, Notes: 2,
			Loaded: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		},
		Steering:   control.Steering{Backend: "nft", Reason: "the best of what works", PassedOver: []control.PassedOver{{Backend: "tcx", Reason: "needs Linux 6.6"}}},
		Flows:      control.Flows{Current: 3, Max: 1 << 20, Created: 10, Expired: 7},
		Workers:    []control.Worker{{ID: 0, CPU: 1, Packets: 77}},
		Interfaces: []control.Interface{{Name: "eth0", Index: 2, Up: true, Mode: "tpacket_v2/sendmmsg", RingSlots: 4096, RxFrames: 5, TxFrames: 4, RingDrops: 1, TxErrors: 2}},
		Addresses: []control.Address{
			{Address: netip.MustParsePrefix("192.0.2.10/32"), Interface: "eth0", State: control.AddressAdded, ConflictMAC: "02:00:00:00:00:01"},
		},
		Services: []control.Service{{
			Protocol: control.UDP, Address: netip.MustParseAddr("2001:db8::10"), Port: 53, Scheduler: "wrr",
			Servers: []control.Server{{
				Address: netip.MustParseAddr("2001:db8:1::11"), Port: 53, Method: control.DR,
				Weight: 3, State: control.ServerRemoved,
				Checks:  []control.Check{{Kind: "TCP_CHECK", State: control.CheckDown, LastError: "connection refused"}},
				NextHop: control.NextHop{Interface: "eth1", Gateway: netip.MustParseAddr("fe80::1"), MAC: "02:00:00:00:00:02"},
			}},
		}},
		VRRP: &control.VRRP{
			Instances: []control.VRRPInstance{{Name: "WEB", Interface: "eth0", VRID: 5, Version: 3, State: "MASTER", Priority: 150, Effective: 150}},
			Timers: control.VRRPTimers{
				Deadlines: 3, Mean: control.ExactDuration(110 * time.Microsecond),
				Worst: control.ExactDuration(12 * time.Millisecond), Recent: control.ExactDuration(2*time.Millisecond + time.Microsecond),
			},
		},
		Drops: map[string]uint64{"no_server": 9},
		Notes: []string{"keepalived.conf:4:2: sorry_server is not served yet"},
	}
}

func TestStatusRoundTrip(t *testing.T) {
	want := fullStatus()
	got, err := control.Dial(serve(t, fake{status: want})).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("status changed on its way (-sent +received):\n%s", diff)
	}
}

func TestServicesRoundTrip(t *testing.T) {
	want := control.ServiceList{TableSize: 4096, Services: fullStatus().Services}
	got, err := control.Dial(serve(t, fake{services: want})).Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("services changed on their way (-sent +received):\n%s", diff)
	}
}

func TestConnectionsStream(t *testing.T) {
	const n = 100_000
	c := control.Dial(serve(t, fake{connections: n}))
	i := 0
	err := c.Connections(t.Context(), func(got control.Connection) error {
		if want := connection(i); got != want {
			t.Fatalf("connection %d: got %+v, want %+v", i, got, want)
		}
		i++
		return nil
	})
	if err != nil || i != n {
		t.Errorf("got %d connections and error %v, want %d and none", i, err, n)
	}
}

func TestConnectionsBreakOff(t *testing.T) {
	t.Run("the director fails", func(t *testing.T) {
		c := control.Dial(serve(t, fake{connections: 3, err: errors.New("table is being resized")}))
		n := 0
		err := c.Connections(t.Context(), func(control.Connection) error { n++; return nil })
		if err == nil || err.Error() != "table is being resized" || n != 3 {
			t.Errorf("got %d connections and error %v, want 3 and the director's error", n, err)
		}
	})
	t.Run("the reader has enough", func(t *testing.T) {
		c := control.Dial(serve(t, fake{connections: 100_000}))
		enough := errors.New("enough")
		err := c.Connections(t.Context(), func(control.Connection) error { return enough })
		if !errors.Is(err, enough) {
			t.Errorf("got error %v, want the reader's own", err)
		}
	})
}

// TestServeWhenClientDoesNotRead fills the socket of a client that asks and never
// reads: Serve must still end.
func TestServeWhenClientDoesNotRead(t *testing.T) {
	l, err := control.Listen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", l.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // only after Serve has ended
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked, returned := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, blocked{asked: asked, returned: returned}) }()
	if _, err := io.WriteString(c, "GET /v1/connections HTTP/1.1\r\nHost: uvs\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
		select {
		case <-returned:
		default:
			t.Error("Serve ended before the request did")
		}
	case <-time.After(10 * time.Second):
		t.Error("Serve goes on 10 s after its context ended")
	}
}

// blocked never runs out of connections.
type blocked struct {
	control.Director // nil: not asked here
	asked, returned  chan struct{}
}

func (blocked) Status(context.Context) (control.Status, error) { return control.Status{}, nil }

func (blocked) Services(context.Context) (control.ServiceList, error) {
	return control.ServiceList{}, nil
}

func (b blocked) Connections(_ context.Context, yield func(control.Connection) error) error {
	close(b.asked)
	defer close(b.returned)
	for i := 0; ; i++ {
		if err := yield(connection(i)); err != nil {
			return err
		}
	}
}

func TestErrorAnswers(t *testing.T) {
	tests := []struct {
		name, request string
		wantStatus    int
		wantBody      string
	}{
		{"unknown path", "GET /v1/nothing HTTP/1.1\r\nHost: uvs\r\n\r\n", 404, `{"error":"no such path: /v1/nothing"}`},
		{"wrong method", "POST /v1/status HTTP/1.1\r\nHost: uvs\r\nContent-Length: 0\r\n\r\n", 405, `{"error":"/v1/status answers GET, not POST"}`},
		{"director's error", "GET /v1/status HTTP/1.1\r\nHost: uvs\r\n\r\n", 500, `{"error":"out of order"}`},
		{"headers too large", "GET /v1/status HTTP/1.1\r\nHost: uvs\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", 431, ""},
	}
	runDir := serve(t, fake{err: errors.New("out of order")})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("unix", filepath.Join(runDir, control.SocketName))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, tt.request); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.wantStatus || tt.wantBody != "" && strings.TrimSpace(string(body)) != tt.wantBody {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, body, tt.wantStatus, tt.wantBody)
			}
		})
	}
}

func TestDialWhenNothingRuns(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, control.SocketName)
	want := func(t *testing.T, cause string) {
		t.Helper()
		_, err := control.Dial(dir).Status(t.Context())
		text := "no uvs is running with run directory " + dir + " (connect " + socket + ": " + cause +
			"); start it with `uvs run -f FILE`, or name its directory with --run-dir"
		if !errors.Is(err, control.ErrNotRunning) || err.Error() != text {
			t.Errorf("got  %v\nwant %s", err, text)
		}
	}
	t.Run("no socket", func(t *testing.T) { want(t, "no such file or directory") })
	deadSocket(t, socket)
	t.Run("dead socket", func(t *testing.T) { want(t, "connection refused") })
}

// deadSocket leaves what a killed director leaves: a socket file nobody listens on.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkConnections streams connections from a director through the socket to a
// client that decodes them; one operation is one connection.
func BenchmarkConnections(b *testing.B) {
	l, err := control.Listen(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, fake{connections: b.N}) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	b.ReportAllocs()
	b.ResetTimer()
	if err := control.Dial(filepath.Dir(l.Path())).Connections(ctx, func(control.Connection) error { return nil }); err != nil {
		b.Fatal(err)
	}
}
