package config_test

import (
	"fmt"
	"strings"
	"time"

	"uvs/config"
)

// describeVRRP writes the blocks of VRRP, tracking and routing; what is as it is by default is left out.
func describeVRRP(b *strings.Builder, c *config.Config) {
	for i := range c.Instances {
		describeInstance(b, &c.Instances[i])
	}
	for i := range c.SyncGroups {
		g := &c.SyncGroups[i]
		fmt.Fprintf(b, "vrrp_sync_group %s line %d: %s", g.Name, g.Pos.Line, strings.Join(g.Members, " "))
		item(b, "tracking weight", "", g.TrackWeights)
		describeNotify(b, &g.Notify)
		b.WriteString("\n")
		describeTrack(b, &g.Track)
	}
	for i := range c.Scripts {
		s := &c.Scripts[i]
		fmt.Fprintf(b, "vrrp_script %s line %d: every %s, timeout %s, weight %d, rise %d, fall %d", s.Name, s.Pos.Line, s.Interval, s.Timeout, s.Weight, s.Rise, s.Fall)
		item(b, "reverse", "", s.Reverse)
		item(b, "init_fail", "", s.InitFail)
		describeCommand(b, "script", &s.Command)
		b.WriteString("\n")
	}
	for _, f := range c.TrackFiles {
		fmt.Fprintf(b, "track_file %s line %d: %s, weight %d", f.Name, f.Pos.Line, f.Path, f.Weight)
		item(b, "reverse", "", f.Reverse)
		item(b, "create", f.Init, f.InitCreate)
		item(b, "overwrite", "", f.InitOverwrite)
		b.WriteString("\n")
	}
	for _, p := range c.TrackProcesses {
		fmt.Fprintf(b, "vrrp_track_process %s line %d: %s %q, weight %d, quorum %d", p.Name, p.Pos.Line, p.Process, p.Args, p.Weight, p.Quorum)
		item(b, "to", p.QuorumMax, p.QuorumMax != config.MaxProcesses)
		item(b, "reverse", "", p.Reverse)
		item(b, "match", p.Match, p.Match != "")
		item(b, "full", "", p.FullCommand)
		item(b, "fork", p.ForkDelay, p.ForkDelay != 0)
		item(b, "terminate", p.TerminateDelay, p.TerminateDelay != 0)
		b.WriteString("\n")
	}
	for i := range c.BFDs {
		describeBFD(b, &c.BFDs[i])
	}
	describeTop(b, c)
}

func describeInstance(b *strings.Builder, i *config.Instance) {
	fmt.Fprintf(b, "vrrp_instance %s line %d: interface %s, vrid %d, priority %d, master %t, version %d, advert %s",
		i.Name, i.Pos.Line, i.Interface, i.VRID, i.Priority, i.Master, i.Version, i.AdvertInterval)
	item(b, "IPv6", "", i.IPv6)
	item(b, "group", i.Group, i.Group != "")
	item(b, "vrf", i.VRF, i.VRF != "")
	item(b, "down after", i.DownTimerAdverts, i.DownTimerAdverts != 3)
	item(b, "nopreempt", "", i.NoPreempt)
	item(b, "preempt_delay", i.PreemptDelay, i.PreemptDelay != 0)
	item(b, "auth", fmt.Sprintf("%s %q", i.Auth, i.Password), i.Auth != config.AuthNone)
	item(b, "no accept", "", !i.Accept)
	item(b, "strict", "", i.Strict)
	item(b, "lower_prio_no_advert", "", i.LowerPrioNoAdvert)
	item(b, "higher_prio_send_advert", "", i.HigherPrioSendAdvert)
	item(b, "timer expired", i.TimerExpiredBackup, i.TimerExpiredBackup != 0)
	item(b, "promote_secondaries", "", i.PromoteSecondaries)
	item(b, "use_vmac_addr", "", i.MACForOthers)
	item(b, "not its own interface", "", !i.TrackPrimary)
	b.WriteString("\n")
	describeSend(b, i)
	a := i.Announce
	if a != (config.Announce{Repeat: 5, Delay: 5 * time.Second, RefreshRepeat: 1, LowerPrioRepeat: 5, LowerPrioDelay: 5 * time.Second}) {
		fmt.Fprintf(b, "  garp %d and after %s, refresh %d every %s, lower %d and after %s", a.Repeat, a.Delay, a.RefreshRepeat, a.Refresh, a.LowerPrioRepeat, a.LowerPrioDelay)
		item(b, "extra", fmt.Sprintf("%s all %t", a.Extra, a.ExtraAll), a.Extra != 0)
		b.WriteString("\n")
	}
	if h := i.HMAC; h != nil {
		fmt.Fprintf(b, "  hmac %d %s %s %s", h.Active, h.Replay, h.Window, h.Mode)
		for _, k := range h.Keys {
			fmt.Fprintf(b, ", key %d %q %s", k.ID, k.Secret, k.File)
		}
		b.WriteString("\n")
	}
	if m := i.MAC; m != nil {
		fmt.Fprintf(b, "  vmac %s %x", m.Name, m.Addr)
		item(b, "group", m.Group, m.Group != "")
		item(b, "notify", "", m.NotifyLinks)
		b.WriteString("\n")
	}
	if v := i.IPVLAN; v != nil {
		fmt.Fprintf(b, "  ipvlan %s %s %s\n", v.Name, v.Mode, v.Addr)
	}
	describeAddresses(b, "address", i.Addresses)
	describeAddresses(b, "excluded", i.Excluded)
	describeRoutes(b, i.Routes, i.Rules)
	var n strings.Builder
	describeNotify(&n, &i.Notify)
	if n.Len() > 0 {
		b.WriteString("  notify" + n.String() + "\n")
	}
	describeTrack(b, &i.Track)
	for _, f := range i.Faults {
		fmt.Fprintf(b, "  fault: %s\n", f)
	}
}

func describeSend(b *strings.Builder, i *config.Instance) {
	var t strings.Builder
	s := &i.Send
	item(&t, "from", s.Source, s.Source.IsValid())
	item(&t, "track source", "", s.Track)
	item(&t, "to", s.Group, s.Group.IsValid() && s.Group.String() != "224.0.0.18" && s.Group.String() != "ff02::12")
	item(&t, "TTL", s.TTL, s.TTL != 255 && !i.IPv6 || s.TTL != -1 && i.IPv6)
	item(&t, "checksum", s.Checksum, s.Checksum != config.ChecksumAuto)
	item(&t, "by base", "", s.FromBase)
	item(&t, "check peers", "", i.Receive.CheckPeers)
	item(&t, "skip address check", "", i.Receive.SkipAddressCheck)
	item(&t, "owner ignores adverts", "", i.Receive.OwnerIgnoresAdverts)
	if t.Len() > 0 {
		b.WriteString("  send" + t.String() + "\n")
	}
	for _, p := range s.Peers {
		fmt.Fprintf(b, "  peer %s line %d: TTL %d to %d\n", p.Addr, p.Pos.Line, p.MinTTL, p.MaxTTL)
	}
}

func describeNotify(b *strings.Builder, n *config.Notify) {
	describeCommand(b, "master", n.Master)
	describeCommand(b, "backup", n.Backup)
	describeCommand(b, "fault", n.Fault)
	describeCommand(b, "stop", n.Stop)
	describeCommand(b, "any", n.Any)
	describeCommand(b, "deleted", n.Deleted)
	describeCommand(b, "lower", n.MasterRxLowerPri)
	item(b, "deleted", "", n.OnDelete && n.Deleted == nil)
	item(b, "priority changes", "", n.PriorityChanges)
	item(b, "mail", "", n.Mail)
}

func describeTrack(b *strings.Builder, t *config.Track) {
	for _, l := range t.Interfaces {
		fmt.Fprintf(b, "  track_interface %s line %d: weight %d", l.Interface, l.Pos.Line, l.Weight)
		item(b, "reverse", "", l.Reverse)
		b.WriteString("\n")
	}
	describeTracked(b, "track_script", t.Scripts)
	describeTracked(b, "track_file", t.Files)
	describeTracked(b, "track_process", t.Processes)
	describeTracked(b, "track_bfd", t.BFDs)
}

func describeTracked(b *strings.Builder, what string, list []config.Tracked) {
	for _, l := range list {
		fmt.Fprintf(b, "  %s %s line %d: weight %d", what, l.Name, l.Pos.Line, l.Weight)
		item(b, "reverse", "", l.Reverse)
		b.WriteString("\n")
	}
}

func describeAddresses(b *strings.Builder, what string, as []config.Address) {
	for _, a := range as {
		fmt.Fprintf(b, "  %s %s line %d: dev %s", what, a.Prefix, a.Pos.Line, a.Device)
		word(b, "brd", a.Broadcast, a.Broadcast.IsValid())
		word(b, "peer", a.Peer, a.Peer.IsValid())
		word(b, "label", a.Label, a.Label != "")
		word(b, "scope", a.Scope, a.Scope != 0)
		word(b, "preferred", a.PreferredLifetime, a.Prefix.Addr().Is6() && a.PreferredLifetime != config.Forever)
		word(b, "home", "", a.Home)
		word(b, "nodad", "", a.NoDAD)
		word(b, "mngtmpaddr", "", a.ManageTemp)
		word(b, "noprefixroute", "", a.NoPrefixRoute)
		word(b, "autojoin", "", a.AutoJoin)
		word(b, "no_track", "", a.NoTrack)
		word(b, "MAC", a.MAC, a.MAC != config.NoMAC)
		word(b, "track_group", a.TrackGroup, a.TrackGroup != "")
		b.WriteString("\n")
	}
}

// word writes an option as a configuration has it.
func word(b *strings.Builder, name string, value any, set bool) {
	if set {
		b.WriteString(strings.TrimRight(fmt.Sprintf(" %s %v", name, value), " "))
	}
}

func describeRoutes(b *strings.Builder, routes []config.Route, rules []config.Rule) {
	for i := range routes {
		r := &routes[i]
		fmt.Fprintf(b, "  route %s line %d: type %d table %d %s", r.Dest, r.Pos.Line, r.Type, r.Table, r.Place)
		word(b, "from", r.From, r.From.IsValid())
		word(b, "via", r.Via, r.Via.IsValid())
		word(b, "dev", r.Device, r.Device != "")
		word(b, "src", r.Source, r.Source.IsValid())
		word(b, "metric", r.Metric, r.HasMetric)
		word(b, "scope", r.Scope, r.HasScope)
		word(b, "protocol", r.Protocol, r.HasProtocol)
		word(b, "tos", r.TOS, r.TOS != 0)
		word(b, "onlink", "", r.OnLink)
		word(b, "metrics", r.Metrics, len(r.Metrics) > 0)
		word(b, "congctl", fmt.Sprint(r.CongestionControl, r.CongestionLocked), r.CongestionControl != "")
		word(b, "realms", fmt.Sprintf("%#x", r.Realms), r.Realms != 0)
		word(b, "expires", r.Expires, r.HasExpires)
		word(b, "pref", r.Preference, r.HasPreference)
		word(b, "ttl-propagate", r.TTLPropagate, r.HasTTLPropagate)
		describeEncap(b, r.Encap)
		for _, h := range r.NextHops {
			fmt.Fprintf(b, " nexthop weight %d", h.Weight)
			word(b, "via", h.Via, h.Via.IsValid())
			word(b, "dev", h.Device, h.Device != "")
			word(b, "onlink", "", h.OnLink)
			word(b, "realms", fmt.Sprintf("%#x", h.Realms), h.Realms != 0)
			describeEncap(b, h.Encap)
		}
		word(b, "no_track", "", r.NoTrack)
		word(b, "track_group", r.TrackGroup, r.TrackGroup != "")
		b.WriteString("\n")
	}
	for i := range rules {
		describeRule(b, &rules[i])
	}
}

func describeEncap(b *strings.Builder, e *config.Encap) {
	if e != nil {
		fmt.Fprintf(b, " encap %+v", *e)
	}
}

func describeRule(b *strings.Builder, r *config.Rule) {
	fmt.Fprintf(b, "  rule %d line %d: %s", r.Priority, r.Pos.Line, r.Action)
	word(b, "number", r.Table, r.Table != 0)
	word(b, "to", r.Goto, r.Action == config.RuleGoto)
	word(b, "IPv6", "", r.IPv6)
	word(b, "not", "", r.Not)
	word(b, "from", r.From, r.From.IsValid())
	word(b, "to", r.To, r.To.IsValid())
	word(b, "l3mdev", "", r.L3MDev)
	word(b, "tos", r.TOS, r.TOS != 0)
	word(b, "fwmark", fmt.Sprintf("%#x/%#x", r.Mark, r.Mask), r.HasMark)
	word(b, "realms", fmt.Sprintf("%#x", r.Realms), r.Realms != 0)
	word(b, "sup_pl", r.SuppressPrefixLength, r.SuppressPrefixLength >= 0)
	word(b, "sup_group", r.SuppressGroup, r.SuppressGroup >= 0)
	word(b, "iif", r.InInterface, r.InInterface != "")
	word(b, "oif", r.OutInterface, r.OutInterface != "")
	word(b, "tunnel", r.TunnelID, r.TunnelID != 0)
	word(b, "uids", r.UIDs, r.UIDs != nil)
	word(b, "sport", r.SourcePorts, r.SourcePorts != nil)
	word(b, "dport", r.DestPorts, r.DestPorts != nil)
	word(b, "ipproto", r.IPProtocol, r.IPProtocol != 0)
	word(b, "protocol", r.Protocol, r.HasProtocol)
	word(b, "no_track", "", r.NoTrack)
	word(b, "track_group", r.TrackGroup, r.TrackGroup != "")
	b.WriteString("\n")
}

func describeBFD(b *strings.Builder, d *config.BFD) {
	fmt.Fprintf(b, "bfd_instance %s line %d: to %s, rx %s, tx %s, idle %s, multiplier %d, TTL %d, hops %d",
		d.Name, d.Pos.Line, d.Neighbour, d.MinRx, d.MinTx, d.IdleTx, d.Multiplier, d.TTL, d.MaxHops)
	item(b, "from", d.Source, d.Source.IsValid())
	item(b, "passive", "", d.Passive)
	item(b, "multihop", "", d.MultiHop)
	item(b, "weight", d.Weight, d.Weight != 0)
	item(b, "reverse", "", d.Reverse)
	item(b, "not for vrrp", "", !d.VRRP)
	item(b, "not for checker", "", !d.Checker)
	b.WriteString("\n")
}

func describeTop(b *strings.Builder, c *config.Config) {
	for _, g := range c.TrackGroups {
		fmt.Fprintf(b, "track_group %s line %d: %s\n", g.Name, g.Pos.Line, strings.Join(g.Members, " "))
	}
	if s := &c.Static; len(s.Addresses)+len(s.Routes)+len(s.Rules) > 0 {
		b.WriteString("static\n")
		describeAddresses(b, "address", s.Addresses)
		describeRoutes(b, s.Routes, s.Rules)
	}
	for _, g := range c.GARPGroups {
		fmt.Fprintf(b, "garp_group line %d: %s %s %s\n", g.Pos.Line, g.GARPInterval, g.GNAInterval, strings.Join(g.Interfaces, " "))
	}
	for _, d := range c.InterfaceDelays {
		fmt.Fprintf(b, "interface_up_down_delays %s line %d: down %s up %s\n", d.Interface, d.Pos.Line, d.Down, d.Up)
	}
	if c.ClientTLS != (config.ClientTLS{}) {
		fmt.Fprintf(b, "SSL %+v\n", c.ClientTLS)
	}
	if c.Process != (config.Process{}) {
		fmt.Fprintf(b, "process %+v\n", c.Process)
	}
}
