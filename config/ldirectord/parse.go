package ldirectord

import (
	"fmt"
	"slices"
	"strings"

	"uvs/config"
)

// A directive is one line: a name and its value, without the quotes around it.
type directive struct {
	name, value string
	pos         config.Pos // of the name
	at          config.Pos // of the value
}

// A section is what stands together: the lines at the left margin, or those below a virtual. Of a name that stands
// twice the last counts.
type section struct {
	settings map[string]directive
	reals    []directive
}

// A virtual is a virtual or virtual6 line and what stands below it.
type virtual struct {
	head directive
	v6   bool
	section
}

// A document is a whole file.
type document struct {
	global   section
	virtuals []*virtual
}

// indent is how far the lines below a virtual stand from the margin, where a tab counts as so many blanks.
const indent = 4

// A scope says where a directive may stand.
type scope uint8

const (
	inGlobal scope = 1 << iota
	inVirtual
)

// directives are the names that ldirectord 4.12 knows, but for virtual and real, and where they stand.
func directives() map[string]scope {
	m := make(map[string]scope)
	for _, name := range strings.Fields(`autoreload callback cleanstop execute fork logfile maintenancedir readdquiescent supervised`) {
		m[name] = inGlobal
	}
	for _, name := range strings.Fields(`checkcommand checkport checktype comment database httpmethod load login monitorfile
		netmask ops passwd persistent protocol receive request scheduler secret sched-flags service servicename virtualhost`) {
		m[name] = inVirtual
	}
	for _, name := range strings.Fields(`checkcount checkinterval checktimeout cleanstop emailalert emailalertfreq emailalertfrom
		emailalertstatus failurecount fallback fallback6 fallbackcommand negotiatetimeout quiescent smtp`) {
		m[name] = inGlobal | inVirtual
	}
	return m
}

// parse reads a file. What it cannot read is in found.
func parse(name, text string, found *findings) document {
	doc := document{global: section{settings: make(map[string]directive)}}
	known := directives()
	var v *virtual
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(strings.TrimSuffix(line, "\r"), " \t")
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = strings.TrimRight(line[:i], " \t")
		}
		body := strings.TrimLeft(line, " \t")
		if body == "" {
			continue
		}
		d := split(body, config.Pos{File: name, Line: n + 1, Column: len(line) - len(body) + 1})
		margin := len(line) - len(body) + (indent-1)*strings.Count(line[:len(line)-len(body)], "\t")
		switch {
		case margin > 0 && margin < indent:
			found.errorf(d.pos, "%s stands %d blanks from the margin: what belongs to a virtual needs %d or a tab", d.name, margin, indent)
		case margin > 0 && v == nil:
			found.errorf(d.pos, "%s is indented, and no virtual stands above it", d.name)
		case margin > 0:
			v.take(d, known, found)
		case d.name == "virtual" || d.name == "virtual6":
			v = &virtual{head: d, v6: d.name == "virtual6", section: section{settings: make(map[string]directive)}}
			doc.virtuals = append(doc.virtuals, v)
		default:
			v = nil
			doc.global.set(d, inGlobal, known, found)
		}
	}
	return doc
}

// split takes NAME = VALUE apart. A line without "=" is a name alone.
func split(body string, pos config.Pos) directive {
	name, value, _ := strings.Cut(body, "=")
	d := directive{name: strings.TrimSpace(name), value: strings.TrimSpace(value), pos: pos, at: pos}
	d.at.Column += len(body) - len(strings.TrimLeft(value, " \t"))
	if n := len(d.value); n > 1 && d.value[0] == '"' && d.value[n-1] == '"' && d.name != "real" && d.name != "real6" {
		d.value = d.value[1 : n-1]
	}
	return d
}

func (v *virtual) take(d directive, known map[string]scope, found *findings) {
	if d.name == "real" || d.name == "real6" {
		if (d.name == "real6") != v.v6 {
			found.errorf(d.pos, "%s cannot stand below %s", d.name, v.head.name)
			return
		}
		v.reals = append(v.reals, d)
		return
	}
	v.set(d, inVirtual, known, found)
}

func (s *section) set(d directive, where scope, known map[string]scope, found *findings) {
	switch allowed, ok := known[d.name]; {
	case !ok:
		found.errorf(d.pos, "%q is not a directive of ldirectord", d.name)
		found.suggest(near(d.name, known))
	case allowed&where == 0 && where == inGlobal:
		found.errorf(d.pos, "%s stands at the margin, and belongs below a virtual", d.name)
	case allowed&where == 0:
		found.errorf(d.pos, "%s stands below a virtual, and belongs at the margin", d.name)
	case strings.HasPrefix(d.value, `"`):
		found.errorf(d.at, "%s has a quote that is not closed (a # begins a comment, in quotes as well)", d.name)
	case d.value == "":
		found.errorf(d.pos, "%s needs a value: %s = VALUE", d.name, d.name)
	default:
		s.settings[d.name] = d
	}
}

// near returns the known name that differs from a word by a letter or two, "" if there is none.
func near(word string, known map[string]scope) string {
	best, least := "", 3
	for name := range known {
		if n := distance(word, name); n < least || n == least && name < best {
			best, least = name, n
		}
	}
	return best
}

// distance is how many letters have to be changed, added or taken away (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := left
			if a[i] != b[j] {
				change++
			}
			left = row[j+1]
			row[j+1] = min(change, row[j]+1, left+1)
		}
	}
	return row[len(b)]
}

// findings gathers what is said about a file.
type findings struct{ list []config.Diagnostic }

func (f *findings) errorf(pos config.Pos, format string, args ...any) {
	f.list = append(f.list, config.Diagnostic{Pos: pos, Severity: config.Error, Message: fmt.Sprintf(format, args...)})
}

func (f *findings) warnf(pos config.Pos, format string, args ...any) {
	f.list = append(f.list, config.Diagnostic{Pos: pos, Severity: config.Warning, Message: fmt.Sprintf(format, args...)})
}

// suggest says what was probably meant where the last finding is.
func (f *findings) suggest(word string) { f.list[len(f.list)-1].Suggestion = word }

// sorted returns the findings in the order of the file, each once.
func (f *findings) sorted() config.Diagnostics {
	slices.SortStableFunc(f.list, func(a, b config.Diagnostic) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	var out config.Diagnostics
	for _, d := range f.list {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}
