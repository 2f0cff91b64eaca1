package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"

	"uvs/bench/load"
	"uvs/internal/netlab"
)

// A site is one client, one director and one server, each in a network namespace:
//
//	client eth0 – eth0 director eth1 – eth0 server
//	client direct0 ————————————————— direct0 server
//
// Each – is a veth pair. The director is everyone's default gateway. It has the VIP, and
// forwards nothing until a contender makes it so. The second way, past the director, shows
// what client and server can do without one.
type site struct {
	*netlab.Site
	client, director, server *netlab.Host
	vip                      netip.Addr
	cores                    cores
	softirq                  string // Parameters.Softirq
}

// The addresses of the site.
func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// manyServers is the prefix of the servers of services with more than one: all are the
// one server, which the director reaches as a gateway.
func manyServers() netip.Prefix { return prefix("10.100.0.0/16") }

// cores says who runs where: one core is the director's, and the ends have the others.
type cores struct{ director, ends int }

// newCores gives the first CPU to the director and the last to the ends. With one CPU they
// share it.
func newCores() cores { return cores{0, runtime.NumCPU() - 1} }

// onDirector and onEnds prefix a command so that it runs on their CPUs.
func (c cores) onDirector(command ...string) []string {
	return append([]string{"taskset", "-c", strconv.Itoa(c.director)}, command...)
}

func (c cores) onEnds(command ...string) []string {
	list := strconv.Itoa(c.ends)
	if c.ends > c.director+1 {
		list = fmt.Sprintf("%d-%d", c.director+1, c.ends)
	}
	return append([]string{"taskset", "-c", list}, command...)
}

func newSite(softirq string) (_ *site, err error) {
	lab, err := netlab.New("bench")
	if err != nil {
		return nil, err
	}
	s := &site{Site: lab, vip: netip.MustParseAddr("198.51.100.80"), cores: newCores(), softirq: softirq}
	defer func() {
		if err != nil {
			_ = lab.Close() // the first error is the one that tells
		}
	}()
	for _, h := range []struct {
		host **netlab.Host
		name string
	}{{&s.client, "client"}, {&s.director, "director"}, {&s.server, "server"}} {
		if *h.host, err = lab.AddHost(h.name); err != nil {
			return nil, err
		}
	}
	return s, s.connect()
}

func (s *site) connect() error {
	for _, l := range []struct {
		a     *netlab.Host
		aName string
		b     *netlab.Host
		bName string
	}{{s.client, "eth0", s.director, "eth0"}, {s.director, "eth1", s.server, "eth0"}, {s.client, "direct0", s.server, "direct0"}} {
		if err := s.Connect(l.a, l.aName, l.b, l.bName); err != nil {
			return err
		}
	}
	for _, a := range []struct {
		host   *netlab.Host
		ifname string
		prefix netip.Prefix
	}{
		{s.client, "eth0", prefix("198.51.100.101/24")},
		{s.client, "direct0", prefix("203.0.113.1/24")},
		{s.director, "eth0", prefix("198.51.100.1/24")},
		{s.director, "eth0", netip.PrefixFrom(s.vip, 32)},
		{s.director, "eth1", prefix("192.0.2.1/24")},
		{s.server, "eth0", prefix("192.0.2.201/24")},
		{s.server, "direct0", prefix("203.0.113.2/24")},
	} {
		if err := a.host.AddAddr(a.ifname, a.prefix); err != nil {
			return err
		}
	}
	everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if err := errors.Join(
		s.client.AddRoute(everywhere, s.director.Addr4("eth0"), ""),
		s.server.AddRoute(everywhere, s.director.Addr4("eth1"), ""),
		s.director.AddRoute(load.Sources(), s.client.Addr4("eth0"), ""),
		s.director.AddRoute(manyServers(), s.serverAddr(), ""),
		netlab.HideVIP(s.server, s.vip),
	); err != nil {
		return err
	}
	for _, h := range s.hosts() {
		for _, setting := range []struct{ name, value string }{
			// What TCP learned of a path in one run must not slow down the next.
			{"net.ipv4.tcp_no_metrics_save", "1"},
			// Clients that open connections one after the other need ports.
			{"net.ipv4.ip_local_port_range", "1024 65535"},
			{"net.ipv4.tcp_tw_reuse", "1"},
			// The server knows all contenders' connections by the same addresses and ports; a client who tells the
			// way by which it goes begins with other sequence numbers on each. What one contender's run leaves in
			// TIME_WAIT would then refuse SYNs of the next one's, which come again a second later.
			{"net.ipv4.tcp_max_tw_buckets", "0"},
			{"net.core.somaxconn", "65535"},
		} {
			if err := h.Sysctl(setting.name, setting.value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *site) hosts() []*netlab.Host { return []*netlab.Host{s.client, s.director, s.server} }

func (s *site) serverAddr() netip.Addr { return s.server.Addr4("eth0") }

// place says whose core the receive softirq of each interface runs on, by RPS: the
// director's interfaces on the director's, and those of the ends on the given one. With
// softirq "sender" it runs where the frame was sent.
func (s *site) place(ends int) error {
	for _, i := range []struct {
		host *netlab.Host
		name string
		cpu  int
	}{
		{s.director, "eth0", s.cores.director}, {s.director, "eth1", s.cores.director},
		{s.client, "eth0", ends}, {s.client, "direct0", ends}, {s.server, "eth0", ends}, {s.server, "direct0", ends},
	} {
		mask := fmt.Sprintf("%x", 1<<i.cpu)
		if s.softirq == softirqSender {
			mask = "0"
		}
		file := "/sys/class/net/" + i.name + "/queues/rx-0/rps_cpus"
		if out, err := i.host.Run(context.Background(), "sh", "-c", "echo "+mask+" >"+file); err != nil {
			return fmt.Errorf("place softirq: %w: %s", err, out)
		}
	}
	return nil
}

// interfaceIndex returns the index of an interface of a host.
func interfaceIndex(h *netlab.Host, name string) (index int, err error) {
	err = h.Do(func() error {
		i, err := net.InterfaceByName(name)
		if err == nil {
			index = i.Index
		}
		return err
	})
	return index, err
}

// textIn reads a file of /proc/thread-self in a host's network namespace.
func textIn(h *netlab.Host, file string) (text string, err error) {
	err = h.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/" + file)
		text = string(b)
		return err
	})
	return text, err
}

// received counts the frames that an interface of a host got.
func received(h *netlab.Host, ifname string) (uint64, error) {
	text, err := textIn(h, "net/dev")
	if err != nil {
		return 0, err
	}
	return parseDev(text, ifname)
}

// parseDev returns the second field, received packets, of an interface in /proc/net/dev.
func parseDev(text, ifname string) (uint64, error) {
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if fields := strings.Fields(rest); ok && name == ifname && len(fields) > 1 {
			return strconv.ParseUint(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/net/dev has no interface %s", ifname)
}

// counter reads a counter of a host from /proc/net/snmp, which has a line of names and a
// line of values for each protocol.
func counter(h *netlab.Host, protocol, name string) (uint64, error) {
	text, err := textIn(h, "net/snmp")
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(text) {
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
