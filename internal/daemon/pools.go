package daemon

import (
	"fmt"
	"net/netip"
	"slices"

	"uvs/config"
	"uvs/internal/hostnet"
	"uvs/internal/table"
)

// planOn is what a configuration comes to on a host: where the addresses of pools go depends on
// its networks, and which servers are others than itself.
func planOn(c *config.Config, s *hostnet.Snapshot) plan {
	c, notes := withPools(c, s)
	c, more := withVIPChecks(c, s)
	p := translate(c)
	p.notes = slices.Concat(p.notes, notes, more)
	return p
}

// withPools gives the addresses of pools (FULLNAT) to the instances that have the virtual
// addresses of their services, as ones that adverts do not name; those of a service without an
// instance are static. A pool that cannot be is left out, with a note.
func withPools(c *config.Config, s *hostnet.Snapshot) (*config.Config, []string) {
	out := *c
	out.Instances, out.Static.Addresses = slices.Clone(c.Instances), slices.Clone(c.Static.Addresses)
	out.Extra.Services = slices.Clone(c.Extra.Services)
	var notes []string
	for i := range out.Extra.Services {
		x := &out.Extra.Services[i]
		if err := placePool(&out, x, s); err != nil {
			notes = append(notes, fmt.Sprintf("%s: note: the pool is not used: %v", x.Pool.Pos, err))
			x.Pool = config.Pool{}
		}
	}
	return &out, notes
}

// placePool adds the addresses of one service's pool. Instances that have some of them already are
// to have all.
func placePool(c *config.Config, x *config.ExtraService, s *hostnet.Snapshot) error {
	owner := ownerOf(c, canonical(x.Addr.Addr()))
	var add []config.Address
	for _, a := range x.Pool.Addrs() {
		if have, ok := holderOf(c, a); ok {
			if have != owner {
				return fmt.Errorf("%s belongs to %s, and the service to %s; each needs addresses of its own", a, instanceWord(have), instanceWord(owner))
			}
			continue
		}
		if p, own := ownNetwork(s, a); own {
			return fmt.Errorf("%s is this machine's own address in %s: answers to the machine itself, to its health checks above all, "+
				"would be taken for connections'; give the pool addresses that nobody else uses", a, p.Masked())
		}
		device := x.Pool.Device
		if device == "" {
			device = deviceFor(s, a)
		}
		if device == "" {
			return fmt.Errorf("no interface of this machine is in the network of %s; name one with dev", a)
		}
		add = append(add, config.Address{Pos: x.Pool.Pos, Prefix: netip.PrefixFrom(a, a.BitLen()), Device: device, NoTrack: true})
	}
	if i := slices.IndexFunc(c.Instances, func(i config.Instance) bool { return i.Name == owner }); owner != "" && i >= 0 {
		c.Instances[i].Excluded = slices.Concat(c.Instances[i].Excluded, add)
	} else {
		c.Static.Addresses = append(c.Static.Addresses, add...)
	}
	return nil
}

// ownNetwork is the prefix by which the machine is in a network with an address; own is false if it does
// not have the address, or has it alone, as UVS adds those of pools.
func ownNetwork(s *hostnet.Snapshot, a netip.Addr) (prefix netip.Prefix, own bool) {
	for _, x := range s.Addresses {
		if x.Prefix.Addr() == a && !x.Prefix.IsSingleIP() {
			return x.Prefix, true
		}
	}
	return netip.Prefix{}, false
}

// ownerOf is the instance that has a virtual address, "" if none has.
func ownerOf(c *config.Config, vip netip.Addr) string {
	owner, _ := holderOf(c, vip)
	return owner
}

// holderOf is the instance that has an address, "" for a static one; ok is false if the
// configuration does not have it.
func holderOf(c *config.Config, a netip.Addr) (instance string, ok bool) {
	has := func(list []config.Address) bool {
		return slices.ContainsFunc(list, func(x config.Address) bool { return x.Prefix.Addr() == a })
	}
	for i := range c.Instances {
		if has(c.Instances[i].Addresses) || has(c.Instances[i].Excluded) {
			return c.Instances[i].Name, true
		}
	}
	return "", has(c.Static.Addresses)
}

func instanceWord(name string) string {
	if name == "" {
		return "no vrrp_instance"
	}
	return "vrrp_instance " + name
}

// deviceFor is the interface in whose network an address is: that which has it already, else
// the one that the routing table has for a neighbour; "" if there is none.
func deviceFor(s *hostnet.Snapshot, a netip.Addr) string {
	for l := range s.Holders(a) {
		return l.Name
	}
	if r, ok := s.Lookup(a); ok && r.Kind == hostnet.Unicast && len(r.Hops) > 0 && !r.Hops[0].Gateway.IsValid() {
		if l, ok := s.LinkByIndex(r.Hops[0].Link); ok {
			return l.Name
		}
	}
	return ""
}

// translatePool puts a pool into the table's terms.
func translatePool(p config.Pool) table.Pool {
	return table.Pool{Ranges: p.Ranges, FirstPort: p.FirstPort, LastPort: p.LastPort}
}
