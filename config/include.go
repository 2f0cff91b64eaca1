package config

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// includeChecks are the failures of includes that `keepalived -t` counts (include_t in lib/parser.h): those of the
// letter behind the word, and those of include_check.
type includeChecks uint8

const (
	checkRead     includeChecks = 1 << iota // a file cannot be read, is a directory, or may be executed
	checkMatch                              // a file that is named is missing, or the directory of a pattern
	checkWildcard                           // no file matches a pattern
	checkBrace                              // a file that braces name is missing
	checkAll      = checkRead | checkMatch | checkWildcard | checkBrace
)

// includeLetter returns what the letter behind "include" counts.
func includeLetter(c byte) (includeChecks, bool) {
	switch c {
	case 'r':
		return checkRead, true
	case 'm':
		return checkRead | checkMatch, true
	case 'w':
		return checkRead | checkMatch | checkWildcard, true
	case 'b':
		return checkRead | checkBrace, true
	case 'a':
		return checkAll, true
	}
	return 0, false
}

// includeWord returns what a word of include_check stands for.
func includeWord(s string) (includeChecks, bool) {
	switch s {
	case "read":
		return checkRead, true
	case "match":
		return checkMatch, true
	case "wildcard_match":
		return checkWildcard, true
	case "brace_match":
		return checkBrace, true
	}
	return 0, false
}

// exit returns what `keepalived -t` makes of a failure.
func (c includeChecks) exit(failure includeChecks) Exit {
	if c&failure == 0 {
		return ExitOK
	}
	return ExitInsecure
}

// includeCheck takes an include_check to heart, to the end of the file that it stands in. A first word without sign is
// the only one, and goes with read; a sign adds to what was before, or takes off; no word stands for all.
func (r *reader) includeCheck(args []Word) {
	if len(args) == 0 {
		r.checks = checkAll
	}
	for i, w := range args {
		name := w.Text
		add, take := strings.HasPrefix(name, "+"), strings.HasPrefix(name, "-")
		if add || take {
			name = name[1:]
		} else if i == 0 {
			r.checks = 0
		}
		c, known := includeWord(name)
		switch {
		case !known:
			r.diags.errorf(w.Pos, w.Text, "include_check %q is not one of brace_match, match, read, wildcard_match; it is ignored", w.Text)
		case take:
			r.checks &^= c
		case add:
			r.checks |= c
		case i == 0:
			r.checks = checkRead | c
		default:
			r.diags.errorf(w.Pos, w.Text, "include_check %q stands behind another word without a sign; it is ignored", w.Text).suggest("+" + name)
		}
	}
}

// includeLine recognises an include and returns its pattern: all that stands after it on the line.
func includeLine(t text) (checks includeChecks, pattern text, ok bool) {
	if !strings.HasPrefix(t.s, "include") {
		return 0, text{}, false
	}
	n := len("include")
	if n < len(t.s) {
		if checks, ok = includeLetter(t.s[n]); ok {
			n++
		}
	}
	if n >= len(t.s) || !isBlank(t.s[n]) {
		return 0, text{}, false
	}
	return checks, t.slice(n, len(t.s)).trim(), true
}

// include reads the files of a pattern, which may hold csh braces and glob characters and is relative to the
// directory of the file that it stands in.
func (r *reader) include(checks includeChecks, t text) {
	t, ok := r.expand(t, nil)
	if !ok {
		return
	}
	checks |= r.checks
	if strings.Count(t.s, `"`)%2 != 0 {
		d := r.diags.errorf(t.pos(0), t.s, "include %s has a quote that is not closed", t.s)
		if exit := checks.exit(checkMatch); exit != ExitOK { // as there is no such file either
			d.exit(exit)
		}
		d.suggest(strings.ReplaceAll(t.s, `"`, ""))
		return
	}
	if strings.HasPrefix(t.s, `"`) {
		r.diags.errorf(t.pos(0), t.s, "include takes a bare name, without quotes").exit(checks.exit(checkMatch)).suggest(strings.Trim(t.s, `"`))
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
		name := r.resolve(pattern)
		names := r.glob(name)
		for _, name := range names {
			r.includeFile(checks, t, name, hasMeta(pattern))
		}
		found += len(names)
		if len(names) == 0 && r.absent(name) {
			missing = append(missing, pattern)
		}
	}
	failure := checkMatch
	if open, _, _ := bracePair(t.s); open >= 0 {
		failure = checkBrace
	}
	switch {
	case len(missing) > 0 && found > 0:
		if checks&checkBrace != 0 {
			r.diags.errorf(t.pos(0), t.s, "include %s: no file %s", t.s, strings.Join(missing, ", ")).exit(ExitInsecure)
		}
	case len(missing) > 0:
		what := "no such file"
		if hasMeta(t.s) {
			what += " or directory"
		}
		d := r.diags.errorf(t.pos(0), t.s, "include %s: %s", t.s, what).exit(checks.exit(failure))
		if checks == 0 {
			d.warning()
		}
	case found == 0 && checks&checkWildcard != 0:
		r.diags.errorf(t.pos(0), t.s, "include %s: no file matches", t.s).exit(ExitInsecure)
	}
}

// resolve returns a pattern as an fs name, from the directory of the file that is being read.
func (r *reader) resolve(pattern string) string {
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
	return name
}

// absent reports whether a pattern without a match lacks a file or directory that it names, as glob(3) finds out: of
// dir/*.conf that is dir, and of */x.conf the x.conf of each directory.
func (r *reader) absent(pattern string) bool {
	if !hasMeta(pattern) {
		return true
	}
	dir, base := path.Split(pattern)
	dir = path.Clean(dir)
	if !hasMeta(dir) {
		info, err := fs.Stat(r.fsys, dir)
		return err != nil || !info.IsDir()
	}
	return !hasMeta(base) && len(r.glob(dir)) > 0 || r.absent(dir)
}

// glob returns the names that match, sorted; like glob(3), it lets no wildcard match a leading dot. A name without
// wildcards matches itself if there is something of that name, readable or not.
func (r *reader) glob(pattern string) []string {
	if !hasMeta(pattern) {
		if _, err := fs.Stat(r.fsys, pattern); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			return nil
		}
		return []string{pattern}
	}
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
func (r *reader) includeFile(checks includeChecks, t text, name string, matched bool) {
	if slices.Contains(r.open, name) {
		chain := append(slices.Clone(r.open[slices.Index(r.open, name):]), name)
		for i := range chain {
			chain[i] = r.display(chain[i])
		}
		// keepalived goes round until it may open no more files, and counts that as one that it cannot read.
		r.diags.errorf(t.pos(0), t.s, "include makes a cycle: %s", strings.Join(chain, " → ")).exit(checks.exit(checkRead))
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
		d := r.diags.errorf(t.pos(0), t.s, "include: %v", err).exit(checks.exit(checkRead))
		if matched && checks == 0 {
			d.warning()
		}
		return
	}
	before := r.checks
	r.file(name, data)
	r.checks = before
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
