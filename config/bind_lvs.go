package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A maybe is a value that may be unset.
type maybe[T any] struct {
	v   T
	set bool
}

func (o *maybe[T]) to(v T) { o.v, o.set = v, true }

// first returns the first value that is set, else the default.
func first[T any](def T, os ...maybe[T]) T {
	for _, o := range os {
		if o.set {
			return o.v
		}
	}
	return def
}

// A level is what virtual_server, real_server and checkers all may say about probing, each for what is inside it.
type level struct {
	delayLoop, connectTimeout, delayBeforeRetry, warmup maybe[time.Duration]

	retry       maybe[uint32]
	alpha       maybe[bool]
	virtualHost maybe[string]
}

// bind takes a word that belongs to all levels and reports whether it is one.
func (l *level) bind(word string, vs values) bool {
	switch word {
	case "delay_loop":
		l.delayLoop.to(vs[0].time)
	case "connect_timeout":
		l.connectTimeout.to(vs[0].time)
	case "delay_before_retry":
		l.delayBeforeRetry.to(vs[0].time)
	case "warmup":
		l.warmup.to(vs[0].time)
	case "retry":
		l.retry.to(uint32(vs[0].number))
	case "alpha":
		l.alpha.to(!vs[0].set || vs[0].on)
	case "virtualhost":
		l.virtualHost.to(vs[0].word.Text)
	default:
		return false
	}
	return true
}

// A serviceDraft is a virtual_server being read.
type serviceDraft struct {
	level
	statement *Statement
	title     string
	addr      netip.AddrPort
	protocol  Protocol
	scheduler string
	method    Method
	weight    maybe[int]
	inhibit   maybe[bool]
	servers   []*serverDraft
	// unserved are the reasons why the service is not run yet.
	unserved []string
}

// A serviceKey is what no two services may share.
type serviceKey struct {
	addr     netip.AddrPort
	protocol Protocol
}

// virtualServer binds one virtual_server.
func (b *binder) virtualServer(s *Statement, vs values) {
	d := &serviceDraft{statement: s, title: title(s)}
	if !b.serviceAddr(d, vs) {
		b.inner(lookup("", "virtual_server"), s)
		return
	}
	b.each("virtual_server", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "lb_algo":
			d.scheduler = vs[0].word.Text
		case "lvs_method":
			if m, ok := b.method(k, s); ok {
				d.method = m
			}
		case "protocol":
			d.protocol = map[string]Protocol{"TCP": TCP, "UDP": UDP, "SCTP": SCTP}[vs[0].word.Text]
		case "inhibit_on_failure":
			d.inhibit.to(!vs[0].set || vs[0].on)
		case "weight":
			d.weight.to(int(vs[0].number))
		case "real_server":
			if r := b.realServer(s, vs); r != nil {
				d.servers = append(d.servers, r)
			}
		default:
			if !d.bind(k.canonical(), vs) {
				panic(unbound("virtual_server", k))
			}
		}
	})
	b.serviceDefaults(d)
	b.checkUnservedLVS(d)
	b.finishService(d)
}

// serviceAddr reads what stands after virtual_server: ADDR [PORT], fwmark N or group NAME. It returns false where the
// service is to be skipped, which is reported.
func (b *binder) serviceAddr(d *serviceDraft, vs values) bool {
	switch first := vs[0].word.Text; first {
	case "fwmark", "group":
		if !vs[1].set {
			b.diags.errorf(d.statement.Pos, first, "virtual_server %s needs %s after it; the service is ignored", first,
				map[string]string{"fwmark": "a number", "group": "the name of a virtual_server_group"}[first])
			return false
		}
		if first == "fwmark" {
			if _, ok := parseNumber(vs[1].word.Text, num(0, maxUint32)); !ok {
				b.diags.errorf(vs[1].word.Pos, vs[1].word.Text, "fwmark %q is not a whole number from 0 to %d; the service is ignored", vs[1].word.Text, int64(maxUint32))
				return false
			}
		}
		d.unserved = append(d.unserved, "a service by "+first+" is not served yet")
		return true
	}
	addr, ok := b.endpoint("virtual_server", vs, "the service")
	d.addr = addr
	return ok
}

// endpoint reads ADDR [PORT] of a service or a server; without port it is 0. loss names what is ignored if it is
// wrong.
func (b *binder) endpoint(keyword string, vs values, loss string) (netip.AddrPort, bool) {
	w := vs[0].word
	text, length, masked := strings.Cut(w.Text, "/")
	addr, ok := parseAddr(text)
	if !ok || masked && length != fmt.Sprint(addr.BitLen()) {
		d := b.diags.errorf(w.Pos, w.Text, "%s %q is not an IPv4 or IPv6 address; %s is ignored", keyword, w.Text, loss)
		if ap, err := netip.ParseAddrPort(w.Text); err == nil {
			d.suggest(fmt.Sprintf("%s %d", ap.Addr(), ap.Port()))
		} else if a, ok := parseAddr(strings.Trim(w.Text, "[]")); ok {
			d.suggest(a.String())
		}
		return netip.AddrPort{}, false
	}
	if !vs[1].set {
		return netip.AddrPortFrom(addr, 0), true
	}
	port, ok := parseNumber(vs[1].word.Text, num(0, 65535))
	if !ok {
		b.diags.errorf(vs[1].word.Pos, vs[1].word.Text, "port %q is not a whole number from 1 to 65535; %s is ignored", vs[1].word.Text, loss)
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr, uint16(port)), true
}

// serviceDefaults fills in what keepalived fills in, and says so as it does.
func (b *binder) serviceDefaults(d *serviceDraft) {
	warn := func(word, synonym, def string) {
		no := "no"
		if find(d.statement, word) != nil || find(d.statement, synonym) != nil {
			no = "no usable"
		}
		b.diags.warnf(d.statement.Pos, "", "%s has %s %s: %s is used", d.title, no, word, def)
	}
	if d.protocol == 0 && d.addr.IsValid() {
		warn("protocol", "", "UDP")
		d.protocol = UDP
	}
	if d.scheduler == "" {
		warn("lb_algo", "lvs_sched", "wlc")
		d.scheduler = "wlc"
	}
	if d.method == 0 {
		warn("lb_kind", "lvs_method", "NAT")
		d.method = NAT
	}
	if d.addr.IsValid() && d.addr.Port() == 0 {
		if find(d.statement, "persistence_timeout") == nil && find(d.statement, "persistence_granularity") == nil {
			b.diags.warnf(d.statement.Pos, "", "%s has no port: it takes all ports, and persistence_timeout 360 is set", d.title)
		}
		d.unserved = append(d.unserved, "a service of all ports is not served yet")
	}
	if !slices.Contains([]string{"rr", "wrr", "lc", "wlc"}, d.scheduler) {
		d.unserved = append(d.unserved, "scheduler "+d.scheduler+" is not served yet")
	}
	if d.method == TUN {
		d.unserved = append(d.unserved, "method TUN is not served yet")
	}
	if d.protocol == SCTP {
		d.unserved = append(d.unserved, "protocol SCTP is not served yet")
	}
}

// finishService resolves the servers and takes the service into the model if it can run.
func (b *binder) finishService(d *serviceDraft) {
	key := serviceKey{d.addr, d.protocol}
	if other, taken := b.services[key]; taken && d.addr.IsValid() {
		b.diags.errorf(d.statement.Pos, d.title, "%s %s is already defined (%s); this one is ignored", d.title, d.protocol, other.from(d.statement.Pos))
		return
	}
	v := VirtualServer{Pos: d.statement.Pos, Addr: d.addr, Protocol: d.protocol, Scheduler: d.scheduler, Method: d.method}
	seen := make(map[netip.AddrPort]bool)
	left := len(b.config.Unserved)
	usable := 0
	for _, r := range d.servers {
		server, ok := b.resolveServer(d, r)
		if !ok {
			continue
		}
		if seen[server.Addr] {
			b.diags.errorf(r.statement.Pos, r.title, "%s is already in %s; the second one is ignored", r.title, d.title)
			continue
		}
		seen[server.Addr] = true
		usable++
		if server.Method == TUN && len(d.unserved) == 0 {
			b.leaveOut(r.statement.Pos, d.title+" "+r.title, "method TUN is not served yet")
			continue
		}
		v.RealServers = append(v.RealServers, server)
	}
	switch {
	case usable == 0:
		b.config.Unserved = b.config.Unserved[:left]
		b.diags.errorf(d.statement.Pos, d.title, "%s has no real_server that can be used and is not run", d.title)
	case len(d.unserved) > 0:
		b.leaveOut(d.statement.Pos, d.title, d.unserved...)
	case len(v.RealServers) == 0:
		b.leaveOut(d.statement.Pos, d.title, "all its real servers need what is not served yet")
	default:
		b.services[key] = v.Pos
		b.config.VirtualServers = append(b.config.VirtualServers, v)
	}
}

// leaveOut lists a service or server that is right and cannot be run yet.
func (b *binder) leaveOut(pos Pos, title string, reasons ...string) {
	b.diags.notef(pos, title, "%s is not run: %s", title, strings.Join(reasons, ", "))
	b.config.Unserved = append(b.config.Unserved, Unserved{Pos: pos, Name: title, Reasons: reasons})
}

// checkUnservedLVS reports what keepalived would adjust in words that are not served yet.
func (b *binder) checkUnservedLVS(d *serviceDraft) {
	if s := find(d.statement, "ops"); s != nil && d.protocol != UDP {
		b.diags.warnf(s.Pos, "", "ops needs protocol UDP and has no effect in %s", d.title)
	}
	if s := find(d.statement, "sorry_server"); s != nil && len(s.Args) > 0 && d.addr.IsValid() && d.method != TUN {
		if a, ok := parseAddr(s.Args[0].Text); ok && !sameFamily(a, d.addr.Addr()) {
			b.diags.errorf(s.Args[0].Pos, s.Args[0].Text, "sorry_server %s is of another address family than %s and is ignored", a, d.title)
		}
	}
	quorum := int64(1)
	if s := find(d.statement, "quorum"); s != nil && len(s.Args) > 0 {
		n, ok := parseNumber(s.Args[0].Text, num(1, maxUint32))
		sum := int64(0)
		for _, r := range d.servers {
			sum += int64(first(1, r.weight, d.weight))
		}
		if quorum = max(n, 1); ok && n > sum && len(d.servers) > 0 {
			b.diags.warnf(s.Args[0].Pos, s.Args[0].Text, "quorum %d is above %d, the weights of all real servers together, and is lowered to that", n, sum)
			quorum = sum
		}
	}
	if s := find(d.statement, "hysteresis"); s != nil && len(s.Args) > 0 {
		if n, ok := parseNumber(s.Args[0].Text, num(0, maxUint32)); ok && n >= quorum {
			b.diags.warnf(s.Args[0].Pos, s.Args[0].Text, "hysteresis %d is not below quorum %d and is set to %d", n, quorum, max(quorum-1, 0))
		}
	}
}
