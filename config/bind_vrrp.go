package config

import (
	"math"
	"slices"
	"time"
)

// An instanceDraft is a vrrp_instance being read, with what only checks need.
type instanceDraft struct {
	Instance
	statement *Statement
	vrid      *Statement // where virtual_router_id stands
	priority  bool       // given
	version   int        // 2 or 3
	ipv6      bool       // family of the advertised addresses
}

// instance binds one vrrp_instance.
func (b *binder) instance(s *Statement, vs values) {
	d := &instanceDraft{
		Instance:  Instance{Pos: s.Pos, Name: vs[0].word.Text, Priority: 100, AdvertInterval: time.Second},
		statement: s,
		version:   b.version,
	}
	if first, taken := b.instances[d.Name]; taken {
		b.diags.errorf(s.Pos, d.Name, "vrrp_instance %s is already defined (%s); this one is ignored", d.Name, first.from(s.Pos))
		return
	}
	b.instances[d.Name] = s.Pos
	// Address lines refer to the interface, wherever it stands.
	var addresses, excluded []*Statement
	b.each("vrrp_instance", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "state":
			d.Master = vs[0].word.Text == "MASTER"
		case "interface":
			d.Interface = vs[0].word.Text
		case "virtual_router_id":
			d.VRID, d.vrid = uint8(vs[0].number), s
		case "priority":
			d.Priority, d.priority = uint8(vs[0].number), true
		case "advert_int":
			d.AdvertInterval = vs[0].time
		case "virtual_ipaddress":
			addresses = append(addresses, s.Block.Statements...)
		case "virtual_ipaddress_excluded":
			excluded = append(excluded, s.Block.Statements...)
		default:
			panic(unbound("vrrp_instance", k))
		}
	})
	if len(addresses) == 0 && find(s, "no_virtual_ipaddress") == nil {
		b.diags.warnf(d.Pos, d.Name, "vrrp_instance %s has no virtual_ipaddress", d.Name)
	}
	d.Addresses = b.addresses(d, addresses, true)
	d.Excluded = b.addresses(d, excluded, false)
	b.finishInstance(d)
}

// A routerKey is what no two instances may share.
type routerKey struct {
	link string
	vrid uint8
	ipv6 bool
}

// finishInstance fills in what depends on several words, and takes the instance into the model if it can run.
func (b *binder) finishInstance(d *instanceDraft) {
	if d.Master && !d.priority {
		d.Priority = 255
	}
	if s := find(d.statement, "version"); s != nil && len(s.Args) == 1 {
		switch s.Args[0].Text {
		case "2":
			d.version = 2
		case "3":
			d.version = 3
		}
	}
	if d.ipv6 {
		d.version = 3
	}
	b.advertInterval(d)
	b.checkUnservedVRRP(d)
	ok := true
	if d.vrid == nil {
		b.diags.errorf(d.Pos, d.Name, "vrrp_instance %s has no virtual_router_id (1 to 255) and is not run", d.Name)
		ok = false
	}
	if d.Interface == "" {
		b.diags.errorf(d.Pos, d.Name, "vrrp_instance %s has no interface that can be used and is not run", d.Name)
		ok = false
	}
	if !ok {
		return
	}
	key := routerKey{d.Interface, d.VRID, d.ipv6}
	if other, taken := b.routers[key]; taken {
		b.diags.errorf(d.vrid.Pos, d.vrid.Args[0].Text, "virtual_router_id %d on %s is already taken by vrrp_instance %s; %s is not run",
			d.VRID, d.Interface, other, d.Name)
		return
	}
	b.routers[key] = d.Name
	b.config.Instances = append(b.config.Instances, d.Instance)
}

// advertInterval adjusts the interval as the version of the protocol asks: whole seconds in version 2, steps of 10 ms
// up to 40.95 s in version 3.
func (b *binder) advertInterval(d *instanceDraft) {
	s := find(d.statement, "advert_int")
	if s == nil {
		return
	}
	step, most := time.Second, time.Duration(math.MaxInt64)
	if d.version == 3 {
		step, most = 10*time.Millisecond, 40950*time.Millisecond
	}
	fit := min(max(d.AdvertInterval.Round(step), step), most)
	if fit != d.AdvertInterval {
		b.diags.warnf(s.Pos, seconds(d.AdvertInterval), "advert_int %s is set to %s: VRRP version %d counts in steps of %s s",
			seconds(d.AdvertInterval), seconds(fit), d.version, seconds(step))
		d.AdvertInterval = fit
	}
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

// checkUnservedVRRP reports what keepalived would adjust or refuse in words that are not served yet.
func (b *binder) checkUnservedVRRP(d *instanceDraft) {
	if d.Master || d.Priority == 255 {
		for _, word := range []string{"nopreempt", "preempt_delay"} {
			if s := find(d.statement, word); s != nil {
				b.diags.warnf(s.Pos, "", "%s needs state BACKUP and a priority below 255 and has no effect in vrrp_instance %s", word, d.Name)
			}
		}
	}
	if s := find(d.statement, "unicast_peer"); s != nil && b.strict {
		b.diags.warnf(s.Pos, "", "vrrp_strict does not allow unicast in vrrp_instance %s", d.Name)
	}
	auth := find(d.statement, "authentication")
	if auth == nil {
		return
	}
	if b.strict || d.version == 3 {
		why := "VRRP version 3 has no"
		if b.strict {
			why = "vrrp_strict does not allow"
		}
		b.diags.warnf(auth.Pos, "", "%s authentication; it is ignored in vrrp_instance %s", why, d.Name)
	}
	const passLen = 8
	if s := find(auth, "auth_pass"); s != nil && len(s.Args) > 0 && len(s.Args[0].Text) > passLen {
		b.diags.warnf(s.Args[0].Pos, s.Args[0].Text, "auth_pass has %d bytes and is cut to %d", len(s.Args[0].Text), passLen)
	}
}

// checkReferences reports names in VRRP blocks that no block has.
func (b *binder) checkReferences(f *File) {
	have := map[string]*nameSet{"vrrp_script": {}, "vrrp_instance": {}}
	for _, s := range f.Statements {
		if set := have[s.Keyword]; set != nil && len(s.Args) > 0 {
			set.add(s.Args[0].Text)
		}
	}
	for _, s := range f.Statements {
		if s.Keyword != "vrrp_instance" && s.Keyword != "vrrp_sync_group" {
			continue
		}
		if block := find(s, "track_script"); block != nil && block.Block != nil {
			for _, line := range block.Block.Statements {
				b.checkName(have, line.Pos, line.Keyword, "track_script", "vrrp_script")
			}
		}
		group := find(s, "group")
		if s.Keyword != "vrrp_sync_group" || group == nil || group.Block == nil {
			continue
		}
		for _, line := range group.Block.Statements {
			b.checkName(have, line.Pos, line.Keyword, "vrrp_sync_group", "vrrp_instance")
			for _, a := range line.Args {
				b.checkName(have, a.Pos, a.Text, "vrrp_sync_group", "vrrp_instance")
			}
		}
	}
}

// A nameSet holds the names of the blocks of one kind.
type nameSet struct {
	list []string
	set  map[string]bool
}

func (n *nameSet) add(name string) {
	if n.set == nil {
		n.set = make(map[string]bool)
	}
	n.set[name] = true
	n.list = append(n.list, name)
}

// checkName reports a name that no block of a kind has.
func (b *binder) checkName(have map[string]*nameSet, pos Pos, name, where, kind string) {
	if !have[kind].set[name] {
		b.diags.errorf(pos, name, "%s names %q, and there is no %s of that name; it is ignored", where, name, kind).suggest(suggest(name, have[kind].list))
	}
}
