package config

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// includeKind is the letter after "include" and says which failures of it are errors: 0 none, 'r' an unreadable
// file, 'm' also a file that is missing, 'w' also a pattern without match, 'b' also a brace alternative without
// match, 'a' all.
type includeKind byte

// strict reports whether the kind makes an error of the failure that kind c introduced.
func (k includeKind) strict(c includeKind) bool {
	switch k {
	case 0:
		return false
	case 'a':
		return true
	}
	return k == c || c == 'r' || k != 'r' && c == 'm'
}

// exit returns what `keepalived -t` makes of the failure that kind c introduced.
func (k includeKind) exit(c includeKind) Exit {
	if k == 'b' && c == 'm' || !k.strict(c) {
		return ExitOK
	}
	return ExitInsecure
}

// includeLine recognises an include and returns its pattern: all that stands after it on the line.
func includeLine(t text) (kind includeKind, pattern text, ok bool) {
	if !strings.HasPrefix(t.s, "include") {
		return 0, text{}, false
	}
	n := len("include")
	if n < len(t.s) && strings.IndexByte("rmwba", t.s[n]) >= 0 {
		kind = includeKind(t.s[n])
		n++
	}
	if n >= len(t.s) || !isBlank(t.s[n]) {
		return 0, text{}, false
	}
	return kind, t.slice(n, len(t.s)).trim(), true
}

// include reads the files of a pattern, which may hold csh braces and glob characters and is relative to the
// directory of the file that it stands in.
func (r *reader) include(kind includeKind, t text) {
	t, ok := r.expand(t, nil)
	if !ok {
		return
	}
	if strings.Count(t.s, `"`)%2 != 0 {
		d := r.diags.errorf(t.pos(0), t.s, "include %s has a quote that is not closed", t.s)
		if exit := kind.exit('m'); exit != ExitOK { // as there is no such file either
			d.exit(exit)
		}
		d.suggest(strings.ReplaceAll(t.s, `"`, ""))
		return
	}
	if strings.HasPrefix(t.s, `"`) {
		r.diags.errorf(t.pos(0), t.s, "include takes a bare name, without quotes").exit(kind.exit('m')).suggest(strings.Trim(t.s, `"`))
		return
	}
	const maxAlternatives = 1024
	alternatives := expandBraces(t.s, maxAlternatives)
	if alternatives == nil {
		r.diags.errorf(t.pos(0), t.s, "include %s has more than %d brace alternatives", t.s, maxAlternatives)
		return
	}
	found, missing := 0, []string(nil)
	for _, pattern := range alternatives {
		n := r.includePattern(kind, t, pattern)
		if n == 0 && (len(alternatives) > 1 || !hasMeta(pattern)) {
			missing = append(missing, pattern)
		}
		found += n
	}
	switch {
	case len(missing) > 0 && found > 0:
		if kind.strict('b') {
			r.diags.errorf(t.pos(0), t.s, "include %s: no file %s", t.s, strings.Join(missing, ", ")).exit(ExitInsecure)
		}
	case len(missing) > 0:
		d := r.diags.errorf(t.pos(0), t.s, "include %s: no such file", t.s).exit(kind.exit('m'))
		if !kind.strict('r') {
			d.warning()
		}
	case found == 0 && kind.exit('m') != ExitOK:
		r.diags.errorf(t.pos(0), t.s, "include %s: no file matches", t.s).exit(ExitInsecure)
	}
}

// includePattern reads the files that one alternative names and returns how many there are, readable or not.
func (r *reader) includePattern(kind includeKind, t text, pattern string) int {
	name := pattern
	if strings.HasPrefix(name, "/") {
		name = strings.TrimLeft(path.Clean(name), "/")
	} else {
		name = path.Join(r.dir(), name)
		for strings.HasPrefix(name, "../") { // above the root is the root
			name = name[3:]
		}
	}
	if name == "" || name == ".." {
		name = "."
	}
	names := []string{name}
	if hasMeta(name) {
		names = r.glob(name)
	} else if _, err := fs.Stat(r.fsys, name); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return 0
	}
	for _, name := range names {
		r.includeFile(kind, t, name, hasMeta(pattern))
	}
	return len(names)
}

// glob returns the names that match, sorted; like glob(3), it lets no wildcard match a leading dot.
func (r *reader) glob(pattern string) []string {
	names, err := fs.Glob(r.fsys, strings.ReplaceAll(pattern, "[!", "[^"))
	if err != nil {
		return nil
	}
	parts := strings.Split(pattern, "/")
	names = slices.DeleteFunc(names, func(name string) bool {
		for i, part := range strings.Split(name, "/") {
			if strings.HasPrefix(part, ".") && i < len(parts) && !strings.HasPrefix(parts[i], ".") {
				return true
			}
		}
		return false
	})
	slices.Sort(names)
	return names
}

// includeFile reads one file in the place of the include.
func (r *reader) includeFile(kind includeKind, t text, name string, matched bool) {
	if slices.Contains(r.open, name) {
		chain := append(slices.Clone(r.open[slices.Index(r.open, name):]), name)
		for i := range chain {
			chain[i] = r.display(chain[i])
		}
		r.diags.errorf(t.pos(0), t.s, "include makes a cycle: %s", strings.Join(chain, " → "))
		return
	}
	if !r.spend(t.pos(0)) {
		return
	}
	if r.depth >= maxDepth {
		r.diags.errorf(t.pos(0), t.s, "include stands more than %d deep here", maxDepth)
		return
	}
	data, err := r.load(name)
	if err != nil {
		d := r.diags.errorf(t.pos(0), t.s, "include: %v", err).exit(kind.exit('r'))
		if matched && !kind.strict('r') {
			d.warning()
		}
		return
	}
	r.file(name, data)
}

// hasMeta reports whether a name holds glob characters.
func hasMeta(s string) bool { return strings.ContainsAny(s, `*?[\`) }

// expandBraces gives the alternatives of csh braces: "a{b,c}d" is abd and acd. Braces nest; braces that do not pair
// stand for themselves. It returns nil if there are more than limit.
func expandBraces(s string, limit int) []string {
	open, end, commas := bracePair(s)
	if open < 0 {
		return []string{s}
	}
	tails := expandBraces(s[end+1:], limit)
	if tails == nil {
		return nil
	}
	var out []string
	bounds := append(append([]int{open}, commas...), end)
	for i := range len(bounds) - 1 {
		heads := expandBraces(s[bounds[i]+1:bounds[i+1]], limit)
		if heads == nil || len(out)+len(heads)*len(tails) > limit {
			return nil
		}
		for _, head := range heads {
			for _, tail := range tails {
				out = append(out, s[:open]+head+tail)
			}
		}
	}
	return out
}

// bracePair finds the first outermost pair of braces and the commas directly inside it; open is -1 if there is none.
func bracePair(s string) (open, end int, commas []int) {
	for open = range len(s) {
		if s[open] != '{' {
			continue
		}
		depth := 0
		commas = nil
		for end = open; end < len(s); end++ {
			switch {
			case s[end] == '{':
				depth++
			case s[end] == '}':
				if depth--; depth == 0 {
					return open, end, commas
				}
			case s[end] == ',' && depth == 1:
				commas = append(commas, end)
			}
		}
	}
	return -1, 0, nil
}
