package ipvsadm

import (
	"net/netip"

	"uvs/control"
)

// servicesOf turns the director's table into the listing's.
func servicesOf(l control.ServiceList) []Service {
	services := make([]Service, 0, len(l.Services))
	for _, s := range l.Services {
		services = append(services, Service{
			Key: Key{
				Protocol: protocolOf(s.Protocol),
				Addr:     netip.AddrPortFrom(s.Address, s.Port),
			},
			Scheduler: s.Scheduler,
			Servers:   serversOf(s.Servers),
		})
	}
	return services
}

// serversOf leaves out servers that are not in the table.
func serversOf(list []control.Server) []Server {
	servers := make([]Server, 0, len(list))
	for _, s := range list {
		if !s.InTable() {
			continue
		}
		servers = append(servers, Server{
			Addr:     netip.AddrPortFrom(s.Address, s.Port),
			Method:   methodOf(s.Method),
			Weight:   s.EffectiveWeight,
			Active:   s.Active,
			Inactive: s.Inactive,
		})
	}
	return servers
}

func protocolOf(p control.Protocol) Protocol {
	if p == control.UDP {
		return UDP
	}
	return TCP
}

func methodOf(m control.Method) Method {
	if m == control.NAT {
		return Masq
	}
	return Route
}

func connectionOf(c control.Connection) Connection {
	return Connection{
		Protocol: protocolOf(c.Protocol).String(),
		State:    c.State,
		Expires:  c.Expires.Duration(),
		Client:   c.Client,
		Virtual:  c.Virtual,
		Server:   c.Server,
	}
}
