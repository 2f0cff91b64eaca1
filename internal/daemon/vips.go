package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"uvs/config"
	"uvs/health"
	"uvs/internal/hostnet"
)

// withVIPChecks gives servers the checks of their virtual addresses that the extra file asks for: those by direct routing
// and tunnels on other hosts, as the others need not have the address. Services of one group share their servers' health, so
// that a server of it is checked for all addresses that are to be. What comes to nothing has a note.
func withVIPChecks(c *config.Config, s *hostnet.Snapshot) (*config.Config, []string) {
	if !slices.ContainsFunc(c.Extra.Services, func(x config.ExtraService) bool { return x.CheckVIP.Pos != (config.Pos{}) }) {
		return c, nil
	}
	out := *c
	out.VirtualServers = slices.Clone(c.VirtualServers)
	for i := range out.VirtualServers {
		out.VirtualServers[i].RealServers = slices.Clone(out.VirtualServers[i].RealServers)
	}
	blocks := blocksOf(c.VirtualServers)
	var notes []string
	for i := range c.Extra.Services {
		x := &c.Extra.Services[i]
		if x.CheckVIP.Pos == (config.Pos{}) {
			continue
		}
		if err := checkVIP(&out, blocks, x, s); err != nil {
			notes = append(notes, fmt.Sprintf("%s: note: %v", x.CheckVIP.Pos, err))
		}
	}
	return &out, notes
}

// checkVIP adds the check of one virtual address to all servers that share their health with its service's.
func checkVIP(c *config.Config, blocks []block, x *config.ExtraService, s *hostnet.Snapshot) error {
	n := slices.IndexFunc(c.VirtualServers, func(v config.VirtualServer) bool {
		return v.Protocol == config.TCP && endOf(v.Addr) == endOf(x.Addr)
	})
	if n < 0 {
		return errors.New("check_vip checks nothing: the configuration has no such service of TCP, and servers that an operator adds have no checks")
	}
	of := c.VirtualServers[n].RealServers
	asked, own := 0, ""
	for i := range c.VirtualServers {
		v := &c.VirtualServers[i]
		if blocks[i].group != blocks[n].group {
			continue
		}
		for j := range v.RealServers {
			r := &v.RealServers[j]
			same := func(o config.RealServer) bool { return o.Addr == r.Addr }
			switch {
			case !slices.ContainsFunc(of, same): // its health is of its own: it has another port
			case r.Method != config.DR && r.Method != config.TUN:
			case s.IsLocal(r.Addr.Addr()):
				own = r.Addr.Addr().String()
			default:
				asked++
				r.Checkers = append(slices.Clip(r.Checkers), x.CheckVIP.Of(r, endOf(x.Addr)))
			}
		}
	}
	switch {
	case asked == 0 && own == "":
		return errors.New("check_vip checks nothing: servers by NAT need not have the virtual address; TCP_CHECK asks them")
	case own != "":
		return fmt.Errorf("check_vip leaves out server %s, which is this machine itself", own)
	}
	return nil
}

// deliveryOf is how a server gets packets for a virtual address.
func deliveryOf(r *config.RealServer) health.Delivery {
	d := health.Delivery{Server: canonical(r.Addr.Addr())}
	if r.Method == config.TUN {
		t := translateTunnel(r.Tunnel)
		d.Tunnel, d.Port, d.Checksum = t.Type, t.Port, t.Checksum
	}
	return d
}

// floating are the addresses that instances of VRRP own, each at times, and another director's at others.
func floating(c *config.Config) map[netip.Addr]bool {
	set := make(map[netip.Addr]bool)
	for i := range c.Instances {
		for _, list := range [][]config.Address{c.Instances[i].Addresses, c.Instances[i].Excluded} {
			for _, a := range list {
				set[a.Prefix.Addr()] = true
			}
		}
	}
	return set
}
