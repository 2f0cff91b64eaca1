package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"uvs/config"
)

// TestExtraDocs holds docs/extra.md to the words of the extra file: each stands in the table of its block, with the values
// that it takes, and no other does. The examples are read without a finding.
func TestExtraDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/extra.md")
	if err != nil {
		t.Fatal(err)
	}
	type place struct{ context, word string }
	documented := make(map[place]string)
	var example strings.Builder
	context, inExample := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			if inExample = !inExample; !inExample {
				if _, findings := loadExtra(example.String()); len(findings) > 0 {
					t.Errorf("an example has findings: %s\n%s", strings.Join(findings, "\n"), example.String())
				}
				example.Reset()
			}
		case inExample:
			example.WriteString(line + "\n")
		case strings.HasPrefix(line, "## "):
			if context = line[len("## "):]; context == "Top level" {
				context = ""
			}
		case strings.HasPrefix(line, "| `"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			at := place{context, strings.Trim(cells[0], " `")}
			if documented[at] = strings.TrimSpace(cells[1]); len(cells) != 3 || strings.TrimSpace(cells[2]) == "" {
				t.Errorf("%q of %q is not said what it does: %s", at.word, context, line)
			}
		}
	}
	for _, k := range config.ExtraInventory() {
		at := place{k.Context, k.Name}
		values, ok := documented[at]
		if want := valuesOf(k.Args); !ok || values != want {
			t.Errorf("docs/extra.md has for %q of block %q the values %q (%t), want %q", k.Name, k.Context, values, ok, want)
		}
		delete(documented, at)
	}
	for at := range documented {
		t.Errorf("docs/extra.md has %q in block %q, which the parser does not know", at.word, at.context)
	}
}

// valuesOf tells the values of words that are numbers or one of some; others need more than a cell.
func valuesOf(args []config.Argument) string {
	var list []string
	for _, a := range args {
		switch a.Kind {
		case "number":
			list = append(list, fmt.Sprintf("%d to %d", a.Min, a.Max))
		case "choice":
			list = append(list, strings.Join(a.Words, ", "))
		case "boolean":
			list = append(list, "on, off")
		}
	}
	return strings.Join(list, "; ")
}
