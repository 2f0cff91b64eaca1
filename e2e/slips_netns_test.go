//go:build netns

package e2e

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A slip is a way in which a configuration goes wrong under its author's hands. It returns
// false where it cannot happen.
type slip struct {
	name string
	do   func(r *rand.Rand, lines []string, at int) ([]string, bool)
}

var numberWord = regexp.MustCompile(`(^|\s)(\d+)(\s|$)`)

// slips are applied to lines that hold a statement.
func slips() []slip {
	// words changes the words of a line and keeps its indent.
	words := func(change func(r *rand.Rand, w []string) []string) func(*rand.Rand, []string, int) ([]string, bool) {
		return func(r *rand.Rand, lines []string, at int) ([]string, bool) {
			w := change(r, strings.Fields(lines[at]))
			if w == nil {
				return nil, false
			}
			lines[at] = "    " + strings.Join(w, " ")
			return lines, true
		}
	}
	return []slip{
		{"line lost", func(_ *rand.Rand, l []string, at int) ([]string, bool) { return slices.Delete(l, at, at+1), true }},
		{"line twice", func(_ *rand.Rand, l []string, at int) ([]string, bool) { return slices.Insert(l, at, l[at]), true }},
		{"lines swapped", func(_ *rand.Rand, l []string, at int) ([]string, bool) {
			if at+1 >= len(l) {
				return nil, false
			}
			l[at], l[at+1] = l[at+1], l[at]
			return l, true
		}},
		{"lines joined", func(_ *rand.Rand, l []string, at int) ([]string, bool) {
			if at+1 >= len(l) {
				return nil, false
			}
			l[at] += " " + strings.TrimSpace(l[at+1])
			return slices.Delete(l, at+1, at+2), true
		}},
		{"number changed", func(r *rand.Rand, l []string, at int) ([]string, bool) {
			m := numberWord.FindStringSubmatchIndex(l[at])
			if m == nil {
				return nil, false
			}
			odd := []string{"-1", "0", "1", "256", "300", "65536", "2678401", "4294967296", "99999999999999999999", "1.5", "0x10", "12x", "+3", "007"}
			l[at] = l[at][:m[4]] + odd[r.IntN(len(odd))] + l[at][m[5]:]
			return l, true
		}},
		{"last word lost", words(func(_ *rand.Rand, w []string) []string {
			if len(w) < 2 || w[len(w)-1] == "{" {
				return nil
			}
			return w[:len(w)-1]
		})},
		{"word too many", words(func(_ *rand.Rand, w []string) []string {
			if strings.ContainsAny(w[len(w)-1], "{}") {
				return nil
			}
			return append(w, "extra")
		})},
		{"keyword misspelt", words(func(r *rand.Rand, w []string) []string {
			if len(w[0]) < 3 {
				return nil
			}
			at := 1 + r.IntN(len(w[0])-1)
			w[0] = w[0][:at] + w[0][at+1:]
			return w
		})},
		{"letter of a value lost", words(func(r *rand.Rand, w []string) []string {
			if len(w) < 2 || len(w[1]) < 2 {
				return nil
			}
			at := r.IntN(len(w[1]))
			w[1] = w[1][:at] + w[1][at+1:]
			return w
		})},
		{"value in quotes", words(func(_ *rand.Rand, w []string) []string {
			if len(w) < 2 || strings.ContainsAny(w[1], `{}"'`) {
				return nil
			}
			w[1] = strconv.Quote(w[1])
			return w
		})},
		{"value upper case", words(func(_ *rand.Rand, w []string) []string {
			if len(w) < 2 || strings.ToUpper(w[1]) == w[1] {
				return nil
			}
			w[1] = strings.ToUpper(w[1])
			return w
		})},
		{"word in capitals", words(func(_ *rand.Rand, w []string) []string {
			if up := strings.ToUpper(w[0]); up != w[0] {
				w[0] = up
			} else {
				w[0] = strings.ToLower(w[0])
			}
			return w
		})},
		{"address of the other family", words(func(_ *rand.Rand, w []string) []string {
			for i, s := range w {
				if m := addressWord.FindString(s); m != "" {
					w[i] = strings.Replace(s, m, "2001:db8::77", 1)
					return w
				} else if strings.HasPrefix(s, "2001:") {
					w[i] = "192.168.1.177"
					return w
				}
			}
			return nil
		})},
		{"line in another block", func(r *rand.Rand, l []string, at int) ([]string, bool) {
			if strings.ContainsAny(l[at], "{}") {
				return nil, false
			}
			line := l[at]
			l = slices.Delete(l, at, at+1)
			return slices.Insert(l, r.IntN(len(l)+1), line), true
		}},
		{"line of elsewhere", func(r *rand.Rand, l []string, at int) ([]string, bool) {
			return slices.Insert(l, at, strings.Trim(l[r.IntN(len(l))], "{}")), true
		}},
		{"block lost", onBlock(slices.Delete[[]string])},
		{"block twice", onBlock(func(l []string, at, end int) []string { return slices.Insert(l, end, l[at:end]...) })},
		{"block emptied", onBlock(func(l []string, at, end int) []string { return slices.Delete(l, at+1, end-1) })},
		{"block at the end", onBlock(func(l []string, at, end int) []string {
			block := slices.Clone(l[at:end])
			return append(slices.Delete(l, at, end), block...)
		})},
		{"brace lost", func(_ *rand.Rand, l []string, at int) ([]string, bool) {
			if i := strings.IndexAny(l[at], "{}"); i >= 0 {
				l[at] = l[at][:i] + l[at][i+1:]
				return l, true
			}
			return nil, false
		}},
		{"brace too many", func(r *rand.Rand, l []string, at int) ([]string, bool) {
			return slices.Insert(l, at, string("{}"[r.IntN(2)])), true
		}},
		{"brace on the next line", func(_ *rand.Rand, l []string, at int) ([]string, bool) {
			before, ok := strings.CutSuffix(strings.TrimRight(l[at], " "), "{")
			if !ok || before == "" {
				return nil, false
			}
			l[at] = before
			return slices.Insert(l, at+1, "{"), true
		}},
		{"half a comment", words(func(r *rand.Rand, w []string) []string {
			return slices.Insert(w, r.IntN(len(w)+1), string("#!"[r.IntN(2)]))
		})},
		{"quote lost or too many", words(func(r *rand.Rand, w []string) []string {
			i := r.IntN(len(w))
			if before, after, ok := strings.Cut(w[i], "\""); ok {
				w[i] = before + after
			} else {
				w[i] += string("\"'"[r.IntN(2)])
			}
			return w
		})},
	}
}

var addressWord = regexp.MustCompile(`\b\d+\.\d+\.\d+\.\d+\b`)

// onBlock is a slip on the lines from one that opens a block to the one that closes it.
func onBlock(change func(lines []string, at, end int) []string) func(*rand.Rand, []string, int) ([]string, bool) {
	return func(_ *rand.Rand, lines []string, at int) ([]string, bool) {
		depth := 0
		for i := at; i < len(lines); i++ {
			depth += strings.Count(lines[i], "{") - strings.Count(lines[i], "}")
			if depth <= 0 {
				if i == at {
					return nil, false
				}
				return change(lines, at, i+1), true
			}
		}
		return nil, false
	}
}

// variant returns the text with one or two slips, and their names.
func variant(r *rand.Rand, text string) (string, string) {
	var names []string
	lines := strings.Split(text, "\n")
	all := slips()
	n := 1 + r.IntN(2)
	for tries := 0; n > 0 && len(lines) > 0 && tries < 100; tries++ { // a slip may leave nothing to go wrong
		at := r.IntN(len(lines))
		if l := strings.TrimSpace(lines[at]); l == "" || l[0] == '#' || l[0] == '!' {
			continue
		}
		s := all[r.IntN(len(all))]
		before := strings.TrimSpace(lines[at])
		if changed, ok := s.do(r, slices.Clone(lines), at); ok {
			lines = changed
			names = append(names, fmt.Sprintf("%s: line %d %q", s.name, at+1, before))
			n--
		}
	}
	return strings.Join(lines, "\n"), strings.Join(names, ", then ")
}
