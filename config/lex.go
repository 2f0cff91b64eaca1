package config

import "strings"

// uncomment cuts t at a "!" or "#" outside double quotes, and takes the backslash off "\#" and "\!".
func uncomment(t text) text {
	if !strings.ContainsAny(t.s, "!#") {
		return t
	}
	var b textBuilder
	start, quoted := 0, false
	for i := 0; i < len(t.s); i++ {
		switch t.s[i] {
		case '"':
			quoted = !quoted
		case '\\':
			if !quoted && i+1 < len(t.s) && (t.s[i+1] == '#' || t.s[i+1] == '!') {
				b.add(t.slice(start, i))
				start = i + 1
				i++
			}
		case '!', '#':
			if quoted {
				continue
			}
			b.add(t.slice(start, i))
			return b.text(t)
		}
	}
	b.add(t.slice(start, len(t.s)))
	return b.text(t)
}

// nextBrace returns the index of the first brace outside double quotes, or len(s).
func nextBrace(s string) int {
	quoted := false
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted
		case '{', '}':
			if !quoted {
				return i
			}
		}
	}
	return len(s)
}

func isBlank(c byte) bool { return strings.IndexByte(blanks, c) >= 0 }

// words splits t as keepalived does for ordinary keywords: at blanks, and before and after "...", which has no
// escapes. It reports false, and the words up to there, if a quote stays open.
func words(t text) (ws []Word, ok bool) {
	s := t.s
	for i := 0; i < len(s); {
		switch {
		case isBlank(s[i]):
			i++
		case s[i] == '"':
			end := strings.IndexByte(s[i+1:], '"')
			if end < 0 {
				return ws, false
			}
			ws = append(ws, Word{Pos: t.pos(i), Text: s[i+1 : i+1+end], Quoted: true})
			i += end + 2
		default:
			j := i
			for j < len(s) && !isBlank(s[j]) && s[j] != '"' {
				j++
			}
			ws = append(ws, Word{Pos: t.pos(i), Text: s[i:j]})
			i = j
		}
	}
	return ws, true
}

// shellWords splits t as keepalived does after keywords that take a command or a regular expression: quotes of both
// kinds may begin inside a word, and a backslash escapes.
func shellWords(t text) (ws []Word, ok bool) {
	s := t.s
	for i := 0; i < len(s); {
		if isBlank(s[i]) {
			i++
			continue
		}
		w := Word{Pos: t.pos(i)}
		var b strings.Builder
		var quote byte
		for ; i < len(s) && (quote != 0 || !isBlank(s[i])); i++ {
			switch c := s[i]; {
			case c == '\\' && i+1 < len(s):
				r, n := escape(s[i+1:])
				b.WriteByte(r)
				i += n
			case quote != 0 && c == quote:
				quote = 0
			case quote == 0 && (c == '\'' || c == '"'):
				quote, w.Quoted = c, true
			default:
				b.WriteByte(c)
			}
		}
		if quote != 0 {
			return ws, false
		}
		w.Text = b.String()
		ws = append(ws, w)
	}
	return ws, true
}

// escape decodes what follows a backslash and returns the byte and how many bytes of s it took: \a \b \E \f \n \r \t
// \v, \nnn octal, \xHH, \cC for a control character; any other character stands for itself.
func escape(s string) (c byte, n int) {
	switch s[0] {
	case 'a':
		return '\a', 1
	case 'b':
		return '\b', 1
	case 'E':
		return 0x1b, 1
	case 'f':
		return '\f', 1
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case 'v':
		return '\v', 1
	case 'c':
		if len(s) > 1 {
			return s[1] & 0x1f, 2
		}
	case 'x':
		for n = 1; n < len(s) && n < 3; n++ {
			d := strings.IndexByte("0123456789abcdefABCDEF", s[n])
			if d < 0 {
				break
			}
			if d > 15 {
				d -= 6
			}
			c = c<<4 | byte(d)
		}
		if n > 1 {
			return c, n
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		for n = 0; n < len(s) && n < 3 && s[n] >= '0' && s[n] <= '7'; n++ {
			c = c<<3 | (s[n] - '0')
		}
		return c, n
	}
	return s[0], 1
}
