package daemon

import (
	"context"
	"net/netip"
	"time"

	"uvs/forwarding"
	"uvs/internal/hostnet"
)

const (
	// refreshEvery is how often neighbours in use are confirmed. The kernel takes one for
	// reachable for 15 to 45 s (base_reachable_time_ms) and would never learn that our
	// frames, which bypass it, still go there.
	refreshEvery = 10 * time.Second
	// seekEvery is how often the MAC of a server that has none is asked for.
	seekEvery = time.Second
)

// keepNeighbours asks the kernel for neighbours that packets wait for, keeps servers and
// gateways fresh, and looks for servers that are missing. On-link clients need no keeping:
// their last packet tells where they are.
func (d *director) keepNeighbours(ctx context.Context) error {
	refresh, seek := time.NewTicker(refreshEvery), time.NewTicker(seekEvery)
	defer refresh.Stop()
	defer seek.Stop()
	d.resolveServers(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-d.engine.Wants():
			d.resolve(w)
		case <-refresh.C:
			d.resolveServers(true)
			d.refreshGateways()
		case <-seek.C:
			d.resolveServers(false)
		}
	}
}

// resolveServers asks for the next hops of all servers, or only for those without a MAC.
func (d *director) resolveServers(all bool) {
	asked := make(map[forwarding.Want]bool)
	for _, s := range d.engine.Services() {
		for _, r := range s.Servers {
			if r.Hop == nil || r.Hop.Resolved() && !all {
				continue
			}
			w := forwarding.Want{Link: r.Hop.Link, Addr: r.Hop.Addr}
			if !asked[w] {
				asked[w] = true
				d.resolve(w)
			}
		}
	}
}

// refreshGateways confirms the gateways that have an entry. Answers to clients go there past
// the kernel's neighbour code, which would keep an old MAC for ever.
func (d *director) refreshGateways() {
	s := d.network.Snapshot()
	asked := make(map[forwarding.Want]bool)
	for r := range s.Routes() {
		for _, h := range r.Hops {
			w := forwarding.Want{Link: h.Link, Addr: h.Gateway}
			if !h.Gateway.IsValid() || asked[w] {
				continue
			}
			asked[w] = true
			if n, ok := s.Neighbour(h.Link, h.Gateway); ok && n.Usable {
				d.resolve(w)
			}
		}
	}
}

// doubtServer has the next hop of a server asked whether it is still there: when checks fail,
// its MAC may be another one, and neither the checks nor our frames tell the kernel.
func (d *director) doubtServer(server netip.Addr) {
	r, ok := d.network.Snapshot().Lookup(server)
	if !ok || r.Kind != hostnet.Unicast {
		return
	}
	for _, h := range r.Hops {
		addr := h.Gateway
		if !addr.IsValid() {
			addr = server
		}
		d.resolve(forwarding.Want{Link: h.Link, Addr: addr, Doubt: true})
	}
}

func (d *director) resolve(w forwarding.Want) {
	ask := d.network.Resolve
	if w.Doubt {
		ask = d.network.Confirm
	}
	if err := ask(w.Link, w.Addr); err != nil {
		// The interface may just have gone; the next packet asks again.
		d.log.Debug("neighbour not resolved", "address", w.Addr, "error", err)
	}
}
