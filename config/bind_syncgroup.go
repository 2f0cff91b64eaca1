package config

import (
	"slices"
	"time"
)

// A groupDraft is a vrrp_sync_group being read.
type groupDraft struct {
	SyncGroup
	names       []Word // of the group block
	named       bool   // there is a group block
	pos         Pos    // of it
	members     []*instanceDraft
	mail        *bool
	prioChanges *bool
}

// syncGroup binds the words of one vrrp_sync_group.
func (b *binder) syncGroup(s *Statement, vs values) {
	name := vs[0].word.Text
	for _, g := range b.syncGroups {
		if g.Name == name {
			b.diags.errorf(s.Pos, name, "vrrp_sync_group %s is already defined (%s); this one is ignored", name, g.Pos.from(s.Pos))
			return
		}
	}
	g := &groupDraft{SyncGroup: SyncGroup{Pos: s.Pos, Name: name}, pos: s.Pos}
	b.syncGroups = append(b.syncGroups, g)
	b.each("vrrp_sync_group", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "group":
			b.groupNames(s, g.Name, &g.names, &g.named)
			g.pos = s.Pos
		case "sync_group_tracking_weight":
			g.TrackWeights = true
		case "global_tracking":
			b.diags.warnf(s.Pos, "", "global_tracking is deprecated: write track_interface, track_script … in the group, and sync_group_tracking_weight")
			g.TrackWeights = true
		case "smtp_alert":
			g.mail = vs.flag()
		case "notify_priority_changes":
			g.prioChanges = vs.flag()
		default:
			if !b.notifyWord(&g.Notify, g.Name, k, s) && !b.trackWord(&g.Track, g.Name, k, s) {
				panic(unbound("vrrp_sync_group", k))
			}
		}
	})
}

// groupNames binds a group block: names, several of which may share a line. Only the first block counts.
func (b *binder) groupNames(s *Statement, owner string, to *[]Word, given *bool) {
	if *given {
		b.diags.errorf(s.Pos, "", "%s has a group block already; this one is ignored", owner)
		return
	}
	for _, line := range s.Block.Statements {
		if b.line(line, "group") {
			*to = append(append(*to, Word{Pos: line.Pos, Text: line.Keyword}), line.Args...)
		}
	}
	if len(*to) == 0 {
		b.diags.errorf(s.Pos, "", "the group block of %s is empty", owner)
		return
	}
	*given = true
}

// members finds the instances of a group.
func (b *binder) members(g *groupDraft) {
	if len(g.names) == 0 {
		b.diags.errorf(g.Pos, g.Name, "vrrp_sync_group %s has no group block with instances and is ignored", g.Name)
		return
	}
	known, owners := 0, false
	for _, w := range g.names {
		d := b.draft(w.Text)
		switch {
		case d == nil:
			b.diags.errorf(w.Pos, w.Text, "vrrp_sync_group names %q, and there is no vrrp_instance of that name; it is ignored", w.Text).suggest(suggest(w.Text, b.draftNames()))
			continue
		case d.memberOfGroup != nil:
			b.diags.errorf(w.Pos, w.Text, "vrrp_instance %s is a member of vrrp_sync_group %s already; it is ignored here", w.Text, d.memberOfGroup.Name)
			continue
		}
		known++
		d.memberOfGroup, d.Group = g, g.Name
		g.members = append(g.members, d)
		owner := d.state && d.Master && d.priority && d.Priority == 255
		if known > 1 && owners && d.state && !d.Master {
			b.diags.errorf(w.Pos, w.Text, "vrrp_sync_group %s has members that own their addresses (MASTER with priority 255) and others that do not: they cannot move together", g.Name)
		}
		if known == 1 || owners {
			owners = owner
		}
	}
	switch known {
	case 0:
		b.diags.errorf(g.pos, g.Name, "vrrp_sync_group %s has no instance that exists and is ignored", g.Name)
	case 1:
		b.diags.warnf(g.pos, g.Name, "vrrp_sync_group %s has one instance only, which is probably not meant", g.Name)
	}
}

// draft returns the instance of that name, nil if there is none.
func (b *binder) draft(name string) *instanceDraft {
	i := slices.IndexFunc(b.drafts, func(d *instanceDraft) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return b.drafts[i]
}

func (b *binder) draftNames() []string {
	names := make([]string, len(b.drafts))
	for i, d := range b.drafts {
		names[i] = d.Name
	}
	return names
}

// groupTracking takes weights back that a group cannot have, and names what member and group both track.
func (b *binder) groupTracking(g *groupDraft) {
	owner := slices.ContainsFunc(g.members, func(d *instanceDraft) bool { return !d.dropped && d.Priority == 255 })
	t := &g.Track
	if owner {
		for i := range t.Interfaces {
			b.noWeight(g, "track_interface", t.Interfaces[i].Interface, t.Interfaces[i].Pos, &t.Interfaces[i].Weight)
		}
		lists := map[string][]Tracked{"track_script": t.Scripts, "track_file": t.Files, "track_process": t.Processes, "track_bfd": t.BFDs}
		for _, word := range []string{"track_script", "track_file", "track_process", "track_bfd"} {
			for i := range lists[word] {
				b.noWeight(g, word, lists[word][i].Name, lists[word][i].Pos, &lists[word][i].Weight)
			}
		}
	}
	for _, l := range t.Interfaces {
		for _, d := range g.members {
			own := d.Interface == l.Interface && d.TrackPrimary
			if !d.dropped && (own || slices.ContainsFunc(d.Track.Interfaces, func(o TrackedInterface) bool { return o.Interface == l.Interface })) {
				b.diags.warnf(l.Pos, l.Interface, "track_interface %s of vrrp_sync_group %s is tracked by its vrrp_instance %s as well; remove one of them", l.Interface, g.Name, d.Name)
			}
		}
	}
}

// noWeight clears the weight of something that a group with an owner of its addresses tracks.
func (b *binder) noWeight(g *groupDraft, word, name string, pos Pos, weight *int) {
	if *weight != 0 {
		b.diags.warnf(pos, name, "%s %s counts with weight 0 in vrrp_sync_group %s: a member has priority 255", word, name, g.Name)
		*weight = 0
	}
}

// takeGroup takes a group into the model with those of its members that run.
func (b *binder) takeGroup(g *groupDraft) {
	b.completeNotify(&g.Notify, g.mail, g.prioChanges, nil)
	for _, d := range g.members {
		if !d.dropped {
			g.Members = append(g.Members, d.Name)
		}
	}
	if len(g.Members) > 0 {
		b.config.SyncGroups = append(b.config.SyncGroups, g.SyncGroup)
	}
}

// A trackGroupDraft is a track_group being read.
type trackGroupDraft struct {
	TrackGroup
	names []Word
	named bool
}

// trackGroup binds one track_group.
func (b *binder) trackGroup(s *Statement, vs values) {
	name := vs[0].word.Text
	for _, g := range b.statics {
		if g.Name == name {
			b.diags.errorf(s.Pos, name, "track_group %s is already defined (%s); this one is ignored", name, g.Pos.from(s.Pos))
			return
		}
	}
	g := &trackGroupDraft{TrackGroup: TrackGroup{Pos: s.Pos, Name: name}}
	b.statics = append(b.statics, g)
	b.each("track_group", s.Block.Statements, func(k *keyword, s *Statement, _ values) {
		if k.canonical() != "group" {
			panic(unbound("track_group", k))
		}
		b.groupNames(s, "track_group "+g.Name, &g.names, &g.named)
	})
}

// followStatic binds the track_group of a static address, route or rule. The first counts.
func (b *binder) followStatic(to *string, w Word) {
	switch {
	case *to != "":
		b.diags.errorf(w.Pos, w.Text, "track_group %s is given above; %s is ignored", *to, w.Text)
	case !slices.ContainsFunc(b.statics, func(g *trackGroupDraft) bool { return g.Name == w.Text }):
		b.diags.errorf(w.Pos, w.Text, "there is no track_group %q above; it is ignored", w.Text)
	default:
		*to = w.Text
	}
}

// trackGroups takes the track_groups with members into the model. keepalived takes what is wrong here without
// counting it.
func (b *binder) trackGroups() {
	for _, g := range b.statics {
		for _, w := range g.names {
			if b.draft(w.Text) == nil {
				b.diags.errorf(w.Pos, w.Text, "track_group names %q, and there is no vrrp_instance of that name; it is ignored", w.Text).silent()
				continue
			}
			g.Members = append(g.Members, w.Text)
		}
		if len(g.Members) == 0 {
			b.diags.errorf(g.Pos, g.Name, "track_group %s has no vrrp_instance and has no effect", g.Name).silent()
			continue
		}
		b.config.TrackGroups = append(b.config.TrackGroups, g.TrackGroup)
	}
}

// garpGroup binds one garp_group.
func (b *binder) garpGroup(s *Statement) {
	g := GARPGroup{Pos: s.Pos}
	timed := false
	b.each("garp_group", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "garp_interval":
			g.GARPInterval, timed = b.largeInterval(k, vs[0]), true
		case "gna_interval":
			g.GNAInterval, timed = b.largeInterval(k, vs[0]), true
		case "interface":
			b.joinGARP(&g, vs[0].word, false)
		case "interfaces":
			empty := true
			for _, line := range s.Block.Statements {
				if !b.line(line, "interfaces") {
					continue
				}
				for _, w := range append([]Word{{Pos: line.Pos, Text: line.Keyword}}, line.Args...) {
					empty = false
					if b.link("interfaces", w) {
						b.joinGARP(&g, w, len(line.Args) == 0)
					}
				}
			}
			if empty {
				b.diags.errorf(s.Pos, "", "the interfaces block of garp_group is empty")
			}
		default:
			panic(unbound("garp_group", k))
		}
	})
	if !timed {
		b.diags.errorf(s.Pos, "", "garp_group has neither garp_interval nor gna_interval and is ignored")
		for _, name := range g.Interfaces {
			delete(b.garpOwner, name)
		}
		return
	}
	b.config.GARPGroups = append(b.config.GARPGroups, g)
}

// largeInterval warns of an interval that makes a failover slow.
func (b *binder) largeInterval(k *keyword, v value) time.Duration {
	if v.time >= time.Second {
		b.diags.warnf(v.word.Pos, v.word.Text, "%s %s is very large: that many seconds between two packets", k.name, v.word.Text).silent()
	}
	return v.time
}

// joinGARP adds an interface to a garp_group; an interface is in one only. alone: it is all that stands on its line.
func (b *binder) joinGARP(g *GARPGroup, w Word, alone bool) {
	if b.garpOwner[w.Text] {
		f := b.diags.errorf(w.Pos, w.Text, "%s is in a garp_group already; it is ignored here", w.Text)
		if alone { // keepalived's own message wants a second word
			f.exit(ExitMissing)
		}
		return
	}
	if l, _ := b.host.linkNamed(w.Text); l.Kind == "macvlan" || l.Kind == "ipvlan" {
		b.diags.errorf(w.Pos, w.Text, "%s is a %s, which cannot be in a garp_group; name the interface below it", w.Text, l.Kind)
		return
	}
	b.garpOwner[w.Text] = true
	g.Interfaces = append(g.Interfaces, w.Text)
}
