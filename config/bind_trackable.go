package config

import (
	"math"
	"strings"
	"time"
)

// has reports whether there is one of that name.
func (t trackables) has(name string) bool {
	_, ok := t[name]
	return ok
}

// defineTrackable remembers something that can be tracked. Of two with one name keepalived finds the first.
func (b *binder) defineTrackable(have trackables, s *Statement, name string, t trackable) bool {
	if first, taken := have[name]; taken {
		b.diags.errorf(s.Pos, name, "%s %s is already defined (%s); this one is ignored", s.Keyword, name, first.pos.from(s.Pos)).silent()
		return false
	}
	have[name] = t
	return true
}

// scriptBlock binds one vrrp_script.
func (b *binder) scriptBlock(s *Statement, vs values) {
	c := VRRPScript{Pos: s.Pos, Name: vs[0].word.Text, Interval: time.Second, Rise: 1, Fall: 1}
	var command *Command
	var user, group string
	homeless := false // the account to run it does not exist
	others := len(b.scripts)
	b.each("vrrp_script", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "script":
			if len(s.Args) > 0 { // a bare word leaves the one before
				command = b.onlyCommand(s)
			}
			if len(s.Args) > 1 {
				b.diags.errorf(s.Args[1].Pos, s.Args[1].Text, "script takes one word; %q is ignored: put a command with arguments into quotes", s.Args[1].Text).silent()
			}
		case "interval":
			c.Interval = b.atLeastASecond(vs[0])
		case "timeout":
			c.Timeout = b.atLeastASecond(vs[0])
		case "weight":
			c.Weight, c.Reverse = b.weightOf("vrrp_script "+c.Name, s, maxWeight, c.Reverse)
		case "rise":
			c.Rise = max(1, int(vs[0].number))
		case "fall":
			c.Fall = max(1, int(vs[0].number))
		case "user":
			homeless = !b.account(s, "the script is ignored") || homeless
			user, group = vs[0].word.Text, vs[1].word.Text
		case "init_fail":
			c.InitFail = true
		default:
			panic(unbound("vrrp_script", k))
		}
	})
	if c.Timeout == 0 {
		c.Timeout = c.Interval
	}
	if command == nil {
		b.diags.errorf(s.Pos, c.Name, "vrrp_script %s has no script and is ignored", c.Name)
		return
	}
	if homeless {
		b.scripts = b.scripts[:others] // what is not run is not judged
		return
	}
	if user == "" && !b.runnable(s, "", "") {
		return
	}
	c.Command = *command
	c.Command.User, c.Command.Group = b.runBy(user, group)
	if b.defineTrackable(b.trackedScripts, s, c.Name, trackable{s.Pos, c.Weight, c.Reverse}) {
		b.config.Scripts = append(b.config.Scripts, c)
	}
}

// atLeastASecond raises a time of 0 to 1 s, which versions before 2.0.7 took.
func (b *binder) atLeastASecond(v value) time.Duration {
	if v.time == 0 {
		b.diags.warnf(v.word.Pos, v.word.Text, "0 is set to 1 s")
		return time.Second
	}
	return max(v.time, time.Millisecond)
}

// weightOf binds weight N [reverse] of a block. What is no number, or out of range, counts for what it begins with.
func (b *binder) weightOf(of string, s *Statement, limit int, was bool) (weight int, reverse bool) {
	w := s.Args[0]
	n, ok := parseNumber(w.Text, signed(int64(-limit), int64(limit)))
	weight, reverse = int(n), was
	if !ok {
		weight = min(max(leadingNumber(w.Text), -limit), limit)
		b.diags.errorf(w.Pos, w.Text, "weight %q of %s is not a whole number from %d to %d; %d is used", w.Text, of, -limit, limit, weight)
	}
	return weight, b.reverseAfter(of, s.Args[1:], reverse)
}

// reverseAfter binds the word after a weight.
func (b *binder) reverseAfter(of string, ws []Word, was bool) bool {
	switch {
	case len(ws) == 0:
		return was
	case ws[0].Text == "reverse":
		return true
	}
	b.diags.errorf(ws[0].Pos, ws[0].Text, "%q is not an option of the weight of %s (have: reverse); it is ignored", ws[0].Text, of)
	return was
}

// leadingNumber reads as much of s as is a number, as strtol(3) does.
func leadingNumber(s string) int {
	s = strings.TrimLeft(s, blanks)
	sign := 1
	if strings.HasPrefix(s, "-") {
		sign = -1
	}
	n := 0
	for _, c := range strings.TrimLeft(s, "+-") {
		if c < '0' || c > '9' || n > math.MaxInt32 {
			break
		}
		n = n*10 + int(c-'0')
	}
	return sign * n
}

// trackFile binds one track_file.
func (b *binder) trackFile(s *Statement, vs values) {
	f := TrackFile{Pos: s.Pos, Name: vs[0].word.Text, Weight: 1}
	b.each("track_file", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "file":
			if f.Path != "" {
				b.diags.errorf(s.Pos, vs[0].word.Text, "track_file %s has the file %s already; %s is ignored", f.Name, f.Path, vs[0].word.Text)
				return
			}
			f.Path = vs[0].word.Text
		case "weight":
			if f.Weight != 1 {
				b.diags.errorf(s.Pos, vs[0].word.Text, "track_file %s has a weight already; %s is ignored", f.Name, vs[0].word.Text)
				return
			}
			if vs[0].set {
				f.Weight = int(vs[0].number)
			}
			f.Reverse = b.reverseAfter("track_file "+f.Name, s.Args[1:], f.Reverse)
		case "init_file":
			b.initFile(&f, s)
		default:
			panic(unbound("track_file", k))
		}
	})
	if f.Path == "" {
		b.diags.errorf(s.Pos, f.Name, "track_file %s has no file and is ignored", f.Name)
		return
	}
	if b.defineTrackable(b.trackedFiles, s, f.Name, trackable{s.Pos, f.Weight, f.Reverse}) {
		b.config.TrackFiles = append(b.config.TrackFiles, f)
	}
}

// initFile binds init_file [VALUE] [overwrite].
func (b *binder) initFile(f *TrackFile, s *Statement) {
	const sensible = maxWeight + 1
	f.InitCreate, f.InitOverwrite, f.Init = true, false, 0
	for _, w := range s.Args {
		text := strings.TrimLeft(w.Text, blanks)
		switch {
		case text == "overwrite":
			f.InitOverwrite = true
		case text != "" && strings.IndexAny(text[:1], "-0123456789") == 0:
			n, ok := parseNumber(text, signed(math.MinInt32, math.MaxInt32))
			if !ok {
				b.diags.errorf(w.Pos, w.Text, "init_file %q is not a whole number; 0 is used", w.Text)
			} else if n < -sensible || n > sensible {
				b.diags.warnf(w.Pos, w.Text, "init_file %d is beyond what a priority can change by (%d to %d)", n, -sensible, sensible)
			}
			f.Init = int(n)
			if !ok {
				f.Init = 0
			}
		default:
			b.diags.errorf(w.Pos, w.Text, `%q is not an option of init_file (have: a number, overwrite); it is ignored`, w.Text)
		}
	}
}

// trackProcess binds one vrrp_track_process.
func (b *binder) trackProcess(s *Statement, vs values) {
	p := TrackProcess{Pos: s.Pos, Name: vs[0].word.Text, Quorum: 1, QuorumMax: MaxProcesses}
	b.each("vrrp_track_process", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "process":
			b.processWords(&p, s)
		case "param_match":
			p.Match, p.FullCommand = "exact", true
			if vs[0].set {
				p.Match = vs[0].word.Text
			}
		case "weight":
			b.processWeight(&p, s, vs)
		case "quorum", "quorum_max":
			b.processQuorum(&p, k, vs[0])
		case "delay":
			p.ForkDelay, p.TerminateDelay = vs[0].time, vs[0].time
		case "fork_delay":
			p.ForkDelay = vs[0].time
		case "terminate_delay":
			p.TerminateDelay = vs[0].time
		case "full_command":
			p.FullCommand = true
		default:
			panic(unbound("vrrp_track_process", k))
		}
	})
	if p.Process == "" {
		b.diags.errorf(s.Pos, p.Name, "vrrp_track_process %s has no process and is ignored", p.Name)
		return
	}
	if b.defineTrackable(b.trackedProcesses, s, p.Name, trackable{s.Pos, p.Weight, p.Reverse}) {
		b.config.TrackProcesses = append(b.config.TrackProcesses, p)
	}
}

// processWords binds process NAME [args].
func (b *binder) processWords(p *TrackProcess, s *Statement) {
	if p.Process != "" {
		b.diags.errorf(s.Pos, s.Args[0].Text, "vrrp_track_process %s has the process %s already; %s is ignored", p.Name, p.Process, s.Args[0].Text)
		return
	}
	p.Process = s.Args[0].Text
	for _, w := range s.Args[1:] {
		p.Args = append(p.Args, w.Text)
	}
	if len(p.Args) > 0 {
		p.FullCommand = true
		if p.Match == "" {
			p.Match = "exact"
		}
	}
}

// processWeight binds weight N [reverse]. The first that is not 0 counts.
func (b *binder) processWeight(p *TrackProcess, s *Statement, vs values) {
	if p.Weight != 0 {
		b.diags.errorf(s.Pos, s.Args[0].Text, "vrrp_track_process %s has a weight already; %s is ignored", p.Name, s.Args[0].Text)
		return
	}
	if vs[0].set {
		p.Reverse = b.reverseAfter("vrrp_track_process "+p.Name, s.Args[1:], p.Reverse)
		p.Weight = int(vs[0].number)
	}
}

// processQuorum binds quorum and quorum_max, which must not cross.
func (b *binder) processQuorum(p *TrackProcess, k *keyword, v value) {
	n := uint32(v.number)
	if k.canonical() == "quorum" {
		if n > p.QuorumMax {
			b.diags.errorf(v.word.Pos, v.word.Text, "quorum %d is above quorum_max %d; it is ignored", n, p.QuorumMax)
			return
		}
		p.Quorum = n
		return
	}
	if n < p.Quorum && (n > 0 || p.Quorum > 1) {
		b.diags.errorf(v.word.Pos, v.word.Text, "quorum_max %d is below quorum %d; it is ignored", n, p.Quorum)
		return
	}
	p.QuorumMax = n
	switch {
	case n == 0:
		p.Quorum = 0
	case p.Quorum == 0:
		p.Quorum = 1
	}
}

// unusedScripts names the scripts that nobody tracks: they are never run.
func (b *binder) unusedScripts() {
	used := make(map[string]bool)
	for i := range b.config.Instances {
		for _, t := range b.config.Instances[i].Track.Scripts {
			used[t.Name] = true
		}
	}
	for i := range b.config.SyncGroups {
		for _, t := range b.config.SyncGroups[i].Track.Scripts {
			used[t.Name] = true
		}
	}
	for i := range b.config.Scripts {
		if c := &b.config.Scripts[i]; !used[c.Name] {
			b.diags.notef(c.Pos, c.Name, "vrrp_script %s is not tracked by any vrrp_instance or vrrp_sync_group and is never run", c.Name)
		}
	}
}
