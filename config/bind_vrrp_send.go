package config

import (
	"math"
	"net/netip"
	"time"
)

// sending binds where adverts go, from where, and which are taken.
func (b *binder) sending(d *instanceDraft, k *keyword, s *Statement, vs values) bool {
	word := k.canonical()
	switch word {
	case "unicast_src_ip", "unicast_peer", "unicast_fault_no_peer", "check_unicast_src", "old_unicast_checksum":
		d.unicastWord = word
	}
	switch word {
	case "mcast_src_ip", "unicast_src_ip":
		b.sourceAddress(d, s)
	case "mcast_dst_ip":
		b.destination(d, s)
	case "unicast_peer":
		for _, line := range s.Block.Statements {
			b.peer(d, line)
		}
	case "unicast_ttl":
		d.Send.TTL, d.ttlGiven = int(vs[0].number), true
	case "unicast_fault_no_peer":
	case "check_unicast_src":
		d.Receive.CheckPeers = true
	case "track_src_ip":
		d.Send.Track = true
	case "old_unicast_checksum":
		d.Send.Checksum = ChecksumOld
		if vs[0].set {
			d.Send.Checksum = ChecksumNever
		}
	case "v3_checksum_as_v2":
		d.asV2 = vs.flag()
	default:
		return false
	}
	return true
}

// sourceAddress binds mcast_src_ip and unicast_src_ip, which are one setting; the last counts.
func (b *binder) sourceAddress(d *instanceDraft, s *Statement) {
	w := s.Args[0]
	a, ok := socketAddr(w.Text)
	if !ok {
		b.diags.errorf(w.Pos, w.Text, "%s %q is not an IPv4 or IPv6 address; it is ignored", s.Keyword, w.Text)
		return
	}
	if !d.settle(familyOf(a)) {
		b.diags.errorf(w.Pos, w.Text, "%s %s is %s and the vrrp_instance %s; it is ignored", s.Keyword, a, familyOf(a), d.family)
		d.Send.Source, d.source = netip.Addr{}, false
		return
	}
	d.Send.Source, d.source = a, true
}

// destination binds mcast_dst_ip.
func (b *binder) destination(d *instanceDraft, s *Statement) {
	w := s.Args[0]
	a, ok := socketAddr(w.Text)
	if !ok {
		b.diags.errorf(w.Pos, w.Text, "mcast_dst_ip %q is not an IPv4 or IPv6 address; it is ignored", w.Text)
		return
	}
	d.Send.Group, d.destination = netip.Addr{}, false
	switch {
	case !d.settle(familyOf(a)):
		b.diags.errorf(w.Pos, w.Text, "mcast_dst_ip %s is %s and the vrrp_instance %s; it is ignored", a, familyOf(a), d.family)
	case a.Is4() && !a.IsMulticast():
		b.diags.errorf(w.Pos, w.Text, "mcast_dst_ip %s is not a multicast address (224.0.0.0/4); it is ignored", a)
	case a.Is6() && !a.IsLinkLocalMulticast():
		b.diags.errorf(w.Pos, w.Text, "mcast_dst_ip %s is not a link-local multicast address (ff02::/16); it is ignored", a)
	default:
		d.Send.Group, d.destination = a, true
	}
}

// peer binds ADDR [min_ttl N] [max_ttl N], one line of unicast_peer.
func (b *binder) peer(d *instanceDraft, s *Statement) {
	if !b.line(s, "unicast_peer") {
		return
	}
	a, ok := socketAddr(s.Keyword)
	if !ok {
		b.diags.errorf(s.Pos, s.Keyword, "unicast_peer %q is not an IPv4 or IPv6 address; it is ignored", s.Keyword)
		return
	}
	if !d.settle(familyOf(a)) {
		b.diags.errorf(s.Pos, s.Keyword, "unicast_peer %s is %s and the vrrp_instance %s; it is ignored", a, familyOf(a), d.family)
		return
	}
	p := Peer{Pos: s.Pos, Addr: a, MaxTTL: math.MaxUint8}
	for i := 0; i < len(s.Args); i += 2 {
		if !b.peerOption(d, &p, s.Args[i:]) {
			break
		}
	}
	if p.MinTTL > p.MaxTTL {
		b.diags.errorf(s.Pos, s.Keyword, "min_ttl %d is above max_ttl %d: every packet of unicast_peer %s is dropped", p.MinTTL, p.MaxTTL, a)
	}
	d.Send.Peers = append(d.Send.Peers, p)
}

// peerOption binds one pair of words; false ends the line.
func (b *binder) peerOption(d *instanceDraft, p *Peer, ws []Word) bool {
	w := ws[0]
	if len(ws) < 2 {
		b.diags.errorf(w.Pos, w.Text, "%s needs a whole number from 0 to 255 after it", w.Text)
		return false
	}
	ttl, ok := parseNumber(ws[1].Text, num(0, math.MaxUint8))
	if !ok {
		b.diags.errorf(ws[1].Pos, ws[1].Text, "%s %q is not a whole number from 0 to 255; it is ignored", w.Text, ws[1].Text)
		return true
	}
	switch w.Text {
	case "min_ttl":
		p.MinTTL = uint8(ttl)
	case "max_ttl":
		p.MaxTTL = uint8(ttl)
	default:
		b.diags.errorf(w.Pos, w.Text, "%q is not an option of unicast_peer (have: max_ttl, min_ttl); it is ignored", w.Text).
			suggest(suggest(w.Text, []string{"min_ttl", "max_ttl"}))
		return false
	}
	// keepalived has to look the sender up for its bounds, and drops those it does not find.
	d.Receive.CheckPeers = true
	return true
}

// announcing binds the gratuitous ARP and neighbour adverts.
func (b *binder) announcing(d *instanceDraft, k *keyword, s *Statement, vs values) bool {
	a := &d.Announce
	switch word := k.canonical(); word {
	case "garp_master_delay":
		a.Delay = time.Duration(vs[0].number) * time.Second
	case "garp_master_repeat":
		a.Repeat = b.atLeastOne(word, vs[0])
	case "garp_master_refresh":
		a.Refresh = time.Duration(vs[0].number) * time.Second
	case "garp_master_refresh_repeat":
		a.RefreshRepeat = b.atLeastOne(word, vs[0])
	case "garp_lower_prio_delay":
		delay := time.Duration(vs[0].number) * time.Second
		d.lowerDelay = &delay
	case "garp_lower_prio_repeat":
		n := uint32(vs[0].number)
		d.lowerRepeat = &n
	case "garp_extra_if":
		if s.Keyword != word {
			b.diags.warnf(s.Pos, s.Keyword, "%s is deprecated: write %s", s.Keyword, word)
		}
		b.extraGARP(d, s)
	default:
		return false
	}
	return true
}

// atLeastOne raises a count of 0 to 1, which versions before 2.0.7 took.
func (b *binder) atLeastOne(word string, v value) uint32 {
	if v.number == 0 {
		b.diags.warnf(v.word.Pos, v.word.Text, "%s 0 is set to 1", word)
		return 1
	}
	return uint32(v.number)
}

// extraGARP binds garp_extra_if [all] SECONDS.
func (b *binder) extraGARP(d *instanceDraft, s *Statement) {
	const longest = 86400
	interval, given := time.Duration(0), false
	for _, w := range s.Args {
		if w.Text == "all" {
			d.Announce.ExtraAll = true
			continue
		}
		n, ok := parseNumber(w.Text, num(0, longest))
		if !ok {
			b.diags.errorf(w.Pos, w.Text, `%s %q is not "all" or a whole number from 0 to %d; it is ignored`, s.Keyword, w.Text, longest)
			return
		}
		interval, given = time.Duration(n)*time.Second, true
	}
	if !given {
		b.diags.errorf(s.Pos, "", "%s needs a number of seconds after it; it is ignored", s.Keyword)
		return
	}
	d.extra = &interval
}
