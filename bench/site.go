package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"uvs/internal/netlab"
)

// A site is one client, one director and one server, each in a network namespace:
//
//	client – bridge – director – bridge – server
//
// The director is everyone's default gateway. It neither forwards nor has the VIP until a
// contender makes it so.
type site struct {
	*netlab.Topology
	client, director, server *netlab.Host
}

func newSite() (*site, error) {
	top, err := netlab.TwoArm(netlab.Plan{Name: "bench", Servers: 1, NoVIP: true})
	if err != nil {
		return nil, err
	}
	s := &site{top, top.Clients[0], top.Directors[0], top.Servers[0]}
	for _, h := range s.hosts() {
		// What TCP learned of a path in one run must not slow down the next.
		if err := h.Sysctl("net.ipv4.tcp_no_metrics_save", "1"); err != nil {
			_ = s.Close() // the first error is the one that tells
			return nil, err
		}
	}
	return s, nil
}

func (s *site) hosts() []*netlab.Host { return []*netlab.Host{s.client, s.director, s.server} }

// counter reads a counter of a host from /proc/net/snmp, which has a line of names and a
// line of values for each protocol.
func counter(h *netlab.Host, protocol, name string) (uint64, error) {
	var text []byte
	if err := h.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	}); err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != protocol+":" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i := range min(len(names), len(fields)) {
			if names[i] == name {
				return strconv.ParseUint(fields[i], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("host %s: /proc/net/snmp has no %s %s", h.Name(), protocol, name)
}

// kernelForwarded counts what the director's kernel has forwarded, in datagrams.
func (s *site) kernelForwarded() (uint64, error) { return counter(s.director, "Ip", "ForwDatagrams") }

// retransmitted counts TCP segments that any host sent again.
func (s *site) retransmitted() (uint64, error) {
	var sum uint64
	for _, h := range s.hosts() {
		n, err := counter(h, "Tcp", "RetransSegs")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// offloadNames are the features that decide how large frames are and who computes
// checksums.
func offloadNames() []string {
	return []string{
		"rx-checksumming", "tx-checksumming", "scatter-gather", "tcp-segmentation-offload", "generic-segmentation-offload",
		"generic-receive-offload", "large-receive-offload", "rx-gro-list", "rx-udp-gro-forwarding",
	}
}

// offloads returns the features of every interface on the way as ethtool -k has them:
// "director eth0" → "rx-checksumming: on, …".
func (s *site) offloads(ctx context.Context) (map[string]string, error) {
	all := make(map[string]string)
	for _, i := range []struct {
		host *netlab.Host
		name string
	}{{s.client, "eth0"}, {s.director, "eth0"}, {s.director, "eth1"}, {s.server, "eth0"}} {
		out, err := i.host.Run(ctx, "ethtool", "-k", i.name)
		if err != nil {
			return nil, err
		}
		all[i.host.Name()+" "+i.name] = features(out)
	}
	return all, nil
}

// features picks offloadNames from ethtool's output.
func features(ethtool string) string {
	var have []string
	for line := range strings.Lines(ethtool) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok && slices.Contains(offloadNames(), name) {
			have = append(have, name+": "+strings.Fields(value)[0])
		}
	}
	return strings.Join(have, ", ")
}
