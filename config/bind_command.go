package config

// command binds the words of notify_master and the like: a command, which is one word or stands in quotes, then
// perhaps a user and a group. It returns nil where nothing can be run.
func (b *binder) command(s *Statement) *Command {
	c := b.onlyCommand(s)
	if c == nil {
		return nil
	}
	user, group := "", ""
	if len(s.Args) > 1 {
		user = s.Args[1].Text
	}
	if len(s.Args) > 2 {
		group = s.Args[2].Text
	}
	if !b.runnable(s, user, group) {
		b.scripts = b.scripts[:len(b.scripts)-1]
		return nil
	}
	c.User, c.Group = b.runBy(user, group)
	const most = 3
	if len(s.Args) > most {
		b.diags.errorf(s.Args[most].Pos, s.Args[most].Text,
			"%s takes a command, a user and a group; %q is ignored: put a command with arguments into quotes", s.Keyword, s.Args[most].Text).silent()
	}
	return c
}

// onlyCommand binds the first word after a keyword as a command: it is split once more, as a shell would, so that a
// quoted word holds the arguments, too.
func (b *binder) onlyCommand(s *Statement) *Command {
	if len(s.Args) == 0 {
		return nil
	}
	w := s.Args[0]
	parts, ok := shellWords(text{file: w.File, line: w.Line}.at(0, w.Text))
	if !ok {
		b.diags.errorf(w.Pos, w.Text, "the command of %s has a quote that is not closed; it is ignored", s.Keyword)
		return nil
	}
	if len(parts) == 0 {
		b.diags.errorf(w.Pos, w.Text, "%s has no command; it is ignored", s.Keyword)
		return nil
	}
	b.scripts = append(b.scripts, scriptUse{w, parts[0].Text, s.Keyword == "script"})
	c := &Command{Pos: s.Pos}
	for _, p := range parts {
		c.Args = append(c.Args, p.Text)
	}
	return c
}
