package config

import "net/netip"

// A CheckVIP is a check_vip block of the extra file. The zero CheckVIP is none.
type CheckVIP struct {
	// Pos is where the block begins; the zero Pos: there is none.
	Pos Pos

	words  level
	logAll bool
}

// A VIPCheck passes when a server that has the virtual address itself accepts a connection to it. It is in no
// keepalived.conf: CheckVIP.Of makes it.
type VIPCheck struct {
	CheckOptions // Connect is the virtual address and port
}

// Keyword returns "check_vip".
func (VIPCheck) Keyword() string { return "check_vip" }

// Of returns the check of one server for a virtual address. What the block does not say is as for the other checks of the
// server.
func (c *CheckVIP) Of(r *RealServer, vip netip.AddrPort) VIPCheck {
	o := r.Checking
	o.Pos, o.Connect, o.LogAllFailures = c.Pos, vip, c.logAll
	o.ConnectTimeout = first(o.ConnectTimeout, c.words.connectTimeout)
	o.DelayLoop = first(o.DelayLoop, c.words.delayLoop)
	o.Retry = first(o.Retry, c.words.retry)
	o.DelayBeforeRetry = first(o.DelayBeforeRetry, c.words.delayBeforeRetry)
	o.Alpha = first(o.Alpha, c.words.alpha)
	if o.WarmupGiven = o.WarmupGiven || c.words.warmup.set; !o.WarmupGiven {
		o.Warmup = o.DelayLoop
	}
	o.Warmup = first(o.Warmup, c.words.warmup)
	return VIPCheck{o}
}

// checkVIPKeywords returns the words of a check_vip block: those of a checker that opens a connection.
func checkVIPKeywords() []keyword {
	return []keyword{
		{name: "connect_timeout", use: served, args: connectTimeout()},
		{name: "delay_loop", use: served, args: posTimer()},
		{name: "retry", use: served, args: one(num(0, maxUint32))},
		{name: "delay_before_retry", use: served, args: anyTimer()},
		{name: "warmup", use: served, args: anyTimer()},
		{name: "alpha", use: served, args: onOff()},
		{name: "log_all_failures", use: served, args: onOff()},
	}
}

// checkVIP binds a check_vip block.
func (x *extraBinder) checkVIP(s *Statement) CheckVIP {
	c := CheckVIP{Pos: s.Pos}
	x.each("check_vip", s.Block.Statements, func(k *keyword, _ *Statement, vs values) {
		if k.name == "log_all_failures" {
			c.logAll = vs[0].flag()
		} else if !c.words.bind(k.name, vs) {
			panic(unbound("check_vip", k))
		}
	})
	return c
}

// servesVIP takes the check off a service of which it cannot be.
func (x *extraBinder) servesVIP(e *ExtraService, title string) {
	if e.CheckVIP.Pos == (Pos{}) {
		return
	}
	var why string
	switch {
	case e.Fwmark != 0:
		why = "its packets may come to any address; write the check for a virtual_server of the address"
	case e.Protocol != 0 && e.Protocol != TCP:
		why = "it asks by TCP, and the service is one of " + e.Protocol.String() + "; write it for one of TCP with the same servers"
	case e.Addr.Port() == 0:
		why = "it has to ask for one port, and the service has all; write it for a service of one port"
	default:
		return
	}
	x.diags.errorf(e.CheckVIP.Pos, "check_vip", "check_vip is not for %s and is ignored: %s", title, why)
	e.CheckVIP = CheckVIP{}
}
