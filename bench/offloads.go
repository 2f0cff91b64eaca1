package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"uvs/internal/netlab"
)

// offloadNames are the features that decide how large frames are and who computes
// checksums.
func offloadNames() []string {
	return []string{
		"rx-checksumming", "tx-checksumming", "scatter-gather", "tcp-segmentation-offload", "generic-segmentation-offload",
		"generic-receive-offload", "large-receive-offload", "rx-gro-list", "rx-udp-gro-forwarding",
	}
}

// segmentsAtTheEnds is the change that an XDP program on the director's interfaces makes: veth
// takes TSO from the other end (veth_fix_features in drivers/net/veth.c), so TCP sends frames
// of one segment.
func segmentsAtTheEnds() []string {
	return []string{"client eth0 tcp-segmentation-offload: off", "server eth0 tcp-segmentation-offload: off"}
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

// offloadChanges returns what is different, in order: "client eth0 tcp-segmentation-offload: off".
func offloadChanges(before, after map[string]string) (changes []string) {
	for _, device := range slices.Sorted(maps.Keys(after)) {
		old := strings.Split(before[device], ", ")
		for _, feature := range strings.Split(after[device], ", ") {
			if !slices.Contains(old, feature) {
				changes = append(changes, device+" "+feature)
			}
		}
	}
	return changes
}
