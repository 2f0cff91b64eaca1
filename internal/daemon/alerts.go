package daemon

import (
	"fmt"
	"net/netip"

	"uvs/config"
	"uvs/internal/mail"
	"uvs/internal/table"
	"uvs/vrrp/notify"
)

// serviceAlerts are who is told of a virtual_server and its servers.
type serviceAlerts struct {
	up, down *config.Command // of the quorum
	mail     bool
	omega    bool
	servers  map[netip.AddrPort]serverAlerts
}

// serverAlerts are who is told of a real server.
type serverAlerts struct {
	up, down *config.Command
	mail     bool
	check    mail.Check // that its mails speak of
}

// planAlerts lists who is told of services, by their group. It is pure.
func planAlerts(c *config.Config) map[string]serviceAlerts {
	alerts := make(map[string]serviceAlerts)
	blocks := blocksOf(c.VirtualServers)
	for n := range c.VirtualServers {
		v := &c.VirtualServers[n]
		f := translateService(*v, blocks[n])
		a := serviceAlerts{up: v.QuorumUp, down: v.QuorumDown, mail: v.Mail, omega: v.Omega, servers: make(map[netip.AddrPort]serverAlerts)}
		for i := range v.RealServers {
			r := &v.RealServers[i]
			x := serverAlerts{up: r.NotifyUp, down: r.NotifyDown, mail: r.Mail}
			if len(r.Checkers) > 0 {
				x.check = mailCheck(r.Checkers[0])
			}
			a.servers[endOf(r.Addr)] = x
		}
		alerts[f.Group] = a
	}
	return alerts
}

// mailCheck is a checker in the words of mails.
func mailCheck(c config.Checker) mail.Check {
	switch c.(type) {
	case config.HTTPGet:
		return mail.HTTP
	case config.SMTPCheck:
		return mail.SMTP
	case config.DNSCheck:
		return mail.DNS
	case config.MiscCheck:
		return mail.Misc
	case config.UDPCheck:
		return mail.UDP
	case config.PingCheck:
		return mail.Ping
	case config.BFDCheck:
		return mail.BFD
	}
	return mail.TCP
}

// A turn is a server that went up or down, or a service that gained or lost its quorum.
type turn struct {
	service table.Service  // as it is now
	server  netip.AddrPort // the zero AddrPort for the quorum
	up      bool
	stopped bool // it goes down with us, and by no fault of its own
	removed bool // the configuration leaves the server out
}

// turns are what is to be told of a change of the table. What the services of one group have
// in common is told once. It is pure.
func turns(before, after []table.Service) (list []turn) {
	var old map[table.Key]*table.Service
	find := func(n int, k table.Key) *table.Service { // most are where they were
		if n < len(before) && before[n].Key == k {
			return &before[n]
		}
		if old == nil {
			old = make(map[table.Key]*table.Service, len(before))
			for n := range before {
				old[before[n].Key] = &before[n]
			}
		}
		return old[k]
	}
	told := make(map[string]bool)
	for n := range after {
		s := after[n]
		was := find(n, s.Key)
		if was == nil || !s.FromFile || !was.FromFile || told[s.Group] {
			continue
		}
		told[s.Group] = true
		for _, r := range s.Servers {
			for _, x := range was.Servers {
				if x.Addr == r.Addr && x.FromFile && r.FromFile && !r.Sorry && !x.Sorry && x.Down != r.Down {
					list = append(list, turn{service: s, server: r.Addr, up: !r.Down})
				}
			}
		}
		if was.NoQuorum != s.NoQuorum {
			list = append(list, turn{service: s, up: !s.NoQuorum})
		}
	}
	return list
}

// partings are what a reload has told of what it leaves out: living servers go down and, if their service goes as well,
// its quorum (clear_diff_services in keepalived's check/ipwrapper.c). Only servers in the list are told of: as long as a
// sorry server serves, the others are not. It is pure.
func partings(before, after []table.Service) (list []turn) {
	stays := make(map[string]*table.Service, len(after))
	for n := range after {
		if s := &after[n]; s.FromFile && stays[s.Group] == nil {
			stays[s.Group] = s
		}
	}
	told := make(map[string]bool)
	for _, s := range before {
		if !s.FromFile || told[s.Group] {
			continue
		}
		told[s.Group] = true
		now := stays[s.Group]
		kept := make(map[netip.AddrPort]bool)
		if now != nil {
			for _, r := range now.Servers {
				kept[r.Addr] = kept[r.Addr] || r.FromFile && !r.Sorry
			}
		}
		for _, r := range s.Servers {
			if r.FromFile && r.Listed && !r.Sorry && !r.Down && !kept[r.Addr] {
				list = append(list, turn{service: s, server: r.Addr, removed: true})
			}
		}
		if now == nil && !s.NoQuorum {
			s.Servers = nil // none of them lives for it any more
			list = append(list, turn{service: s})
		}
	}
	return list
}

// farewells are what omega has told at the end: the servers that are up go down, and with
// them the quorum. It is pure.
func farewells(services []table.Service, alerts map[string]serviceAlerts) (list []turn) {
	told := make(map[string]bool)
	for _, s := range services {
		if !s.FromFile || told[s.Group] || !alerts[s.Group].omega {
			continue
		}
		told[s.Group] = true
		for _, r := range s.Servers {
			if r.FromFile && !r.Sorry && !r.Down {
				list = append(list, turn{service: s, server: r.Addr, stopped: true})
			}
		}
		if !s.NoQuorum {
			list = append(list, turn{service: s, stopped: true})
		}
	}
	return list
}

// greetings are what rs_init_notifies has told at the start: the servers and quorums that are
// up. It is pure.
func greetings(services []table.Service) (list []turn) {
	told := make(map[string]bool)
	for _, s := range services {
		if !s.FromFile || told[s.Group] {
			continue
		}
		told[s.Group] = true
		for _, r := range s.Servers {
			if r.FromFile && !r.Sorry && !r.Down {
				list = append(list, turn{service: s, server: r.Addr, up: true})
			}
		}
		if !s.NoQuorum {
			list = append(list, turn{service: s, up: true})
		}
	}
	return list
}

// tellTurns tells programs, pipes and people of servers and services.
func (h *herald) tellTurns(list []turn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range list {
		alerts := h.plan.services[t.service.Group]
		if t.server.IsValid() {
			h.tellServer(&t, alerts.servers[t.server])
		} else {
			h.tellQuorum(&t, &alerts)
		}
	}
}

// serverMail is the mail about a server, of which check has its word.
func (t *turn) serverMail(router string, check mail.Check) mail.Message {
	server, service := t.service.Naming.Server(t.server), t.service.Naming.Service
	switch {
	case t.stopped:
		return mail.ServerStopping(router, server, service)
	case t.removed:
		return mail.ServerRemoved(router, server, service)
	}
	return mail.RealServer(router, server, service, t.up, mail.CheckBody(check, t.up, ""))
}

// quorumMail is the mail about a service.
func (t *turn) quorumMail(router string) mail.Message {
	s := &t.service
	if t.stopped {
		return mail.QuorumStopping(router, s.Naming.Service)
	}
	return mail.Quorum(router, s.Naming.Service, t.up, uint32(s.Quorum), uint32(s.Hysteresis), int64(s.Alive()))
}

// tellServer tells of a server. h.mu is held.
func (h *herald) tellServer(t *turn, a serverAlerts) {
	run := a.down
	if t.up {
		run = a.up
	}
	server, service := t.service.Naming.Server(t.server), t.service.Naming.Service
	h.alert(run, fmt.Sprintf("RS %s %s %s\n", server, service, upOrDown(t.up)))
	if a.mail && h.mails != nil {
		h.mails.Send(t.serverMail(h.routerID(), a.check))
	}
}

// tellQuorum tells of a service. h.mu is held.
func (h *herald) tellQuorum(t *turn, a *serviceAlerts) {
	run := a.down
	if t.up {
		run = a.up
	}
	service := t.service.Naming.Service
	h.alert(run, fmt.Sprintf("VS %s %s\n", service, upOrDown(t.up)))
	if a.mail && h.mails != nil {
		h.mails.Send(t.quorumMail(h.routerID()))
	}
}

// alert runs a program, if there is one, and writes a line. h.mu is held.
func (h *herald) alert(run *config.Command, line string) {
	if run != nil {
		h.runProgram(&notify.Command{Args: run.Args, User: run.User, Group: run.Group})
	}
	h.write(line, func(p *fifoPlan) bool { return p.servers })
}

func upOrDown(up bool) string {
	if up {
		return "UP"
	}
	return "DOWN"
}
