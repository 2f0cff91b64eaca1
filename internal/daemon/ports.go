package daemon

import (
	"cmp"
	"slices"

	"uvs/control"
	"uvs/forwarding"
	"uvs/forwarding/tap"
	"uvs/internal/hostnet"
)

// interfaces lists what is open on each interface, all workers together. Totals include
// those of an interface of the same name that was there before.
func (c *capture) interfaces(network *hostnet.Snapshot) []control.Interface {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.retired()
	list := make([]control.Interface, 0, len(c.groups))
	for link, g := range c.groups {
		now := add(g.stats(), g.lanes.stats())
		x := control.Interface{
			Name:      g.name,
			Index:     link,
			Mode:      g.mode,
			Reason:    g.reason,
			RingSlots: now.Slots,
			RingBytes: uint64(now.RingBytes),
		}
		if l, ok := network.LinkByIndex(link); ok {
			x.Name, x.Up = l.Name, l.Up
		}
		total := sum(before[g.name], now)
		x.RxFrames, x.TxFrames = total.Received, total.Sent
		x.RingDrops, x.TxErrors = total.RingDrops, total.SendErrors
		if total.SendError != nil {
			x.TxError = total.SendError.Error()
		}
		list = append(list, x)
	}
	if c.stack != nil {
		list = append(list, stackInterface(c.stack))
	}
	slices.SortFunc(list, func(a, b control.Interface) int { return cmp.Compare(a.Index, b.Index) })
	return list
}

// stackInterface tells of the device into the own stack.
func stackInterface(g *tap.Group) control.Interface {
	var total forwarding.PortStats
	for _, p := range g.Ports() {
		total = sum(total, p.Stats())
	}
	link, _ := g.Link()
	x := control.Interface{Name: g.Name(), Index: link, Mode: "own stack", Up: true, RxFrames: total.Received, TxFrames: total.Sent, TxErrors: total.SendErrors}
	if total.SendError != nil {
		x.TxError = total.SendError.Error()
	}
	return x
}

// rings returns the memory of all rings, those that are being closed included.
func (c *capture) rings() control.Rings {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := control.Rings{Budget: c.budget.bytes, Source: c.budget.source}
	for _, g := range c.groups {
		r.Bytes += uint64(g.stats().RingBytes + g.lanes.bytes())
	}
	for _, g := range c.retiring {
		if !g.closed() {
			r.Bytes += uint64(g.stats().RingBytes)
		}
	}
	return r
}

// retired returns the totals of groups that are no longer in use, by interface name, and
// keeps those of closed ones without the group. The caller holds the lock.
func (c *capture) retired() map[string]forwarding.PortStats {
	c.retiring = slices.DeleteFunc(c.retiring, func(g *portGroup) bool {
		if !g.closed() {
			return false
		}
		c.past[g.name] = sum(c.past[g.name], g.stats())
		return true
	})
	totals := make(map[string]forwarding.PortStats, len(c.past))
	for name, t := range c.past {
		totals[name] = t
	}
	for _, g := range c.retiring {
		totals[g.name] = sum(totals[g.name], g.stats())
	}
	return totals
}

func (g *portGroup) closed() bool {
	select {
	case <-g.group.Closed():
		return true
	default:
		return false
	}
}

// stats sums the group's ports.
func (g *portGroup) stats() forwarding.PortStats {
	var total forwarding.PortStats
	for _, p := range g.ports {
		total = add(total, p.Stats())
	}
	return total
}

// add adds up totals and the size of rings.
func add(a, b forwarding.PortStats) forwarding.PortStats {
	total := sum(a, b)
	total.Slots, total.RingBytes = a.Slots+b.Slots, a.RingBytes+b.RingBytes
	return total
}

// sum adds up totals of frames. The size of rings is none of them.
func sum(a, b forwarding.PortStats) forwarding.PortStats {
	t := forwarding.PortStats{
		Received:   a.Received + b.Received,
		Sent:       a.Sent + b.Sent,
		RingDrops:  a.RingDrops + b.RingDrops,
		SendErrors: a.SendErrors + b.SendErrors,
		SendError:  b.SendError,
	}
	if t.SendError == nil {
		t.SendError = a.SendError
	}
	return t
}
