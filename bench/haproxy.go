package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"uvs/internal/netlab"
)

// statsAddress is where haproxy tells its counters, inside the director's namespace.
const statsAddress = "127.0.0.1:9999"

// haproxyTCP is haproxy as a TCP proxy on the VIP: the usual load balancer in user space.
func haproxyTCP() contender {
	return contender{
		name:  "haproxy",
		about: "haproxy in TCP mode, one thread, splicing as it sees fit",
		needs: []program{{"haproxy", "haproxy"}},
		start: startHaproxy,
	}
}

// haproxy is a running one.
type haproxy struct {
	site    *site
	dir     string // of the configuration
	address netip.AddrPort
	process *netlab.Process // nil if it did not start
}

func startHaproxy(ctx context.Context, s *site, port uint16) (_ session, err error) {
	dir, err := os.MkdirTemp("", "uvs-bench-")
	if err != nil {
		return nil, err
	}
	h := &haproxy{site: s, dir: dir, address: netip.AddrPortFrom(s.VIP4, port)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.stop())
		}
	}()
	if err := s.director.AddAddr("eth0", h.prefix()); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(h.config()), 0o644); err != nil {
		return nil, err
	}
	// -db keeps it one process in the foreground.
	if h.process, err = s.director.Start("haproxy", "-db", "-f", file); err != nil {
		return nil, err
	}
	return h, h.waitReady(ctx)
}

func (h *haproxy) prefix() netip.Prefix { return netip.PrefixFrom(h.address.Addr(), 32) }

func (h *haproxy) config() string {
	return fmt.Sprintf(`global
	nbthread 1
	stats socket ipv4@%s level operator
defaults
	mode tcp
	option splice-auto
	option contstats
	timeout connect 5s
	timeout client 1m
	timeout server 1m
listen bench
	bind %s
	server server1 %s:%d
`, statsAddress, h.address, h.site.server.Addr4("eth0"), h.address.Port())
}

// waitReady waits until it tells its counters; its other listener is open then too.
func (h *haproxy) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := h.counters(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-h.process.Done():
			return fmt.Errorf("haproxy ended: %s", h.process.Output())
		case <-ctx.Done():
			return fmt.Errorf("haproxy is not ready after %v: %w", startTimeout, err)
		}
	}
}

func (h *haproxy) target() netip.AddrPort { return h.address }

// counters asks for "show stat" (management.txt of haproxy, section 9.1).
func (h *haproxy) counters(ctx context.Context) (counters, error) {
	conn, err := h.site.director.DialContext(ctx, "tcp", statsAddress)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return nil, err
	}
	return parseStat(conn)
}

// parseStat reads the bytes of the frontend from the CSV that "show stat" answers.
func parseStat(r io.Reader) (counters, error) {
	table := csv.NewReader(r)
	table.FieldsPerRecord = -1
	rows, err := table.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("haproxy's statistics: %w", err)
	}
	column := make(map[string]int)
	for _, row := range rows {
		if row[0] == "# pxname" {
			for i, name := range row {
				column[name] = i
			}
		}
		if len(row) < len(column) || row[0] != "bench" || row[1] != "FRONTEND" {
			continue
		}
		in, errIn := strconv.ParseUint(row[column["bin"]], 10, 64)
		out, errOut := strconv.ParseUint(row[column["bout"]], 10, 64)
		return counters{"forwarded": in + out, "bytes in": in, "bytes out": out}, errors.Join(errIn, errOut)
	}
	return nil, errors.New("haproxy's statistics have no frontend \"bench\"")
}

func (h *haproxy) stop() error {
	var err error
	if h.process != nil {
		err = h.process.Stop()
	}
	return errors.Join(err, h.site.director.DelAddr("eth0", h.prefix()), os.RemoveAll(h.dir))
}
