package config

import "slices"

// A Program is what is known of the file that a command of a configuration begins with.
type Program struct {
	// Missing: there is no such file, or a word without a slash is in no directory of PATH.
	Missing bool
	// Unsafe names the component of the path that somebody other than root could replace what is run by: the file
	// itself or a directory above it; "" if there is none.
	Unsafe string
}

// defaultScriptUser runs scripts where script_user is not given and it exists.
const defaultScriptUser = "keepalived_script"

// A scriptUse is a command of the configuration and where it stands.
type scriptUse struct {
	word    Word
	program string
	tracked bool // of a vrrp_script
}

// scriptBinder is what a binder knows of the programs that a configuration runs.
type scriptBinder struct {
	security bool // enable_script_security
	// scriptUser and scriptGroup are those of script_user.
	scriptUser, scriptGroup string
	scripts                 []scriptUse
}

// Programs returns the files that the commands of a configuration begin with, as they are written there, each once: what
// Host.Programs is to tell about.
func Programs(f *File) []string {
	var names []string
	walkCommands("", f.Statements, func(w Word) {
		if p := programOf(w); p != "" && !slices.Contains(names, p) {
			names = append(names, p)
		}
	})
	return names
}

func walkCommands(context string, statements []*Statement, fn func(Word)) {
	for _, s := range statements {
		k := keywords.lookup(context, s.Keyword)
		if k == nil {
			continue
		}
		if k.shell && len(s.Args) > 0 {
			fn(s.Args[0])
		}
		if s.Block != nil && k.block != "" && k.block != lines {
			walkCommands(k.block, s.Block.Statements, fn)
		}
	}
}

// programOf returns the first word of a command, "" if there is none.
func programOf(w Word) string {
	parts, ok := shellWords(text{file: w.File, line: w.Line}.at(0, w.Text))
	if !ok || len(parts) == 0 {
		return ""
	}
	return parts[0].Text
}

// scriptGlobals reads who runs scripts, before anything that runs one.
func (b *binder) scriptGlobals(g *Statement) {
	switch g.Keyword {
	case "enable_script_security":
		b.security = true
	case "script_user":
		if len(g.Args) == 0 {
			return
		}
		w := g.Args[0]
		if !b.hasUser(w.Text) {
			b.diags.errorf(w.Pos, w.Text, "script_user %s does not exist on this host; it is ignored", w.Text)
			return
		}
		if len(g.Args) > 1 && !b.hasGroup(g.Args[1].Text) {
			b.diags.errorf(g.Args[1].Pos, g.Args[1].Text, "script_user names the group %s, which does not exist on this host; it is ignored", g.Args[1].Text)
			return
		}
		b.scriptUser, b.scriptGroup = w.Text, ""
		if len(g.Args) > 1 {
			b.scriptGroup = g.Args[1].Text
		}
	}
}

// hasUser reports whether a user exists, or nothing is known about users.
func (b *binder) hasUser(name string) bool {
	return b.host.Users == nil || slices.Contains(b.host.Users, name)
}

// hasGroup reports whether a group exists, or nothing is known about groups.
func (b *binder) hasGroup(name string) bool {
	return b.host.Groups == nil || slices.Contains(b.host.Groups, name)
}

// account reports whether user and group of a statement "user USER [GROUP]" exist; it says what does not, and what
// becomes of it.
func (b *binder) account(s *Statement, what string) bool {
	switch {
	case !b.hasUser(s.Args[0].Text):
		b.diags.errorf(s.Args[0].Pos, s.Args[0].Text, "there is no user %s on this host; %s", s.Args[0].Text, what)
	case len(s.Args) > 1 && !b.hasGroup(s.Args[1].Text):
		b.diags.errorf(s.Args[1].Pos, s.Args[1].Text, "there is no group %s on this host; %s", s.Args[1].Text, what)
	default:
		return true
	}
	return false
}

// runBy is the account that runs a program whose own words name user and group: that of script_user if they name none.
func (b *binder) runBy(user, group string) (string, string) {
	if user == "" {
		return b.scriptUser, b.scriptGroup
	}
	return user, group
}

// runnable reports whether somebody can run the command of a statement. user and group are whom the statement names,
// a group only with a user.
func (b *binder) runnable(s *Statement, user, group string) bool {
	switch {
	case user != "":
		what, name, known := "user", user, b.hasUser(user)
		if known && group != "" {
			what, name, known = "group", group, b.hasGroup(group)
		}
		if !known {
			f := b.diags.errorf(s.Pos, name, "%s %s of %s does not exist on this host; it is not run", what, name, s.Keyword)
			if s.Keyword != "startup_script" && s.Keyword != "shutdown_script" {
				f.silent()
			}
			return false
		}
	case b.security && b.scriptUser == "" && !b.hasUser(defaultScriptUser):
		b.diags.errorf(s.Pos, s.Keyword, "%s is not run: with enable_script_security a script needs a user, there is no user %s on this host, and no script_user is set",
			s.Keyword, defaultScriptUser)
		return false
	}
	return true
}

// finishScripts checks the programs that the configuration runs.
func (b *binder) finishScripts() {
	for _, u := range b.scripts {
		p, known := b.host.Programs[u.program]
		switch {
		case !known:
		case p.Missing:
			f := b.diags.errorf(u.word.Pos, u.program, "there is no file %s; it cannot be run", u.program)
			if !u.tracked {
				f.silent()
			}
		case b.security && p.Unsafe != "":
			f := b.diags.errorf(u.word.Pos, u.program, "%s is not run: others than root may change %s, and enable_script_security is set", u.program, p.Unsafe)
			if !u.tracked {
				f.silent()
			}
		case !b.security:
			b.diags.errorf(u.word.Pos, u.program, "%s is run without enable_script_security in global_defs, by which scripts that others than root may change would be refused", u.program).
				exit(ExitInsecure).warning()
		}
	}
}
