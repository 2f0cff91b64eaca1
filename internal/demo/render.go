package demo

import (
	"fmt"
	"slices"
	"strings"
)

// glyphs are the characters that pictures are made of.
type glyphs struct {
	levels   []string // from little to much; 0 is a space
	full     string   // of a bar
	track    string   // the rest of a bar
	miss     string   // failures in a timeline
	rule     string
	ok, fail string // verdicts
}

func glyphsFor(unicode bool) glyphs {
	if unicode {
		return glyphs{
			levels: []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
			full:   "█", track: "·", miss: "×", rule: "─", ok: "✓", fail: "✗",
		}
	}
	return glyphs{
		levels: []string{".", ":", "-", "=", "+", "*", "%", "#"},
		full:   "#", track: ".", miss: "x", rule: "-", ok: "OK    ", fail: "FAILED",
	}
}

const (
	barCells  = 14
	timeCells = 32 // eight seconds
)

// block returns the picture as lines of at most 80 columns.
func (p *picture) block(m Mode, title string, g glyphs) []string {
	lines := []string{
		"",
		fmt.Sprintf("%-42.42s %5.1f s  %d requests, %d failed", fmt.Sprintf("%s: %s", m, title), p.elapsed.Seconds(), p.requests, p.failed),
	}
	most := 1
	for _, s := range p.servers {
		most = max(most, slices.Max(append(window(s.cells), 0)))
	}
	for i, s := range p.servers {
		lines = append(lines, fmt.Sprintf("%-8s%s %4d/s %3.0f %% %s %s", s.name, bar(p.share(i), g), s.rate, 100*p.share(i),
			timeline(s.cells, func(n int) string { return g.levels[(n*len(g.levels)-1)/most] }), tableMark(s.inTable)))
	}
	misses := fmt.Sprintf("%-8s%-*s %4d/s       %s", "failed", barCells, "", p.failing,
		timeline(p.misses, func(int) string { return g.miss }))
	return append(lines, strings.TrimRight(misses, " "))
}

// tableMark says whether a server is in the director's table.
func tableMark(in bool) string {
	if in {
		return "in table"
	}
	return "removed"
}

// bar draws a part from 0 to 1.
func bar(part float64, g glyphs) string {
	n := min(int(part*barCells+0.5), barCells)
	return strings.Repeat(g.full, n) + strings.Repeat(g.track, barCells-n)
}

// timeline draws the last cells, the newest at the right end of what is filled.
func timeline(cells []int, glyph func(n int) string) string {
	cells = window(cells)
	var b strings.Builder
	for _, n := range cells {
		if n == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteString(glyph(n))
	}
	return b.String() + strings.Repeat(" ", timeCells-len(cells))
}

// window returns the cells that are shown.
func window(cells []int) []int { return cells[max(0, len(cells)-timeCells):] }

// line returns the picture as one line.
func (p *picture) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%6.2f s ", p.elapsed.Seconds())
	for i, s := range p.servers {
		fmt.Fprintf(&b, " %s %3d/s %3.0f %%", s.name, s.rate, 100*p.share(i))
		if !s.inTable {
			b.WriteString(" (out)")
		}
		b.WriteByte(',')
	}
	fmt.Fprintf(&b, " failed %d/s", p.failing)
	return b.String()
}
