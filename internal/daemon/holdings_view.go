package daemon

import (
	"cmp"
	"net/netip"
	"slices"

	"uvs/control"
	"uvs/internal/announce"
	"uvs/internal/hostnet"
)

// of is what one instance owns.
func (p *holdingPlan) of(instance string) (one holdingPlan) {
	for _, a := range p.addresses {
		if a.instance == instance {
			one.addresses = append(one.addresses, a)
		}
	}
	for _, r := range p.routes {
		if r.instance == instance {
			one.routes = append(one.routes, r)
		}
	}
	for _, r := range p.rules {
		if r.instance == instance {
			one.rules = append(one.rules, r)
		}
	}
	return one
}

// renamed is the plan with other names of instances.
func (p *holdingPlan) renamed(renames map[string]string) holdingPlan {
	name := func(of string) string { return cmp.Or(renames[of], of) }
	next := holdingPlan{addresses: slices.Clone(p.addresses), routes: slices.Clone(p.routes), rules: slices.Clone(p.rules)}
	for n := range next.addresses {
		next.addresses[n].instance = name(next.addresses[n].instance)
	}
	for n := range next.routes {
		next.routes[n].instance = name(next.routes[n].instance)
	}
	for n := range next.rules {
		next.rules[n].instance = name(next.rules[n].instance)
	}
	return next
}

// wantedOn returns the addresses that are to be on the interfaces of a snapshot now: steering
// and capture come before them.
func (h *holdings) wantedOn(s *hostnet.Snapshot) []hostnet.Address {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addressesOn(s, slices.DeleteFunc(slices.Concat(h.plan.addresses, h.coming), func(p addressPlan) bool {
		return !h.owners[p.instance] || h.failed[p.key()] != "" && !h.absent[p.key()]
	}))
}

// plannedOn returns all addresses that may ever be there: what they need is prepared.
func (h *holdings) plannedOn(s *hostnet.Snapshot) []hostnet.Address {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addressesOn(s, slices.Concat(h.plan.addresses, h.coming))
}

// addressesOn are the addresses of a plan on the links that there are.
func (h *holdings) addressesOn(s *hostnet.Snapshot, plans []addressPlan) []hostnet.Address {
	var list []hostnet.Address
	for _, p := range plans {
		if l, ok := h.links.find(s, p.device); ok {
			list = append(list, hostnet.Address{Link: l.Index, Prefix: p.prefix})
		}
	}
	return list
}

// targets are the addresses of an owner that can be announced, with their interfaces.
func (h *holdings) targets(s *hostnet.Snapshot, instance string) []announce.Target {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []announce.Target
	for _, p := range h.plan.addresses {
		link, ok := h.links.find(s, p.device)
		if p.instance != instance || !h.owners[instance] || !ok || link.Loopback || !link.Ethernet || link.NoARP || h.failed[p.key()] != "" {
			continue
		}
		list = append(list, announce.Target{Link: announceLink(link), Addr: p.prefix.Addr(), Router: s.Forwarding6})
	}
	return list
}

// answered returns the addresses to be answered for, by the index of the link: that of the
// address, or, as Linux does, all that have no master if it is on the loopback device.
func (h *holdings) answered(s *hostnet.Snapshot) map[int][]announce.Spoken {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make(map[int][]announce.Spoken)
	for _, p := range h.plan.addresses {
		if !h.owners[p.instance] {
			continue
		}
		for _, l := range s.Links {
			named, ok := h.links.find(s, p.device)
			on := ok && l.Index == named.Index
			if ok && named.Loopback {
				on = l.Master == 0
			}
			if on && l.Ethernet && l.Up {
				list[l.Index] = append(list[l.Index], announce.Spoken{Addr: p.prefix.Addr(), Silent: p.closed})
			}
		}
	}
	return list
}

// claim notes that another host answers for an address, "" that none does. It reports
// whether that is news.
func (h *holdings) claim(p addressPlan, mac string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.claimed[p.key()] == mac || !h.owners[p.instance] {
		return false
	}
	h.claimed[p.key()] = mac
	return true
}

// ownedBy are the addresses that an instance has put on the host.
func (h *holdings) ownedBy(instance string) []addressPlan {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(h.plan.of(instance).addresses, func(p addressPlan) bool { return !slices.Contains(h.owned, p.key()) })
}

// list tells of all addresses, for status.
func (h *holdings) list() []control.Address {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []control.Address
	for _, p := range h.plan.addresses {
		key := p.key()
		a := control.Address{Address: p.prefix, Interface: p.device, Instance: p.instance, State: control.AddressStandby}
		switch {
		case h.failed[key] != "":
			a.State, a.Detail = control.AddressFailed, h.failed[key]
		case h.present[key]:
			a.State = control.AddressPresent
		case slices.Contains(h.owned, key):
			a.State = control.AddressAdded
		case h.bare && h.owners[p.instance]:
			a.State = control.AddressAnswered
		}
		a.ConflictMAC = h.claimed[key]
		list = append(list, a)
	}
	return list
}

func present(s *hostnet.Snapshot, link int, p netip.Prefix) bool {
	return slices.ContainsFunc(s.AddressesOf(link), func(a hostnet.Address) bool { return a.Prefix.Addr() == p.Addr() })
}

func announceLink(l hostnet.Link) announce.Link {
	return announce.Link{Index: l.Index, Name: l.Name, MAC: l.MAC}
}

// macsOf lists the hardware addresses of this host, so that two interfaces of it on one
// Ethernet do not take each other for a stranger.
func macsOf(s *hostnet.Snapshot) [][6]byte {
	var macs [][6]byte
	for _, l := range s.Links {
		if l.Ethernet {
			macs = append(macs, l.MAC)
		}
	}
	return macs
}
