package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
)

// Options are what a configuration may depend on beside its files. The zero value serves.
type Options struct {
	// ConfigID decides lines that begin with @id, and is ${_INSTANCE}. keepalived takes it from -i, else the first
	// label of the host name.
	ConfigID string
	// LookupEnv resolves ${_ENV NAME}; nil means that no variable is set.
	LookupEnv func(name string) (value string, ok bool)
	// Seed makes ${_RANDOM} repeatable.
	Seed uint64
	// Root stands before each file name in positions and in ${_PWD}: "/" where fsys is the whole file system.
	Root string
	// MaxLines bounds the lines that the files, definitions and loops together give, where each brace begins a line of
	// its own; 0 means DefaultMaxLines.
	MaxLines int
}

const (
	// DefaultMaxLines is the bound on lines after expansion where Options names none: some 50000 real servers.
	DefaultMaxLines = 1 << 19

	maxFileSize = 64 << 20 // bytes of one file
	maxText     = 4 << 20  // bytes of all statements together, without comments and indentation
	maxDepth    = 64       // definitions, loops and includes inside each other
)

// A reader turns files into logical lines: it takes off comments, follows includes, keeps definitions and runs
// loops. Each line that is left goes to emit.
type reader struct {
	fsys  fs.FS
	opts  Options
	rng   *rand.Rand
	diags *findings
	emit  func(text)

	defs  map[string]definition
	files []string // as displayed, in order of first use
	open  []string // fs names of the files being read, outermost first
	// checks are those of include_check, as it stands in the file being read.
	checks includeChecks
	lines  int
	bytes  int // of the statements given to emit
	depth  int
	using  []string // definitions of several lines whose lines are being read
	stop   bool     // the line bound was reached and reported
}

func newReader(fsys fs.FS, opts Options, diags *findings, emit func(text)) *reader {
	if opts.MaxLines <= 0 {
		opts.MaxLines = DefaultMaxLines
	}
	return &reader{
		fsys: fsys, opts: opts, diags: diags, emit: emit,
		rng:  rand.New(rand.NewPCG(opts.Seed, 0)),
		defs: make(map[string]definition),
	}
}

// display returns the name of a file as the operator knows it.
func (r *reader) display(name string) string { return r.opts.Root + name }

// file reads one file whose content is known to be wanted; load reports why not.
func (r *reader) file(name string, data []byte) {
	display := r.display(name)
	if !slices.Contains(r.files, display) {
		r.files = append(r.files, display)
	}
	r.open = append(r.open, name)
	defer func() { r.open = r.open[:len(r.open)-1] }()

	var multi *definitionLines // a definition whose lines are being collected
	rest, skipped := r.unmark(display, string(data))
	for n := 1; rest != "" && !r.stop; n++ {
		var raw string
		raw, rest, _ = strings.Cut(rest, "\n")
		raw = strings.TrimRight(raw, "\r")
		line := text{file: display, line: n, s: raw, base: 1 + skipped}
		skipped = 0
		if !r.spend(line.pos(0)) {
			continue
		}
		line = r.untilNUL(line)
		more := strings.HasSuffix(strings.TrimRight(line.s, blanks), `\`)
		t := uncomment(line).trim()
		if !r.fitsBuffer(line, t) {
			continue
		}
		if multi != nil {
			multi.add(t)
			if !more {
				r.define(multi)
				multi = nil
			}
			continue
		}
		if more {
			if multi = r.beginDefinition(t); multi != nil {
				continue
			}
		}
		r.line(t)
	}
	if multi != nil {
		r.define(multi)
	}
}

// unmark takes a byte order mark off the beginning of a file, and says how many bytes it had.
func (r *reader) unmark(display, s string) (rest string, skipped int) {
	const utf8, utf16le, utf16be = "\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"
	at := Pos{File: display, Line: 1, Column: 1}
	switch {
	case strings.HasPrefix(s, utf8):
		r.diags.warnf(at, "", "the file begins with a byte order mark (bytes EF BB BF), which keepalived takes for a part of the first word; "+
			"here it is skipped. Save the file as UTF-8 without BOM, or: sed -i '1s/^\\xEF\\xBB\\xBF//' %s", display)
		return s[len(utf8):], len(utf8)
	case strings.HasPrefix(s, utf16le), strings.HasPrefix(s, utf16be):
		r.diags.errorf(at, "", "the file is in UTF-16 and is ignored: save it as UTF-8, or: iconv -f UTF-16 -t UTF-8 %s", display)
		return "", 0
	}
	return s, 0
}

// untilNUL cuts a line at a NUL byte, as keepalived's C strings end there.
func (r *reader) untilNUL(t text) text {
	i := strings.IndexByte(t.s, 0)
	if i < 0 {
		return t
	}
	r.diags.errorf(t.pos(i), "", "the line holds a NUL byte; it is ignored with all that follows it on the line").silent()
	return t.slice(0, i)
}

// fitsBuffer looks at a line that is longer than keepalived's buffer, so that keepalived reads it piece by piece, each
// as a line of its own. The statement t in it, without its comment, can be used if it lies within one piece.
func (r *reader) fitsBuffer(line, t text) bool {
	if len(line.s) <= maxLine {
		return true
	}
	const piece = maxLine + 1 // without a newline
	own := -1                 // the piece that t is in
	if t.s != "" {
		own = (t.col(0) - line.base) / piece
		if last := (t.col(len(t.s)-1) - line.base) / piece; last != own {
			r.diags.errorf(line.pos(maxLine), "", "the line is %d bytes long (at most %d) and is ignored", len(line.s), maxLine)
			return false
		}
	}
	for i := 0; i < len(line.s); i += piece {
		if i/piece != own && uncomment(line.slice(i, min(i+piece, len(line.s)))).trim().s != "" {
			r.diags.warnf(line.pos(i), "", "the line is %d bytes long with its comment: keepalived takes what stands from here on for a line of its own", len(line.s))
			break
		}
	}
	return true
}

// spend counts one line and reports whether the bound still holds.
func (r *reader) spend(p Pos) bool {
	if r.stop {
		return false
	}
	r.lines++
	if r.lines > r.opts.MaxLines {
		r.stop = true
		r.diags.errorf(p, "", "the configuration expands to more than %d lines; the rest is ignored", r.opts.MaxLines).fatal()
	}
	return !r.stop
}

// spendText counts the bytes of a statement and reports whether the bound still holds.
func (r *reader) spendText(t text) bool {
	if r.bytes += len(t.s); r.bytes > maxText {
		r.stop = true
		r.diags.errorf(t.pos(0), "", "the configuration expands to more than %d MiB; the rest is ignored", maxText>>20).fatal()
	}
	return !r.stop
}

// line takes one logical line without its comment: an include, a conditional line, a definition, a loop, or a text
// whose definitions are replaced and which is then a statement.
func (r *reader) line(t text) {
	if r.depth++; r.depth > maxDepth {
		r.diags.errorf(t.pos(0), t.s, "definitions, loops and includes stand more than %d deep here", maxDepth)
		r.depth--
		return
	}
	defer func() { r.depth-- }()

	for used := []string(nil); ; {
		t = t.trim()
		if t.s == "" || r.stop {
			return
		}
		if checks, pattern, ok := includeLine(t); ok {
			r.include(checks, pattern)
			return
		}
		if t.s[0] == '@' {
			if t, used = r.conditional(t), nil; t.s == "" {
				return
			}
			continue
		}
		if name, value, ok := definitionLine(t); ok {
			r.defs[name] = definition{lines: []string{value.s}}
			return
		}
		if isLoop(t.s) {
			r.loop(t)
			return
		}
		// A definition at the head may bring any of the above.
		ref, ok := r.reference(t, 0)
		if !ok {
			break
		}
		if slices.Contains(used, ref.name) {
			r.diags.errorf(t.pos(0), ref.name, "the definition $%s expands itself", ref.name)
			return
		}
		used = append(used, ref.name)
		r.noteNewer(t, 0, ref)
		if len(ref.lines) != 1 {
			if t.slice(ref.end, len(t.s)).trim().s == "" {
				r.multiLine(t, ref)
				return
			}
			break // expand reports it
		}
		var b textBuilder
		b.add(t.at(0, ref.lines[0]))
		b.add(t.slice(ref.end, len(t.s)))
		t = b.text(t)
		if !r.fits(t) {
			return
		}
	}
	if t, ok := r.expand(t, nil); ok && r.fits(t) {
		if t = t.trim(); t.s != "" && r.spendText(t) {
			r.emit(t)
		}
	}
}

// fits reports a line that grew too long by its definitions.
func (r *reader) fits(t text) bool {
	if len(t.s) <= maxLine {
		return true
	}
	r.diags.errorf(t.pos(0), "", "the line is %d bytes long after its definitions are replaced (at most %d) and is ignored", len(t.s), maxLine)
	return false
}

// conditional takes "@id " or "@^id " off the line, and returns an empty text if the line is for others.
func (r *reader) conditional(t text) text {
	end := strings.IndexAny(t.s, blanks)
	if end < 0 {
		end = len(t.s)
	}
	id, differ := strings.CutPrefix(t.s[1:end], "^")
	if (id == r.opts.ConfigID) == differ {
		return text{}
	}
	return t.slice(end, len(t.s)).trim()
}

// load returns the content of a file that may be part of a configuration. The error says in full what is wrong.
func (r *reader) load(name string) ([]byte, error) {
	f, err := r.fsys.Open(name)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("cannot read %s: %w", r.display(name), err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read %s: %w", r.display(name), err)
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory, not a file", r.display(name))
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 != 0:
		return nil, fmt.Errorf("%s is not a regular non-executable file", r.display(name))
	case info.Size() > maxFileSize:
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", r.display(name), info.Size(), maxFileSize)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", r.display(name), err)
	}
	return data, nil
}

// dir returns the directory of the file being read, as an fs name.
func (r *reader) dir() string { return path.Dir(r.open[len(r.open)-1]) }
