package config

import (
	"io/fs"
	"slices"
	"strings"
)

// Parse reads the file name and all it includes from fsys, whose root is the root of the paths in include lines; name
// is an fs.FS path, without leading slash. The File is never nil: what can be read is there, and the Diagnostics say
// what is not. A main file that cannot be read is fatal. Parse opens nothing but files of fsys and keeps nothing.
func Parse(fsys fs.FS, name string, opts Options) (*File, Diagnostics) {
	var diags findings
	p := &parser{file: &File{Name: name}, diags: &diags, script: scriptKeywords()}
	r := newReader(fsys, opts, &diags, nil)
	r.emit = p.line
	p.include, p.includeCheck, p.spend = r.include, r.includeCheck, r.spend

	data, err := r.load(name)
	if err != nil {
		f := diags.errorf(Pos{File: r.display(name)}, "", "%v", err)
		f.fatal()
		f.exit(ExitUnreadable)
	} else {
		r.file(name, data)
	}
	if !r.stop {
		p.finish()
	}
	p.file.Files = r.files
	return p.file, diags.list.sorted(r.files)
}

// A parser builds the tree from logical lines.
type parser struct {
	file    *File
	diags   *findings
	script  map[string]bool // keywords whose words are quoted as in a shell
	include func(includeChecks, text)
	// includeCheck is told the words of an include_check, which holds from there on.
	includeCheck func([]Word)
	spend        func(Pos) bool // counts one more line

	open []*Statement // the statements whose blocks are open, outermost first
	last *Statement   // the statement that a "{" belongs to, nil if there is none
	// unclosed is the first block whose closing brace stands further left than its keyword: the likely place where
	// a brace is missing.
	unclosed *Statement
}

// line takes one logical line: statements and braces.
func (p *parser) line(t text) {
	for first := true; ; first = false {
		t = t.trim()
		if t.s == "" || !first && !p.spend(t.pos(0)) {
			return
		}
		if checks, pattern, ok := includeLine(t); ok && !first {
			p.include(checks, pattern)
			return
		}
		switch t.s[0] {
		case '{':
			p.openBlock(t.pos(0))
			t = t.slice(1, len(t.s))
			continue
		case '}':
			p.closeBlock(t.pos(0), first)
			t = t.slice(1, len(t.s))
			continue
		}
		end := nextBrace(t.s)
		p.statement(t.slice(0, end).trim())
		t = t.slice(end, len(t.s))
	}
}

func (p *parser) statement(t text) {
	s := &Statement{Pos: t.pos(0)}
	ws, ok := words(t)
	if len(ws) > 0 && p.script[ws[0].Text] {
		ws, ok = shellWords(t)
	}
	if !ok {
		s.Broken = true
		p.diags.errorf(s.Pos, t.s, "%s has a quote that is not closed", t.s)
	}
	if len(ws) > 0 {
		s.Keyword, s.Args = ws[0].Text, ws[1:]
	}
	if s.Keyword == "include_check" && len(p.open) == 1 && p.open[0].Keyword == "global_defs" {
		p.includeCheck(s.Args)
	}
	p.append(s)
	p.last = s
}

func (p *parser) append(s *Statement) {
	if len(p.open) == 0 {
		p.file.Statements = append(p.file.Statements, s)
		return
	}
	b := p.open[len(p.open)-1].Block
	b.Statements = append(b.Statements, s)
}

func (p *parser) openBlock(pos Pos) {
	if p.last == nil {
		p.diags.errorf(pos, "{", `"{" stands without a keyword before it; the block is ignored`)
		p.last = &Statement{Pos: pos, Broken: true}
	}
	if len(p.open) >= maxDepth {
		p.diags.errorf(pos, "{", "blocks stand more than %d deep here", maxDepth)
		p.last = &Statement{Pos: pos, Broken: true}
	}
	p.last.Block = &Block{Open: pos}
	p.open = append(p.open, p.last)
	p.last = nil
}

func (p *parser) closeBlock(pos Pos, first bool) {
	p.last = nil
	if len(p.open) == 0 {
		p.diags.errorf(pos, "}", `one "}" too many: no block is open here`)
		return
	}
	s := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	s.Block.Close, s.Block.firstOnLine = pos, first
	if p.unclosed == nil && first && pos.File == s.File && pos.Line > s.Line && pos.Column < s.Column {
		p.unclosed = s
	}
}

// finish reports the blocks that the end of the input leaves open. Layout tells where the brace is missing: at the
// first block whose closing brace stands left of its keyword, since that brace was meant for the block around it.
func (p *parser) finish() {
	if len(p.open) == 0 {
		return
	}
	outer := p.open[len(p.open)-1]
	at := outer
	if p.unclosed != nil && p.inside(p.unclosed, p.open[0]) {
		at = p.unclosed
	}
	if at == outer {
		p.diags.errorf(at.Pos, at.Keyword, `the block of %s is not closed: %d "}" missing at the end of the file`, title(at), len(p.open))
		return
	}
	p.diags.errorf(at.Pos, at.Keyword, `the block of %s is not closed: the "}" on line %d was probably meant for %s, which is left open`,
		title(at), at.Block.Close.Line, title(outer))
}

// inside reports whether s is a part of outer.
func (p *parser) inside(s, outer *Statement) bool {
	if outer.Block == nil {
		return false
	}
	return slices.ContainsFunc(outer.Block.Statements, func(child *Statement) bool {
		return child == s || p.inside(s, child)
	})
}

// title returns a statement as its author thinks of it: the keyword and a name that follows.
func title(s *Statement) string {
	if len(s.Args) == 0 {
		return s.Keyword
	}
	parts := []string{s.Keyword}
	for _, a := range s.Args {
		parts = append(parts, a.Text)
	}
	return strings.Join(parts, " ")
}
