package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"uvs/internal/wire"
)

// endsAlone is no director at all: a second veth pair from the client to the server. What
// it reaches is the limit of the load, the ends and the cores that they run on.
func endsAlone() contender {
	return contender{
		name:  withoutDirector,
		about: "client and server by a veth pair of their own, without a director: the limit of the load itself",
		kind:  nobody,
		start: func(_ context.Context, s *site, d demand) (session, error) {
			mac, err := s.server.MAC("direct0")
			if err != nil {
				return nil, err
			}
			address := s.server.Addr4("direct0")
			return direct{s, path{"direct0", wire.MAC(mac), netip.AddrPortFrom(address, d.port), single(address)}}, nil
		},
	}
}

type direct struct {
	site *site
	way  path
}

func (d direct) path() path { return d.way }

func (d direct) counters(context.Context) (counters, error) {
	n, err := received(d.site.server, "direct0")
	return counters{"forwarded": n}, err
}

func (direct) stop() error { return nil }

// kernelForwarding is plain routing: the client connects to the server's own address and
// nothing is translated. It is what no load balancer can beat by much.
func kernelForwarding() contender {
	return contender{
		name:     reference,
		about:    "the kernel's IP forwarding, no translation, no netfilter rules",
		kind:     routing,
		inKernel: true,
		start: func(_ context.Context, s *site, d demand) (session, error) {
			k := kernel{site: s}
			var err error
			if k.way, err = s.through(netip.AddrPortFrom(s.serverAddr(), d.port), single(s.serverAddr())); err != nil {
				return nil, err
			}
			return k, s.director.Sysctl("net.ipv4.ip_forward", "1")
		},
	}
}

type kernel struct {
	site *site
	way  path
}

func (k kernel) path() path { return k.way }

func (k kernel) counters(context.Context) (counters, error) {
	n, err := k.site.kernelForwarded()
	return counters{"forwarded": n}, err
}

func (k kernel) stop() error { return k.site.director.Sysctl("net.ipv4.ip_forward", "0") }

// nftDNAT is nftables' destination NAT with the kernel's connection tracking.
func nftDNAT() contender {
	return contender{
		name:     "nft-dnat",
		about:    "nftables: one DNAT rule, the kernel's conntrack with room for all flows",
		kind:     nat,
		inKernel: true,
		needs:    []program{{"nft", "nftables"}},
		start:    startDNAT,
	}
}

func startDNAT(ctx context.Context, s *site, d demand) (session, error) {
	way, err := s.through(netip.AddrPortFrom(s.vip, d.port), single(s.serverAddr()))
	if err != nil {
		return nil, err
	}
	k := dnat{kernel{s, way}}
	rules := fmt.Sprintf(`table ip bench {
	chain translate {
		type nat hook prerouting priority dstnat;
		ip daddr %s %s dport %d-%d dnat to %s
	}
}`, s.vip, strings.ToLower(d.protocol), d.port, d.lastPort(), s.serverAddr())
	if _, err := s.director.Run(ctx, "nft", rules); err != nil {
		return nil, err
	}
	return k, s.director.Sysctl("net.ipv4.ip_forward", "1")
}

type dnat struct{ kernel }

func (d dnat) connections(ctx context.Context) (uint64, error) {
	out, err := d.site.director.Run(ctx, "cat", "/proc/sys/net/netfilter/nf_conntrack_count")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(out), 10, 64)
}

func (dnat) memory(context.Context) (uint64, error) { return slab() }

func (dnat) pauses() []float64 { return nil }

func (d dnat) stop() error {
	_, err := d.site.director.Run(context.Background(), "nft", "delete table ip bench")
	return errors.Join(err, d.kernel.stop())
}

// slab returns the bytes of the kernel's own objects on the whole machine.
func slab() (uint64, error) {
	text := strings.TrimSuffix(fieldOf("/proc/meminfo", "Slab"), " kB")
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("/proc/meminfo: Slab: %w", err)
	}
	return n << 10, nil
}
