package daemon

import (
	"fmt"
	"net/netip"
	"sync"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/internal/hostnet"
)

// Bounds on receive rings: a ring that is too short loses bursts, one that is too long adds
// nothing but memory.
const (
	ringBudget   = 256 << 20 // all rings together
	ringFraction = 16        // and at most this part of the machine's memory
	ringLeast    = 60        // slots
	ringMost     = 960       // slots
	ringsPlanned = 2         // captured interfaces that the budget is shared by at the least
)

// A capture owns the ports of all interfaces and hands them to the workers. Its methods
// belong to the reconciler's goroutine, but for interfaces.
type capture struct {
	engine *forwarding.Engine
	memory uint64

	mu     sync.Mutex // guards groups against status
	groups map[int]*portGroup
}

// A portGroup is what is open on one interface.
type portGroup struct {
	group   *afpacket.Group
	link    int
	receive bool
	mac     [6]byte
}

func newCapture(e *forwarding.Engine, memory uint64) *capture {
	return &capture{engine: e, memory: memory, groups: make(map[int]*portGroup)}
}

// apply opens ports on the planned interfaces, hands all of them to the workers, and lets
// those go that are no longer wanted. On an error nothing changes.
func (c *capture) apply(p portPlan, s *hostnet.Snapshot, vips []netip.Addr) error {
	next := make(map[int]*portGroup, len(p.captured)+len(p.sendOnly))
	var opened []*portGroup
	open := func(link int, slots int) error {
		l, _ := s.LinkByIndex(link)
		if g := c.groups[link]; g != nil && g.receive == (slots > 0) && g.mac == l.MAC {
			next[link] = g
			return nil
		}
		group, err := afpacket.Open(afpacket.Config{
			Link: link, MAC: l.MAC, Workers: len(c.engine.Workers()), Slots: slots, VIPs: vips,
		})
		if err != nil {
			return fmt.Errorf("capture %s: %w", l.Name, err)
		}
		next[link] = &portGroup{group: group, link: link, receive: slots > 0, mac: l.MAC}
		opened = append(opened, next[link])
		return nil
	}
	err := func() error {
		slots := ringSlots(c.memory, len(p.captured), len(c.engine.Workers()))
		for _, link := range p.captured {
			if err := open(link, slots); err != nil {
				return err
			}
		}
		for _, link := range p.sendOnly {
			if err := open(link, 0); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		for _, g := range opened {
			g.group.Close()
		}
		return err
	}
	for link, g := range next {
		if g.receive && c.groups[link] == g {
			if err := g.group.SetVIPs(vips); err != nil {
				return err
			}
		}
	}
	if len(opened) > 0 || len(next) != len(c.groups) {
		c.handOver(next)
	}
	return nil
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

// ringSlots divides the memory for rings: at most 1/16 of the machine's and 256 MiB.
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
