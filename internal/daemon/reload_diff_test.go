package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"uvs/config"
	"uvs/internal/table"
)

// TestDiff holds what a reload tells by golden files: two configurations and the lines for the
// way from one to the other.
func TestDiff(t *testing.T) {
	names, err := filepath.Glob("testdata/diff/*.golden")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d golden files (%v)", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".golden"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			old, rest, _ := strings.Cut(string(text), "\n-- to --\n")
			next, want, ok := strings.Cut(rest, "\n-- changes --\n")
			if !ok {
				t.Fatal("want a configuration, -- to --, another, -- changes --, and lines")
			}
			if got := linesBetween(t, old, next); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if got := linesBetween(t, next, "# moved\n\n"+next); got != "" {
				t.Errorf("lines that move change\n%s", got)
			}
		})
	}
}

// linesBetween are the lines for the way from one configuration to another.
func linesBetween(t *testing.T, from, to string) string {
	t.Helper()
	planOf := func(text string) plan {
		c, findings := config.Load(fstest.MapFS{"a.conf": {Data: []byte(text)}}, "a.conf", config.Options{ConfigID: "main"},
			func(*config.File) config.Host { return config.Host{AnyInterface: true} })
		if findings.HasErrors() {
			t.Fatalf("the configuration has errors: %v", findings)
		}
		return translate(c)
	}
	old, next := planOf(from), planOf(to)
	x := table.New()
	x.Load(old.services)
	lines := append(x.Load(next.services), diffPlans(&old, &next)...)
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
