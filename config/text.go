package config

import "strings"

// maxLine is the longest line in bytes, without its end: keepalived's line buffer of 1024 bytes less newline and NUL.
const maxLine = 1022

// blanks separate words. CR stands alone here only inside a line; at its end it is part of the line end.
const blanks = " \t\r\f\v"

// A text is a part of one source line, perhaps with replaced parts, and knows the column every byte came from.
type text struct {
	file string
	line int
	s    string
	base int     // column of s[0] where cols is nil
	cols []int32 // column of each byte, len(s) of them
}

// col returns the column of byte i; i may be len(s).
func (t text) col(i int) int {
	switch {
	case t.cols == nil:
		return t.base + i
	case i < len(t.cols):
		return int(t.cols[i])
	case len(t.cols) > 0:
		return int(t.cols[len(t.cols)-1])
	}
	return t.base
}

// pos returns the position of byte i.
func (t text) pos(i int) Pos { return Pos{File: t.file, Line: t.line, Column: t.col(i)} }

// slice returns the bytes i to j.
func (t text) slice(i, j int) text {
	out := text{file: t.file, line: t.line, s: t.s[i:j], base: t.col(i)}
	if t.cols != nil {
		out.cols = t.cols[i:j]
	}
	return out
}

// trim removes blanks at both ends.
func (t text) trim() text {
	i := len(t.s) - len(strings.TrimLeft(t.s, blanks))
	j := len(strings.TrimRight(t.s, blanks))
	if i >= j {
		return t.slice(len(t.s), len(t.s))
	}
	return t.slice(i, j)
}

// at returns s as a text that stands wholly at byte i of t: what a definition used there expands to.
func (t text) at(i int, s string) text {
	cols := make([]int32, len(s))
	for k := range cols {
		cols[k] = int32(t.col(i))
	}
	return text{file: t.file, line: t.line, s: s, base: t.col(i), cols: cols}
}

// A textBuilder puts pieces of one line together.
type textBuilder struct {
	s    strings.Builder
	cols []int32
}

func (b *textBuilder) add(t text) {
	b.s.WriteString(t.s)
	for i := range len(t.s) {
		b.cols = append(b.cols, int32(t.col(i)))
	}
}

// text returns the pieces as a part of the line of t.
func (b *textBuilder) text(t text) text {
	return text{file: t.file, line: t.line, s: b.s.String(), base: t.col(0), cols: b.cols}
}
