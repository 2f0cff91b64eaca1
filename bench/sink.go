package main

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A sink counts a load's frames at the server and drops them there, as early as nftables
// can: in ingress, before the server's stack.
type sink struct{ site *site }

// newSink counts packets to a port and those behind it. Those that are not addressed to
// arrival are strays: somebody translated them wrongly or not at all.
func newSink(ctx context.Context, s *site, d demand, arrival netip.Prefix) (*sink, error) {
	to := fmt.Sprintf("%s dport %d-%d", strings.ToLower(d.protocol), d.port, d.lastPort())
	rules := fmt.Sprintf(`table netdev sink {
	chain sink {
		type filter hook ingress devices = { eth0, direct0 } priority 0;
		ip daddr %s %s counter drop
		%s counter drop
	}
}`, arrival, to, to)
	_, err := s.server.Run(ctx, "nft", rules)
	return &sink{s}, err
}

// count returns the packets that arrived and those that went astray.
func (k *sink) count(ctx context.Context) (arrived, astray uint64, err error) {
	out, err := k.site.server.Run(ctx, "nft", "list", "table", "netdev", "sink")
	if err != nil {
		return 0, 0, err
	}
	return parseSink(out)
}

// settled counts when nothing has arrived for a moment: the last frames of a load are still
// on their way when the generator ends.
func (k *sink) settled(ctx context.Context) (arrived, astray uint64, err error) {
	const quiet, longest = 20 * time.Millisecond, 2 * time.Second
	before := ^uint64(0)
	for end := time.Now().Add(longest); time.Now().Before(end); {
		if arrived, astray, err = k.count(ctx); err != nil || arrived+astray == before {
			break
		}
		before = arrived + astray
		if err := wait(ctx, quiet); err != nil {
			return 0, 0, err
		}
	}
	return arrived, astray, err
}

var counted = regexp.MustCompile(`counter packets (\d+)`)

// parseSink reads the two counters of the rules in their order.
func parseSink(text string) (arrived, astray uint64, err error) {
	m := counted.FindAllStringSubmatch(text, -1)
	if len(m) != 2 {
		return 0, 0, fmt.Errorf("sink has %d counters, want 2:\n%s", len(m), text)
	}
	if arrived, err = strconv.ParseUint(m[0][1], 10, 64); err != nil {
		return 0, 0, err
	}
	astray, err = strconv.ParseUint(m[1][1], 10, 64)
	return arrived, astray, err
}

func (k *sink) stop() error {
	_, err := k.site.server.Run(context.Background(), "nft", "delete table netdev sink")
	return err
}

// wait sleeps for a while or until ctx is done, whose error it returns.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
