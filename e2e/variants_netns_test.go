//go:build netns

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
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
	}
}

// variant returns the text with one or two slips, and their names.
func variant(r *rand.Rand, text string) (string, string) {
	var names []string
	lines := strings.Split(text, "\n")
	all := slips()
	for n := 1 + r.IntN(2); n > 0; {
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

// class is what scripts make of an exit status of -t.
func class(status int) string {
	switch status {
	case 0:
		return "fine"
	case 5, 6:
		return "reported"
	}
	return "refused"
}

// keepalivedVerdict is verdict for keepalived itself. ok is false if it crashed, or fell into
// an endless loop, as 2.2.7 does on some files.
func keepalivedVerdict(t *testing.T, h *netlab.Host, args ...string) (status int, said string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	out, err := h.Run(ctx, "keepalived", args...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, out, true
	case ctx.Err() != nil:
		return 0, "it did not end", false
	case errors.As(err, &exit):
		return exit.ExitCode(), out, exit.ExitCode() >= 0
	}
	t.Fatal(err)
	return 0, "", false
}

// meantOtherwise says why ours may judge a variant otherwise than keepalived, "" if it may
// not: what the two go on with after a fault is not the same text.
func meantOtherwise(uvs, keepalived string) string {
	switch {
	case strings.Contains(keepalived, "Unexpected '{'"):
		return "keepalived reads on inside a block that it does not know, and takes its closing brace for that of the block around it"
	case strings.Contains(uvs, "~SEQ") || strings.Contains(uvs, "} is not defined; the line is ignored"):
		return "keepalived drops a line with a broken loop without a word"
	}
	return ""
}

// TestVariantsAsKeepalived makes variants of the acceptance configurations as slips of the
// hand make them, and wants the class of keepalived's verdict from ours for each.
func TestVariantsAsKeepalived(t *testing.T) {
	const (
		seed, variants = 1, 320
		mostOtherwise  = 6
	)
	h := languageHost(t)
	uvs := labtest.Binary(t)
	dir := t.TempDir()
	labtest.Run(t, h, "cp", "-r", acceptance+"/conf.d", dir)
	files, err := filepath.Glob(filepath.Join(acceptance, "*.conf"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	seen, otherwise := map[string]int{}, 0
	for i := range variants {
		name := files[i%len(files)]
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text, what := variant(r, string(b))
		file := filepath.Join(dir, fmt.Sprintf("v%d.conf", i))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"-t", "-f", file}
		if strings.HasPrefix(filepath.Base(name), "37-") {
			args = append(args, "-i", "main")
		}
		what = fmt.Sprintf("variant %d of %s: %s", i, filepath.Base(name), what)
		want, said, ok := keepalivedVerdict(t, h, args...)
		if !ok {
			t.Logf("%s: keepalived comes to no verdict", what)
			continue
		}
		got, out := verdict(t, h, uvs, slices.Concat([]string{"keepalived"}, args)...)
		seen[class(want)]++
		if class(got) == class(want) {
			continue
		}
		if why := meantOtherwise(out, said); why != "" {
			otherwise++
			t.Logf("%s: exit status %d, keepalived's %d: %s", what, got, want, why)
			continue
		}
		t.Errorf("%s: exit status %d, want %d\nuvs:\n%s\nkeepalived:\n%s", what, got, want, out, said)
	}
	if otherwise > mostOtherwise {
		t.Errorf("%d variants are judged otherwise, want at most %d", otherwise, mostOtherwise)
	}
	if seen["fine"] < 50 || seen["reported"] < 50 || seen["refused"] < 10 {
		t.Errorf("keepalived's verdicts %v are too much the same to tell anything", seen)
	}
	t.Logf("keepalived's verdicts: %v, %d judged otherwise", seen, otherwise)
}
