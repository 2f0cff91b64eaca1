//go:build netns

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// detection is how long a dead process may stay in service with delay_loop 1 and TCP_CHECK's
// defaults: up to one period until the next probe, then one retry a second later, and a
// margin for this machine.
const detection = 2500 * time.Millisecond

// TestServerDiesUnderLoad stops a web server under load and brings it back. Only requests
// between its death and its detection may fail, and the log, the table and the status
// tell the same story, with and without inhibit_on_failure.
func TestServerDiesUnderLoad(t *testing.T) {
	for _, m := range modes() {
		for _, inhibit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, inhibit_on_failure %t", m.name, inhibit), func(t *testing.T) {
				serverDies(t, m, inhibit)
			})
		}
	}
}

func serverDies(t *testing.T, m mode, inhibit bool) {
	top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
	webs := []*webServer{startWeb(t, top.Servers[0]), startWeb(t, top.Servers[1])}
	config := m.config(top)
	if inhibit {
		config = strings.ReplaceAll(config, " protocol TCP\n", " protocol TCP\n inhibit_on_failure\n")
	}
	d := startDirector(t, top.Directors[0], config, "--workers", "2")
	load := startLoad(t, top.Clients[0], url(top.VIP4, 80, "/"))
	load.waitFor("server1", 20)

	died := time.Now()
	webs[0].stop()
	victim := fmt.Sprintf("[%s]:tcp:%d", top.Servers[0].Addr4("eth0"), m.port)
	service := fmt.Sprintf("[%s]:tcp:80", top.VIP4)
	down, up := "Removing service %s from VS %s", "Adding service %s to VS %s"
	if inhibit {
		down, up = "Disabling service %s of VS %s", "Enabling service %s of VS %s"
	}
	waitLog(t, d, fmt.Sprintf(down, victim, service))
	detected := time.Now()
	if took := detected.Sub(died); took > detection {
		t.Errorf("detected after %s, want at most %s", took, detection)
	}
	t.Logf("detected after %s", detected.Sub(died).Round(time.Millisecond))
	wantState(t, d, top, m, inhibit, true)
	load.waitFor("server2", 20) // all of these are after the detection

	webs[0].start()
	waitLog(t, d, fmt.Sprintf(up, victim, service))
	wantState(t, d, top, m, inhibit, false)
	load.waitFor("server1", 20)

	results := load.stop()
	failed := 0
	for _, r := range results {
		if r.err == nil {
			continue
		}
		failed++
		if r.started.Before(died.Add(-50*time.Millisecond)) || r.started.After(detected.Add(50*time.Millisecond)) {
			t.Errorf("a request failed %s after the server's death, outside the detection window of %s: %v",
				r.started.Sub(died), detected.Sub(died), r.err)
		}
	}
	if failed == 0 {
		t.Error("no request failed: the load did not meet the dead server")
	}
	t.Logf("%d requests, %d failed", len(results), failed)
}

func waitLog(t *testing.T, d *director, line string) {
	t.Helper()
	if err := d.proc.WaitOutput(labtest.Hang, line); err != nil {
		t.Fatalf("log lacks %q: %v", line, err)
	}
}

// wantState compares `ipvsadm -Ln` and the status with what must be true of server1.
func wantState(t *testing.T, d *director, top *netlab.Topology, m mode, inhibit, dead bool) {
	t.Helper()
	row := fmt.Sprintf("  -> %s:%d ", top.Servers[0].Addr4("eth0"), m.port)
	wantRow, wantWeight, wantState := true, "1", control.ServerUp
	if dead {
		wantRow, wantWeight, wantState = inhibit, "0", control.ServerRemoved
		if inhibit {
			wantState = control.ServerInhibited
		}
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		table := d.uvs("ipvsadm", "-L", "-n")
		i := strings.Index(table, row)
		if (i >= 0) != wantRow {
			return fmt.Errorf("row of server1 is there: %t, want %t:\n%s", i >= 0, wantRow, table)
		}
		if wantRow {
			if weight := strings.Fields(table[i:])[3]; weight != wantWeight {
				return fmt.Errorf("server1 has weight %s, want %s:\n%s", weight, wantWeight, table)
			}
		}
		for _, s := range d.status().Services {
			if s.Address != top.VIP4 {
				continue
			}
			i := slices.IndexFunc(s.Servers, func(r control.Server) bool { return r.Address == top.Servers[0].Addr4("eth0") })
			if i < 0 || s.Servers[i].State != wantState {
				return fmt.Errorf("status has server1 as %+v, want %s", s.Servers, wantState)
			}
		}
		return nil
	})
}

// A load asks for one page again and again, each time on a new connection.
type load struct {
	t      *testing.T
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex // guards results
	results []result
}

type result struct {
	started, ended time.Time
	body           string
	err            error
}

// startLoad makes requests from two goroutines, some hundred a second, until stop or the
// end of the test.
func startLoad(t *testing.T, from *netlab.Host, url string) *load {
	return startLoadOf(t, from, url, time.Second)
}

// startLoadOf is startLoad with another limit for a request.
func startLoadOf(t *testing.T, from *netlab.Host, url string, limit time.Duration) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, cancel: cancel}
	for range 2 {
		l.done.Go(func() { l.run(ctx, from, url, limit) })
	}
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) run(ctx context.Context, from *netlab.Host, url string, limit time.Duration) {
	client := &http.Client{
		Timeout: limit,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return from.DialContext(ctx, network, addr)
			},
		},
	}
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		r := result{started: time.Now()}
		r.body, r.err = get(ctx, client, url)
		r.ended = time.Now()
		if ctx.Err() != nil {
			return // the end of the test broke it off
		}
		l.mu.Lock()
		l.results = append(l.results, r)
		l.mu.Unlock()
	}
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b)), err
}

// waitFor waits for a number of answers of one server from now on.
func (l *load) waitFor(server string, n int) {
	l.t.Helper()
	l.mu.Lock()
	from := len(l.results)
	l.mu.Unlock()
	labtest.Eventually(l.t, labtest.Hang, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		have := 0
		for _, r := range l.results[from:] {
			if r.err == nil && r.body == server {
				have++
			}
		}
		if have < n {
			return fmt.Errorf("%d answers of %s, want %d", have, server, n)
		}
		return nil
	})
}

// stop ends the load and returns all results.
func (l *load) stop() []result {
	l.cancel()
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.results
}
