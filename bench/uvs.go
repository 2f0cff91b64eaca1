package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
)

// A build is a uvs to measure and the arguments that it runs with.
type build struct {
	name string // empty for the only one
	path string
	args []string // of uvs run
}

// parseBuild reads "[NAME=]PATH [ARGS]".
func parseBuild(text string) (build, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return build{}, errors.New("want [NAME=]PATH [ARGS]")
	}
	b := build{path: words[0], args: words[1:]}
	if name, path, ok := strings.Cut(words[0], "="); ok {
		b.name, b.path = name, path
	}
	return b, nil
}

// uvsNAT is a uvs with one NAT service of one server and no checks.
func uvsNAT(b build) contender {
	name := "uvs-nat"
	if b.name != "" {
		name += "-" + b.name
	}
	path, err := filepath.Abs(b.path)
	if err != nil {
		path = b.path
	}
	b.path = path
	return contender{
		name:  name,
		about: strings.TrimSpace("uvs run "+strings.Join(b.args, " ")) + ": one NAT service with one server, steering and settings by default",
		needs: []program{{name: b.path}},
		start: b.start,
	}
}

// startTimeout is how long a director may take until it is ready: probing its address is
// most of it.
const startTimeout = 15 * time.Second

func (b build) start(_ context.Context, s *site, port uint16) (_ session, err error) {
	dir, err := os.MkdirTemp("", "uvs-bench-")
	if err != nil {
		return nil, err
	}
	u := &uvs{site: s, bin: b.path, dir: dir, address: netip.AddrPortFrom(s.VIP4, port)}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.stop())
		}
	}()
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(u.config()), 0o644); err != nil {
		return nil, err
	}
	if u.process, err = s.director.Start(b.path, append([]string{"run", "-f", file}, b.args...)...); err != nil {
		return nil, err
	}
	return u, u.process.WaitOutput(startTimeout, "uvs is ready")
}

// uvs is a running director.
type uvs struct {
	site    *site
	bin     string
	dir     string // of the configuration
	address netip.AddrPort
	process *netlab.Process // nil if it did not start
}

func (u *uvs) config() string {
	return fmt.Sprintf(`vrrp_instance bench {
	interface eth0
	virtual_router_id 1
	priority 255
	virtual_ipaddress {
		%s/24
	}
}
virtual_server %s %d {
	lb_algo rr
	lb_kind NAT
	protocol TCP
	real_server %s %d {
	}
}
`, u.address.Addr(), u.address.Addr(), u.address.Port(), u.site.server.Addr4("eth0"), u.address.Port())
}

func (u *uvs) target() netip.AddrPort { return u.address }

func (u *uvs) counters(ctx context.Context) (counters, error) {
	p, err := u.site.director.Start(u.bin, "status", "-o", "json")
	if err != nil {
		return nil, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := p.Wait(); err != nil {
		return nil, fmt.Errorf("uvs status: %w: %s", err, p.Output())
	}
	var status control.Status
	if err := json.Unmarshal([]byte(p.Stdout()), &status); err != nil {
		return nil, fmt.Errorf("uvs status: %w", err)
	}
	c := make(counters)
	for _, i := range status.Interfaces {
		c["forwarded"] += i.TxFrames
		c["received"] += i.RxFrames
		c["ring drops"] += i.RingDrops
		c["send errors"] += i.TxErrors
	}
	for reason, n := range status.Drops {
		c["dropped: "+reason] = n
	}
	return c, nil
}

func (u *uvs) stop() error {
	var err error
	if u.process != nil {
		err = u.process.Stop()
	}
	return errors.Join(err, os.RemoveAll(u.dir))
}
