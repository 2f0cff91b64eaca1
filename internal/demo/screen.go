package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A screen is where the story is told. On a terminal the picture of the load is drawn
// over its last state until something else is printed; otherwise it is a line now and
// then. Owned by one goroutine. What cannot be written is lost: the story goes on, and
// its end cleans up.
type screen struct {
	out    io.Writer
	live   bool
	glyphs glyphs

	mode   Mode
	title  string // of the stage
	height int    // lines of the picture on the terminal that may be drawn over
	last   time.Time
}

const (
	liveInterval  = 125 * time.Millisecond
	plainInterval = time.Second
)

func newScreen(out io.Writer, live bool, g glyphs) *screen {
	return &screen{out: out, live: live, glyphs: g}
}

// text prints what is not drawn over.
func (s *screen) text(text string) {
	s.release()
	_, _ = io.WriteString(s.out, text)
}

func (s *screen) textf(format string, args ...any) { s.text(fmt.Sprintf(format, args...)) }

// heading begins a chapter.
func (s *screen) heading(title string) {
	s.textf("\n%s\n%s\n\n", title, strings.Repeat(s.glyphs.rule, len(title)))
}

// stage begins a part of a chapter.
func (s *screen) stage(now time.Time, m Mode, number, title string) {
	s.mode, s.title, s.last = m, title, now
	s.textf("\n%s, stage %s: %s\n\n", m, number, title)
}

// event tells what happened at a time since the load began. On a terminal the picture
// comes again below it.
func (s *screen) event(at time.Duration, what string) {
	s.erase()
	_, _ = fmt.Fprintf(s.out, "%6.2f s  %s\n", at.Seconds(), what)
	if s.live {
		s.last = time.Time{}
	}
}

// due tells whether the picture should be drawn again.
func (s *screen) due(now time.Time) bool {
	interval := plainInterval
	if s.live {
		interval = liveInterval
	}
	return now.Sub(s.last) >= interval
}

// draw shows a picture.
func (s *screen) draw(now time.Time, p picture) {
	s.last = now
	if !s.live {
		_, _ = fmt.Fprintln(s.out, p.line())
		return
	}
	lines := p.block(s.mode, s.title, s.glyphs)
	s.erase()
	_, _ = io.WriteString(s.out, strings.Join(lines, "\n")+"\n")
	s.height = len(lines)
}

// release leaves the picture as it is.
func (s *screen) release() {
	if s.height > 0 {
		_, _ = fmt.Fprintln(s.out)
	}
	s.height = 0
}

// erase takes the picture away: cursor up, and erase to the end of the screen (ECMA-48
// CUU and ED).
func (s *screen) erase() {
	if s.height > 0 {
		_, _ = fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.height)
	}
	s.height = 0
}
