package steer

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Gate keeps the stack from accepting packets to closed addresses. Unlike steering it stands
// where packets to this host are accepted (the hook input), behind the translation of addresses
// and behind routing: a closed address goes on to be one that netfilter masquerades with, or
// translates away, and what is only forwarded never comes by. It asks for no data path.
//
// It is a table of nftables, or, on kernels without, a chain of iptables-legacy, and nothing as
// long as nothing is closed or may be at any moment: to make the table takes the kernel some 10
// ms, which a takeover need not wait for, to put an address into it 0.3 ms. Like steering it
// outlives the process, and Cleanup removes it. A Gate acts on the network namespace of the
// calling thread and belongs to one goroutine.
type Gate struct {
	by    gatekeeper // nil: not looked for yet
	now   Closed     // in force
	empty bool       // nothing of an earlier run is left, and nothing of this one
}

// A gatekeeper carries out a Closed by one mechanism of the kernel.
type gatekeeper interface {
	// set brings the kernel from one Closed to another, both from normal: all or nothing. The
	// second is Ready. What is in the kernel may not be the first.
	set(from, to Closed) error
	// remove takes away what is there, and returns what it was.
	remove() ([]string, error)
}

// gatekeepers returns all, the better first.
func gatekeepers() []gatekeeper { return []gatekeeper{nftGate{}, xtGate{}} }

// Close makes c the addresses that are closed, and no other. After an error those before are.
func (g *Gate) Close(c Closed) error {
	c, err := c.normal()
	if err != nil {
		return err
	}
	if !c.Ready {
		if g.empty {
			return nil
		}
		_, err := g.Remove()
		return err
	}
	g.empty = false
	if err := g.set(c); err != nil {
		return fmt.Errorf("close %d addresses that are only for routing (no_accept): %w", len(c.Addrs), err)
	}
	g.now = c
	return nil
}

// set closes by the first gatekeeper that can.
func (g *Gate) set(c Closed) error {
	if g.by != nil {
		return g.by.set(g.now, c)
	}
	var errs []error
	for _, by := range gatekeepers() {
		err := by.set(Closed{}, c)
		if err == nil {
			g.by = by
			return nil
		}
		errs = append(errs, err)
	}
	return joined(errs)
}

// Remove opens all addresses, those that an earlier run closed included. Who may not see a
// gatekeeper's work and has closed nothing is no error: nothing of this run is there.
func (g *Gate) Remove() (removed []string, err error) {
	var errs []error
	for _, by := range gatekeepers() {
		gone, err := by.remove()
		if g.by == nil && errors.Is(err, unix.EPERM) {
			err = nil
		}
		removed = append(removed, gone...)
		errs = append(errs, err)
	}
	err = errors.Join(errs...)
	g.now, g.empty = Closed{}, err == nil
	return removed, err
}
