package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"uvs/bench/outcome"
)

// webPort is where the server's nginx listens.
const webPort = 8080

// connections is real TCP: connect, one small HTTP request, close, as fast as client and
// server can.
type connections struct{ profile profile }

func (connections) about() outcome.Load {
	return outcome.Load{
		Name: "connections", Unit: "connections/s",
		About: "wrk with one HTTP request to a connection, on the ends' core with the nginx that answers: connect, request, answer, close. " +
			"The contender direct is the ends' own limit.",
		Cases:   []string{"32 clients"},
		Metrics: []outcome.Metric{{Name: "errors", Unit: ""}},
	}
}

func (connections) demand(string) demand { return demand{protocol: "TCP", port: webPort} }
func (connections) rounds() int          { return everyRound }
func (connections) needs() []program     { return webPrograms() }

func (c connections) takes(x contender, _ string) bool { return takesWeb(x, c.profile) }

func (connections) prepare(_ context.Context, s *site) (func() error, error) { return startWeb(s) }

func (connections) measure(ctx context.Context, t *turn) (measurement, error) {
	return measureWeb(ctx, t, "-c", "32", "-H", "Connection: close")
}

// requests is HTTP requests on connections that stay.
type requests struct{ profile profile }

func (requests) about() outcome.Load {
	return outcome.Load{
		Name: "requests", Unit: "requests/s",
		About:   "wrk with keep-alive, on the ends' core with the nginx that answers. The contender direct is the ends' own limit.",
		Cases:   []string{"32 connections"},
		Metrics: []outcome.Metric{{Name: "errors", Unit: ""}},
	}
}

func (requests) demand(string) demand { return demand{protocol: "TCP", port: webPort} }
func (requests) rounds() int          { return everyRound }
func (requests) needs() []program     { return webPrograms() }

func (r requests) takes(x contender, _ string) bool { return takesWeb(x, r.profile) }

func (requests) prepare(_ context.Context, s *site) (func() error, error) { return startWeb(s) }

func (requests) measure(ctx context.Context, t *turn) (measurement, error) {
	return measureWeb(ctx, t, "-c", "32")
}

func webPrograms() []program {
	return []program{{"wrk", "wrk"}, {"nginx", "nginx-light"}, {"taskset", "util-linux"}}
}

// takesWeb leaves out who does not bring answers back, and settings that make no difference.
func takesWeb(c contender, p profile) bool { return c.kind != dr && c.role == asItComes && p != guest }

// startWeb starts nginx on the server: one worker that answers all requests with two bytes.
func startWeb(s *site) (stop func() error, err error) {
	dir, err := os.MkdirTemp("", "uvs-bench-")
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 30000; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]d backlog=65535;
		location / { return 200 "ok"; }
	}
}
`, dir, webPort)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	run := s.cores.onEnds("nginx", "-c", file)
	p, err := s.server.Start(run[0], run[1:]...)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return func() error { return errors.Join(p.Stop(), os.RemoveAll(dir)) },
		waitListening(context.Background(), s.client, netip.AddrPortFrom(s.server.Addr4("direct0"), webPort), p)
}

// measureWeb runs wrk against a session.
func measureWeb(ctx context.Context, t *turn, args ...string) (m measurement, err error) {
	if err := t.site.place(t.site.cores.ends); err != nil {
		return m, err
	}
	if _, err := wrk(ctx, t, t.warmUp, args); err != nil {
		return m, fmt.Errorf("warm-up: %w", err)
	}
	err = t.window(ctx, func() error {
		m, err = wrk(ctx, t, t.length, args)
		return err
	})
	return m, err
}

func wrk(ctx context.Context, t *turn, length time.Duration, args []string) (m measurement, err error) {
	// wrk counts in whole seconds.
	seconds := max(1, int(length.Round(time.Second)/time.Second))
	command := append([]string{"wrk", "-t", "1", "-d", strconv.Itoa(seconds) + "s", "--timeout", "5s"}, args...)
	command = append(command, "http://"+t.session.path().target.String()+"/")
	m.command = strings.Join(command, " ")
	run := t.site.cores.onEnds(command...)
	out, err := t.site.client.Run(ctx, run[0], run[1:]...)
	if err != nil {
		return m, err
	}
	rate, failed, err := parseWrk(out)
	m.value, m.metrics = rate, map[string]float64{"errors": failed}
	return m, err
}

var (
	wrkRate   = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkErrors = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

// parseWrk reads what wrk prints: the rate, and how many connections failed.
func parseWrk(text string) (rate, failed float64, err error) {
	m := wrkRate.FindStringSubmatch(text)
	if m == nil {
		return 0, 0, fmt.Errorf("wrk tells no rate:\n%s", text)
	}
	if rate, err = strconv.ParseFloat(m[1], 64); err != nil || rate == 0 {
		return 0, 0, fmt.Errorf("wrk got nothing:\n%s", text)
	}
	if e := wrkErrors.FindStringSubmatch(text); e != nil {
		for _, n := range e[1:] {
			v, _ := strconv.ParseFloat(n, 64) // they are digits
			failed += v
		}
	}
	return rate, failed, nil
}
