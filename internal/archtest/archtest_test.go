package archtest_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"uvs/internal/archtest"
)

var update = flag.Bool("update", false, "rewrite the import table in ARCHITECTURE.md")

// root is the module's directory.
const root = "../.."

func TestModule(t *testing.T) {
	problems, err := archtest.Check(os.DirFS(root), archtest.Packages(), archtest.Restrictions())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

func TestArchitectureHasTheTable(t *testing.T) {
	file := filepath.Join(root, "ARCHITECTURE.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, okBegin := strings.Cut(string(text), archtest.MarkerBegin+"\n")
	block, after, okEnd := strings.Cut(rest, archtest.MarkerEnd)
	if !okBegin || !okEnd {
		t.Fatalf("ARCHITECTURE.md lacks the lines %q and %q", archtest.MarkerBegin, archtest.MarkerEnd)
	}
	want := archtest.Render(archtest.Packages(), archtest.Restrictions())
	if block == want {
		return
	}
	if !*update {
		t.Fatal("the import table in ARCHITECTURE.md is old: run go test ./internal/archtest -update")
	}
	text = []byte(before + archtest.MarkerBegin + "\n" + want + archtest.MarkerEnd + after)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestBinaryLinks looks past our own imports at what they bring along.
func TestBinaryLinks(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./cmd/uvs")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	deps := strings.Fields(string(out))
	for _, dep := range deps {
		if dep == "testing" || dep == "runtime/cgo" || strings.HasPrefix(dep, "github.com/google/gopacket") {
			t.Errorf("cmd/uvs links %s", dep)
		}
	}
	if !slices.Contains(deps, "uvs/forwarding") {
		t.Errorf("cmd/uvs does not link uvs/forwarding: of its %d packages the list says nothing", len(deps))
	}
}

// TestCheckFindsProblems gives Check a module with each problem once.
func TestCheckFindsProblems(t *testing.T) {
	packages := []archtest.Package{
		{Path: "engine", Uses: []string{"wire"}},
		{Path: "utils"},
		{Path: "wire"},
		{Path: "gone"},
	}
	restrictions := []archtest.Restriction{
		{Import: "unsafe", Files: "*_unsafe*.go", Why: "reasons"},
		{Import: "log", Packages: []string{"wire"}, Why: "reasons"},
		{Import: "log/slog", Packages: []string{"engine"}, Why: "reasons"},
	}
	module := fstest.MapFS{
		"engine/good_unsafe.go": {Data: []byte("package engine\nimport _ \"unsafe\"\n")},
		"engine/engine.go": {Data: []byte(`// Package engine is documented.
package engine

import (
	_ "log"
	_ "log/slog"
	_ "unsafe"
	_ "uvs/utils"
	_ "uvs/wire"
)

type Bare struct{}

func (b *Bare) Method() {}

type hidden struct{}

func (hidden) Method() {}

// Group is documented as a whole.
const (
	One = 1
	two = 2
)

var Three = 3

var ErrFine, count = error(nil), 0

var lock sync.Mutex

var _ = two

func init() {}

func change(ErrFine error) {
	ErrFine = nil
	Three = 4
	p := &count
	change := two
	_ = two
	change++
}
`)},
		"engine/engine_test.go":       {Data: []byte("package engine\nimport _ \"unsafe\"\nfunc f() { time.Sleep(1) }\n")},
		"engine/bubble_test.go":       {Data: []byte("package engine\nimport _ \"testing/synctest\"\nfunc g() { time.Sleep(1) }\n")},
		"engine/some_netns_test.go":   {Data: []byte("package engine\n")},
		"engine/other_netns_test.go":  {Data: []byte("//go:build netns\n\npackage engine\n")},
		"engine/testdata/not_ours.go": {Data: []byte("not Go")},
		"tools/go.mod":                {Data: []byte("module tools")},
		"tools/tools.go":              {Data: []byte("package tools")},
		"utils/utils.go":              {Data: []byte("package utils\n")},
		"wire/wire.go":                {Data: []byte("// Package wire is documented.\npackage wire\nimport _ \"log\"\n")},
		"wire/doc.go":                 {Data: []byte("// Package wire is documented again.\npackage wire\n")},
		"extra/extra.go":              {Data: []byte("// Package extra is documented.\npackage extra\n")},
	}
	got, err := archtest.Check(module, packages, restrictions)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`engine/engine.go:12: Bare has no doc comment`,
		`engine/engine.go:14: Method has no doc comment`,
		`engine/engine.go:26: Three has no doc comment`,
		`engine/engine.go:28: ErrFine has no doc comment`,
		`engine/engine.go:30: package-level variable lock is made to be changed`,
		`engine/engine.go:34: init function`,
		`engine/engine.go:38: package-level variable Three changes here`,
		`engine/engine.go:39: package-level variable count changes here`,
		`engine/engine.go:5: engine may not import log (reasons)`,
		`engine/engine.go:7: unsafe belongs in files named *_unsafe*.go (reasons)`,
		`engine/engine.go:8: engine may not import utils`,
		`engine/engine_test.go:3: time.Sleep in a test: wait for the thing itself`,
		`engine/some_netns_test.go:1: files named *_netns_test.go, and only they, begin with "//go:build netns"`,
		`extra/extra.go:2: package extra has no row in the import table`,
		`import table: package gone does not exist`,
		`utils/utils.go:1: package name utils says nothing`,
		`utils/utils.go:1: package utils has 0 package comments, want 1`,
		`wire/doc.go:2: package wire has 2 package comments, want 1`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("problems:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
