package config

import (
	"net/netip"
	"slices"
	"time"
)

// An instanceDraft is a vrrp_instance being read, with what only checks and defaults need. A nil pointer stands for a
// word that is not given.
type instanceDraft struct {
	Instance
	family  family
	state   bool // given
	dropped bool // the instance cannot run

	priority      bool // given
	noVIP         bool // no_virtual_ipaddress
	passGiven     bool
	unicastWord   string // a word that asks for unicast
	ttlGiven      bool
	source        bool // given, and of the right family
	destination   bool // given, and of the right family
	accept        *bool
	strict        *bool
	lowerNoAdvert *bool
	higherSend    *bool
	ownerIgnores  *bool
	asV2          *bool
	lowerRepeat   *uint32
	lowerDelay    *time.Duration
	extra         *time.Duration
	mail          *bool
	prioChanges   *bool
	memberOfGroup *groupDraft
}

// pos is where a word stands that the instance has, else where the instance does.
func (d *instanceDraft) pos(word string) Pos { return d.Where(word) }

// settle makes an address the one that decides the family of the instance, or reports whether it is of that family.
// The first address of a block decides: of the peers, the sources or the virtual addresses.
func (d *instanceDraft) settle(f family) bool {
	if d.family == anyFamily {
		d.family = f
	}
	return d.family == f
}

// instance binds the words of one vrrp_instance. What depends on several words, or on other blocks, comes when the
// whole file is read.
func (b *binder) instance(s *Statement, vs values) {
	name := vs[0].word.Text
	if first, taken := b.instances[name]; taken {
		b.diags.errorf(s.Pos, name, "vrrp_instance %s is already defined (%s); this one is ignored", name, first.from(s.Pos))
		return
	}
	b.instances[name] = s.Pos
	d := &instanceDraft{
		Instance: Instance{Pos: s.Pos, Name: name, Send: Send{TTL: -1}, TrackPrimary: true, at: make(map[string]Pos)},
	}
	d.DownTimerAdverts = b.defaults.downTimerAdverts
	d.Announce = b.defaults.announce
	d.Receive.SkipAddressCheck = b.defaults.skipAddressCheck
	b.drafts = append(b.drafts, d)
	parts := [...]func(*instanceDraft, *keyword, *Statement, values) bool{
		b.election, b.preference, b.sending, b.announcing, b.devices, b.lists, b.rest,
	}
	b.each("vrrp_instance", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		d.at[k.canonical()] = s.Pos
		for _, part := range parts {
			if part(d, k, s, vs) {
				return
			}
		}
		if !b.notifyWord(&d.Notify, d.Name, k, s) && !b.trackWord(&d.Track, d.Name, k, s) {
			panic(unbound("vrrp_instance", k))
		}
	})
	b.endOfInstance(d)
}

// endOfInstance checks what keepalived checks at the closing brace.
func (b *binder) endOfInstance(d *instanceDraft) {
	if d.unicastWord != "" && (d.MAC != nil || d.IPVLAN != nil) {
		word := "use_vmac"
		if d.MAC == nil {
			word = "use_ipvlan"
		}
		switch {
		case d.Interface == "":
			b.diags.errorf(d.pos(word), "", "%s needs an interface in a vrrp_instance with %s; it is ignored", word, d.unicastWord)
			d.MAC, d.IPVLAN = nil, nil
		case !d.Send.FromBase:
			b.diags.warnf(d.pos(word), "", "%s with %s needs vmac_xmit_base, which is set", word, d.unicastWord)
			d.Send.FromBase = true
		}
	}
	if d.ttlGiven && len(d.Send.Peers) == 0 {
		b.diags.warnf(d.pos("unicast_ttl"), "", "unicast_ttl has no effect in vrrp_instance %s, which has no unicast_peer", d.Name)
		d.Send.TTL = 0
	}
}

// election binds what decides who is master.
func (b *binder) election(d *instanceDraft, k *keyword, s *Statement, vs values) bool {
	switch k.canonical() {
	case "state":
		switch {
		case vs[0].set && vs[0].word.Text == "MASTER":
			d.Master = true
		case d.Master && vs[0].set:
			b.diags.errorf(s.Pos, "BACKUP", "vrrp_instance %s has state MASTER above; BACKUP is ignored", d.Name)
		default:
			d.Master = false
		}
		d.state = true
	case "virtual_router_id":
		d.VRID = uint8(vs[0].number)
	case "priority":
		const standard = 100
		d.Priority, d.priority = standard, true
		if vs[0].set {
			d.Priority = uint8(vs[0].number)
		}
	case "advert_int":
		d.AdvertInterval = vs[0].time
	case "down_timer_adverts":
		d.DownTimerAdverts = int(vs[0].number)
	case "nopreempt":
		d.NoPreempt = true
	case "preempt":
		d.NoPreempt = false
	case "preempt_delay":
		d.PreemptDelay = vs[0].time
	case "version":
		b.version(d, uint8(vs[0].number), s)
	case "native_ipv6":
		if d.family == ipv4 {
			b.diags.errorf(s.Pos, "", "native_ipv6 stands in a vrrp_instance with IPv4 addresses; it is ignored")
			return true
		}
		d.family, d.Version = ipv6, 3
	default:
		return false
	}
	return true
}

// preference binds the finer points of an election, and what is told of it.
func (b *binder) preference(d *instanceDraft, k *keyword, _ *Statement, vs values) bool {
	switch k.canonical() {
	case "strict_mode":
		d.strict = vs.flag()
	case "lower_prio_no_advert":
		d.lowerNoAdvert = vs.flag()
	case "higher_prio_send_advert":
		d.higherSend = vs.flag()
	case "owner_ignore_adverts":
		d.ownerIgnores = vs.flag()
	case "timer_expired_backup":
		d.TimerExpiredBackup = 1
		if vs[0].set {
			d.TimerExpiredBackup = int(vs[0].number)
		}
	case "smtp_alert":
		d.mail = vs.flag()
	case "notify_priority_changes":
		d.prioChanges = vs.flag()
	default:
		return false
	}
	return true
}

// version binds the version of the protocol, unless what stands above needs the other one.
func (b *binder) version(d *instanceDraft, version uint8, s *Statement) {
	switch {
	case d.Version != 0 && d.Version != version:
		b.diags.errorf(s.Pos, s.Args[0].Text, "version %d conflicts with version %d above; it is ignored", version, d.Version)
	case version == 2 && d.family == ipv6:
		b.diags.errorf(s.Pos, s.Args[0].Text, "version 2 has no IPv6, and the addresses above are IPv6; it is ignored")
	default:
		d.Version = version
	}
}

// lists binds the addresses, routes and rules of an instance.
func (b *binder) lists(d *instanceDraft, k *keyword, s *Statement, _ values) bool {
	switch k.canonical() {
	case "virtual_ipaddress":
		d.Addresses = append(d.Addresses, b.virtualAddresses(d, s.Block.Statements)...)
	case "virtual_ipaddress_excluded":
		for _, line := range s.Block.Statements {
			if a, ok := b.address(line, false); ok {
				d.Excluded = append(d.Excluded, a)
			}
		}
	case "no_virtual_ipaddress":
		d.noVIP = true
	case "virtual_routes":
		for _, line := range s.Block.Statements {
			if r, ok := b.route(line, false); ok {
				d.Routes = append(d.Routes, r)
			}
		}
	case "virtual_rules":
		for _, line := range s.Block.Statements {
			if r, ok := b.rule(line, false); ok {
				d.Rules = append(d.Rules, r)
			}
		}
	default:
		return false
	}
	return true
}

// virtualAddresses binds the lines of virtual_ipaddress: all of one family.
func (b *binder) virtualAddresses(d *instanceDraft, lines []*Statement) (out []Address) {
	for _, line := range lines {
		a, ok := b.address(line, false)
		if !ok {
			continue
		}
		if f := familyOf(a.Prefix.Addr()); !d.settle(f) {
			b.diags.errorf(line.Pos, line.Keyword, "%s is %s and the vrrp_instance %s; it is ignored: give it a vrrp_instance of its own, or virtual_ipaddress_excluded",
				line.Keyword, f, d.family)
			continue
		}
		out = append(out, a)
	}
	return out
}

// rest binds the words that belong nowhere else.
func (b *binder) rest(d *instanceDraft, k *keyword, s *Statement, vs values) bool {
	switch k.canonical() {
	case "authentication":
		b.authentication(d, s)
	case "auth_hmac":
		d.HMAC = b.hmac(s)
	case "accept":
		d.accept = new(bool)
		*d.accept = true
	case "no_accept":
		d.accept = new(bool)
	case "skip_check_adv_addr":
		d.Receive.SkipAddressCheck = *vs.flag()
	case "lvs_sync_daemon_interface":
		b.diags.warnf(s.Pos, "", "lvs_sync_daemon_interface is deprecated: write lvs_sync_daemon %s %s in global_defs", s.Args[0].Text, d.Name)
	case "linkbeat_use_polling":
		b.diags.warnf(s.Pos, "", "linkbeat_use_polling in a vrrp_instance is deprecated: write linkbeat_interfaces at the top level")
	default:
		return false
	}
	return true
}

// authentication binds the block of that name; the last type and password count.
func (b *binder) authentication(d *instanceDraft, s *Statement) {
	b.each("authentication", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "auth_type":
			d.Auth = AuthPass
			if vs[0].word.Text == "AH" {
				d.Auth = AuthAH
			}
		case "auth_pass":
			w := vs[0].word
			if len(w.Text) > len(d.Password) {
				b.diags.warnf(w.Pos, w.Text, "auth_pass has %d bytes and is cut to %d", len(w.Text), len(d.Password))
			}
			d.Password = [8]byte{}
			copy(d.Password[:], w.Text)
			d.passGiven = w.Text != ""
		default:
			panic(unbound("authentication", k))
		}
	})
}

// find returns the last statement with this keyword directly in the block of s, nil if there is none.
func find(s *Statement, keyword string) *Statement {
	if s.Block == nil {
		return nil
	}
	for _, child := range slices.Backward(s.Block.Statements) {
		if child.Keyword == keyword && !child.Broken {
			return child
		}
	}
	return nil
}

// flag returns the value of a word that may be left out and then means on.
func (vs values) flag() *bool {
	on := !vs[0].set || vs[0].on
	return &on
}

// sameFamily reports whether both addresses are IPv4 or both IPv6, as keepalived sees them: IPv4 in IPv6 is IPv6.
func sameFamily(a, c netip.Addr) bool { return a.Is4() == c.Is4() }
