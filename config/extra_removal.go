package config

import "time"

// A Removal is what removed_servers of the extra file says: what becomes of the connections of servers that are
// removed. The zero Removal is none said.
type Removal struct {
	// How is "drain", "drop" or "reset"; "" if nothing is said.
	How string
	// Time is how long connections may go on with drain, 1 s to 24 h; 0: until they end.
	Time time.Duration
}

// removalKeyword is the word's row, which stands at the top level and in virtual_server.
func removalKeyword() keyword {
	return keyword{name: "removed_servers", use: served, exact: true, args: one(enum("drain", "drop", "reset"), opt(num(1, 86400)))}
}

// removal binds it. It reports false if it says nothing that can be done.
func (x *extraBinder) removal(s *Statement, vs values) (r Removal, ok bool) {
	r.How = vs[0].word.Text
	if len(vs) > 1 && vs[1].set {
		if r.How != "drain" {
			x.diags.errorf(s.Args[1].Pos, s.Args[1].Text, "removed_servers %s has no time, as nothing goes on; only drain has one", r.How)
			return Removal{}, false
		}
		r.Time = time.Duration(vs[1].number) * time.Second
	}
	return r, true
}
