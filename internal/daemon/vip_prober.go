package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"uvs/forwarding"
	"uvs/health"
	"uvs/internal/table"
	"uvs/internal/vipcheck"
)

// resolvePoll is how often a VIP check looks whether the server's MAC is known by now.
const resolvePoll = 20 * time.Millisecond

// A vipProber asks servers for virtual addresses by the way that packets of clients take.
type vipProber struct {
	ask     *vipcheck.Prober
	path    func(vip netip.Addr, to health.Delivery) (forwarding.Path, error)
	resolve func(forwarding.Want)
}

// newVIPProber returns the director's.
func newVIPProber(d *director) *vipProber {
	return &vipProber{
		ask: vipcheck.NewProber(),
		path: func(vip netip.Addr, to health.Delivery) (forwarding.Path, error) {
			if to.Tunnel == "" {
				return d.engine.PathTo(vip, to.Server, forwarding.Route, forwarding.TunnelSpec{}, d.isVirtual)
			}
			return d.engine.PathTo(vip, to.Server, forwarding.Tunnel, deliverySpec(to), d.isVirtual)
		},
		resolve: d.resolve,
	}
}

// deliverySpec is a delivery's tunnel as the engine has it.
func deliverySpec(to health.Delivery) forwarding.TunnelSpec {
	return tunnelSpec(table.Tunnel{Type: to.Tunnel, Port: to.Port, Checksum: to.Checksum})
}

// isVirtual reports whether an address may be another director's, or a server's as well, so that no answer to this director
// would come to it.
func (d *director) isVirtual(a netip.Addr) bool {
	if (*d.virtual.Load())[a] {
		return true
	}
	g := &d.effective.Load().goal
	_, pooled := slices.BinarySearchFunc(g.pools, a, netip.Addr.Compare)
	return pooled || slices.Contains(g.vips(), a)
}

// probe asks a server until ctx is done.
func (p *vipProber) probe(ctx context.Context, c *health.Check) health.Outcome {
	path, err := p.findWay(ctx, c)
	if err == nil {
		err = p.ask.Ask(ctx, questionOf(c, &path))
	}
	return vipOutcome(c, err)
}

// errUnresolved is that a next hop does not tell its MAC.
type errUnresolved struct{ netip.Addr }

func (e errUnresolved) Error() string {
	if e.Is6() {
		return fmt.Sprintf("no answer to neighbour discovery for %s", e.Addr)
	}
	return fmt.Sprintf("no answer to ARP for %s", e.Addr)
}

// findWay returns the way to a server, whose MAC it waits for.
func (p *vipProber) findWay(ctx context.Context, c *health.Check) (forwarding.Path, error) {
	tick := time.NewTicker(resolvePoll)
	defer tick.Stop()
	for asked := false; ; asked = true {
		path, err := p.path(c.Target.Addr(), c.Delivery)
		if err != nil || path.Hop.Resolved() {
			return path, err
		}
		if !asked {
			p.resolve(forwarding.Want{Link: path.Hop.Link, Addr: path.Hop.Addr})
		}
		select {
		case <-ctx.Done():
			return path, errUnresolved{path.Hop.Addr}
		case <-tick.C:
		}
	}
}

// questionOf is what is asked by a way.
func questionOf(c *health.Check, path *forwarding.Path) vipcheck.Question {
	q := vipcheck.Question{VIP: c.Target, Source: path.Source, Link: path.Hop.Link, MAC: path.Hop.Dst, Wrap: path.Wrap}
	if c.Delivery.Tunnel != "" {
		q.Tunnel = netip.AddrPortFrom(c.Delivery.Server, c.Delivery.Port)
	}
	return q
}

// vipOutcome tells what came of a question, in words that say what to look for. What this director lacks says nothing about
// the server. It is pure.
func vipOutcome(c *health.Check, err error) health.Outcome {
	var refusal *vipcheck.Refusal
	var unresolved errUnresolved
	vip := c.Target.Addr()
	switch {
	case err == nil:
		return health.Outcome{Verdict: health.Success}
	case errors.Is(err, vipcheck.ErrSilent) && c.Delivery.Tunnel != "":
		err = fmt.Errorf("no answer for %s out of the tunnel: does the server's %s device take the packets, and is the address on its loopback (ip addr add %s/%d dev lo)?",
			vip, c.Delivery.Tunnel, vip, vip.BitLen())
		return health.Outcome{Reason: health.ConnectTimeout, Err: err}
	case errors.Is(err, vipcheck.ErrSilent):
		err = fmt.Errorf("the server does not answer for %s: is the address on its loopback (ip addr add %s/%d dev lo)?", vip, vip, vip.BitLen())
		return health.Outcome{Reason: health.ConnectTimeout, Err: err}
	case errors.Is(err, vipcheck.ErrRefused):
		err = fmt.Errorf("the server answers for %s, and nothing listens on port %d: %w", vip, c.Target.Port(), err)
		return health.Outcome{Reason: health.ConnectFailed, Err: err}
	case errors.As(err, &refusal):
		return health.Outcome{Reason: health.ConnectFailed, Err: fmt.Errorf("asked for %s, %w", vip, err)}
	case errors.As(err, &unresolved), errors.Is(err, forwarding.ErrNoRoute), errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.ENXIO):
		return health.Outcome{Reason: health.NetworkUnreachable, Err: err}
	case errors.Is(err, forwarding.ErrOwnHost), errors.Is(err, forwarding.ErrNoSource):
		return health.Outcome{Verdict: health.Rescheduled, Reason: health.BindFailed, Err: err}
	}
	return health.Outcome{Verdict: health.Rescheduled, Reason: health.NoSocket, Err: err}
}
