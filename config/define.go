package config

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// A definition is what $NAME stands for: the lines as written, replaced again at each use.
type definition struct {
	lines []string
}

// definitionLines is a definition of several lines that is not complete yet.
type definitionLines struct {
	name  string
	lines []string
}

// add appends a line, without the backslash that continues it.
func (d *definitionLines) add(t text) {
	s := strings.Trim(strings.TrimSuffix(t.s, `\`), blanks)
	if s != "" {
		d.lines = append(d.lines, s)
	}
}

// isNameByte reports whether c may stand in a definition's name; digits not at its beginning.
func isNameByte(c byte, first bool) bool {
	return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' && c >= 'A' || !first && c >= '0' && c <= '9'
}

// nameLen returns the length of the definition name at the beginning of s.
func nameLen(s string) int {
	n := 0
	for n < len(s) && isNameByte(s[n], n == 0) {
		n++
	}
	return n
}

// definitionLine recognises "$NAME=text".
func definitionLine(t text) (name string, value text, ok bool) {
	if !strings.HasPrefix(t.s, "$") {
		return "", text{}, false
	}
	n := nameLen(t.s[1:])
	if n == 0 || len(t.s) <= n+1 || t.s[n+1] != '=' {
		return "", text{}, false
	}
	return t.s[1 : n+1], t.slice(n+2, len(t.s)).trim(), true
}

// beginDefinition recognises the first of several lines of a definition. A definition under an @id that does not
// hold is collected all the same and then forgotten.
func (r *reader) beginDefinition(t text) *definitionLines {
	keep := true
	if strings.HasPrefix(t.s, "@") {
		rest := r.conditional(t)
		if keep = rest.s != ""; !keep {
			rest = t.slice(min(len(t.s), strings.IndexAny(t.s+" ", blanks)), len(t.s)).trim()
		}
		t = rest
	}
	name, value, ok := definitionLine(t)
	if !ok {
		return nil
	}
	if !keep {
		name = ""
	}
	d := &definitionLines{name: name}
	d.add(value)
	return d
}

// define stores a definition of several lines.
func (r *reader) define(d *definitionLines) {
	if d.name != "" {
		r.defs[d.name] = definition{lines: d.lines}
	}
}

// A ref is a use of a definition: its name, what it stands for, and where in the text the use ends.
type ref struct {
	name  string
	lines []string
	end   int
}

// reference looks for a use of a known definition at byte i: ${NAME}, or $NAME before a blank, comma, closing
// parenthesis or the end.
func (r *reader) reference(t text, i int) (ref, bool) {
	s := t.s[i:]
	if len(s) < 2 || s[0] != '$' {
		return ref{}, false
	}
	var name string
	var end int
	if s[1] == '{' {
		j := strings.IndexByte(s, '}')
		if j < 0 {
			return ref{}, false
		}
		name, end = s[2:j], j+1
	} else {
		n := nameLen(s[1:])
		name, end = s[1:n+1], n+1
		if end < len(s) && !strings.ContainsRune(" \t,)", rune(s[end])) {
			return ref{}, false
		}
	}
	if name == "" {
		return ref{}, false
	}
	if d, ok := r.defs[name]; ok {
		return ref{name: name, lines: d.lines, end: i + end}, true
	}
	if v, ok := r.predefined(name); ok {
		return ref{name: name, lines: []string{v}, end: i + end}, true
	}
	return ref{}, false
}

// predefined resolves the names that keepalived itself defines.
func (r *reader) predefined(name string) (string, bool) {
	word, args, _ := strings.Cut(name, " ")
	fields := strings.Fields(args)
	if len(fields) > 0 && word != "_RANDOM" && word != "_ENV" {
		return "", false
	}
	switch word {
	case "_PWD":
		return path.Clean(r.opts.Root + r.dir()), true
	case "_INSTANCE":
		return r.opts.ConfigID, true
	case "_HASH":
		return "#", true
	case "_BANG":
		return "!", true
	case "_ENV":
		if len(fields) != 1 || r.opts.LookupEnv == nil {
			return "", false
		}
		return r.opts.LookupEnv(fields[0])
	case "_RANDOM":
		lo, hi := 0, 32767
		for i, f := range fields {
			n, err := strconv.Atoi(f)
			if err != nil || i > 1 || n < 0 {
				return "", false
			}
			if i == 0 {
				lo = n
			} else {
				hi = n
			}
		}
		if hi < lo || hi-lo+1 <= 0 {
			return "", false
		}
		return strconv.Itoa(lo + r.rng.IntN(hi-lo+1)), true
	}
	return "", false
}

// noteNewer tells of a use at byte i outside quotes that keepalived 2.2.7 takes for a block: it knows no ${_ENV NAME}.
func (r *reader) noteNewer(t text, i int, use ref) {
	if strings.HasPrefix(use.name, "_ENV ") {
		r.diags.notef(t.pos(i), use.name, "keepalived 2.2.7 does not know ${%s} and takes its braces for a block", use.name).exit(ExitFaults)
	}
}

// expand replaces all uses of definitions in t. stack holds the names being replaced. It reports false if the line
// cannot be used; why is reported.
func (r *reader) expand(t text, stack []string) (text, bool) {
	if !strings.Contains(t.s, "$") {
		return t, true
	}
	var b textBuilder
	start, quoted := 0, false
	for i := 0; i < len(t.s); i++ {
		if t.s[i] == '"' {
			quoted = !quoted
		}
		if t.s[i] != '$' {
			continue
		}
		use, ok := r.reference(t, i)
		if !ok {
			if !r.unreplaced(t, i, quoted) {
				return t, false
			}
			continue
		}
		if !quoted {
			r.noteNewer(t, i, use)
		}
		value, ok := r.value(t, i, use, stack)
		if !ok {
			return t, false
		}
		b.add(t.slice(start, i))
		b.add(value)
		if start = use.end; b.s.Len() > maxLine {
			break // fits reports it
		}
		i = use.end - 1
	}
	b.add(t.slice(start, len(t.s)))
	return b.text(t), true
}

// value returns what the use at byte i stands for, itself expanded.
func (r *reader) value(t text, i int, use ref, stack []string) (text, bool) {
	if slices.Contains(stack, use.name) {
		r.diags.errorf(t.pos(i), use.name, "the definition $%s expands itself", use.name)
		return t, false
	}
	if len(stack) >= maxDepth {
		r.diags.errorf(t.pos(i), use.name, "definitions stand more than %d deep here", maxDepth)
		return t, false
	}
	if len(use.lines) > 1 {
		r.diags.errorf(t.pos(i), use.name, "the definition $%s has %d lines and can only be used alone on a line", use.name, len(use.lines))
		return t, false
	}
	return r.expand(t.at(i, strings.Join(use.lines, "")), append(stack, use.name))
}

// unreplaced looks at a "$" that is not a use of a known definition and reports what is probably a mistake. It
// returns false where the rest of the line makes no sense.
func (r *reader) unreplaced(t text, i int, quoted bool) bool {
	s := t.s[i+1:]
	if strings.HasPrefix(s, "{") {
		j := strings.IndexByte(s, '}')
		if j < 0 {
			return true
		}
		name, loss := s[1:j], ""
		if !quoted {
			loss = "; the line is ignored"
		}
		d := r.diags.errorf(t.pos(i), name, "${%s} is not defined%s", name, loss)
		if near := suggest(name, r.defined()); near != "" {
			d.suggest("${" + near + "}")
		}
		if quoted {
			// Inside quotes keepalived leaves it as it stands, and a shell may know it.
			d.warning()
			d.silent()
		}
		return quoted
	}
	n := nameLen(s)
	if _, known := r.defs[s[:n]]; known && n < len(s) {
		r.diags.warnf(t.pos(i), s[:n], "$%s is not replaced in front of %q: write ${%s}", s[:n], s[n:n+1], s[:n]).silent()
	}
	return true
}

// defined lists the names of all definitions, nil if there are too many to suggest one.
func (r *reader) defined() []string {
	if len(r.defs) > 1000 {
		return nil
	}
	names := make([]string, 0, len(r.defs))
	for name := range r.defs {
		names = append(names, name)
	}
	return names
}

// multiLine puts the lines of a definition in the place of t.
func (r *reader) multiLine(t text, use ref) {
	if slices.Contains(r.using, use.name) {
		r.diags.errorf(t.pos(0), use.name, "the definition $%s expands itself", use.name)
		return
	}
	r.using = append(r.using, use.name)
	defer func() { r.using = r.using[:len(r.using)-1] }()
	for _, s := range use.lines {
		if !r.spend(t.pos(0)) {
			return
		}
		r.line(t.at(0, s))
	}
}
