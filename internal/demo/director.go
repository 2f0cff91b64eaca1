package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
)

// A director is `uvs run` on a host, and how it is asked. Its files are in /run, which each
// host has for itself and in memory.
type director struct {
	host   *netlab.Host
	exe    string
	proc   *netlab.Process
	client *control.Client
	before []string // addresses of the host when nothing ran
}

const (
	runDir       = "/run/uvs"
	startTimeout = 10 * time.Second
)

// launch starts the director with a configuration and waits until its status is as wanted.
// The status is that of this moment.
func launch(ctx context.Context, h *netlab.Host, exe, config string, wanted func(control.Status) bool, args ...string) (d *director, s control.Status, err error) {
	d = &director{host: h, exe: exe}
	if d.before, err = addresses(h); err != nil {
		return nil, s, err
	}
	// The shell only brings the configuration to a place that ends with the site.
	const script = `cat >/run/keepalived.conf && exec "$0" --run-dir ` + runDir + ` run -f /run/keepalived.conf "$@"`
	d.proc, err = h.StartCmd(netlab.Cmd{Name: "/bin/sh", Args: append([]string{"-c", script, exe}, args...), Stdin: strings.NewReader(config)})
	if err != nil {
		return nil, s, err
	}
	// The socket is in the host's own /run: the kernel shows that through the process.
	d.client = control.Dial(fmt.Sprintf("/proc/%d/root%s", d.proc.Pid(), runDir))
	_, err = poll(ctx, startTimeout, func() (bool, error) {
		select {
		case <-d.proc.Done():
			return false, fmt.Errorf("the director ended:\n%s", d.proc.Output())
		default:
		}
		s, err = d.client.Status(ctx)
		if errors.Is(err, control.ErrNotRunning) {
			return false, nil
		}
		return err == nil && wanted(s), err
	})
	if errors.Is(err, errTimeout) {
		err = fmt.Errorf("the director is not ready after %v:\n%s", startTimeout, d.proc.Output())
	}
	return d, s, err
}

// ready tells whether clients can be served.
func ready(s control.Status) bool {
	usable := func(a control.Address) bool {
		return a.State == control.AddressAdded || a.State == control.AddressPresent
	}
	for _, a := range s.Addresses {
		if !usable(a) {
			return false
		}
	}
	return s.State == control.StateRunning && len(s.Addresses) > 0
}

// inTable tells of each address whether the director's table has it as a real server. (A
// server is checked for each service by itself, so its IPv4 and IPv6 address may differ.)
func (d *director) inTable(ctx context.Context, servers []netip.Addr) ([]bool, error) {
	list, err := d.client.Services(ctx)
	if err != nil {
		return nil, err
	}
	in := make([]bool, len(servers))
	for i, s := range servers {
		in[i] = has(list, s)
	}
	return in, nil
}

func has(list control.ServiceList, server netip.Addr) bool {
	for _, service := range list.Services {
		for _, s := range service.Servers {
			if s.Address == server && s.InTable() {
				return true
			}
		}
	}
	return false
}

// counters returns the sum over all services.
func (d *director) counters(ctx context.Context) (sum control.Counters, err error) {
	list, err := d.client.Services(ctx)
	for _, s := range list.Services {
		sum.Conns += s.Counters.Conns
		sum.InBytes += s.Counters.InBytes
		sum.OutBytes += s.Counters.OutBytes
	}
	return sum, err
}

// ipvsadm returns what `ipvsadm -Ln` prints on the director.
func (d *director) ipvsadm(ctx context.Context) (string, error) {
	return d.host.Run(ctx, d.exe, "--run-dir", runDir, "ipvsadm", "-Ln")
}

// leftovers says what a stopped director left on its host.
func (d *director) leftovers(ctx context.Context) ([]string, error) {
	var left []string
	now, err := addresses(d.host)
	if err != nil {
		return nil, err
	}
	for _, a := range now {
		if !slices.Contains(d.before, a) {
			left = append(left, "address "+a)
		}
	}
	// It knows steering of both kinds, and removes what it tells of.
	out, err := d.host.Run(ctx, d.exe, "--run-dir", runDir, "cleanup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		if what, ok := strings.CutPrefix(strings.TrimSpace(line), "removed "); ok {
			left = append(left, what)
		}
	}
	return left, nil
}

// addresses lists the host's addresses as the kernel has them.
func addresses(h *netlab.Host) ([]string, error) {
	var list []string
	err := h.Do(func() error {
		addrs, err := net.InterfaceAddrs()
		for _, a := range addrs {
			list = append(list, a.String())
		}
		return err
	})
	return list, err
}
