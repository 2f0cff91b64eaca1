package daemon

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"uvs/config"
	"uvs/vrrp"
	"uvs/vrrp/router"
)

// translateVRRP puts the instances and groups of a configuration into the terms of the
// Machine and of its sockets, an Endpoint for each Instance, in the order of the file. An
// instance that would run otherwise than it is written is named in notes, a line each; one
// that would be less safe for it is left out. It is pure.
func translateVRRP(c *config.Config) (spec vrrp.Spec, ends []router.Endpoint, notes []string) {
	spec.StartupDelay, spec.LogUnknownVRIDs = c.Global.VRRP.StartupDelay, c.Global.VRRP.LogUnknownVRIDs
	left := make(map[string]bool)
	for n := range c.Instances {
		i := &c.Instances[n]
		if i.HMAC != nil {
			left[i.Name] = true
			notes = append(notes, fmt.Sprintf("%s: note: vrrp_instance %s is not run: auth_hmac is not served yet", i.Pos, i.Name))
			continue
		}
		spec.Instances = append(spec.Instances, translateInstance(c, i))
		ends = append(ends, translateEndpoint(i))
	}
	for n := range c.SyncGroups {
		g := &c.SyncGroups[n]
		for _, m := range g.Members {
			if left[m] {
				notes = append(notes, fmt.Sprintf("%s: note: vrrp_sync_group %s is run without vrrp_instance %s", g.Pos, g.Name, m))
			}
		}
		members := slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool { return left[m] })
		if len(members) > 0 {
			spec.Groups = append(spec.Groups, vrrp.Group{Name: g.Name, Members: members, Track: translateTrack(&g.Track)})
		}
	}
	return spec, ends, notes
}

func translateInstance(c *config.Config, i *config.Instance) vrrp.Instance {
	out := vrrp.Instance{
		Name: i.Name, Version: i.Version, IPv6: i.IPv6, Interface: i.Interface, VRID: i.VRID,
		Priority: i.Priority, AdvertInterval: i.AdvertInterval, DownTimerAdverts: i.DownTimerAdverts,
		NoPreempt: i.NoPreempt, PreemptDelay: i.PreemptDelay,
		Auth: translateAuth(i.Auth), Password: i.Password, Checksum: translateChecksum(i.Send.Checksum),
		CheckPeers: i.Receive.CheckPeers, SkipAddressCheck: i.Receive.SkipAddressCheck,
		OwnerIgnoresAdverts: i.Receive.OwnerIgnoresAdverts,
		LowerPrioNoAdvert:   i.LowerPrioNoAdvert, HigherPrioSendAdvert: i.HigherPrioSendAdvert,
		TimerExpiredBackup: i.TimerExpiredBackup,
		Announce:           translateAnnounce(&i.Announce),
		Track:              tracked(c, i),
		Faults:             i.Faults, NotifyPriority: i.Notify.PriorityChanges,
	}
	for _, a := range i.Addresses {
		out.Addresses = append(out.Addresses, canonical(a.Prefix.Addr()))
	}
	for _, p := range i.Send.Peers {
		out.Peers = append(out.Peers, vrrp.Peer{Addr: p.Addr.Unmap(), MinTTL: p.MinTTL, MaxTTL: p.MaxTTL})
	}
	return out
}

func translateAuth(a config.AuthType) vrrp.Auth {
	switch a {
	case config.AuthPass:
		return vrrp.AuthPass
	case config.AuthAH:
		return vrrp.AuthAH
	}
	return vrrp.AuthNone
}

func translateChecksum(m config.ChecksumMode) vrrp.Checksum {
	switch m {
	case config.ChecksumOld:
		return vrrp.ChecksumOld
	case config.ChecksumNever:
		return vrrp.ChecksumNever
	case config.ChecksumAsV2:
		return vrrp.ChecksumAsV2
	}
	return vrrp.ChecksumAuto
}

func translateAnnounce(a *config.Announce) vrrp.Announce {
	count := func(n uint32) int { return int(min(n, math.MaxInt32)) }
	return vrrp.Announce{
		Repeat: count(a.Repeat), Delay: a.Delay, Refresh: a.Refresh, RefreshRepeat: count(a.RefreshRepeat),
		LowerPrioRepeat: count(a.LowerPrioRepeat), LowerPrioDelay: a.LowerPrioDelay, Extra: a.Extra,
	}
}

// translateEndpoint says where adverts of an instance go.
func translateEndpoint(i *config.Instance) router.Endpoint {
	e := router.Endpoint{
		Instance: i.Name, VRID: i.VRID, IPv6: i.IPv6, AH: i.Auth == config.AuthAH, Group: i.Send.Group, TTL: i.Send.TTL,
	}
	if !i.Send.Unicast() {
		e.TTL = math.MaxUint8 // whatever unicast_ttl says
		return e
	}
	e.Group = netip.Addr{}
	for _, p := range i.Send.Peers {
		e.Peers = append(e.Peers, p.Addr.Unmap())
	}
	return e
}

// tracked is all that decides about the priority of an instance and about FAULT: what it
// follows by name, its source address, its interface, and the devices of its addresses,
// routes and rules that have no no_track, as keepalived 2.2.7 has it. dont_track_primary
// spares the interface on all these ways. Static addresses, routes and rules count for the
// members of their track_group.
func tracked(c *config.Config, i *config.Instance) []vrrp.Tracked {
	list := translateTrack(&i.Track)
	list = append(list, vrrp.Tracked{Object: vrrp.Object{Kind: vrrp.KindSource, Name: i.Name}})
	follow := func(device string) {
		if device == "" || device == i.Interface && !i.TrackPrimary {
			return
		}
		object := vrrp.Object{Kind: vrrp.KindInterface, Name: device}
		if at := slices.IndexFunc(list, func(t vrrp.Tracked) bool { return t.Object == object }); at >= 0 {
			list[at].Weight = 0 // FAULT counts for more than a weight
			return
		}
		list = append(list, vrrp.Tracked{Object: object})
	}
	follow(i.Interface)
	placed := devicesOf("", i.Addresses, i.Routes, i.Rules)
	placed = append(placed, devicesOf("", i.Excluded, nil, nil)...)
	for _, g := range c.TrackGroups {
		if slices.Contains(g.Members, i.Name) {
			placed = append(placed, devicesOf(g.Name, c.Static.Addresses, c.Static.Routes, c.Static.Rules)...)
		}
	}
	for _, device := range placed {
		follow(device)
	}
	return list
}

// devicesOf are the devices of addresses, routes and rules that are to be followed by the
// instances of a track_group; group is "" for those of one instance.
func devicesOf(group string, addresses []config.Address, routes []config.Route, rules []config.Rule) (devices []string) {
	for _, a := range addresses {
		if !a.NoTrack && a.TrackGroup == group {
			devices = append(devices, a.Device)
		}
	}
	for n := range routes {
		// The ways of a multipath route are spares of one another.
		if r := &routes[n]; !r.NoTrack && r.TrackGroup == group && len(r.NextHops) == 0 {
			devices = append(devices, r.Device)
		}
	}
	for n := range rules {
		if r := &rules[n]; !r.NoTrack && r.TrackGroup == group {
			devices = append(devices, r.InInterface, r.OutInterface)
		}
	}
	return devices
}

// translateTrack lists what an instance or a group follows by name.
func translateTrack(t *config.Track) (list []vrrp.Tracked) {
	for _, f := range t.Interfaces {
		list = append(list, vrrp.Tracked{
			Object: vrrp.Object{Kind: vrrp.KindInterface, Name: f.Interface}, Weight: f.Weight, Reverse: f.Reverse,
		})
	}
	for _, of := range []struct {
		kind vrrp.Kind
		list []config.Tracked
	}{
		{vrrp.KindScript, t.Scripts}, {vrrp.KindFile, t.Files}, {vrrp.KindProcess, t.Processes}, {vrrp.KindBFD, t.BFDs},
	} {
		for _, f := range of.list {
			list = append(list, vrrp.Tracked{Object: vrrp.Object{Kind: of.kind, Name: f.Name}, Weight: f.Weight, Reverse: f.Reverse})
		}
	}
	return list
}
