package daemon

import (
	"fmt"
	"net/netip"
	"strconv"

	"uvs/config"
	"uvs/internal/hostnet"
)

// A linkIndex finds the index of a device by its name.
type linkIndex func(name string) (int, bool)

// index returns the index of a device, or an error that names it. "" is no device: 0.
func (f linkIndex) index(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	if i, ok := f(name); ok {
		return i, nil
	}
	return 0, fmt.Errorf("interface %s does not exist", name)
}

// translateAddress puts an address into hostnet's terms, for a device that may be another
// than the one of the file.
func translateAddress(a config.Address, device string, links linkIndex) (hostnet.Address, error) {
	link, err := links.index(device)
	if err != nil {
		return hostnet.Address{}, fmt.Errorf("%s: address %s: %w", a.Pos, a.Prefix, err)
	}
	out := hostnet.Address{
		Link: link, Prefix: a.Prefix, Broadcast: a.Broadcast, Label: a.Label, Scope: int(a.Scope),
		PreferredLifetime: a.PreferredLifetime,
		// "-nodad" takes the flag away that keepalived sets on every IPv6 address.
		DAD: a.NoDAD && a.Prefix.Addr().Is6(),
	}
	if a.Peer.IsValid() {
		out.Peer = netip.PrefixFrom(a.Peer, a.Prefix.Bits())
		out.Prefix = netip.PrefixFrom(a.Prefix.Addr(), a.Prefix.Addr().BitLen())
	}
	if a.Prefix.Addr().Is6() && a.PreferredLifetime == 0 {
		out.Flags |= hostnet.FlagDeprecated
	}
	for _, f := range []struct {
		on   bool
		flag hostnet.AddressFlags
	}{
		{a.Home, hostnet.FlagHome}, {a.ManageTemp, hostnet.FlagManageTemp},
		{a.NoPrefixRoute, hostnet.FlagNoPrefixRoute}, {a.AutoJoin, hostnet.FlagAutoJoin},
	} {
		if f.on {
			out.Flags |= f.flag
		}
	}
	return out, nil
}

// translateRoute puts a route into hostnet's terms. A route without a protocol in the file
// is one of VRRP, as in keepalived; its scope without one is global, unlike iproute2's.
func translateRoute(r config.Route, links linkIndex) (hostnet.RouteSpec, error) {
	out := hostnet.RouteSpec{
		Kind: hostnet.RouteKind(r.Type), Dst: r.Dest, From: r.From, Table: r.Table, Metric: r.Metric, Scope: r.Scope,
		Protocol: hostnet.ProtocolKeepalived, TOS: r.TOS, Source: r.Source, Place: translatePlace(r.Place),
		CongestionControl: r.CongestionControl, CongestionLocked: r.CongestionLocked, Realms: r.Realms,
		Expires: r.Expires, HasExpires: r.HasExpires, Preference: r.Preference, HasPreference: r.HasPreference,
		TTLPropagate: r.TTLPropagate, HasTTLPropagate: r.HasTTLPropagate,
	}
	if r.HasProtocol {
		out.Protocol = r.Protocol
	}
	for _, m := range r.Metrics {
		out.Metrics = append(out.Metrics, hostnet.RouteMetric{Attribute: m.Attribute, Value: m.Value, Locked: m.Locked})
	}
	hops := r.NextHops
	if len(hops) == 0 && (r.Device != "" || r.Via.IsValid() || r.Encap != nil) {
		hops = []config.NextHop{{Via: r.Via, Device: r.Device, OnLink: r.OnLink, Encap: r.Encap}}
	}
	for _, h := range hops {
		link, err := links.index(h.Device)
		if err != nil {
			return hostnet.RouteSpec{}, fmt.Errorf("%s: route to %s: %w", r.Pos, r.Dest, err)
		}
		out.Hops = append(out.Hops, hostnet.HopSpec{
			Link: link, Gateway: h.Via, Weight: h.Weight, Realms: h.Realms, OnLink: h.OnLink || r.OnLink, Encap: translateEncap(h.Encap),
		})
	}
	return out, nil
}

func translatePlace(p config.RoutePlace) hostnet.RoutePlace {
	switch p {
	case config.RouteAdd:
		return hostnet.Exclusive
	case config.RouteAppend:
		return hostnet.Append
	}
	return hostnet.Prepend
}

func translateEncap(e *config.Encap) *hostnet.Encap {
	if e == nil {
		return nil
	}
	kinds := map[string]hostnet.EncapKind{
		"ip": hostnet.EncapIP, "ip6": hostnet.EncapIP6, "mpls": hostnet.EncapMPLS, "ila": hostnet.EncapILA,
	}
	return &hostnet.Encap{
		Kind: kinds[e.Kind], ID: e.ID, HasID: e.HasID, Source: e.Source, Dest: e.Dest, TOS: e.TOS, TTL: e.TTL, Flags: e.Flags,
		Labels: e.Labels, PropagateTTL: e.PropagateTTL, Locator: e.Locator,
	}
}

// translateRule puts a rule into hostnet's terms. A rule without a protocol in the file is
// one of VRRP: keepalived leaves such a rule nobody's, and does not find it after a crash.
func translateRule(r config.Rule) hostnet.Rule {
	out := hostnet.Rule{
		IPv6: r.IPv6, Priority: r.Priority, Inverted: r.Not, Src: r.From, Dst: r.To, In: r.InInterface, Out: r.OutInterface,
		TOS: r.TOS, IPProtocol: r.IPProtocol, TunnelID: r.TunnelID,
		UIDs: translateRange(r.UIDs), SourcePorts: translateRange(r.SourcePorts), DestPorts: translateRange(r.DestPorts),
		Action: uint8(r.Action), Goto: r.Goto, Table: int(r.Table), L3MDev: r.L3MDev, Realms: r.Realms,
		Protocol: hostnet.ProtocolKeepalived,
	}
	if r.HasMark {
		out.Mark, out.Mask = r.Mark, r.Mask
	}
	if r.SuppressPrefixLength >= 0 {
		out.SuppressLength, out.SuppressesLength = uint32(r.SuppressPrefixLength), true
	}
	if r.SuppressGroup >= 0 {
		out.SuppressGroup, out.SuppressesGroup = uint32(r.SuppressGroup), true
	}
	if r.HasProtocol {
		out.Protocol = r.Protocol
	}
	return out
}

func translateRange(r *config.Range) hostnet.RuleRange {
	if r == nil {
		return hostnet.RuleRange{}
	}
	return hostnet.RuleRange{Set: true, First: r.First, Last: r.Last}
}

// translateDevice is the device of an instance with use_vmac or use_ipvlan; it reports
// false for others. groups are the names of device groups.
func translateDevice(i *config.Instance, links linkIndex, groups map[string]uint32) (d hostnet.Device, ok bool, err error) {
	switch {
	case i.MAC != nil:
		d = hostnet.Device{Name: i.MAC.Name, Kind: hostnet.Macvlan, MAC: i.MAC.Addr, IPv4: !i.IPv6, IPv6: i.IPv6}
		if d.MAC == [6]byte{} {
			d.MAC = hostnet.VirtualMAC(i.VRID, i.IPv6)
		}
		if d.Group, err = deviceGroup(i.MAC.Group, groups); err != nil {
			return d, true, fmt.Errorf("%s: vrrp_instance %s: %w", i.Pos, i.Name, err)
		}
	case i.IPVLAN != nil:
		modes := map[string]hostnet.IPVLANMode{"private": hostnet.IPVLANPrivate, "vepa": hostnet.IPVLANVEPA}
		d = hostnet.Device{Name: i.IPVLAN.Name, Kind: hostnet.IPVLAN, Mode: modes[i.IPVLAN.Mode], IPv6: i.IPv6}
	default:
		return d, false, nil
	}
	for _, list := range [][]config.Address{i.Addresses, i.Excluded} {
		for _, a := range list {
			d.IPv6 = d.IPv6 || a.Prefix.Addr().Is6()
		}
	}
	if d.Parent, err = links.index(i.Interface); err != nil {
		return d, true, fmt.Errorf("%s: vrrp_instance %s: %w", i.Pos, i.Name, err)
	}
	return d, true, nil
}

// deviceGroup reads the number or the name of a device group; "" is the default group.
func deviceGroup(s string, groups map[string]uint32) (uint32, error) {
	if n, ok := groups[s]; ok || s == "" {
		return n, nil
	}
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		return 0, fmt.Errorf("group %q of use_vmac is neither a number nor a name of iproute2's group file", s)
	}
	return uint32(n), nil
}
