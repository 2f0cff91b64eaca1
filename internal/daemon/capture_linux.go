package daemon

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/internal/hostnet"
)

// Bounds on receive rings: a ring that is too short loses bursts, one that is too long adds
// nothing but memory.
const (
	ringBudget   = 256 << 20 // all rings together
	ringFraction = 16        // and at most this part of the machine's memory
	ringLeast    = 60        // slots; many rings of this size may exceed the budget
	ringMost     = 960       // slots
	ringsPlanned = 2         // captured interfaces that the budget is shared by at the least
)

// A capture owns the ports of all interfaces and hands them to the workers. Its methods
// belong to the reconciler's goroutine, but for mode.
type capture struct {
	engine *forwarding.Engine
	memory uint64
	vips   []netip.Addr // that the groups know

	mu     sync.Mutex // guards groups against status
	groups map[int]*portGroup
}

// A portGroup is what is open on one interface.
type portGroup struct {
	group   *afpacket.Group
	receive bool
}

func newCapture(e *forwarding.Engine, memory uint64) *capture {
	return &capture{engine: e, memory: memory, groups: make(map[int]*portGroup)}
}

// apply opens ports on the planned interfaces and hands all of them to the workers; those
// that are no longer planned go. A ring stays open while its interface goes down and up: the
// kernel hooks the socket in again by itself. An interface that cannot be opened keeps none
// of the others from being used; the error names it.
func (c *capture) apply(p portPlan, s *hostnet.Snapshot, vips []netip.Addr) error {
	next := make(map[int]*portGroup, len(p.captured)+len(p.sendOnly))
	var errs []error
	add := func(link, slots int) {
		g := c.groups[link]
		if g == nil || g.receive != (slots > 0) {
			var err error
			if g, err = c.open(s, link, slots, vips); err != nil {
				errs = append(errs, err)
			}
		}
		if g != nil {
			next[link] = g
		}
	}
	slots := ringSlots(c.memory, len(p.captured), len(c.engine.Workers()))
	for _, link := range p.captured {
		add(link, slots)
	}
	for _, link := range p.sendOnly {
		add(link, 0)
	}
	if !slices.Equal(vips, c.vips) {
		for link, g := range next {
			if !g.receive || c.groups[link] != g {
				continue // it only sends, or was opened with these
			}
			if err := g.group.SetVIPs(vips); err != nil {
				errs = append(errs, err)
			}
		}
		c.vips = slices.Clone(vips)
	}
	if !maps.Equal(next, c.groups) {
		c.handOver(next)
	}
	return errors.Join(errs...)
}

// open opens a group on an interface that is up; one that is down waits, and one that has
// just gone is no error: the next snapshot tells.
func (c *capture) open(s *hostnet.Snapshot, link, slots int, vips []netip.Addr) (*portGroup, error) {
	l, ok := s.LinkByIndex(link)
	if !ok || !sendable(l) {
		return nil, nil
	}
	group, err := afpacket.Open(afpacket.Config{Link: link, MAC: l.MAC, Workers: len(c.engine.Workers()), Slots: slots, VIPs: vips})
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("capture %s: %w", l.Name, err)
	}
	return &portGroup{group: group, receive: slots > 0}, nil
}

// handOver gives the workers their ports; they close what they had and get no more.
func (c *capture) handOver(next map[int]*portGroup) {
	c.mu.Lock()
	c.groups = next
	c.mu.Unlock()
	for i, w := range c.engine.Workers() {
		ports := make([]forwarding.Port, 0, len(next))
		for _, g := range next {
			ports = append(ports, g.group.Ports()[i])
		}
		w.SetPorts(ports)
	}
}

// mode returns how an interface is used, "" if it is not.
func (c *capture) mode(link int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch g := c.groups[link]; {
	case g == nil:
		return ""
	case g.receive:
		return "tpacket_v2/sendmmsg"
	default:
		return "send only"
	}
}

// ringSlots divides the memory for rings: at most 1/16 of the machine's and 256 MiB, unless
// that leaves less than ringLeast for each.
func ringSlots(memory uint64, interfaces, workers int) int {
	budget := uint64(ringBudget)
	if memory > 0 {
		budget = min(budget, memory/ringFraction)
	}
	each := int(budget) / (max(interfaces, ringsPlanned) * max(workers, 1))
	slots := ringLeast
	for slots+ringLeast <= ringMost && afpacket.RingBytes(slots+ringLeast) <= each {
		slots += ringLeast
	}
	return slots
}
