package preflight

import (
	"context"
	"net"
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
	f := Facts{
		Network: network, LargeReceive: largeReceive,
		StrictReversePath: strictReversePath("/proc/sys/net/ipv4/conf"), Cloud: cloudOf("/sys/class/dmi/id"),
	}
	var wg sync.WaitGroup
	wg.Go(func() { f.Claims = Claims(ctx, s, network) })
	wg.Go(func() { f.Gateways = gateways(ctx, s, network) })
	wg.Go(func() { f.Rules = firewallRules(ctx, s.vips(anyServer)) })
	wg.Wait()
	return f
}

// Claims asks the links that clients of a site look for its virtual addresses on whether
// another host answers for them, and returns those that do. It takes about half a second for
// up to sixteen addresses.
func Claims(ctx context.Context, s Site, network *hostnet.Snapshot) []Claim {
	type question struct {
		vip  netip.Addr
		link hostnet.Link
	}
	var questions []question
	for _, vip := range s.vips(anyServer) {
		for _, l := range linksOf(network, vip) {
			questions = append(questions, question{vip, l})
		}
	}
	own := make([][6]byte, 0, len(network.Links))
	for _, l := range network.Links {
		own = append(own, l.MAC)
	}
	macOf := func(addr netip.Addr, l hostnet.Link) (net.HardwareAddr, bool) {
		mac, found, err := announce.Probe(ctx, announce.Link{Index: l.Index, Name: l.Name, MAC: l.MAC}, addr,
			announce.ProbeOptions{Count: 2, Interval: 250 * time.Millisecond, Own: own, OwnersOnly: true})
		return mac, err == nil && found
	}
	claims := ask(questions, func(q question) (Claim, bool) {
		mac, found := macOf(q.vip, q.link)
		return Claim{VIP: q.vip, Interface: q.link.Name, MAC: mac}, found
	})
	for i := range claims {
		claims[i].Server = owner(s, network, claims[i], macOf)
	}
	return claims
}

// owner returns the real server whose MAC a claim has, the zero Addr if it is none's. Servers
// that the kernel knows no MAC of are asked for it.
func owner(s Site, n *hostnet.Snapshot, c Claim, macOf func(netip.Addr, hostnet.Link) (net.HardwareAddr, bool)) netip.Addr {
	type question struct {
		server netip.Addr
		link   hostnet.Link
	}
	var unknown []question
	for _, server := range s.servers(anyServer) {
		r, ok := n.Lookup(server)
		if !ok || r.Kind != hostnet.Unicast || len(r.Hops) == 0 || r.Hops[0].Gateway.IsValid() || server.Is4() != c.VIP.Is4() {
			continue
		}
		l, _ := n.LinkByIndex(r.Hops[0].Link)
		switch neighbour, ok := n.Neighbour(l.Index, server); {
		case !ok || !neighbour.Usable:
			unknown = append(unknown, question{server, l})
		case slices.Equal(neighbour.MAC[:], c.MAC):
			return server
		}
	}
	owners := ask(unknown, func(q question) (netip.Addr, bool) {
		mac, found := macOf(q.server, q.link)
		return q.server, found && slices.Equal(mac, c.MAC)
	})
	if len(owners) == 0 {
		return netip.Addr{}
	}
	return owners[0]
}

// linksOf returns the links on which an address is looked for by its neighbours: those that
// have it, and those that a network with it is on. On other links an answer for it, as Linux
// gives for each of its addresses, leads nobody astray.
func linksOf(n *hostnet.Snapshot, vip netip.Addr) []hostnet.Link {
	var links []hostnet.Link
	add := func(l hostnet.Link) {
		if l.Up && l.Ethernet && !l.Loopback && !l.NoARP && !slices.ContainsFunc(links, func(o hostnet.Link) bool { return o.Index == l.Index }) {
			links = append(links, l)
		}
	}
	for l := range n.Holders(vip) {
		add(l)
	}
	for r := range n.Routes() {
		if r.Kind != hostnet.Unicast || r.Dst.Bits() == 0 || !r.Dst.Contains(vip) {
			continue
		}
		for _, h := range r.Hops {
			if l, ok := n.LinkByIndex(h.Link); ok && !h.Gateway.IsValid() {
				add(l)
			}
		}
	}
	return links
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
