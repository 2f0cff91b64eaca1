package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// A target is what one service of the model is reached by: an address and port, or a mark.
type target struct {
	addr   netip.AddrPort
	mark   uint32
	family family
}

// A serviceKey is what no two services may share.
type serviceKey struct {
	target
	protocol Protocol
}

// finishServices checks what keepalived checks when the whole file is read, resolves what is inherited, expands groups
// and takes what can run into the model.
func (b *binder) finishServices() {
	taken := make(map[serviceKey]Pos)
	for _, d := range b.services {
		g, ok := b.linkGroup(d)
		if !ok {
			continue
		}
		if len(d.servers) == 0 {
			b.diags.errorf(d.statement.Pos, d.title, "%s has no real_server that can be used and is not run", d.title)
			continue
		}
		b.checkService(d, g)
		b.checkServers(d)
		b.checkQuorum(d)
		b.checkPorts(d, g)
		b.expand(d, g, taken)
	}
}

// linkGroup finds the group of a service, and reports false where the service cannot run for it.
func (b *binder) linkGroup(d *serviceDraft) (*vsGroup, bool) {
	if d.group == "" {
		return nil, true
	}
	g := b.groups[d.group]
	w := d.statement.Args[1]
	if g == nil {
		names := make([]string, 0, len(b.groups))
		for name := range b.groups {
			names = append(names, name)
		}
		slices.Sort(names)
		b.diags.errorf(w.Pos, w.Text, "there is no virtual_server_group %s; %s is not run", d.group, d.title).silent().suggest(suggest(d.group, names))
		return nil, false
	}
	gf := g.family()
	if g.ipv4 && g.ipv6 && d.family != anyFamily || gf != anyFamily && d.family != anyFamily && d.family != gf {
		b.diags.errorf(w.Pos, w.Text, "virtual_server_group %s has addresses of another family than %s; it is not run", d.group, d.title).silent()
		return nil, false
	}
	if gf != anyFamily {
		d.family = gf
	} else if d.family == anyFamily && g.unknown {
		b.diags.warnf(d.statement.Pos, d.title, "the family of %s is not known: IPv4 is used", d.title).silent()
	}
	return g, true
}

// checkService fills in what keepalived fills in, and says so as it does.
func (b *binder) checkService(d *serviceDraft, g *vsGroup) {
	at := d.statement.Pos
	if d.haSuspend != nil && (d.fwmark != 0 || g != nil && g.marks()) {
		b.diags.warnf(d.haSuspend.Pos, "", "ha_suspend cannot follow a fwmark and has no effect in %s", d.title)
		d.haSuspend = nil
	}
	if g == nil && d.fwmark == 0 || g != nil && g.addresses() {
		if d.protocol == 0 {
			b.diags.warnf(at, "", "%s has %s protocol: UDP is used", d.title, noUsable(d.statement, "protocol"))
			d.protocol = UDP
		}
		if d.onePacket != nil && d.protocol != UDP {
			b.diags.warnf(d.onePacket.Pos, "", "ops needs protocol UDP and has no effect in %s", d.title)
			d.onePacket = nil
		}
	}
	if d.persistence == 0 && takesAllPorts(d, g) {
		b.diags.warnf(at, "", "%s has no port: it takes all ports, and persistence_timeout %s is set", d.title, seconds(defaultPersistence))
		d.persistence = defaultPersistence
	}
	if d.protocol != 0 && (g == nil && d.fwmark != 0 || g != nil && !g.addresses()) {
		b.diags.warnf(find(d.statement, "protocol").Pos, "", "a fwmark takes all protocols: protocol has no effect in %s", d.title)
		d.protocol = 0
	}
	if d.scheduler == "" {
		b.diags.warnf(at, "", "%s has %s lb_algo: wlc is used", d.title, noUsable(d.statement, "lb_algo", "lvs_sched"))
		d.scheduler = "wlc"
	}
}

// noUsable says whether a word that has no value is missing or is wrong.
func noUsable(s *Statement, words ...string) string {
	for _, w := range words {
		if find(s, w) != nil {
			return "no usable"
		}
	}
	return "no"
}

// takesAllPorts reports whether an address of the service has no port.
func takesAllPorts(d *serviceDraft, g *vsGroup) bool {
	if g == nil {
		return d.fwmark == 0 && d.addr.Port() == 0
	}
	return slices.ContainsFunc(g.entries, func(e vsGroupEntry) bool { return !e.marked && e.port == 0 })
}

// checkServers takes out servers that stand twice, and settles the method of each.
func (b *binder) checkServers(d *serviceDraft) {
	seen := make(map[netip.AddrPort]bool)
	said := false
	fallback := func(p *delivery) {
		if p.method != 0 {
			return
		}
		if d.delivery.method == 0 {
			d.delivery.method = NAT
			if !said {
				b.diags.warnf(d.statement.Pos, "", "%s has %s lb_kind: NAT is used", d.title, noUsable(d.statement, "lb_kind", "lvs_method"))
				said = true
			}
		}
		*p = d.delivery
	}
	d.servers = slices.DeleteFunc(d.servers, func(r *serverDraft) bool {
		if seen[r.addr] {
			b.diags.errorf(r.statement.Pos, r.title, "%s is already in %s; the second one is ignored", r.title, d.title)
			return true
		}
		seen[r.addr] = true
		fallback(&r.delivery)
		if inhibit := first(d.inhibit, r.inhibit); d.sorry != nil && d.sorry.addr == r.addr && d.sorry.inhibit != inhibit {
			b.diags.warnf(d.sorry.statement.Pos, "", "sorry_server is %s, whose inhibit_on_failure counts: sorry_server_inhibit is set to %t", r.title, inhibit)
			d.sorry.inhibit = inhibit
		}
		return false
	})
	if d.sorry != nil {
		fallback(&d.sorry.delivery)
	}
}

// checkQuorum lowers a quorum that can never be reached and a hysteresis that does not fit.
func (b *binder) checkQuorum(d *serviceDraft) {
	at := func(s *Statement) (Pos, string) {
		if s == nil || len(s.Args) == 0 {
			return d.statement.Pos, ""
		}
		return s.Args[0].Pos, s.Args[0].Text
	}
	sum := uint32(0) // keepalived adds up modulo 2^32, too
	for _, r := range d.servers {
		sum += uint32(first(d.weight, r.weight))
	}
	if d.quorum > sum {
		pos, word := at(d.quorumWord)
		b.diags.warnf(pos, word, "quorum %d is above %d, the weights of all real servers together, and is lowered to that", d.quorum, sum)
		d.quorum = sum
	}
	if d.hysteresis >= d.quorum {
		pos, word := at(d.hystereWord)
		fit := max(d.quorum, 1) - 1
		b.diags.warnf(pos, word, "hysteresis %d is not below quorum %d and is set to %d", d.hysteresis, d.quorum, fit)
		d.hysteresis = fit
	}
}

// checkPorts reports ports of servers that only NAT can map to.
func (b *binder) checkPorts(d *serviceDraft, g *vsGroup) {
	check := func(s *Statement, what string, addr *netip.AddrPort, m Method) {
		port := addr.Port()
		if m == NAT || port == 0 {
			return
		}
		w := s.Args[1]
		if d.fwmark != 0 || g != nil && g.marks() {
			b.diags.warnf(w.Pos, w.Text, "%s cannot map ports: port %d of %s has no effect with a fwmark", m, port, what)
		}
		if g == nil && d.fwmark == 0 && port != d.addr.Port() {
			b.diags.warnf(w.Pos, w.Text, "%s cannot map ports: port %d of %s is set to %d as in %s", m, port, what, d.addr.Port(), d.title)
		}
		if g != nil && slices.ContainsFunc(g.entries, func(e vsGroupEntry) bool { return !e.marked && e.port != port }) {
			b.diags.warnf(w.Pos, w.Text, "%s cannot map ports: port %d of %s has no effect at the other ports of virtual_server_group %s", m, port, what, d.group)
		}
	}
	for _, r := range d.servers {
		check(r.statement, r.title, &r.addr, r.delivery.method)
	}
	if d.sorry != nil {
		check(d.sorry.statement, "the sorry_server", &d.sorry.addr, d.sorry.delivery.method)
	}
}

// maxServices bounds the services of a configuration: groups multiply.
const maxServices = 1 << 18

// expand takes the services that a block stands for into the model.
func (b *binder) expand(d *serviceDraft, g *vsGroup, taken map[serviceKey]Pos) {
	v := VirtualServer{
		Pos: d.statement.Pos, Group: d.group, Scheduler: d.scheduler, Flags: d.flags, OnePacket: d.onePacket != nil,
		PersistenceTimeout: d.persistence, Granularity: d.granularity, PersistenceEngine: d.engine,
		Method: max(d.delivery.method, NAT), Tunnel: d.delivery.modelTunnel(),
		Quorum: d.quorum, Hysteresis: d.hysteresis, QuorumUp: d.quorumUp, QuorumDown: d.quorumDown,
		Alpha: first(false, d.alpha), Omega: d.omega, HASuspend: d.haSuspend != nil,
		Mail: first(false, d.mail, b.alerts.checker, b.alerts.all),
	}
	servers := make(map[uint16][]RealServer) // by the port of the service
	for _, t := range targets(d, g) {
		if len(b.config.VirtualServers) == maxServices {
			b.diags.errorf(v.Pos, d.title, "the configuration has more than %d services; the rest of %s is ignored", maxServices, d.title).silent()
			return
		}
		one := v
		one.Addr, one.Fwmark, one.IPv6 = t.addr, t.mark, t.family == ipv6
		if t.mark == 0 {
			one.Protocol = d.protocol
		}
		key := serviceKey{t, one.Protocol}
		if other, found := taken[key]; found {
			b.diags.errorf(d.statement.Pos, d.title, "%s is already defined (%s); this one is ignored", serviceTitle(&one), other.from(d.statement.Pos)).silent()
			continue
		}
		taken[key] = v.Pos
		port := t.addr.Port()
		if servers[port] == nil {
			servers[port] = b.serversOf(d, port)
		}
		one.RealServers = servers[port]
		if s := d.sorry; s != nil {
			one.SorryServer = &SorryServer{
				Pos: s.statement.Pos, Addr: serverAddr(s.addr, s.delivery.method, port),
				Method: s.delivery.method, Tunnel: s.delivery.modelTunnel(), Inhibit: s.inhibit,
			}
		}
		b.config.VirtualServers = append(b.config.VirtualServers, one)
	}
}

// targets lists what a service is reached by.
func targets(d *serviceDraft, g *vsGroup) []target {
	if g == nil {
		return []target{{addr: d.addr, mark: d.fwmark, family: d.family}}
	}
	var out []target
	for _, e := range g.entries {
		if e.marked {
			f := e.family
			if f == anyFamily {
				f = max(d.family, ipv4)
			}
			out = append(out, target{mark: e.mark, family: f})
			continue
		}
		for a := e.start; ; a = a.Next() {
			out = append(out, target{addr: netip.AddrPortFrom(a, e.port), family: familyOf(a)})
			if a == e.end {
				break
			}
		}
	}
	return out
}

// serviceTitle names a service of the model.
func serviceTitle(v *VirtualServer) string {
	if v.Fwmark != 0 {
		return fmt.Sprintf("the service of fwmark %d", v.Fwmark)
	}
	return "the service " + v.Addr.String() + " " + v.Protocol.String()
}

// serversOf resolves the servers of a service with a port.
func (b *binder) serversOf(d *serviceDraft, port uint16) (out []RealServer) {
	seen := make(map[netip.AddrPort]bool)
	for _, r := range d.servers {
		addr := serverAddr(r.addr, r.delivery.method, port)
		if seen[addr] {
			b.diags.errorf(r.statement.Pos, r.title, "%s is already in %s; the second one is ignored", r.title, d.title).silent()
			continue
		}
		seen[addr] = true
		if !r.resolved {
			b.resolveCheckers(r, d, addr)
		}
		plain := checkDraft{statement: r.statement, retries: standardRetries, delay: standardRetryDelay}
		out = append(out, RealServer{
			Pos: r.statement.Pos, Addr: addr, Method: r.delivery.method, Tunnel: r.delivery.modelTunnel(),
			Weight: first(d.weight, r.weight), UpperThreshold: r.upper, LowerThreshold: r.lower,
			InhibitOnFailure: first(d.inhibit, r.inhibit), Alpha: first(false, r.alpha, d.alpha),
			NotifyUp: r.up, NotifyDown: r.down, Mail: first(true, r.mail, b.alerts.checker, b.alerts.all),
			Checking: plain.options(d, r, addr), Checkers: r.model,
		})
	}
	return out
}

// serverAddr gives a server the port that it has in a service with a port: its own with NAT, else and without one that
// of the service.
func serverAddr(addr netip.AddrPort, m Method, port uint16) netip.AddrPort {
	if m == NAT && addr.Port() != 0 {
		return addr
	}
	return netip.AddrPortFrom(addr.Addr(), port)
}

// resolveCheckers gives a server its checkers, with all that they inherit. As in keepalived, they probe the port that
// is written, even where the service has another.
func (b *binder) resolveCheckers(r *serverDraft, d *serviceDraft, addr netip.AddrPort) {
	r.resolved = true
	if r.addr.Port() != 0 {
		addr = r.addr
	}
	for _, c := range r.checkers {
		r.model = append(r.model, b.resolveChecker(c, d, r, addr))
	}
}
