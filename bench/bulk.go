package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// bulk is one TCP stream of iperf3 as fast as it goes, in one direction at a time. Its
// value is what the receiver got, without headers.
type bulk struct{}

// The directions of bulk.
const (
	toServer = "to server"
	toClient = "to client" // iperf3 -R: the client connects, the server sends
)

func (bulk) name() string     { return "bulk" }
func (bulk) unit() string     { return "Gbit/s" }
func (bulk) cases() []string  { return []string{toServer, toClient} }
func (bulk) goals() []goal    { return []goal{{"uvs-nat", 0.6}} }
func (bulk) needs() []program { return []program{{"iperf3", "iperf3"}} }
func (bulk) port() uint16     { return 5201 }

func (b bulk) prepare(s *site) error {
	p, err := s.server.Start("iperf3", "-s", "-p", strconv.Itoa(int(b.port())), "--forceflush")
	if err != nil {
		return err
	}
	return p.WaitOutput(10*time.Second, "Server listening")
}

// iperfSlack is how much longer than its load iperf3 may take.
const iperfSlack = 15 * time.Second

func (bulk) measure(ctx context.Context, s *site, direction string, target netip.AddrPort, seconds int) (measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+iperfSlack)
	defer cancel()
	args := []string{"-c", target.Addr().String(), "-p", strconv.Itoa(int(target.Port())), "-t", strconv.Itoa(seconds), "-J"}
	if direction == toClient {
		args = append(args, "-R")
	}
	m := measurement{command: "iperf3 " + strings.Join(args, " ")}
	out, runErr := s.client.Run(ctx, "iperf3", args...)
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
