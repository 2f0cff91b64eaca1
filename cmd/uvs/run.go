package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"uvs/internal/steer"
)

// defaultConfig is keepalived's own default.
const defaultConfig = "/etc/keepalived/keepalived.conf"

// defaultHealthWait is enough for checks with the usual timeouts.
const defaultHealthWait = 5 * time.Second

// defaultMaxProbes is health.DefaultMaxProbes.
const defaultMaxProbes = 256

// defaultRealtime is the lowest of the real-time priorities: it is above all ordinary threads.
const defaultRealtime = 1

// runOptions is what `uvs run` was asked for.
type runOptions struct {
	file           string // of the configuration; empty: there is none
	optional       bool   // nobody asked for the file: it may be missing
	extra          string // the file with what is ours alone; empty: there is none
	configID       string // chooses lines with @; empty: the machine's name
	runDir         string
	steer          string // "auto" or a backend's name
	workers        int    // 0: one for each CPU
	maxConnections int    // 0: from memory
	io             string // "auto" or how frames come in
	transmit       string // "auto" or how frames go out
	busyPoll       time.Duration
	ringMemory     uint64 // bytes, 0: from memory
	strict         bool
	sysctls        []string // NAME=VALUE
	ftpPorts       []uint16 // of control connections
	healthWait     time.Duration
	maxProbes      int // health checks under way at a time
	realtime       int // priority of VRRP's thread, 0: none
	log            *slog.Logger
}

func newRun(p process, run func(context.Context, runOptions) error) *cobra.Command {
	steering := choice{"auto", steer.Names()}
	level := choice{"info", []string{"debug", "info", "warn", "error"}}
	workers, maxConnections := number{max: 1024}, number{max: 1 << 28}
	input := choice{"auto", []string{"auto", "v2", "v3", "recvmmsg", "plain", "afxdp"}}
	output := choice{"auto", []string{"auto", "afxdp", "sendmmsg"}}
	busyPoll := span{most: time.Second}
	ringMemory := size{least: 4 << 20}
	realtime := number{value: defaultRealtime, max: 99}
	maxProbes := number{value: defaultMaxProbes, max: 1 << 16}
	ftpPorts := portList{21}
	healthWait := span{value: defaultHealthWait, most: time.Hour}
	var id, extra string
	cmd := &cobra.Command{
		Use:   "run [-f FILE]",
		Short: "Run the director in the foreground",
		Long: `Run the director in the foreground: read the configuration, add the virtual
addresses, forward, check the servers. Logs go to standard error.

The first SIGTERM or SIGINT stops it cleanly: addresses and steering that it
added are taken away. A second one ends it at once and leaves them (the next
run takes them over, and "uvs cleanup" removes them).

Without -f, the default file is read if it exists; otherwise the director begins
without services, to be built with ipvsadm. -f '' does that in any case.

SIGHUP, or "uvs reload", reads the file again. A file with errors changes nothing.
What an operator changed with ipvsadm stays, unless the file changed that very entry.

What a configuration asks for and this version does not serve is logged, and the
rest runs. With --strict any error in the file is refused; "uvs check FILE" shows
them beforehand.

What keepalived.conf has no words for stands in another file, --extra FILE, which is
read with it, at a reload as well. It has the same form; docs/extra.md has all words:

  virtual_server 192.0.2.10 443 {
      reply_by_uplink     # answers by NAT go back to where the client came from
      fullnat 10.0.0.100-10.0.0.103  # servers see these come, and need no route back;
                          # "ports 1024-65535" and "dev eth1" may follow
      panic_threshold 80  # when 80 % of the servers go down at once, they stay
      removed_servers drain 300 # connections of removed servers go on for 300 s
      check_vip {         # ask servers by DR and TUN for the virtual address itself;
      }                   # times as in a checker: connect_timeout, delay_loop, retry
  }

Virtual addresses float between directors by VRRP, as keepalived has it. After the
start a director of higher priority leaves a living master alone until its checks
know which servers serve, for --vrrp-health-wait at the most; without a master it
waits for nothing. One that stops serves on until it hears its successor. The
thread of its timers, and no other, has a real-time priority (--vrrp-realtime), so
that a busy machine does not make adverts late.

Frames come in by rings of AF_PACKET: --io v2 (TPACKET_V2, the least latency) or
v3 (a little less CPU time for each of many short frames, and the least memory; a
frame waits for 1 ms and more), or without a ring by recvmmsg. plain does without
the kernel's word on unfinished frames: it switches the offloads of captured
interfaces off and back on at exit (on a virtual link, such as veth, switch off
segmentation at the other end as well). What cannot be opened is replaced by the
next best; "uvs status" says so.

--io afxdp adds a way past the kernel's stack beside the best ring: an XDP program in
the driver hands plain frames of services and NAT servers to AF_XDP sockets, one for
each queue: TCP and UDP in untagged frames for this host, without options, extension
headers or fragments. All others come by the ring, as do those of interfaces whose
driver has no XDP, that somebody else's XDP program has, or that take VLAN tags off.
It needs CAP_BPF and Linux 5.9. tcpdump on the director sees such frames no more, and
nothing merges them (GRO): bulk traffic is slower by it on virtual links.

Frames go out by transmit queues of AF_XDP (--transmit afxdp), for less CPU time than
by sendmmsg, which takes those of several segments, and all where there is no such
queue. What goes out by AF_XDP passes no queueing discipline, no egress filter of tc
and no packet tap: tcpdump on the director shows only what comes in. auto keeps to
sendmmsg on devices on top of others (VLAN, bond) and where a queueing discipline
shapes traffic.

With --busy-poll 50us a worker goes on looking for frames for that long before it
sleeps: what comes meanwhile waits for no wakeup, and the core has no rest.

The kernel's stack is kept off what is forwarded by --steer tcx (Linux 6.6), clsact
(a tc filter), nft, iptables (the table raw; needs its programs) or bare; auto is
the first of them that works, and "uvs status" says why not an earlier one. Those
but for bare leave ARP, ping and other ports of a virtual address to the kernel.
bare has nothing in the kernel: virtual addresses are on no interface, forwarding
must be off, uvs itself answers ARP, neighbour discovery and ping for them, and
their other ports are silent. auto takes it only where nothing else works.`,
		Example: `  uvs run -f /etc/keepalived/keepalived.conf
  uvs run -f site-b.conf --run-dir /run/uvs-b --workers 2
  UVS_LOG_LEVEL=debug uvs run --steer nft --strict`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, _ := cmd.Flags().GetString("file")
			sysctls, _ := cmd.Flags().GetStringSlice("vs")
			strict, _ := cmd.Flags().GetBool("strict")
			var least slog.Level
			if err := least.UnmarshalText([]byte(level.value)); err != nil {
				return err
			}
			err := run(cmd.Context(), runOptions{
				file:           file,
				optional:       !cmd.Flags().Changed("file"),
				configID:       id,
				extra:          extra,
				runDir:         runDir(cmd),
				steer:          steering.value,
				workers:        workers.value,
				maxConnections: maxConnections.value,
				io:             input.value,
				transmit:       output.value,
				busyPoll:       busyPoll.value,
				ringMemory:     ringMemory.value,
				strict:         strict,
				healthWait:     healthWait.value,
				maxProbes:      maxProbes.value,
				realtime:       realtime.value,
				sysctls:        sysctls,
				ftpPorts:       ftpPorts,
				log:            slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: least})),
			})
			if err != nil {
				return fmt.Errorf("run: %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringP("file", "f", defaultConfig, "`FILE` with the configuration, in keepalived's format")
	addConfigID(f, &id)
	addExtra(f, &extra)
	f.Var(&steering, "steer", "how the kernel's stack is kept off forwarded packets")
	f.Var(&workers, "workers", "forwarding threads, 0 for one per CPU")
	f.Var(&maxConnections, "max-connections", "size of the flow table, 0 for an eighth of the memory")
	f.Var(&input, "io", "how frames come in")
	f.Var(&output, "transmit", "how frames go out")
	f.Var(&busyPoll, "busy-poll", "how long a worker goes on looking for frames before it sleeps, 0 not to")
	f.Var(&ringMemory, "ring-memory", "memory for all receive rings, 0 for 1/16 of the memory and 256M at the most")
	f.StringSlice("vs", nil, "`NAME=VALUE` of IPVS's settings (net.ipv4.vs.*), may be repeated; \"uvs sysctl\" lists them")
	f.Var(&ftpPorts, "ftp-ports", "ports of services by NAT that speak FTP, up to 8 with commas between, or none")
	f.Var(&realtime, "vrrp-realtime", "real-time priority of VRRP's timers unless vrrp_rt_priority is set, 0 for none")
	f.Var(&healthWait, "vrrp-health-wait", "how long a living master of lower priority is left alone after the start until the servers have been judged, 0 not to wait")
	f.Var(&maxProbes, "max-probes", "health checks under way at a time, 0 for 256; what is due beyond that waits")
	f.Bool("strict", false, "refuse a configuration with any error")
	f.Var(&level, "log-level", "least level that is logged")
	twin(f, "file", "extra", "config-id", "steer", "workers", "max-connections", "io", "transmit", "busy-poll", "ring-memory", "vs", "ftp-ports", "max-probes", "vrrp-health-wait", "vrrp-realtime", "strict", "log-level")
	return cmd
}
