package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"uvs/internal/netlab"
)

// haproxyTCP is haproxy as a TCP proxy on the VIP: the usual load balancer in user space.
func haproxyTCP() contender {
	return contender{
		name:  "haproxy",
		about: "haproxy in TCP mode, one thread, splicing as it sees fit",
		kind:  proxy,
		needs: []program{{"haproxy", "haproxy"}},
		start: func(ctx context.Context, s *site, d demand) (session, error) {
			// -db keeps it one process in the foreground.
			return startProxy(ctx, s, d, haproxyConfig, "haproxy", "-db", "-f")
		},
	}
}

func haproxyConfig(listen, server netip.AddrPort, _ string) string {
	return fmt.Sprintf(`global
	nbthread 1
	maxconn 5000
defaults
	mode tcp
	option splice-auto
	timeout connect 5s
	timeout client 1m
	timeout server 1m
listen bench
	bind %s backlog 65535
	server server1 %s
`, listen, server)
}

// nginxModule is where Debian has nginx's stream proxy.
const nginxModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

// nginxStream is nginx as a TCP proxy on the VIP.
func nginxStream() contender {
	return contender{
		name:  "nginx",
		about: "nginx stream proxy, one worker",
		kind:  proxy,
		needs: []program{{"nginx", "nginx-light"}, {nginxModule, "libnginx-mod-stream"}},
		start: func(ctx context.Context, s *site, d demand) (session, error) {
			return startProxy(ctx, s, d, nginxConfig, "nginx", "-c")
		},
	}
}

func nginxConfig(listen, server netip.AddrPort, dir string) string {
	return fmt.Sprintf(`daemon off;
worker_processes 1;
pid %[3]s/nginx.pid;
error_log stderr warn;
load_module %[4]s;
worker_rlimit_nofile 65536;
events { worker_connections 30000; }
stream {
	server {
		listen %[1]s backlog=65535;
		proxy_pass %[2]s;
	}
}
`, listen, server, dir, nginxModule)
}

// proxied is a running proxy.
type proxied struct {
	site    *site
	dir     string // of the configuration
	way     path
	process *netlab.Process // nil if it did not start
}

// startProxy starts a proxy on the director's core: its command is run with the name of the
// file that has its configuration.
func startProxy(ctx context.Context, s *site, d demand, config func(listen, server netip.AddrPort, dir string) string,
	command ...string,
) (_ session, err error) {
	p := &proxied{site: s}
	if p.way, err = s.through(netip.AddrPortFrom(s.vip, d.port), single(s.serverAddr())); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp("", "uvs-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	file := filepath.Join(p.dir, command[0]+".conf")
	text := config(p.way.target, netip.AddrPortFrom(s.serverAddr(), d.port), p.dir)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	run := s.cores.onDirector(append(command, file)...)
	if p.process, err = s.director.Start(run[0], run[1:]...); err != nil {
		return nil, err
	}
	return p, waitListening(ctx, s.client, p.way.target, p.process)
}

// waitListening waits until a process accepts connections from a host.
func waitListening(ctx context.Context, from *netlab.Host, address netip.AddrPort, process *netlab.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := from.DialContext(ctx, "tcp", address.String())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-process.Done():
			return fmt.Errorf("it ended: %s", process.Output())
		case <-ctx.Done():
			return fmt.Errorf("nobody accepts connections to %s after %v: %w", address, startTimeout, err)
		}
	}
}

func (p *proxied) path() path { return p.way }

// counters has the segments that the director's own stack sent: nothing but the proxy does.
func (p *proxied) counters(context.Context) (counters, error) {
	n, err := counter(p.site.director, "Tcp", "OutSegs")
	return counters{"forwarded": n}, err
}

func (p *proxied) stop() error {
	var err error
	if p.process != nil {
		err = p.process.Stop()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
