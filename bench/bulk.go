package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"uvs/bench/outcome"
)

// bulk is TCP streams of iperf3 as fast as they go, in one direction at a time. Its value
// is what the receiver got, without headers.
type bulk struct{ profile profile }

// The cases of bulk: how many streams and who sends. With iperf3 -R the client connects and
// the server sends.
const (
	oneToServer = "1 stream to server"
	oneToClient = "1 stream to client"
)

// iperfPort is iperf3's own.
const iperfPort = 5201

func (b bulk) about() outcome.Load {
	return outcome.Load{
		Name: "bulk", Unit: "Gbit/s",
		About: "TCP streams of iperf3, whose two ends run on the ends' core with their softirq: what the receiver got.",
		Cases: b.profile.pick([]string{oneToServer, oneToClient}, oneToServer, oneToClient, "8 streams to server", "8 streams to client"),
	}
}

func (bulk) demand(string) demand { return demand{protocol: "TCP", port: iperfPort} }
func (b bulk) rounds() int        { return b.profile.few(3) }
func (bulk) needs() []program     { return []program{{"iperf3", "iperf3"}, {"taskset", "util-linux"}} }

func (b bulk) takes(c contender, variation string) bool {
	return c.kind != dr && b.profile != guest && (c.role == asItComes || c.name == "uvs-nat-v3" && strings.HasPrefix(variation, "1 ") || b.profile == full)
}

func (b bulk) prepare(_ context.Context, s *site) (func() error, error) {
	run := s.cores.onEnds("iperf3", "-s", "-p", strconv.Itoa(iperfPort), "--forceflush")
	p, err := s.server.Start(run[0], run[1:]...)
	if err != nil {
		return nil, err
	}
	stop := func() error {
		_ = p.Stop() // an iperf3 that is told to end exits with status 1
		return nil
	}
	return stop, p.WaitOutput(10*time.Second, "Server listening")
}

// iperfSlack is how much longer than its load iperf3 may take.
const iperfSlack = 15 * time.Second

func (b bulk) measure(ctx context.Context, t *turn) (m measurement, err error) {
	if err := t.site.place(t.site.cores.ends); err != nil {
		return m, err
	}
	if _, err := b.stream(ctx, t, t.warmUp); err != nil {
		return m, fmt.Errorf("warm-up: %w", err)
	}
	err = t.window(ctx, func() error {
		m, err = b.stream(ctx, t, t.length)
		return err
	})
	return m, err
}

func (bulk) stream(ctx context.Context, t *turn, length time.Duration) (m measurement, err error) {
	ctx, cancel := context.WithTimeout(ctx, length+iperfSlack)
	defer cancel()
	target := t.session.path().target
	streams, direction, _ := strings.Cut(t.variation, " ")
	// iperf3 counts in whole seconds.
	seconds := max(1, int(length.Round(time.Second)/time.Second))
	args := []string{
		"-c", target.Addr().String(), "-p", strconv.Itoa(int(target.Port())), "-t", strconv.Itoa(seconds), "-P", streams, "-J",
	}
	if strings.HasSuffix(direction, "to client") {
		args = append(args, "-R")
	}
	m.command = "iperf3 " + strings.Join(args, " ")
	run := t.site.cores.onEnds(append([]string{"iperf3"}, args...)...)
	out, runErr := t.site.client.Run(ctx, run[0], run[1:]...)
	bits, err := parseIperf(out)
	if err = errors.Join(runErr, err); err != nil {
		return m, fmt.Errorf("%s: %w", m.command, err)
	}
	m.value, m.output = bits/1e9, json.RawMessage(out)
	return m, nil
}

// parseIperf returns what the receiver got, in bit/s, from iperf3's JSON.
func parseIperf(text string) (bits float64, err error) {
	var out struct {
		Error string `json:"error"`
		End   struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return 0, fmt.Errorf("iperf3's output: %w", err)
	}
	if out.Error != "" {
		return 0, errors.New(out.Error)
	}
	if out.End.Received.Bits <= 0 {
		return 0, errors.New("iperf3's receiver got nothing")
	}
	return out.End.Received.Bits, nil
}
