package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Pos is a place in a configuration file as it was written. Line and Column count from 1, Column in bytes; text that
// came out of a definition or a loop has the position of its use. Line 0 means the file as a whole.
type Pos struct {
	File         string
	Line, Column int
}

// String returns the position as "file:line:column", or only the file where no line is known.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// from returns the position as it reads at q: only the line within the same file.
func (p Pos) from(q Pos) string {
	if p.File == q.File {
		return fmt.Sprintf("line %d", p.Line)
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Severity says what a diagnostic means for the operator.
type Severity uint8

const (
	// Error marks something that will not be run as it is written.
	Error Severity = iota + 1
	// Warning marks a value that was adjusted, or a default that was filled in, as keepalived does.
	Warning
	// Note marks a deprecated word, or a word that is known and not served yet.
	Note
)

// String returns "error", "warning" or "note".
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Note:
		return "note"
	}
	return fmt.Sprintf("Severity(%d)", uint8(s))
}

// A Diagnostic is one finding in a configuration. It is an error whatever its severity; errors.As finds a *Diagnostic
// where one was wrapped.
type Diagnostic struct {
	Pos
	Severity Severity
	// Fatal marks the errors on which keepalived exits at once (on all others it goes on with a default), and those
	// after which the rest of the configuration is unknown.
	Fatal bool
	// Exit is the status that `keepalived -t` 2.2.7 would leave with if this were all it found: ExitOK where it says
	// nothing, or says something that it does not count.
	Exit Exit
	// Message says in one line what was found and what was expected, without position and suggestion.
	Message string
	// Value is the offending word, "" where something is missing.
	Value string
	// Suggestion is what was probably meant, "" where nothing is near.
	Suggestion string
}

// String returns the same as Error.
func (d Diagnostic) String() string { return d.Error() }

// Error returns the whole line for the operator: position, severity unless it is an error, message, suggestion.
func (d Diagnostic) Error() string {
	var b strings.Builder
	b.WriteString(d.Pos.String())
	b.WriteString(": ")
	if d.Severity != Error {
		b.WriteString(d.Severity.String() + ": ")
	}
	b.WriteString(d.Message)
	if d.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %q?", d.Suggestion)
	}
	return b.String()
}

// Diagnostics are the findings of one run, sorted by position: files in the order in which they were first read, then
// line, then column. The slice belongs to the caller.
type Diagnostics []Diagnostic

// HasErrors reports whether something in the configuration will not be run as written.
func (ds Diagnostics) HasErrors() bool { return ds.Count(Error) > 0 }

// HasFatal reports whether keepalived would exit on this configuration.
func (ds Diagnostics) HasFatal() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Fatal })
}

// Count returns the number of findings of one severity.
func (ds Diagnostics) Count(s Severity) int {
	n := 0
	for i := range ds {
		if ds[i].Severity == s {
			n++
		}
	}
	return n
}

// sorted orders ds by position, with files ranked as in files.
func (ds Diagnostics) sorted(files []string) Diagnostics {
	rank := make(map[string]int, len(files))
	for i, f := range files {
		rank[f] = i
	}
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(rank[a.File], rank[b.File]),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Severity, b.Severity),
		)
	})
	return ds
}

// A findings gathers diagnostics. What is said of one place once is not said again: a definition that is used in a
// loop repeats its faults.
type findings struct {
	list Diagnostics
	seen map[place]bool
}

// A place is a position with what is said of it.
type place struct {
	pos     Pos
	message string
}

// errorf, warnf and notef record one finding.
func (fs *findings) errorf(p Pos, value, format string, args ...any) finding {
	return fs.add(p, Error, value, format, args...)
}

func (fs *findings) warnf(p Pos, value, format string, args ...any) finding {
	return fs.add(p, Warning, value, format, args...)
}

func (fs *findings) notef(p Pos, value, format string, args ...any) finding {
	return fs.add(p, Note, value, format, args...)
}

func (fs *findings) add(p Pos, s Severity, value, format string, args ...any) finding {
	d := Diagnostic{Pos: p, Severity: s, Message: fmt.Sprintf(format, args...), Value: value}
	if s != Note {
		d.Exit = ExitFaults
	}
	key := place{p, d.Message}
	if fs.seen[key] {
		return finding{&d}
	}
	if fs.seen == nil {
		fs.seen = make(map[place]bool)
	}
	fs.seen[key] = true
	fs.list = append(fs.list, d)
	return finding{&fs.list[len(fs.list)-1]}
}

// A finding completes a diagnostic that was just recorded. It is valid until the next one.
type finding struct{ d *Diagnostic }

func (f finding) suggest(s string) { f.d.Suggestion = s }
func (f finding) fatal()           { f.d.Fatal, f.d.Exit = true, ExitMissing }
func (f finding) warning()         { f.d.Severity = Warning }
func (f finding) note()            { f.d.Severity, f.d.Exit = Note, ExitOK }

// silent marks what keepalived takes without a word, or tells without counting it.
func (f finding) silent() finding { f.d.Exit = ExitOK; return f }

// exit sets what `keepalived -t` makes of the finding.
func (f finding) exit(e Exit) finding { f.d.Exit = e; return f }
