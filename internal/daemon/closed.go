package daemon

import (
	"slices"

	"uvs/internal/hostnet"
	"uvs/internal/steer"
)

// closedOn returns the addresses that owners have only for routing (no_accept). One that another
// owner has for all is not closed. A link-local address is closed on its own link.
func (h *holdings) closedOn(s *hostnet.Snapshot) []steer.ClosedAddr {
	h.mu.Lock()
	defer h.mu.Unlock()
	open := make(map[steer.ClosedAddr]bool)
	var list []steer.ClosedAddr
	for _, p := range h.plan.addresses {
		link, ok := h.links.find(s, p.device)
		if !h.owners[p.instance] || !ok {
			continue
		}
		a := steer.ClosedAddr{Addr: p.prefix.Addr()}
		if a.Addr.IsLinkLocalUnicast() && a.Addr.Is6() {
			a.Link = link.Index
		}
		if p.closed {
			list = append(list, a)
		} else {
			open[a] = true
		}
	}
	kept := list[:0]
	for _, a := range list {
		if !open[a] {
			kept = append(kept, a)
		}
	}
	return kept
}

// mayClose reports whether there is anything that is only for routing, once it is owned.
func (h *holdings) mayClose() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.plan.addresses, func(p addressPlan) bool { return p.closed })
}

// closeAddresses keeps the host's programs off what owners have only for routing. What the
// director hands to the stack itself is let through, as is what never left the host.
// d.inLineMu is held.
func (d *director) closeAddresses(s *hostnet.Snapshot) error {
	if d.holdings.bare {
		return nil // the stack has none of them
	}
	c := steer.Closed{Addrs: d.holdings.closedOn(s), Ready: d.holdings.mayClose()}
	for _, l := range s.Links {
		if l.Loopback {
			c.Open = append(c.Open, l.Index)
		}
	}
	if d.stack.group != nil {
		link, _ := d.stack.group.Link()
		c.Open = append(c.Open, link)
	}
	return d.gate.Close(c)
}
