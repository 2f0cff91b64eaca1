package config

import (
	"time"
)

// blockTop binds the blocks of the top level that belong to VRRP, tracking and routing.
func (b *binder) blockTop(k *keyword, s *Statement, vs values) bool {
	switch k.canonical() {
	case "vrrp_instance":
		b.instance(s, vs)
	case "vrrp_sync_group":
		b.syncGroup(s, vs)
	case "vrrp_script":
		b.scriptBlock(s, vs)
	case "track_file":
		if s.Keyword != k.canonical() {
			b.diags.warnf(s.Pos, s.Keyword, "%s is deprecated: write %s", s.Keyword, k.canonical()).silent()
		}
		b.trackFile(s, vs)
	case "vrrp_track_process":
		b.trackProcess(s, vs)
	case "bfd_instance":
		b.bfd(s, vs)
	case "track_group":
		b.trackGroup(s, vs)
	case "garp_group":
		b.garpGroup(s)
	case "SSL":
		b.clientTLS(s)
	default:
		return false
	}
	return true
}

// listTop binds the blocks of the top level whose lines are data.
func (b *binder) listTop(k *keyword, s *Statement) bool {
	static := &b.config.Static
	switch k.canonical() {
	case "static_ipaddress":
		for _, line := range s.Block.Statements {
			if a, ok := b.address(line, true); ok {
				static.Addresses = append(static.Addresses, a)
			}
		}
	case "static_routes":
		for _, line := range s.Block.Statements {
			if r, ok := b.route(line, true); ok {
				static.Routes = append(static.Routes, r)
			}
		}
	case "static_rules":
		for _, line := range s.Block.Statements {
			if r, ok := b.rule(line, true); ok {
				static.Rules = append(static.Rules, r)
			}
		}
	case "linkbeat_interfaces":
		for _, line := range s.Block.Statements {
			b.linkPoll(line)
		}
	case "interface_up_down_delays":
		for _, line := range s.Block.Statements {
			b.interfaceDelay(line)
		}
	default:
		return false
	}
	return true
}

// wordTop binds the words of the top level that concern the program as a whole.
func (b *binder) wordTop(k *keyword, s *Statement, vs values) bool {
	p := &b.config.Process
	switch k.canonical() {
	case "net_namespace":
		if p.NetNamespace != "" {
			b.again(s, p.NetNamespace)
			return true
		}
		p.NetNamespace, p.UsePIDDir = vs[0].word.Text, true
	case "net_namespace_ipvs":
		if p.HasIPVSNamespace {
			b.again(s, p.IPVSNamespace)
			return true
		}
		p.IPVSNamespace, p.HasIPVSNamespace = vs[0].word.Text, true
	case "instance":
		if p.Instance != "" {
			b.again(s, p.Instance)
			return true
		}
		p.Instance, p.UsePIDDir = vs[0].word.Text, true
	case "use_pid_dir":
		p.UsePIDDir = true
	default:
		return false
	}
	return true
}

// again reports a word that counts only once.
func (b *binder) again(s *Statement, first string) {
	b.diags.errorf(s.Pos, s.Keyword, "%s is %q above already; this one is ignored", s.Keyword, first)
}

// clientTLS binds the SSL block; the last one of a file counts.
func (b *binder) clientTLS(s *Statement) {
	if b.hasTLS {
		b.diags.warnf(s.Pos, s.Keyword, "the SSL block replaces the one above")
	}
	b.hasTLS = true
	t := ClientTLS{}
	b.each("SSL", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		to := map[string]*string{"password": &t.Password, "ca": &t.CA, "certificate": &t.Certificate, "key": &t.Key}[k.canonical()]
		if to == nil {
			panic(unbound("SSL", k))
		}
		if *to != "" {
			b.diags.warnf(s.Pos, s.Keyword, "%s replaces the one above", s.Keyword)
		}
		*to = vs[0].word.Text
	})
	b.config.ClientTLS = t
}

// mustExist checks an interface without which keepalived does not start; dynamic_interfaces makes it wait.
func (b *binder) mustExist(s *Statement, block string) bool {
	if b.linkExists(s.Keyword) || b.dynamicInterfaces {
		return true
	}
	f := b.diags.errorf(s.Pos, s.Keyword, "%s names %q, which does not exist on this host; it is ignored", block, s.Keyword)
	f.suggest(suggest(s.Keyword, b.host.Interfaces))
	f.exit(ExitUnreadable)
	return false
}

// linkPoll checks IF [MII|ETHTOOL|IOCTL], one line of linkbeat_interfaces. Link state comes by netlink in any case.
func (b *binder) linkPoll(s *Statement) {
	if !b.line(s, "linkbeat_interfaces") || !b.mustExist(s, "linkbeat_interfaces") {
		return
	}
	if len(s.Args) > 0 {
		w := s.Args[0]
		switch w.Text {
		case "MII", "ETHTOOL", "IOCTL":
		default:
			b.diags.errorf(w.Pos, w.Text, "%q is not a way to ask for a link (have: ETHTOOL, IOCTL, MII); it is ignored", w.Text)
		}
	}
	if len(s.Args) > 1 {
		b.diags.errorf(s.Args[1].Pos, s.Args[1].Text, "%q follows the interface and is ignored", s.Args[1].Text)
	}
}

// interfaceDelay binds IF down [up], one line of interface_up_down_delays.
func (b *binder) interfaceDelay(s *Statement) {
	if !b.line(s, "interface_up_down_delays") || !b.mustExist(s, "interface_up_down_delays") {
		return
	}
	d := InterfaceDelay{Pos: s.Pos, Interface: s.Keyword}
	if len(s.Args) == 0 {
		b.diags.errorf(s.Pos, s.Keyword, "%s needs a number of seconds after it; it is ignored", s.Keyword).silent()
		return
	}
	const most = 2
	if len(s.Args) > most {
		b.diags.errorf(s.Args[most].Pos, s.Args[most].Text, "%q follows the delays of %s and is ignored", s.Args[most].Text, s.Keyword).silent()
	}
	for i, to := range []*time.Duration{&d.Down, &d.Up} {
		if i >= len(s.Args) {
			break
		}
		v, ok := b.value(&keyword{name: s.Keyword}, timer(0, 255*time.Second), s.Args[i])
		if !ok {
			return
		}
		*to = v.time
	}
	for i := range b.config.InterfaceDelays {
		if b.config.InterfaceDelays[i].Interface == d.Interface {
			b.config.InterfaceDelays[i] = d
			return
		}
	}
	b.config.InterfaceDelays = append(b.config.InterfaceDelays, d)
}

// interfaceDelays caps the delays below the time after which a backup would take over.
func (b *binder) interfaceDelays() {
	for i := range b.config.InterfaceDelays {
		d := &b.config.InterfaceDelays[i]
		for j := range b.config.Instances {
			n := &b.config.Instances[j]
			if n.Interface != d.Interface {
				continue
			}
			most := time.Duration(n.DownTimerAdverts-1) * n.AdvertInterval
			if d.Down < most && d.Up < most || d.Down == 0 && d.Up == 0 {
				continue
			}
			fit := max(most-n.AdvertInterval/256, 0)
			b.diags.warnf(d.Pos, d.Interface, "the delays of %s are cut to %s s: vrrp_instance %s takes over after %d intervals of %s s",
				d.Interface, seconds(fit), n.Name, n.DownTimerAdverts, seconds(n.AdvertInterval)).silent()
			d.Down, d.Up = min(d.Down, fit), min(d.Up, fit)
		}
	}
}
