package daemon

import (
	"net/netip"
	"slices"

	"uvs/config"
	"uvs/control"
	"uvs/forwarding"
	"uvs/health"
)

// translate puts a configuration into the engines' terms. It is pure.
func translate(c *config.Config) plan {
	var p plan
	for _, i := range c.Instances {
		for _, list := range [][]config.Address{i.Addresses, i.Excluded} {
			for _, a := range list {
				p.addresses = append(p.addresses, addressPlan{
					instance:  i.Name,
					device:    a.Device,
					prefix:    a.Prefix,
					broadcast: a.Broadcast,
					label:     a.Label,
					scope:     int(a.Scope),
					position:  a.Pos.String(),
				})
			}
		}
	}
	services, notes := servable(c)
	p.notes = notes
	for _, v := range services {
		p.services = append(p.services, translateService(v))
	}
	return p
}

func translateService(v config.VirtualServer) servicePlan {
	s := servicePlan{
		key:  forwarding.ServiceKey{Addr: canonical(v.Addr.Addr()), Port: v.Addr.Port(), Protocol: uint8(v.Protocol)},
		spec: forwarding.ServiceSpec{Scheduler: v.Scheduler},
	}
	for _, r := range v.RealServers {
		addr := netip.AddrPortFrom(canonical(r.Addr.Addr()), r.Addr.Port())
		server := serverPlan{
			addr:    addr,
			spec:    forwarding.ServerSpec{Method: translateMethod(r.Method), Weight: r.Weight},
			inhibit: r.InhibitOnFailure,
		}
		server.health.Key = health.Key{
			Service: s.key.String(),
			Server:  forwarding.ServiceKey{Addr: addr.Addr(), Port: addr.Port(), Protocol: s.key.Protocol}.String(),
		}
		for _, c := range r.Checkers {
			if check, ok := translateCheck(c); ok {
				server.health.Checks = append(server.health.Checks, check)
			}
		}
		s.servers = append(s.servers, server)
	}
	return s
}

func translateMethod(m config.Method) forwarding.Method {
	switch m {
	case config.DR:
		return forwarding.Route
	case config.TUN:
		return forwarding.Tunnel
	}
	return forwarding.Masq
}

// translateCheck returns false for a check that is not served yet.
func translateCheck(c config.Checker) (health.Check, bool) {
	h, http := c.(config.HTTPGet)
	if _, tcp := c.(config.TCPCheck); !tcp && (!http || h.TLS) {
		return health.Check{}, false
	}
	o := c.Common()
	check := health.Check{
		Target:           o.Connect,
		BindAddr:         o.BindAddr,
		BindPort:         o.BindPort,
		BindInterface:    o.BindInterface,
		ConnectTimeout:   o.ConnectTimeout,
		Retry:            int(o.Retry),
		DelayBeforeRetry: o.DelayBeforeRetry,
		DelayLoop:        o.DelayLoop,
		Warmup:           o.Warmup,
		Alpha:            o.Alpha,
	}
	if !http {
		return check, true
	}
	check.Kind = health.HTTP
	check.FastRecovery = h.FastRecovery
	switch h.Version {
	case "1.0C":
		check.Protocol = health.HTTP10C
	case "1.1":
		check.Protocol = health.HTTP11
	}
	for _, u := range h.URLs {
		check.URLs = append(check.URLs, translateURL(u))
	}
	return check, true
}

func translateURL(u config.URL) health.URL {
	out := health.URL{Path: u.Path, VirtualHost: u.Host}
	if u.HasDigest {
		out.Digest = u.Digest
	}
	for _, r := range u.Statuses {
		out.Status.Add(int(r.First), int(r.Last))
	}
	return out
}

// describe tells what would run, in the control API's terms.
func (p *plan) describe() (addresses []control.Address, services []control.Service) {
	for _, a := range p.addresses {
		addresses = append(addresses, control.Address{Address: a.prefix, Interface: a.device, State: control.AddressPending})
	}
	for _, s := range p.services {
		info := serviceStatus(forwarding.ServiceInfo{Spec: s.spec}, s.key)
		for _, r := range slices.Backward(s.servers) {
			server := serverStatus(forwarding.ServerInfo{Addr: r.addr, Spec: r.spec}, nil)
			for _, c := range r.health.Checks {
				server.Checks = append(server.Checks, control.Check{Kind: kindWord(c.Kind), State: control.CheckPending})
			}
			info.Servers = append(info.Servers, server)
		}
		services = append(services, info)
	}
	return addresses, services
}

// kindWord returns a checker's word in keepalived.conf.
func kindWord(k health.Kind) string {
	if k == health.HTTP {
		return "HTTP_GET"
	}
	return "TCP_CHECK"
}
