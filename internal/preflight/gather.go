package preflight

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"uvs/internal/announce"
	"uvs/internal/hostnet"
)

// atOnce bounds the questions that are under way at the same time: a site of thousands of
// servers must not be a burst.
const atOnce = 16

// Gather collects the facts about a machine and its neighbours. network is the machine as
// it is, with the virtual addresses that are about to come; largeReceive are the names of
// the interfaces with large receive offload on, which the caller has other means to know.
//
// It takes about a second, and longer for hundreds of addresses; ctx cuts it short, and
// what is not known then is not in the Facts. It needs CAP_NET_RAW and CAP_NET_ADMIN, asks
// from the network namespace of the calling thread, and is safe for use by many goroutines.
func Gather(ctx context.Context, s Site, network *hostnet.Snapshot, largeReceive []string) Facts {
	f := Facts{Network: network, LargeReceive: largeReceive, StrictReversePath: strictReversePath("/proc/sys/net/ipv4/conf")}
	var wg sync.WaitGroup
	wg.Go(func() { f.Claims = Claims(ctx, s, network) })
	wg.Go(func() { f.Gateways = gateways(ctx, s, network) })
	wg.Go(func() { f.Rules = firewallRules(ctx, s.vips(anyServer)) })
	wg.Wait()
	return f
}

// Claims asks the links of a site whether another host answers for its virtual addresses,
// and returns those that do. It takes about half a second for up to sixteen addresses.
func Claims(ctx context.Context, s Site, network *hostnet.Snapshot) []Claim {
	type question struct {
		vip  netip.Addr
		link hostnet.Link
	}
	var questions []question
	for _, vip := range s.vips(anyServer) {
		for _, index := range hostnet.CapturePoints(network, []netip.Addr{vip}, nil) {
			if l, ok := network.LinkByIndex(index); ok && l.Up && !l.NoARP {
				questions = append(questions, question{vip, l})
			}
		}
	}
	own := make([][6]byte, 0, len(network.Links))
	for _, l := range network.Links {
		own = append(own, l.MAC)
	}
	return ask(questions, func(q question) (Claim, bool) {
		mac, found, err := announce.Probe(ctx, announce.Link{Index: q.link.Index, Name: q.link.Name, MAC: q.link.MAC}, q.vip,
			announce.ProbeOptions{Count: 2, Interval: 250 * time.Millisecond, Own: own})
		return Claim{VIP: q.vip, Interface: q.link.Name, MAC: mac}, err == nil && found
	})
}

func gateways(ctx context.Context, s Site, network *hostnet.Snapshot) []Gateway {
	return ask(s.servers(natServer), func(server netip.Addr) (Gateway, bool) { return askGateway(ctx, network, server) })
}

// ask asks all questions, a bounded number at a time, and returns the answers in their order.
func ask[Q, A any](questions []Q, one func(Q) (A, bool)) []A {
	answers := make([]A, len(questions))
	known := make([]bool, len(questions))
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, q := range questions {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answers[i], known[i] = one(q)
		})
	}
	wg.Wait()
	var list []A
	for i, a := range answers {
		if known[i] {
			list = append(list, a)
		}
	}
	return list
}

// strictReversePath names the interfaces whose effective rp_filter, the greater of the
// interface's and that of "all" (Documentation/networking/ip-sysctl.rst), is 1.
func strictReversePath(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	all := rpFilter(dir, "all")
	var names []string
	for _, e := range entries {
		if n := e.Name(); n != "all" && n != "default" && max(all, rpFilter(dir, n)) == "1" {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

func rpFilter(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name, "rp_filter"))
	if err != nil {
		return "0"
	}
	return strings.TrimSpace(string(b))
}
