package main

import (
	"context"
	"net/netip"
)

// kernelForwarding is plain routing: the client connects to the server's own address and
// nothing is translated. It is what no load balancer can beat by much.
func kernelForwarding() contender {
	return contender{
		name:  reference,
		about: "the kernel's IP forwarding, no translation, no netfilter rules",
		start: func(_ context.Context, s *site, port uint16) (session, error) {
			return kernel{s, port}, s.director.Sysctl("net.ipv4.ip_forward", "1")
		},
	}
}

type kernel struct {
	site *site
	port uint16
}

func (k kernel) target() netip.AddrPort {
	return netip.AddrPortFrom(k.site.server.Addr4("eth0"), k.port)
}

func (k kernel) counters(context.Context) (counters, error) {
	n, err := k.site.kernelForwarded()
	return counters{"forwarded": n}, err
}

func (k kernel) stop() error { return k.site.director.Sysctl("net.ipv4.ip_forward", "0") }
