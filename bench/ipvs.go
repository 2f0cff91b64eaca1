package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ipvs is the kernel's load balancer, where the kernel has it.
func ipvs(method string) contender {
	k := nat
	if method == "DR" {
		k = dr
	}
	return contender{
		name:     "ipvs-" + strings.ToLower(method),
		about:    "the kernel's IPVS, " + method + ", rr, with its default table",
		kind:     k,
		inKernel: true,
		needs:    []program{{"ipvsadm", "ipvsadm"}},
		missing: func() error {
			if !exists("/proc/net/ip_vs") {
				return fmt.Errorf("ipvs-%s left out: this kernel has no IPVS, or its module ip_vs is not loaded", strings.ToLower(method))
			}
			return nil
		},
		start: func(ctx context.Context, s *site, d demand) (session, error) { return startIPVS(ctx, s, d, method) },
	}
}

func startIPVS(ctx context.Context, s *site, d demand, method string) (_ session, err error) {
	// Connections outlive their service and go on as they began, so each method has a VIP of its own.
	vip, flag := s.vip, "-m"
	arrival := single(s.serverAddr())
	if method == "DR" {
		vip, flag = vip.Next(), "-g"
		arrival = single(vip)
	}
	way, err := s.through(netip.AddrPortFrom(vip, d.port), arrival)
	if err != nil {
		return nil, err
	}
	i := &ipvsSession{kernel: kernel{s, way}}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.stop())
		}
	}()
	if vip != s.vip {
		if err := s.director.AddAddr("eth0", single(vip)); err != nil {
			return nil, err
		}
		i.vip = vip
	}
	protocol := "-t"
	if d.protocol == "UDP" {
		protocol = "-u"
	}
	for port := int(d.port); port <= d.lastPort(); port++ {
		service := netip.AddrPortFrom(vip, uint16(port)).String()
		server := netip.AddrPortFrom(s.serverAddr(), uint16(port)).String()
		for _, args := range [][]string{
			{"-A", protocol, service, "-s", "rr"},
			{"-a", protocol, service, "-r", server, flag},
		} {
			if _, err := s.director.Run(ctx, "ipvsadm", args...); err != nil {
				return nil, err
			}
		}
	}
	// Answers of NAT servers pass FORWARD.
	return i, s.director.Sysctl("net.ipv4.ip_forward", "1")
}

type ipvsSession struct {
	kernel
	vip netip.Addr // that it added, if any
}

func (i *ipvsSession) counters(context.Context) (counters, error) {
	text, err := textIn(i.site.director, "net/ip_vs_stats")
	if err != nil {
		return nil, err
	}
	return parseIPVSStats(text)
}

// parseIPVSStats reads the third line of /proc/net/ip_vs_stats: connections, packets in and
// out, bytes in and out, all in hexadecimal.
func parseIPVSStats(text string) (counters, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 3 || len(strings.Fields(lines[2])) < 3 {
		return nil, fmt.Errorf("/proc/net/ip_vs_stats is %q", text)
	}
	fields := strings.Fields(lines[2])
	connections, errConnections := strconv.ParseUint(fields[0], 16, 64)
	in, errIn := strconv.ParseUint(fields[1], 16, 64)
	return counters{"forwarded": in, "connections": connections}, errors.Join(errConnections, errIn)
}

func (i *ipvsSession) connections(ctx context.Context) (uint64, error) {
	c, err := i.counters(ctx)
	return c["connections"], err
}

func (*ipvsSession) memory(context.Context) (uint64, error) { return slab() }

func (*ipvsSession) pauses() []float64 { return nil }

func (i *ipvsSession) stop() error {
	_, err := i.site.director.Run(context.Background(), "ipvsadm", "-C")
	if i.vip.IsValid() {
		err = errors.Join(err, i.site.director.DelAddr("eth0", single(i.vip)))
	}
	return errors.Join(err, i.kernel.stop())
}
