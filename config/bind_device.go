package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxLinkName is the longest name of an interface in bytes: the kernel's IFNAMSIZ less the NUL.
const maxLinkName = 15

// devices binds what an instance runs on.
func (b *binder) devices(d *instanceDraft, k *keyword, s *Statement, vs values) bool {
	switch k.canonical() {
	case "interface":
		d.Interface = ""
		if w := s.Args[0]; b.usableLink("interface", w) {
			d.Interface = w.Text
		}
	case "vrf":
		b.vrf(d, s.Args[0])
	case "dont_track_primary":
		d.TrackPrimary = false
	case "promote_secondaries":
		d.PromoteSecondaries = true
	case "use_vmac":
		b.virtualMAC(d, s)
	case "use_vmac_addr":
		d.MACForOthers = true
	case "vmac_xmit_base":
		d.Send.FromBase = true
	case "use_ipvlan":
		b.ipvlan(d, s)
	default:
		return false
	}
	return true
}

// usableLink checks an interface for VRRP: it must exist, or may come later, and must not be a loopback.
func (b *binder) usableLink(what string, w Word) bool {
	if !b.link(what, w) {
		return false
	}
	if l, _ := b.host.linkNamed(w.Text); l.Loopback {
		b.diags.errorf(w.Pos, w.Text, "%s %s is a loopback, which cannot be used for VRRP; it is ignored", what, w.Text)
		return false
	}
	return true
}

// vrf binds the device that sockets of an instance without an interface are bound to. The first counts.
func (b *binder) vrf(d *instanceDraft, w Word) {
	switch {
	case d.Interface != "":
		b.diags.errorf(w.Pos, w.Text, "vrf does not go with interface %s above; it is ignored", d.Interface)
	case d.VRF != "":
		b.diags.errorf(w.Pos, w.Text, "vrf %s is given above; %s is ignored", d.VRF, w.Text)
	case b.usableLink("vrf", w):
		d.VRF = w.Text
	}
}

// virtualMAC binds use_vmac [[name] IF] [MAC] [netlink_notify_msg] [group G]. The last two are of keepalived 2.4.
func (b *binder) virtualMAC(d *instanceDraft, s *Statement) {
	if d.MAC == nil {
		d.MAC = &VirtualMAC{}
	}
	for i := 0; i < len(s.Args); i++ {
		w := s.Args[i]
		switch {
		case strings.Contains(w.Text, ":"):
			b.macAddress(d, w)
		case w.Text == "netlink_notify_msg":
			d.MAC.NotifyLinks = true
		case w.Text == "group" || w.Text == "name":
			if i++; i == len(s.Args) {
				b.diags.errorf(w.Pos, w.Text, "use_vmac %s needs a name after it; it is ignored", w.Text)
				return
			}
			if w.Text == "group" {
				d.MAC.Group = s.Args[i].Text
			} else {
				b.deviceName(d, "use_vmac", &d.MAC.Name, s.Args[i])
			}
		default:
			b.deviceName(d, "use_vmac", &d.MAC.Name, w)
		}
	}
}

// macAddress binds the address of a virtual MAC device: six bytes, or five, to which the VRID is added.
func (b *binder) macAddress(d *instanceDraft, w Word) {
	if d.MAC.given {
		b.diags.errorf(w.Pos, w.Text, "use_vmac has a MAC address already; %s is ignored", w.Text)
		return
	}
	addr, withVRID, ok := parseMAC(w.Text)
	switch {
	case !ok:
		b.diags.errorf(w.Pos, w.Text, "use_vmac %q is not a MAC address (six bytes in hex with colons, or five, to which the VRID is added); it is ignored", w.Text)
	case addr[0]&1 != 0:
		b.diags.errorf(w.Pos, w.Text, "use_vmac %s is a multicast address; it is ignored", w.Text)
	case [4]byte(addr[:4]) == [4]byte{0, 0, 0x5e, 0} && (addr[4] == 1 || addr[4] == 2):
		b.diags.errorf(w.Pos, w.Text, "use_vmac %s is what the RFC gives out by VRID; leave it out. It is ignored", w.Text)
	default:
		d.MAC.Addr, d.MAC.given, d.MAC.withVRID = addr, true, withVRID
	}
}

// parseMAC reads six bytes in hex with colons; with five the last is to be the VRID.
func parseMAC(s string) (addr [6]byte, withVRID, ok bool) {
	parts := strings.Split(strings.TrimSuffix(s, ":"), ":")
	trailing := strings.HasSuffix(s, ":")
	if len(parts) != 5 && (len(parts) != 6 || trailing) {
		return addr, false, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 16, 8)
		if err != nil || len(p) > 2 {
			return addr, false, false
		}
		addr[i] = byte(n)
	}
	return addr, len(parts) == 5, true
}

// deviceName binds the name of a macvlan or ipvlan to be made. The first counts, and no two instances may share it.
func (b *binder) deviceName(d *instanceDraft, word string, name *string, w Word) {
	kind := strings.TrimPrefix(word, "use_")
	if kind == "vmac" {
		kind = "macvlan"
	}
	switch l, exists := b.host.linkNamed(w.Text); {
	case *name != "":
		b.diags.errorf(w.Pos, w.Text, "%s has the name %s already; %q is ignored", word, *name, w.Text)
	case !linkName(w.Text):
		b.diags.errorf(w.Pos, w.Text, "%s %q is not the name of an interface (1 to %d bytes without blanks, slash and colon); it is ignored", word, w.Text, maxLinkName)
	case b.deviceOwner[w.Text] != "":
		b.diags.errorf(w.Pos, w.Text, "%s %s is the name of a device of vrrp_instance %s; it is ignored", word, w.Text, b.deviceOwner[w.Text])
	case exists && b.host.known(w.Text) && (l.Kind != kind || kind == "macvlan" && !l.Private):
		b.diags.errorf(w.Pos, w.Text, "%s %s is an interface of another type that exists; the name is ignored", word, w.Text)
	default:
		*name = w.Text
		b.deviceOwner[w.Text] = d.Name
	}
}

// linkName reports whether the kernel takes s for an interface.
func linkName(s string) bool {
	return s != "" && len(s) <= maxLinkName && s != "." && s != ".." && !strings.ContainsAny(s, "/:"+blanks+"\n")
}

// ipvlan binds use_ipvlan [NAME] [ADDR[/LEN]] [bridge|private|vepa]. Only the first use_ipvlan counts.
func (b *binder) ipvlan(d *instanceDraft, s *Statement) {
	if d.IPVLAN != nil {
		b.diags.errorf(s.Pos, "", "use_ipvlan stands above already; this one is ignored")
		return
	}
	v := &IPVLAN{}
	d.IPVLAN = v
	for _, w := range s.Args {
		switch {
		case w.Text == "bridge" || w.Text == "private" || w.Text == "vepa":
			if v.Mode != "" {
				b.diags.errorf(w.Pos, w.Text, "use_ipvlan has the mode %s already; %s is ignored", v.Mode, w.Text)
				continue
			}
			v.Mode = w.Text
		case isPrefix(w.Text):
			b.ipvlanAddress(d, w)
		default:
			b.deviceName(d, "use_ipvlan", &v.Name, w)
		}
	}
	if v.Mode == "" {
		v.Mode = "bridge"
	}
}

// isPrefix reports whether s is an address, perhaps with a length.
func isPrefix(s string) bool {
	if _, err := netip.ParsePrefix(s); err == nil {
		return true
	}
	_, ok := parseAddr(s)
	return ok
}

// ipvlanAddress binds the address of an ipvlan, which is also the source of adverts unless there is another.
func (b *binder) ipvlanAddress(d *instanceDraft, w Word) {
	p, err := netip.ParsePrefix(w.Text)
	if err != nil {
		a, _ := parseAddr(w.Text)
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch f := familyOf(p.Addr()); {
	case d.IPVLAN.Addr.IsValid():
		b.diags.errorf(w.Pos, w.Text, "use_ipvlan has the address %s already; %s is ignored", d.IPVLAN.Addr, w.Text)
	case !d.settle(f):
		b.diags.errorf(w.Pos, w.Text, "use_ipvlan %s is %s and the vrrp_instance %s; it is ignored", w.Text, f, d.family)
	default:
		d.IPVLAN.Addr = p
		if !d.source {
			d.Send.Source, d.source = p.Addr(), true
		}
	}
}

// completeDevices checks the macvlan or ipvlan of an instance.
func (b *binder) completeDevices(d *instanceDraft) {
	if d.MAC != nil {
		if d.Strict && d.MAC.given {
			b.diags.warnf(d.pos("use_vmac"), "", "a MAC address of its own does not go with strict mode and is left out in vrrp_instance %s", d.Name)
			d.MAC.Addr, d.MAC.given = [6]byte{}, false
		}
		if d.MAC.withVRID && d.MAC.given {
			d.MAC.Addr[5] = d.VRID
		}
		if d.Strict && d.Send.FromBase {
			b.diags.warnf(d.pos("vmac_xmit_base"), "", "vmac_xmit_base does not go with strict mode and has no effect in vrrp_instance %s", d.Name)
			d.Send.FromBase = false
		}
		d.MAC.Name = b.newDevice(d, d.MAC.Name, func(l Link) bool { return l.Kind == "macvlan" && l.Private && l.MAC == d.virtualMAC() })
	}
	if d.IPVLAN != nil {
		d.IPVLAN.Name = b.newDevice(d, d.IPVLAN.Name, func(l Link) bool { return l.Kind == "ipvlan" })
		if !d.IPv6 && !d.IPVLAN.Addr.IsValid() {
			b.fault(d, d.pos("use_ipvlan"), "use_ipvlan needs an IPv4 address to send from")
		}
	}
	if d.PromoteSecondaries && (d.MAC != nil || d.IPVLAN != nil) {
		b.diags.warnf(d.pos("promote_secondaries"), "", "promote_secondaries is always set on a device of our own and has no effect in vrrp_instance %s", d.Name)
		d.PromoteSecondaries = false
	}
	if d.Send.FromBase && d.MAC == nil {
		b.diags.warnf(d.pos("vmac_xmit_base"), "", "vmac_xmit_base needs use_vmac and has no effect in vrrp_instance %s", d.Name)
		d.Send.FromBase = false
	}
}

// newDevice names a device that has no name: the prefix of global_defs, a dot and the VRID; where that is taken, with a
// number after the prefix, of which IPv6 tries 6 first. A device that is there and as it is to be is that of this
// instance, from before a reload or a crash.
func (b *binder) newDevice(d *instanceDraft, name string, fits func(Link) bool) string {
	if name != "" {
		return name
	}
	suffix := fmt.Sprintf(".%d", d.VRID)
	for n := 0; ; n++ {
		number := ""
		switch {
		case n == 0:
		case d.IPv6 && n == 1:
			number = "6"
		case d.IPv6 && n <= 6:
			number = strconv.Itoa(n - 1)
		default:
			number = strconv.Itoa(n)
		}
		prefix := b.defaults.macPrefix
		prefix = prefix[:min(len(prefix), maxLinkName-len(number+suffix))]
		name = prefix + number + suffix
		l, _ := b.host.linkNamed(name)
		if b.deviceOwner[name] == "" && (!b.host.known(name) || l.Base == d.Interface && fits(l)) {
			b.deviceOwner[name] = d.Name
			return name
		}
	}
}

// virtualMAC is the address of the instance's virtual MAC device: its own, or that of its VRID (RFC 9568, Section 7.3).
func (d *instanceDraft) virtualMAC() [6]byte {
	switch {
	case d.MAC.Addr != [6]byte{}:
		return d.MAC.Addr
	case d.IPv6:
		return [6]byte{0, 0, 0x5e, 0, 2, d.VRID}
	}
	return [6]byte{0, 0, 0x5e, 0, 1, d.VRID}
}

// placeAddresses says which device gets each address, and leaves out those that have none.
func (b *binder) placeAddresses(d *instanceDraft, as []Address) (out []Address) {
	for _, a := range as {
		own := a.Device == "" || a.Device == d.Interface
		same := familyOf(a.Prefix.Addr()) == ipv6 == d.IPv6
		if a.Device == "" {
			a.Device = d.Interface
		}
		if a.Device == "" {
			b.diags.errorf(a.Pos, a.Prefix.Addr().String(), "%s has no dev, and vrrp_instance %s no interface; it is ignored", a.Prefix.Addr(), d.Name)
			continue
		}
		if a.MAC == OwnMAC && own && same && d.MAC != nil {
			b.diags.warnf(a.Pos, "use_vmac", "use_vmac of %s has no effect: vrrp_instance %s has use_vmac itself", a.Prefix.Addr(), d.Name)
			a.MAC = NoMAC
		}
		if a.MAC == OwnMAC && (!own || !same) && d.MACForOthers {
			b.diags.warnf(a.Pos, "use_vmac", "use_vmac of %s has no effect: vrrp_instance %s has use_vmac_addr", a.Prefix.Addr(), d.Name)
		}
		switch {
		case own && same && d.MAC != nil:
			a.MAC = InstanceMAC
		case d.MACForOthers && (!own || !same):
			a.MAC = OwnMAC
		}
		out = append(out, a)
	}
	return out
}

// completeAddresses places all addresses of an instance, and settles what depends on their devices.
func (b *binder) completeAddresses(d *instanceDraft) {
	had := len(d.Addresses)
	d.Addresses = b.placeAddresses(d, d.Addresses)
	d.Excluded = b.placeAddresses(d, d.Excluded)
	if had > 0 && len(d.Addresses) == 0 && !b.haveAddresses(d) {
		return
	}
	others, ownMAC := false, false
	for _, list := range [][]Address{d.Addresses, d.Excluded} {
		for _, a := range list {
			others = others || a.Device != d.Interface && a.MAC != OwnMAC
			ownMAC = ownMAC || a.MAC == OwnMAC
		}
	}
	a := &d.Announce
	if d.extra != nil {
		a.Extra = *d.extra
	} else {
		a.Extra, a.ExtraAll = b.defaults.announce.Extra, a.ExtraAll || b.defaults.announce.ExtraAll
	}
	if !ownMAC && (!others || !a.ExtraAll) {
		a.Extra = 0
	}
}

// A macKey is what makes two virtual MAC devices one.
type macKey struct {
	base string
	vrid uint8
	ipv6 bool
	addr [6]byte
}

// deviceConflicts keeps an instance in FAULT that would share a virtual MAC device with another, unless they are in
// one group.
func (b *binder) deviceConflicts() {
	owners := make(map[macKey]*instanceDraft)
	for _, d := range b.drafts {
		if d.dropped {
			continue
		}
		for _, key := range macKeys(d) {
			first := owners[key]
			switch {
			case first == nil:
				owners[key] = d
			case first != d && (d.Group == "" || d.Group != first.Group) && len(d.Faults) == 0:
				d.Faults = append(d.Faults, "it would share a virtual MAC device with "+first.Name)
				b.diags.errorf(d.Pos, d.Name, "vrrp_instance %s stays in FAULT: it would share the virtual MAC device of VRID %d on %s with vrrp_instance %s",
					d.Name, d.VRID, key.base, first.Name).silent()
			}
		}
	}
}

// macKeys lists the virtual MAC devices of an instance.
func macKeys(d *instanceDraft) (keys []macKey) {
	var addr [6]byte
	if d.MAC != nil {
		addr = d.MAC.Addr
		keys = append(keys, macKey{d.Interface, d.VRID, d.IPv6, addr})
	}
	for _, list := range [][]Address{d.Addresses, d.Excluded} {
		for _, a := range list {
			if a.MAC == OwnMAC {
				keys = append(keys, macKey{a.Device, d.VRID, familyOf(a.Prefix.Addr()) == ipv6, addr})
			}
		}
	}
	return keys
}
