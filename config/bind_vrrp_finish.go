package config

import (
	"net/netip"
	"time"
)

// finishVRRP settles what depends on the whole file, and takes the instances and groups that can run into the model.
// The order is keepalived's, as each step reads what the one before it has set.
func (b *binder) finishVRRP() {
	for _, d := range b.drafts {
		b.minimum(d)
	}
	for _, g := range b.syncGroups {
		b.members(g)
	}
	for _, d := range b.drafts {
		if !d.dropped {
			b.completeInstance(d)
		}
	}
	b.conflicts()
	b.deviceConflicts()
	for _, g := range b.syncGroups {
		b.groupTracking(g)
	}
	for _, d := range b.drafts {
		if !d.dropped {
			b.config.Instances = append(b.config.Instances, d.Instance)
		}
	}
	for _, g := range b.syncGroups {
		b.takeGroup(g)
	}
	b.trackGroups()
	b.interfaceDelays()
	b.unusedScripts()
}

// drop reports why an instance cannot run.
func (b *binder) drop(d *instanceDraft, pos Pos, value, format string, args ...any) {
	d.dropped = true
	b.diags.errorf(pos, value, "vrrp_instance "+d.Name+" "+format, args...)
}

// fault reports why an instance stays in FAULT.
func (b *binder) fault(d *instanceDraft, pos Pos, reason string) {
	d.Faults = append(d.Faults, reason)
	b.diags.errorf(pos, d.Name, "vrrp_instance %s stays in FAULT: %s", d.Name, reason)
}

// minimum drops an instance without what none can do without.
func (b *binder) minimum(d *instanceDraft) {
	if d.VRID == 0 {
		b.drop(d, d.pos("virtual_router_id"), d.Name, "has no virtual_router_id (1 to 255) and is not run")
	}
	if d.Interface != "" {
		return
	}
	switch {
	case len(d.Send.Peers) == 0:
		b.drop(d, d.pos("interface"), d.Name, "has no interface that can be used and is not run")
	case !d.source:
		b.drop(d, d.Pos, d.Name, "has neither an interface nor a unicast_src_ip and is not run")
	case d.family == ipv6 && d.Send.Source.IsLinkLocalUnicast():
		b.drop(d, d.pos("unicast_src_ip"), d.Send.Source.String(), "has no interface and a link-local unicast_src_ip and is not run: write another address, or an interface")
	default:
		b.diags.warnf(d.Pos, d.Name, "vrrp_instance %s has no interface, without which keepalived 2.2.7 does not run it", d.Name)
	}
}

// completeInstance fills in what is not given, and adjusts what does not fit together, as keepalived does.
func (b *binder) completeInstance(d *instanceDraft) {
	d.Strict = b.defaults.strict
	if d.strict != nil {
		d.Strict = *d.strict
	}
	b.completeVersion(d)
	if !b.haveAddresses(d) {
		return
	}
	b.completeState(d)
	b.completeAuth(d)
	b.completeSend(d)
	b.completeLink(d)
	b.fitAddresses(d)
	b.completePreempt(d)
	b.completeStrict(d)
	b.completeNotify(&d.Notify, d.mail, d.prioChanges, d.memberOfGroup)
	b.completeInterval(d)
	b.completeDevices(d)
	if b.completeAddresses(d); d.dropped {
		return
	}
	b.completeTrack(d)
}

// completeVersion settles family and version.
func (b *binder) completeVersion(d *instanceDraft) {
	if d.family == ipv6 {
		if d.Version == 2 {
			f := b.diags.warnf(d.pos("version"), "2", "version 2 has no IPv6; vrrp_instance %s uses version 3", d.Name)
			if !d.Strict {
				f.silent()
			}
		}
		d.Version = 3
	}
	d.IPv6 = d.family == ipv6
	if d.Version == 0 {
		d.Version = b.defaults.version
	}
}

// haveAddresses drops an instance without addresses, or warns of it, unless the file says that this is meant.
func (b *binder) haveAddresses(d *instanceDraft) bool {
	switch {
	case len(d.Addresses) > 0 || d.noVIP:
		return true
	case d.Version == 3 || d.Strict:
		why := "VRRP version 3 needs one"
		if d.Strict {
			why = "strict mode needs one"
		}
		b.drop(d, d.pos("virtual_ipaddress"), d.Name, "has no virtual_ipaddress that can be used and is not run: %s", why)
		return false
	}
	b.diags.warnf(d.pos("virtual_ipaddress"), d.Name, "vrrp_instance %s has no virtual_ipaddress", d.Name)
	return true
}

// completeState derives the priority from the state and the other way round.
func (b *binder) completeState(d *instanceDraft) {
	const standard, owner = 100, 255
	if !d.priority {
		d.Priority = standard
		if d.Master {
			d.Priority = owner
		}
	}
	switch owns := d.Priority == owner; {
	case !d.state:
		d.Master = owns
	case d.Strict && d.Master != owns:
		b.diags.warnf(d.pos("state"), "", "in strict mode state MASTER goes with priority 255 and only with it; vrrp_instance %s begins as %s", d.Name, stateName(owns))
		d.Master = owns
	}
}

func stateName(master bool) string {
	if master {
		return "MASTER"
	}
	return "BACKUP"
}

// completeAuth takes authentication away where it cannot be.
func (b *binder) completeAuth(d *instanceDraft) {
	if d.Auth != AuthNone {
		why := ""
		switch {
		case d.Strict:
			why = "strict mode does not allow it"
		case d.Version == 3:
			why = "VRRP version 3 has none"
		case !d.passGiven:
			why = "it has no auth_pass"
		}
		if why != "" {
			b.diags.warnf(d.pos("authentication"), "", "authentication is ignored in vrrp_instance %s: %s", d.Name, why)
			d.Auth = AuthNone
		}
	}
	if d.Auth == AuthAH && d.Master && d.Priority != 255 {
		b.diags.warnf(d.pos("state"), "MASTER", "state MASTER does not go with auth_type AH; vrrp_instance %s begins as BACKUP", d.Name)
		d.Master = false
	}
	if d.Auth == AuthNone {
		d.Password = [8]byte{}
	}
}

// completeSend settles unicast or multicast.
func (b *binder) completeSend(d *instanceDraft) {
	unicast := d.Send.Unicast()
	switch {
	case d.unicastWord == "" || unicast:
	case d.at["unicast_fault_no_peer"] != (Pos{}):
		d.Faults = append(d.Faults, "it has no unicast_peer")
		b.diags.warnf(d.pos("unicast_fault_no_peer"), "", "vrrp_instance %s has no unicast_peer and stays in FAULT", d.Name).silent()
	default:
		b.diags.warnf(d.pos(d.unicastWord), "", "%s has no unicast_peer beside it; vrrp_instance %s uses multicast", d.unicastWord, d.Name)
	}
	if d.Strict && unicast {
		// Versions before 2.2.5 and after 2.2.7 refuse the instance; 2.2.7 means to, and runs it.
		b.diags.warnf(d.pos("unicast_peer"), "", "strict mode does not allow unicast, which vrrp_instance %s uses nevertheless", d.Name).silent()
	}
	if d.family != ipv6 && d.Send.TTL < 0 {
		d.Send.TTL = 255
	}
	if unicast && d.destination {
		b.diags.warnf(d.pos("mcast_dst_ip"), "", "mcast_dst_ip has no effect in vrrp_instance %s, which is unicast", d.Name)
	}
	switch {
	case unicast:
		d.Send.Group = netip.Addr{}
	case !d.destination && d.IPv6:
		d.Send.Group = b.defaults.group6
	case !d.destination:
		d.Send.Group = b.defaults.group4
	}
	d.Send.Track = d.Send.Track && d.source
	d.Receive.CheckPeers = unicast && (d.Receive.CheckPeers || b.defaults.checkPeers)
	if asV2 := b.defaults.asV2; d.asV2 != nil && *d.asV2 || d.asV2 == nil && asV2 {
		d.Send.Checksum = ChecksumAsV2
	}
	if !unicast && d.IPv6 && len(d.Addresses) > 0 && !d.Addresses[0].Prefix.Addr().IsLinkLocalUnicast() {
		f := b.diags.warnf(d.Addresses[0].Pos, d.Addresses[0].Prefix.Addr().String(), "the first IPv6 address of vrrp_instance %s should be link-local (fe80::/10)", d.Name)
		if !d.Strict {
			f.note()
		}
	}
}

// completeLink checks what the interface can do.
func (b *binder) completeLink(d *instanceDraft) {
	if d.VRF != "" && (d.Interface != "" || !d.Send.Unicast()) {
		why := "without unicast"
		if d.Interface != "" {
			why = "with an interface"
		}
		b.diags.errorf(d.pos("vrf"), d.VRF, "vrf %s has no effect %s in vrrp_instance %s", d.VRF, why, d.Name)
		d.VRF = ""
	}
	l, _ := b.host.linkNamed(d.Interface)
	if (d.MAC != nil || d.IPVLAN != nil) && l.NotEthernet {
		b.fault(d, d.pos("interface"), "a virtual MAC needs an Ethernet device, which "+d.Interface+" is not")
		d.MAC, d.IPVLAN, d.MACForOthers, d.Send.FromBase = nil, nil, false, false
	}
	if l.NoMulticast && !d.Send.Unicast() {
		b.fault(d, d.pos("interface"), d.Interface+" has no multicast; write unicast_peer")
	}
	if d.Interface != "" && !d.source && b.host.known(d.Interface) && !hasSource(l, d.IPv6) && d.MAC == nil && d.IPVLAN == nil {
		what := "an IPv4 address"
		if d.IPv6 {
			what = "a link-local IPv6 address"
		}
		b.diags.notef(d.pos("interface"), d.Interface, "%s has not %s now; vrrp_instance %s is in FAULT until it has", d.Interface, what, d.Name)
	}
}

// hasSource reports whether a link has an address that adverts can come from.
func hasSource(l Link, ipv6 bool) bool {
	for _, a := range l.Addrs {
		if !ipv6 && a.Is4() || ipv6 && a.Is6() && a.IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// fitAddresses moves the addresses that do not fit an advert to those that are only set.
func (b *binder) fitAddresses(d *instanceDraft) {
	const (
		ethernet, header4, header6, vrrp = 14, 20, 40, 8
		authData, authHeader             = 8, 24
		standardMTU, countField          = 1500, 255
	)
	mtu := standardMTU
	if l, _ := b.host.linkNamed(d.Interface); l.MTU > 0 {
		mtu = l.MTU
	}
	size, used := 4, ethernet+header4+vrrp
	switch {
	case d.IPv6:
		size, used = 16, ethernet+header6+vrrp
	case d.Version == 2 && d.Auth == AuthAH:
		used += authData + authHeader
	case d.Version == 2:
		used += authData
	}
	most := min(max(mtu-used, 0)/size, countField)
	if len(d.Addresses) <= most {
		return
	}
	first := d.Addresses[most]
	b.diags.warnf(first.Pos, first.Prefix.Addr().String(), "vrrp_instance %s has %d addresses, and an advert holds %d; from here on they are only set, as in virtual_ipaddress_excluded",
		d.Name, len(d.Addresses), most)
	d.Excluded = append(d.Excluded, d.Addresses[most:]...)
	d.Addresses = d.Addresses[:most:most]
}

// completePreempt takes nopreempt and preempt_delay away where they cannot be.
func (b *binder) completePreempt(d *instanceDraft) {
	if d.NoPreempt && (d.Priority == 255 || d.Master) {
		why := "state MASTER"
		if d.Priority == 255 {
			why = "priority 255"
		}
		b.diags.warnf(d.pos("nopreempt"), "", "nopreempt does not go with %s and has no effect in vrrp_instance %s", why, d.Name)
		d.NoPreempt = false
	}
	if d.PreemptDelay == 0 {
		return
	}
	why := ""
	switch {
	case d.Master:
		why = "state MASTER"
	case d.Strict:
		why = "strict mode"
	case d.NoPreempt:
		why = "nopreempt"
	}
	if why != "" {
		b.diags.warnf(d.pos("preempt_delay"), "", "preempt_delay does not go with %s and has no effect in vrrp_instance %s", why, d.Name)
		d.PreemptDelay = 0
	}
}

// completeStrict fills in the defaults that depend on strict mode, and takes back what it does not allow.
func (b *binder) completeStrict(d *instanceDraft) {
	const standardAdverts = 3
	reset := func(word, to string) {
		b.diags.warnf(d.pos(word), "", "%s does not go with strict mode; it is %s in vrrp_instance %s", word, to, d.Name)
	}
	if d.Strict && d.DownTimerAdverts != standardAdverts {
		reset("down_timer_adverts", "3")
		d.DownTimerAdverts = standardAdverts
	}
	owner := d.Priority == 255
	switch {
	case d.accept == nil:
		d.Accept = owner || !d.Strict
	case *d.accept && !owner && d.Strict && d.Version == 2:
		reset("accept", "off")
	default:
		d.Accept = *d.accept
	}
	a := &d.Announce
	a.LowerPrioRepeat, a.LowerPrioDelay = b.defaults.announce.LowerPrioRepeat, b.defaults.announce.LowerPrioDelay
	d.LowerPrioNoAdvert, d.HigherPrioSendAdvert = b.defaults.lowerNoAdvert, b.defaults.higherSend
	d.Receive.OwnerIgnoresAdverts = b.defaults.ownerIgnores || d.Strict
	if d.ownerIgnores != nil {
		d.Receive.OwnerIgnoresAdverts = *d.ownerIgnores
	}
	if d.lowerRepeat != nil {
		a.LowerPrioRepeat = *d.lowerRepeat
	}
	if d.lowerDelay != nil {
		a.LowerPrioDelay = *d.lowerDelay
	}
	if d.lowerNoAdvert != nil {
		d.LowerPrioNoAdvert = *d.lowerNoAdvert
	}
	if d.higherSend != nil {
		d.HigherPrioSendAdvert = *d.higherSend
	}
	if !d.Strict {
		return
	}
	if d.lowerRepeat != nil && *d.lowerRepeat != 0 {
		reset("garp_lower_prio_repeat", "0")
	}
	if d.lowerDelay != nil && *d.lowerDelay != 0 {
		reset("garp_lower_prio_delay", "0")
	}
	if d.lowerNoAdvert != nil && !*d.lowerNoAdvert {
		reset("lower_prio_no_advert", "on")
	}
	if d.higherSend != nil && *d.higherSend {
		reset("higher_prio_send_advert", "off")
	}
	a.LowerPrioRepeat, a.LowerPrioDelay = 0, 0
	d.LowerPrioNoAdvert, d.HigherPrioSendAdvert = true, false
}

// completeInterval adjusts the interval as the version of the protocol asks: whole seconds in version 2, steps of 10 ms
// up to 40.95 s in version 3.
func (b *binder) completeInterval(d *instanceDraft) {
	if d.AdvertInterval == 0 {
		d.AdvertInterval = time.Second
		return
	}
	step, most := time.Second, 255*time.Second
	if d.Version == 3 {
		step, most = 10*time.Millisecond, 40950*time.Millisecond
	}
	fit := min(max(d.AdvertInterval.Round(step), step), most)
	if fit != d.AdvertInterval {
		b.diags.warnf(d.pos("advert_int"), seconds(d.AdvertInterval), "advert_int %s is set to %s: VRRP version %d counts in steps of %s s up to %s s",
			seconds(d.AdvertInterval), seconds(fit), d.Version, seconds(step), seconds(most))
		d.AdvertInterval = fit
	}
}
