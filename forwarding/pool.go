package forwarding

import (
	"fmt"
	"net/netip"

	"uvs/conntrack"
)

// MaxPoolRanges and MaxPoolAddrs bound a [Pool].
const (
	MaxPoolRanges = 8
	MaxPoolAddrs  = 256
)

// A Pool says which addresses and ports of this host flows may get for their local end: all ports
// from FirstPort to LastPort of each address of the ranges, those from the first range that is not
// valid on left out. Pools can be compared by ==. The zero Pool has none.
type Pool struct {
	Ranges              [MaxPoolRanges][2]netip.Addr // first and last, both included
	FirstPort, LastPort uint16
}

// Addrs lists the addresses, no more than one beyond MaxPoolAddrs.
func (p *Pool) Addrs() []netip.Addr {
	var list []netip.Addr
	for _, r := range p.Ranges {
		if !r[0].IsValid() {
			break
		}
		for a := r[0]; a.Compare(r[1]) <= 0 && a.IsValid() && len(list) <= MaxPoolAddrs; a = a.Next() {
			list = append(list, a)
		}
	}
	return list
}

// check refuses what is no pool for a service.
func (p *Pool) check(k ServiceKey) error {
	if *p == (Pool{}) {
		return nil
	}
	addrs := p.Addrs()
	switch n := len(addrs); {
	case n == 0 || n > MaxPoolAddrs:
		return fmt.Errorf("%w: a pool of local addresses has 1 to %d of them", ErrInvalid, MaxPoolAddrs)
	case p.FirstPort == 0 || p.LastPort < p.FirstPort:
		return fmt.Errorf("%w: %d-%d is no range of ports from 1 to 65535", ErrInvalid, p.FirstPort, p.LastPort)
	}
	for _, a := range addrs {
		if a.Is4() != k.Addr.Is4() || a.Is4In6() || a.Zone() != "" || a.IsMulticast() || a.IsUnspecified() {
			return fmt.Errorf("%w: %s is no local address for service %s", ErrInvalid, a, k)
		}
	}
	return nil
}

// newPool makes a service's pool, nil if it has none. It fails only for want of memory.
func (e *Engine) newPool(p *Pool) (*conntrack.Pool, error) {
	if *p == (Pool{}) {
		return nil, nil
	}
	return e.flows.NewPool(p.Addrs(), p.FirstPort, p.LastPort)
}
