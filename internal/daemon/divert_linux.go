package daemon

import (
	"errors"
	"fmt"

	"uvs/internal/hostnet"
	"uvs/internal/steer"
)

// xdpFraction is which part of an interface's share of the ring memory its AF_XDP queues may
// take for what comes in.
const xdpFraction = 4

// openDiverter prepares for frames that come in by AF_XDP, or notes why they cannot.
func (c *capture) openDiverter() {
	d, err := steer.OpenDiverter()
	if err != nil {
		c.noDivert = fmt.Sprintf("nothing comes in by afxdp, which needs CAP_BPF and CAP_NET_ADMIN: %v", err)
		c.log.Warn("frames do not come in as was asked for", "reason", c.noDivert)
		return
	}
	c.diverter = d
}

// narrow stops diverting frames that rules do not have; it comes before they are in force.
func (c *capture) narrow(r steer.Rules) error {
	if c.diverter == nil {
		return nil
	}
	return c.diverter.Narrow(r)
}

// widen diverts all frames that rules have, once they are in force.
func (c *capture) widen(r steer.Rules) error {
	if c.diverter == nil {
		return nil
	}
	return c.diverter.Widen(r)
}

// divertTo has plain frames go to the queues of the interfaces that are captured, and to no
// others, and notes for status how each group's frames come in and go out.
func (c *capture) divertTo(groups map[int]*portGroup, s *hostnet.Snapshot) error {
	var errs []error
	for link, g := range groups {
		if l, ok := s.LinkByIndex(link); ok && c.diverter != nil && l.Up {
			was := g.lanes.notIn
			if g.receives() {
				errs = append(errs, g.lanes.divert(c.diverter, link, hiddenTags(l, s)))
			} else {
				errs = append(errs, g.lanes.undivert())
			}
			if now := g.lanes.notIn; now != "" && now != was {
				c.log.Warn("frames do not come in as was asked for", "interface", l.Name, "reason", now)
			}
		}
		notIn := c.noDivert
		if c.diverter != nil {
			notIn = g.lanes.notIn
		}
		c.mu.Lock()
		g.tell(notIn)
		c.mu.Unlock()
	}
	return errors.Join(errs...)
}

// retire keeps the totals of an interface's queues, which are about to be closed.
func (c *capture) retire(l *lanes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.retiring {
		if g.lanes == l {
			c.past[g.name] = sum(c.past[g.name], l.stats())
			return
		}
	}
}

// undivert has all frames come in by the other ports again: the clean exit.
func (c *capture) undivert() error {
	if c.diverter == nil {
		return nil
	}
	var errs []error
	for _, l := range c.lanes {
		errs = append(errs, l.undivert())
	}
	c.diverter.Close()
	c.diverter = nil
	return errors.Join(errs...)
}
