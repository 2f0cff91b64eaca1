package config

import "strings"

// maxWeight is the largest weight of most things; those of files and processes may be one more.
const maxWeight = 253

// A trackable is something that instances and groups may follow by its name.
type trackable struct {
	pos     Pos
	weight  int
	reverse bool
}

// trackables are the things of one kind that are defined so far: keepalived finds only what stands above.
type trackables map[string]trackable

// trackWord binds a block that names what an instance or a group follows.
func (b *binder) trackWord(t *Track, owner string, k *keyword, s *Statement) bool {
	switch k.canonical() {
	case "track_interface":
		for _, line := range s.Block.Statements {
			b.trackInterface(t, owner, line)
		}
	case "track_script":
		b.trackLines(&t.Scripts, owner, s, trackKind{word: "track_script", block: "vrrp_script", have: b.trackedScripts, limit: maxWeight, tolerant: true})
	case "track_file":
		b.trackLines(&t.Files, owner, s, trackKind{word: "track_file", block: "track_file", have: b.trackedFiles, limit: maxWeight + 1})
	case "track_process":
		b.trackLines(&t.Processes, owner, s, trackKind{word: "track_process", block: "vrrp_track_process", have: b.trackedProcesses, limit: maxWeight + 1, tolerant: true})
	case "track_bfd":
		b.trackLines(&t.BFDs, owner, s, trackKind{word: "track_bfd", block: "bfd_instance", have: b.trackedBFDs, limit: maxWeight})
	default:
		return false
	}
	return true
}

// A trackKind is how the lines of one block are bound.
type trackKind struct {
	word, block string
	have        trackables
	limit       int
	// tolerant lines stay with a wrong word after the weight.
	tolerant bool
}

// trackLines binds NAME [weight N] [reverse|noreverse], one a line.
func (b *binder) trackLines(to *[]Tracked, owner string, s *Statement, kind trackKind) {
	for _, line := range s.Block.Statements {
		if !b.line(line, kind.word) {
			continue
		}
		name := line.Keyword
		found, ok := kind.have[name]
		if !ok {
			b.notFound(line, name, kind)
			continue
		}
		if tracks(*to, name) {
			b.diags.errorf(line.Pos, name, "%s names %s twice in %s; this one is ignored", kind.word, name, owner)
			continue
		}
		t := Tracked{Pos: line.Pos, Name: name, Weight: found.weight, Reverse: found.reverse}
		w := weightWords{weight: &t.Weight, reverse: &t.Reverse, def: found.weight, limit: kind.limit, of: kind.word + " " + name, noreverse: true}
		if kind.word == "track_script" {
			w.over = 1
		}
		if b.weightAfter(line.Args, w) || kind.tolerant && w.weighted(line.Args) {
			*to = append(*to, t)
		}
	}
}

func tracks(list []Tracked, name string) bool {
	for i := range list {
		if list[i].Name == name {
			return true
		}
	}
	return false
}

// notFound reports a name that nothing above has.
func (b *binder) notFound(line *Statement, name string, kind trackKind) {
	below, ok := b.blocks[kind.block][name]
	switch {
	case ok && below.File == line.File && below.Line < line.Line:
		b.diags.errorf(line.Pos, name, "%s names %q, whose %s (%s) is ignored; so is this", kind.word, name, kind.block, below.from(line.Pos))
		return
	case ok:
		b.diags.errorf(line.Pos, name, "%s names %q, whose %s stands further down (%s); it is ignored: move that block above", kind.word, name, kind.block, below.from(line.Pos))
		return
	}
	have := make([]string, 0, len(kind.have))
	for n := range kind.have {
		have = append(have, n)
	}
	b.diags.errorf(line.Pos, name, "%s names %q, and there is no %s of that name; it is ignored", kind.word, name, kind.block).suggest(nearest(name, have))
}

// weightWords says where "weight N [reverse]" of a line goes.
type weightWords struct {
	weight  *int
	reverse *bool
	def     int // of a weight that cannot be used
	limit   int
	over    int // how far above the limit a weight may be, to be cut
	of      string
	// noreverse may be written, too.
	noreverse bool
}

// weighted reports whether the words have a weight, however wrong what follows is.
func (weightWords) weighted(ws []Word) bool { return len(ws) > 1 && ws[0].Text == "weight" }

// weightAfter binds [weight N [reverse]] and reports whether the line can be used.
func (b *binder) weightAfter(ws []Word, to weightWords) bool {
	if len(ws) == 0 {
		return true
	}
	if ws[0].Text != "weight" {
		b.diags.errorf(ws[0].Pos, ws[0].Text, "%q is not an option of %s (have: weight); it is ignored", ws[0].Text, to.of)
		return false
	}
	if len(ws) == 1 {
		b.diags.errorf(ws[0].Pos, "weight", "weight needs a whole number from %d to %d after it; %s is ignored", -to.limit, to.limit, to.of)
		return false
	}
	n, ok := parseNumber(ws[1].Text, signed(int64(-to.limit-to.over), int64(to.limit+to.over)))
	*to.weight = int(n)
	switch {
	case !ok:
		b.diags.errorf(ws[1].Pos, ws[1].Text, "weight %q of %s is not a whole number from %d to %d; %d is used", ws[1].Text, to.of, -to.limit, to.limit, to.def)
		*to.weight = to.def
	case int(n) < -to.limit || int(n) > to.limit:
		*to.weight = min(max(int(n), -to.limit), to.limit)
		b.diags.warnf(ws[1].Pos, ws[1].Text, "weight %d of %s is set to %d", n, to.of, *to.weight)
	}
	if len(ws) == 2 {
		return true
	}
	switch {
	case ws[2].Text == "reverse":
		*to.reverse = true
	case ws[2].Text == "noreverse" && to.noreverse:
		*to.reverse = false
	default:
		have := "reverse"
		if to.noreverse {
			have = "noreverse, reverse"
		}
		b.diags.errorf(ws[2].Pos, ws[2].Text, "%q is not an option of a weight (have: %s); it is ignored", ws[2].Text, have)
		return false
	}
	return true
}

// trackInterface binds one line of track_interface.
func (b *binder) trackInterface(t *Track, owner string, s *Statement) {
	if !b.line(s, "track_interface") || !b.link("track_interface", Word{Pos: s.Pos, Text: s.Keyword}) {
		return
	}
	for i := range t.Interfaces {
		if t.Interfaces[i].Interface == s.Keyword {
			b.diags.errorf(s.Pos, s.Keyword, "track_interface names %s twice in %s; this one is ignored", s.Keyword, owner)
			return
		}
	}
	l := TrackedInterface{Pos: s.Pos, Interface: s.Keyword}
	w := weightWords{weight: &l.Weight, reverse: &l.Reverse, limit: maxWeight, over: 1, of: "track_interface " + s.Keyword}
	if b.weightAfter(s.Args, w) || w.weighted(s.Args) {
		t.Interfaces = append(t.Interfaces, l)
	}
}

// completeTrack takes back what an instance cannot track: its own interface, and weights where they do not count.
func (b *binder) completeTrack(d *instanceDraft) {
	kept := d.Track.Interfaces[:0:0]
	for _, t := range d.Track.Interfaces {
		if t.Interface == d.Interface {
			b.diags.warnf(t.Pos, t.Interface, "track_interface %s is vrrp_instance %s's own interface, which it follows anyway; it is ignored", t.Interface, d.Name)
			continue
		}
		kept = append(kept, t)
	}
	d.Track.Interfaces = kept
	owner := d.Priority == 255
	grouped := d.memberOfGroup != nil && !d.memberOfGroup.TrackWeights
	if owner || grouped {
		b.withoutWeights(d, grouped)
	}
}

// withoutWeights removes weights from an instance that owns its addresses, or is in a group without
// sync_group_tracking_weight. Processes keep theirs, as keepalived does not look at them.
func (b *binder) withoutWeights(d *instanceDraft, grouped bool) {
	why := "it has priority 255"
	if grouped {
		why = "its group has no sync_group_tracking_weight"
	}
	kept := d.Track.Interfaces[:0:0]
	for _, t := range d.Track.Interfaces {
		if t.Weight != 0 {
			what := "track_interface %s is ignored"
			if grouped {
				what = "the weight of track_interface %s is ignored"
			}
			b.diags.warnf(t.Pos, t.Interface, what+" in vrrp_instance %s: %s", t.Interface, d.Name, why)
			if !grouped {
				continue
			}
			t.Weight = 0
		}
		kept = append(kept, t)
	}
	d.Track.Interfaces = kept
	d.Track.Scripts = b.unweighted(d, d.Track.Scripts, "track_script", why)
	d.Track.BFDs = b.unweighted(d, d.Track.BFDs, "track_bfd", why)
	for i := range d.Track.Files {
		if t := &d.Track.Files[i]; t.Weight == 1 { // which is the default, so nobody may have meant it
			b.diags.warnf(t.Pos, t.Name, "track_file %s counts with weight 0 in vrrp_instance %s: %s", t.Name, d.Name, why)
			t.Weight = 0
		}
	}
	d.Track.Files = b.unweighted(d, d.Track.Files, "track_file", why)
}

// unweighted leaves out what has a weight.
func (b *binder) unweighted(d *instanceDraft, list []Tracked, word, why string) []Tracked {
	kept := list[:0:0]
	for _, t := range list {
		if t.Weight != 0 {
			b.diags.warnf(t.Pos, t.Name, "%s %s with a weight is ignored in vrrp_instance %s: %s", word, t.Name, d.Name, why)
			continue
		}
		kept = append(kept, t)
	}
	return kept
}

// nearest suggests one of names in any order.
func nearest(word string, names []string) string {
	best := ""
	for _, n := range names {
		if s := suggest(word, []string{n}); s != "" && (best == "" || strings.Compare(n, best) < 0) {
			best = n
		}
	}
	return best
}
