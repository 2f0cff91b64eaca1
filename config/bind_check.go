package config

import (
	"net/netip"
	"time"
)

// Defaults of all checkers, keepalived 2.2.7.
const (
	defaultDelayLoop      = 60 * time.Second
	defaultConnectTimeout = 5 * time.Second
	standardRetries       = 1 // of TCP_CHECK and most others
	standardRetryDelay    = time.Second
)

// A checkDraft is a checker being read.
type checkDraft struct {
	level
	statement *Statement
	conn      connection
	logAll    bool
	// check holds the checker's own words; what it inherits comes when the whole file is read.
	check Checker
	// The defaults of the kind; delay 0 stands for delay_loop.
	retries uint32
	delay   time.Duration
	dropped bool

	tlsCompliant bool       // SSL_GET
	hosts        []smtpHost // SMTP_CHECK
	weighted     bool       // FILE_CHECK has a weight of its own
}

// A connection is where a probe goes and where it comes from.
type connection struct {
	addr     netip.Addr // connect_ip
	port     uint16     // connect_port
	bindAddr netip.Addr
	bindPort uint16
	bindIf   string
	mark     uint32
}

// checker binds one checker block of the server r into it, unless it is to be skipped, which is reported.
func (b *binder) checker(r *serverDraft, k *keyword, s *Statement) {
	d := &checkDraft{statement: s, retries: standardRetries, delay: standardRetryDelay}
	own := b.ownWords(r, d, k.name)
	b.each(k.block, s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch {
		case own(k, s, vs):
		case b.connecting(&d.conn, d.targetOf(r), k, s, vs):
		case k.canonical() == "log_all_failures":
			d.logAll = vs[0].flag()
		case !d.bind(k.canonical(), vs):
			panic(unbound(d.statement.Keyword, k))
		}
	})
	b.endOfChecker(r, d)
}

// targetOf returns the address that the probe goes to as long as there is no connect_ip.
func (d *checkDraft) targetOf(r *serverDraft) netip.Addr {
	if _, ok := d.check.(SMTPCheck); ok {
		return netip.Addr{} // not known before the closing brace
	}
	return r.addr.Addr()
}

// connecting binds the words of a connection, and reports whether k is one. Addresses must be of one family with what
// stands above them.
func (b *binder) connecting(c *connection, target netip.Addr, k *keyword, s *Statement, vs values) bool {
	if c.addr.IsValid() {
		target = c.addr
	}
	switch k.canonical() {
	case "connect_ip":
		a, ok := b.connectAddr(s)
		if ok && c.bindAddr.IsValid() && familyOf(a) != familyOf(c.bindAddr) {
			b.diags.errorf(s.Args[0].Pos, s.Args[0].Text, "connect_ip %s is of another address family than bindto %s and is ignored", a, c.bindAddr)
			ok = false
		}
		if ok {
			c.addr = a
		}
	case "bindto":
		a, ok := b.connectAddr(s)
		if ok && target.IsValid() && familyOf(a) != familyOf(target) {
			b.diags.errorf(s.Args[0].Pos, s.Args[0].Text, "bindto %s is of another address family than %s, which is probed, and is ignored", a, target)
			ok = false
		}
		if ok {
			c.bindAddr = a
		}
	case "connect_port":
		c.port = uint16(vs[0].number)
	case "bind_port":
		c.bindPort = uint16(vs[0].number)
	case "bind_if":
		b.bindInterface(c, vs[0].word)
	case "fwmark":
		c.mark = uint32(vs[0].number)
	default:
		return false
	}
	return true
}

// connectAddr reads the address of connect_ip or bindto.
func (b *binder) connectAddr(s *Statement) (netip.Addr, bool) {
	w := s.Args[0]
	a, ok := socketAddr(w.Text)
	if !ok {
		b.diags.errorf(w.Pos, w.Text, "%s %q is not an IPv4 or IPv6 address; it is ignored", s.Keyword, w.Text)
	}
	return a, ok
}

// bindInterface binds a device. keepalived does not look whether it exists, and each probe then fails.
func (b *binder) bindInterface(c *connection, w Word) {
	const most = 15 // IFNAMSIZ less the final NUL
	if len(w.Text) > most {
		b.diags.errorf(w.Pos, w.Text, "bind_if %q is longer than %d bytes and is ignored", w.Text, most)
		return
	}
	c.bindIf = w.Text
	if _, exists := b.host.linkNamed(w.Text); !exists {
		b.diags.errorf(w.Pos, w.Text, "bind_if %q does not exist on this host: each probe will fail", w.Text).silent().suggest(suggest(w.Text, b.host.Interfaces))
	}
}

// endOfChecker checks what keepalived checks at the closing brace.
func (b *binder) endOfChecker(r *serverDraft, d *checkDraft) {
	if d.dropped || !b.complete(d) {
		return
	}
	for _, c := range d.perHost() {
		target := r.addr.Addr()
		if c.conn.addr.IsValid() {
			target = c.conn.addr
		}
		if !c.connects() || b.reachable(c.statement, target, c.conn.bindIf) {
			r.checkers = append(r.checkers, c)
		}
	}
}

// connects reports whether the checker probes over the network.
func (d *checkDraft) connects() bool {
	switch d.check.(type) {
	case MiscCheck, BFDCheck, FileCheck:
		return false
	}
	return true
}

// reachable reports a link-local target that no interface belongs to.
func (b *binder) reachable(s *Statement, target netip.Addr, bindIf string) bool {
	if !target.Is6() || !target.IsLinkLocalUnicast() || target.Is4In6() || bindIf != "" {
		return true
	}
	b.diags.errorf(s.Pos, s.Keyword, "%s probes the link-local address %s, which needs bind_if; the check is ignored", s.Keyword, target)
	return false
}

// options resolves what all checkers have. addr is the server, as far as its own words name it.
func (d *checkDraft) options(v *serviceDraft, r *serverDraft, addr netip.AddrPort) CheckOptions {
	o := CheckOptions{
		Pos:            d.statement.Pos,
		Connect:        addr,
		BindAddr:       d.conn.bindAddr,
		BindPort:       d.conn.bindPort,
		BindInterface:  d.conn.bindIf,
		Fwmark:         d.conn.mark,
		ConnectTimeout: first(defaultConnectTimeout, d.connectTimeout, r.connectTimeout, v.connectTimeout),
		DelayLoop:      first(defaultDelayLoop, d.delayLoop, r.delayLoop, v.delayLoop),
		Retry:          first(d.retries, d.retry, r.retry, v.retry),
		Alpha:          first(false, d.alpha, r.alpha, v.alpha),
		LogAllFailures: d.logAll,
	}
	delay := d.delay
	if delay == 0 {
		delay = o.DelayLoop
	}
	o.DelayBeforeRetry = first(delay, d.delayBeforeRetry, r.delayBeforeRetry, v.delayBeforeRetry)
	o.Warmup = first(o.DelayLoop, d.warmup, r.warmup, v.warmup)
	o.WarmupGiven = d.warmup.set || r.warmup.set || v.warmup.set
	if d.conn.addr.IsValid() {
		o.Connect = netip.AddrPortFrom(d.conn.addr, o.Connect.Port())
	}
	if d.conn.port != 0 {
		o.Connect = netip.AddrPortFrom(o.Connect.Addr(), d.conn.port)
	}
	return o
}

// resolve gives the checker of server r with all that it inherits.
func (b *binder) resolveChecker(d *checkDraft, v *serviceDraft, r *serverDraft, addr netip.AddrPort) Checker {
	o := d.options(v, r, addr)
	switch c := d.check.(type) {
	case TCPCheck:
		c.CheckOptions = o
		return c
	case PingCheck:
		c.CheckOptions = o
		return c
	case HTTPGet:
		c.CheckOptions = o
		host := first("", r.virtualHost, v.virtualHost)
		if d.virtualHost.set {
			host = d.virtualHost.v
		}
		for i := range c.URLs {
			if u := &c.URLs[i]; u.Host == "" {
				u.Host = host
			}
		}
		return c
	case SMTPCheck:
		c.CheckOptions = o
		return c
	case DNSCheck:
		c.CheckOptions = o
		return c
	case UDPCheck:
		c.CheckOptions = o
		return c
	case MiscCheck:
		c.CheckOptions = o.withoutConnection()
		if c.Timeout == 0 {
			c.Timeout = first(defaultDelayLoop, v.delayLoop)
		}
		return c
	case BFDCheck:
		c.CheckOptions = CheckOptions{Pos: o.Pos, Alpha: o.Alpha}
		return c
	case FileCheck:
		c.CheckOptions = CheckOptions{Pos: o.Pos}
		for _, f := range b.config.TrackFiles {
			if f.Name == c.Name && !d.weighted {
				c.Weight, c.Reverse = f.Weight, f.Reverse
			}
		}
		return c
	}
	panic("config: a checker that nothing makes")
}

// withoutConnection leaves out what a program that is run has no use for.
func (o CheckOptions) withoutConnection() CheckOptions {
	return CheckOptions{
		Pos: o.Pos, DelayLoop: o.DelayLoop, Retry: o.Retry, DelayBeforeRetry: o.DelayBeforeRetry, Warmup: o.Warmup,
		Alpha: o.Alpha, LogAllFailures: o.LogAllFailures,
	}
}
