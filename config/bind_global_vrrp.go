package config

import (
	"net/netip"
	"time"
)

// vrrpWord binds the words about all VRRP instances together.
func (b *binder) vrrpWord(k *keyword, s *Statement, vs values) bool {
	g := &b.config.Global.VRRP
	switch k.canonical() {
	case "vrrp_startup_delay":
		g.StartupDelay = vs[0].time
	case "vrrp_delay_after_boot":
		g.DelayAfterBoot = vs[0].time
	case "vrrp_garp_interval", "vrrp_gna_interval":
		if vs[0].time == 0 {
			b.diags.warnf(s.Args[0].Pos, s.Args[0].Text, "%s is 0 if nothing is said; keepalived 2.2.7 does not take the 0", s.Keyword)
		}
		if s.Keyword == "vrrp_garp_interval" {
			g.GARPInterval = vs[0].time
		} else {
			g.GNAInterval = vs[0].time
		}
	case "vrrp_rt_priority":
		const most = 99
		g.RealtimePriority = int(min(max(vs[0].number, 1), most))
		if n := vs[0].number; n != int64(g.RealtimePriority) {
			b.diags.warnf(s.Args[0].Pos, s.Args[0].Text, "vrrp_rt_priority %d is set to %d", n, g.RealtimePriority)
		}
	case "vrrp_priority":
		g.Nice = int(vs[0].number)
	case "log_unknown_vrids":
		g.LogUnknownVRIDs = true
	case "vmac_prefix":
		if b.defaults.macPrefixSet {
			b.setAlready(k, vs[0].word)
			return true
		}
		b.defaults.macPrefix, b.defaults.macPrefixSet = vs[0].word.Text, true
	case "vmac_addr_prefix":
		if g.AddressMACPrefix != "" {
			b.setAlready(k, vs[0].word)
			return true
		}
		g.AddressMACPrefix = vs[0].word.Text
	case "default_interface":
		b.defaults.link = vs[0].word.Text
	case "dynamic_interfaces":
		g.DynamicInterfaces, g.InterfacesMayChange = true, vs[0].set
	case "fifo_write_vrrp_states_on_reload":
		g.StatesOnReload = true
	default:
		return b.defaultWord(k, s, vs)
	}
	return true
}

// defaultWord binds what instances inherit.
func (b *binder) defaultWord(k *keyword, s *Statement, vs values) bool {
	d := &b.defaults
	switch k.canonical() {
	case "vrrp_strict", "vrrp_version": // read ahead: globals
	case "vrrp_skip_check_adv_addr":
		d.skipAddressCheck = vs[0].flag()
	case "vrrp_mcast_group4":
		b.defaultGroup(s, vs[0].addr, ipv4, &d.group4)
	case "vrrp_mcast_group6":
		b.defaultGroup(s, vs[0].addr, ipv6, &d.group6)
	case "vrrp_down_timer_adverts":
		d.downTimerAdverts = int(vs[0].number)
	case "vrrp_lower_prio_no_advert":
		d.lowerNoAdvert = vs[0].flag()
	case "vrrp_higher_prio_send_advert":
		d.higherSend = vs[0].flag()
	case "vrrp_check_unicast_src":
		d.checkPeers = true
	case "vrrp_owner_ignore_adverts":
		d.ownerIgnores = vs[0].flag()
	case "v3_checksum_as_v2":
		d.asV2 = vs[0].flag()
	case "vrrp_notify_priority_changes":
		d.priorityChanges = vs[0].flag()
	default:
		return b.defaultAnnounce(k, s, vs)
	}
	return true
}

// defaultGroup binds a multicast group.
func (b *binder) defaultGroup(s *Statement, a netip.Addr, f family, to *netip.Addr) {
	switch w := s.Args[0]; {
	case familyOf(a) != f:
		b.diags.errorf(w.Pos, w.Text, "%s %s is not %s; it is ignored", s.Keyword, a, f)
	case !a.IsMulticast():
		b.diags.errorf(w.Pos, w.Text, "%s %s is not a multicast address; it is ignored", s.Keyword, a)
	case f == ipv6 && !a.IsLinkLocalMulticast():
		b.diags.warnf(w.Pos, w.Text, "%s %s should be link-local (ff02::/16)", s.Keyword, a)
		fallthrough
	default:
		*to = a
	}
}

// announceDefaults are the words about gratuitous ARP; what is not set depends on the others.
type announceDefaults struct {
	least               bool // vrrp_min_garp
	repeat, lowerRepeat maybe[uint32]
	delay, lowerDelay   maybe[time.Duration]
	refresh             time.Duration
	refreshRepeat       uint32
	extra               time.Duration
	extraAll            bool
}

// defaultAnnounce binds when gratuitous ARP and neighbour adverts are sent.
func (b *binder) defaultAnnounce(k *keyword, s *Statement, vs values) bool {
	a := &b.announceDefaults
	switch word := k.canonical(); word {
	case "vrrp_min_garp":
		a.least = vs[0].flag()
	case "vrrp_garp_master_delay":
		a.delay.to(time.Duration(vs[0].number) * time.Second)
	case "vrrp_garp_master_repeat":
		a.repeat.to(b.atLeastOne(word, vs[0]))
	case "vrrp_garp_master_refresh":
		a.refresh = time.Duration(vs[0].number) * time.Second
	case "vrrp_garp_master_refresh_repeat":
		a.refreshRepeat = b.atLeastOne(word, vs[0])
	case "vrrp_garp_lower_prio_delay":
		a.lowerDelay.to(time.Duration(vs[0].number) * time.Second)
	case "vrrp_garp_lower_prio_repeat":
		a.lowerRepeat.to(uint32(vs[0].number))
	case "vrrp_garp_extra_if":
		b.defaultExtraGARP(s)
	default:
		return false
	}
	return true
}

// defaultExtraGARP binds vrrp_garp_extra_if [all] SECONDS.
func (b *binder) defaultExtraGARP(s *Statement) {
	a := &b.announceDefaults
	args := s.Args
	if args[0].Text == "all" {
		a.extraAll = true
		args = args[1:]
		if len(args) == 0 {
			b.diags.errorf(s.Pos, s.Keyword, "%s all needs a number of seconds after it; it is ignored", s.Keyword)
		}
	}
	for _, w := range args {
		if n, ok := b.option(s, Word{Text: "interval"}, w, 1, 24*60*60); ok {
			a.extra = time.Duration(n) * time.Second
		}
	}
}

// finishGlobals fills in what no word of global_defs says. It comes before the instances, for which global_defs counts
// wherever it stands.
func (b *binder) finishGlobals() {
	a, to := &b.announceDefaults, &b.defaults.announce
	if a.least {
		to.Repeat, to.Delay = 1, 0
	}
	to.Repeat, to.Delay = first(to.Repeat, a.repeat), first(to.Delay, a.delay)
	to.LowerPrioRepeat, to.LowerPrioDelay = first(to.Repeat, a.lowerRepeat), first(to.Delay, a.lowerDelay)
	to.Refresh = a.refresh
	if a.refreshRepeat > 0 {
		to.RefreshRepeat = a.refreshRepeat
	}
	to.Extra, to.ExtraAll = a.extra, a.extraAll
	b.defaults.mail = first(false, b.alerts.vrrp, b.alerts.all)

	g := &b.config.Global
	g.VRRP.MACPrefix = b.defaults.macPrefix
	if g.VRRP.AddressMACPrefix == "" {
		g.VRRP.AddressMACPrefix = b.defaults.macPrefix
	}
	g.Scripts = Scripts{Secure: b.security, User: b.scriptUser, Group: b.scriptGroup}
}

// alertDefaults are smtp_alert and what there is for each part.
type alertDefaults struct{ all, vrrp, checker maybe[bool] }

// notifyGlobal binds who is told of changes, besides mail.
func (b *binder) notifyGlobal(k *keyword, s *Statement, vs values) bool {
	g := &b.config.Global
	fifos := map[string]*FIFO{"notify_fifo": &g.FIFO, "vrrp_notify_fifo": &g.VRRPFIFO, "lvs_notify_fifo": &g.ServerFIFO}
	scripts := map[string]*FIFO{"notify_fifo_script": &g.FIFO, "vrrp_notify_fifo_script": &g.VRRPFIFO, "lvs_notify_fifo_script": &g.ServerFIFO}
	alerts := map[string]*maybe[bool]{"smtp_alert": &b.alerts.all, "smtp_alert_vrrp": &b.alerts.vrrp, "smtp_alert_checker": &b.alerts.checker}
	switch word := k.canonical(); {
	case fifos[word] != nil:
		b.fifo(fifos[word], s)
	case scripts[word] != nil:
		b.wholeScript(&scripts[word].Script, s)
	case alerts[word] != nil:
		alerts[word].to(vs[0].flag())
	case word == "rs_init_notifies":
		g.NotifyInitial = true
	default:
		return false
	}
	return true
}

// fifo binds notify_fifo PATH [USER [GROUP]]; the first of a file counts.
func (b *binder) fifo(to *FIFO, s *Statement) {
	if to.Path != "" {
		b.diags.errorf(s.Args[0].Pos, s.Args[0].Text, "%s is %s already; %s is ignored", s.Keyword, to.Path, s.Args[0].Text)
		return
	}
	switch {
	case len(s.Args) > 1 && !b.hasUser(s.Args[1].Text):
		b.diags.errorf(s.Args[1].Pos, s.Args[1].Text, "there is no user %s on this host; %s is ignored", s.Args[1].Text, s.Keyword).silent()
		return
	case len(s.Args) > 2 && !b.hasGroup(s.Args[2].Text):
		b.diags.errorf(s.Args[2].Pos, s.Args[2].Text, "there is no group %s on this host; %s is ignored", s.Args[2].Text, s.Keyword).silent()
		return
	}
	to.Pos, to.Path = s.Pos, s.Args[0].Text
	if len(s.Args) > 1 {
		to.User = s.Args[1].Text
	}
	if len(s.Args) > 2 {
		to.Group = s.Args[2].Text
	}
}

// setAlready reports a word of global_defs of which only the first counts.
func (b *binder) setAlready(k *keyword, w Word) {
	b.diags.errorf(w.Pos, w.Text, "%s is set already; %q is ignored", k.name, w.Text)
}
