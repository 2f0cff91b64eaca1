package config

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// inventory reads testdata/keywords.txt: context → words.
func inventory(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("testdata/keywords.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]string)
	context := ""
	for _, f := range strings.Fields(strings.SplitN(string(data), "\n", 2)[1]) {
		if c, ok := strings.CutSuffix(f, ":"); ok {
			context = strings.TrimPrefix(c, "-")
			continue
		}
		out[context] = append(out[context], f)
	}
	return out
}

// TestTableKnowsEveryKeyword compares the table with the inventory, both ways.
func TestTableKnowsEveryKeyword(t *testing.T) {
	want := inventory(t)
	for context, words := range want {
		for _, w := range words {
			if keywords.lookup(context, w) == nil {
				t.Errorf("%q of %q is not in the table", w, context)
			}
		}
	}
	listed := make(map[string]bool)
	for context, words := range want {
		for _, w := range words {
			listed[context+" "+w] = true
		}
	}
	for context, ks := range keywords {
		seen := make(map[string]bool)
		for _, k := range ks {
			if !listed[context+" "+k.name] {
				t.Errorf("%q of %q is in the table and not in the inventory", k.name, context)
			}
			if seen[k.name] {
				t.Errorf("%q stands twice in %q", k.name, context)
			}
			seen[k.name] = true
		}
	}
}

// TestTableIsConsistent holds what the binder relies on.
func TestTableIsConsistent(t *testing.T) {
	for context, ks := range keywords {
		for _, k := range ks {
			if k.block != "" && k.block != lines && keywords[k.block] == nil {
				t.Errorf("%q of %q opens the unknown block %q", k.name, context, k.block)
			}
			if k.as != "" && keywords.lookup(context, k.as) == nil {
				t.Errorf("%q of %q stands for the unknown %q", k.name, context, k.as)
			}
			if (k.use == inert || k.use == moot || k.use == partly) && k.why == "" {
				t.Errorf("%q of %q is ignored without a reason", k.name, context)
			}
			if strings.IndexByte("ABCN", byte(k.tier)) < 0 {
				t.Errorf("%q of %q has no tier", k.name, context)
			}
		}
	}
}

// TestEveryKeywordIsBound writes each word of the inventory into a configuration where it may stand: one that is not
// served must be named by exactly one note, and none may meet a handler that does not know it (which would panic).
func TestEveryKeywordIsBound(t *testing.T) {
	for context, ks := range keywords {
		for _, k := range ks {
			text, line := configurationWith(context, &k)
			fsys := fstest.MapFS{"x.conf": {Data: []byte(text), Mode: fs.FileMode(0o644)}}
			_, diags := Load(fsys, "x.conf", Options{}, func(*File) Host { return Host{AnyInterface: true} })
			notes := 0
			for _, d := range diags {
				if d.Line != line {
					continue
				}
				if strings.Contains(d.Message, "is not a keyword") {
					t.Errorf("%q of %q: %s", k.name, context, d.Message)
				}
				if d.Severity == Note && d.Value == k.name {
					notes++
				}
			}
			want := 1
			if k.use == served || k.use == checked || insideUnserved(context) {
				want = 0
			}
			if notes != want {
				t.Errorf("%q of %q gives %d notes, want %d:\n%s\n%v", k.name, context, notes, want, text, diags)
			}
		}
	}
}

// insideUnserved reports whether a context stands in a block that is not bound, which a note names already.
func insideUnserved(context string) bool {
	for context != "" {
		outer, k := opener(context)
		if k.use == unserved || k.use == inert {
			return true
		}
		context = outer
	}
	return false
}

// opener returns the keyword that opens a context, and the context where that stands: of several the first.
func opener(context string) (outer string, k *keyword) {
	found := false
	for c, ks := range keywords {
		for i := range ks {
			if ks[i].block == context && ks[i].name == context && (!found || c < outer) {
				outer, k, found = c, &ks[i], true
			}
		}
	}
	return outer, k
}

// configurationWith returns a configuration that holds k in its context with values that fit, and the line of k.
func configurationWith(context string, k *keyword) (text string, line int) {
	words := k.name
	for _, a := range k.args {
		switch a.kind {
		case argNumber, argSigned:
			words += fmt.Sprintf(" %d", a.min)
		case argTimer:
			words += " 1"
		case argBool:
			words += " on"
		case argEnum:
			words += " " + a.words[0]
		case argAddr:
			words += " 192.0.2.1"
		case argText:
			words += map[string]string{
				"lvs_method": " DR", "lb_kind": " DR", "virtual_server": " 192.0.2.1", "real_server": " 192.0.2.1",
				"digest": " 00000000000000000000000000000000", "path": " /",
			}[k.name]
			if strings.HasSuffix(words, k.name) {
				words += " x"
			} else if len(k.args) > 1 && k.args[1].kind == argText {
				return wrap(context, words+" 80"+braces(k))
			}
		case argLink:
			words += " eth0"
		}
	}
	return wrap(context, words+braces(k))
}

func braces(k *keyword) string {
	if k.block != "" {
		return " {\n}"
	}
	return ""
}

// wrap puts a line into the blocks of its context.
func wrap(context, line string) (text string, n int) {
	for context != "" {
		outer, _ := opener(context)
		words := context
		switch context {
		case "virtual_server", "real_server":
			words += " 192.0.2.1 80"
		case "global_defs", "garp_group", "SSL":
		default:
			if outer == "" {
				words += " x"
			}
		}
		line = words + " {\n" + line + "\n}"
		n++
		context = outer
	}
	return line + "\n", n + 1
}
