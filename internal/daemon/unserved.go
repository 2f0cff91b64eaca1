package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"uvs/config"
)

// unserved returns why the data plane does not serve a service, one phrase each.
func unserved(v *config.VirtualServer) (reasons []string) {
	if v.Fwmark != 0 {
		reasons = append(reasons, "a service by fwmark is not served yet")
	}
	if v.Group != "" {
		reasons = append(reasons, "a service by group is not served yet")
	}
	if v.Fwmark == 0 && v.Addr.Port() == 0 {
		reasons = append(reasons, "a service of all ports is not served yet")
	}
	if !slices.Contains([]string{"rr", "wrr", "lc", "wlc"}, v.Scheduler) {
		reasons = append(reasons, "scheduler "+v.Scheduler+" is not served yet")
	}
	if v.Method == config.TUN {
		reasons = append(reasons, "method TUN is not served yet")
	}
	if v.Protocol == config.SCTP {
		reasons = append(reasons, "protocol SCTP is not served yet")
	}
	return reasons
}

// servable takes out of a configuration what is not served yet, and returns a note for each such block.
func servable(c *config.Config) (services []config.VirtualServer, notes []string) {
	leaveOut := func(pos config.Pos, name string, reasons ...string) {
		note := fmt.Sprintf("%s: note: %s is not run: %s", pos, name, strings.Join(reasons, ", "))
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	for _, v := range c.VirtualServers {
		name := "virtual_server " + serviceName(&v)
		if reasons := unserved(&v); len(reasons) > 0 {
			leaveOut(v.Pos, name, reasons...)
			continue
		}
		servers := v.RealServers
		v.RealServers = nil
		for _, r := range servers {
			if r.Method == config.TUN {
				leaveOut(r.Pos, name+" real_server "+addrPort(r.Addr), "method TUN is not served yet")
				continue
			}
			v.RealServers = append(v.RealServers, r)
		}
		if len(v.RealServers) == 0 {
			leaveOut(v.Pos, name, "all its real servers need what is not served yet")
			continue
		}
		services = append(services, v)
	}
	return services, notes
}

// serviceName names a service as keepalived.conf does.
func serviceName(v *config.VirtualServer) string {
	switch {
	case v.Group != "":
		return "group " + v.Group
	case v.Fwmark != 0:
		return fmt.Sprintf("fwmark %d", v.Fwmark)
	}
	return addrPort(v.Addr)
}

func addrPort(a netip.AddrPort) string {
	return fmt.Sprintf("%s %d", a.Addr(), a.Port())
}
