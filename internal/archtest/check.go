package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the module's path in go.mod.
const module = "uvs"

// A tree is the parsed source of a module.
type tree struct {
	fset     *token.FileSet
	packages map[string][]*source // by path below the module
	problems []string
}

// A source is one Go file.
type source struct {
	name string // path below the module
	test bool
	ast  *ast.File
}

// Check reads all Go files of a module and returns what breaks the tables or the rules
// of the house, a line each with its position, sorted. The error is that of reading or
// parsing. Build constraints do not matter: files for every system and tag count.
func Check(fsys fs.FS, packages []Package, restrictions []Restriction) ([]string, error) {
	t := &tree{fset: token.NewFileSet(), packages: make(map[string][]*source)}
	if err := t.read(fsys); err != nil {
		return nil, err
	}
	t.checkRows(packages)
	for _, files := range t.packages {
		t.checkPackageDoc(files)
		t.checkState(files)
		for _, f := range files {
			t.checkImports(f, packages, restrictions)
			t.checkDocs(f)
			t.checkTestHabits(f)
		}
	}
	slices.Sort(t.problems)
	return slices.Compact(t.problems), nil
}

func (t *tree) read(fsys fs.FS) error {
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			// A nested module is not ours; the rest is what the go command skips.
			if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil && name != "." {
				return fs.SkipDir
			}
			if base == "testdata" || name != "." && strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(t.fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		t.packages[dir] = append(t.packages[dir], &source{name: name, test: strings.HasSuffix(name, "_test.go"), ast: parsed})
		return nil
	})
}

func (t *tree) problem(pos token.Pos, format string, args ...any) {
	p := t.fset.Position(pos)
	t.problems = append(t.problems, fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...)))
}

// checkRows wants a row for each package and a package for each row.
func (t *tree) checkRows(packages []Package) {
	for dir, files := range t.packages {
		if !slices.ContainsFunc(packages, func(p Package) bool { return p.Path == dir }) {
			t.problem(files[0].ast.Package, "package %s has no row in the import table", dir)
		}
		if slices.Contains(namesOfNothing(), path.Base(dir)) {
			t.problem(files[0].ast.Package, "package name %s says nothing", path.Base(dir))
		}
	}
	for _, p := range packages {
		if len(t.packages[p.Path]) == 0 {
			t.problems = append(t.problems, fmt.Sprintf("import table: package %s does not exist", p.Path))
		}
	}
}

func namesOfNothing() []string {
	return []string{"util", "utils", "common", "helper", "helpers", "core", "types", "base", "manager", "misc", "shared"}
}

func (t *tree) checkImports(f *source, packages []Package, restrictions []Restriction) {
	if f.test {
		return
	}
	dir := path.Dir(f.name)
	for _, spec := range f.ast.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused it
		}
		if own, ok := strings.CutPrefix(name, module+"/"); ok {
			row := slices.IndexFunc(packages, func(p Package) bool { return p.Path == dir })
			if row >= 0 && !slices.Contains(packages[row].Uses, own) {
				t.problem(spec.Pos(), "%s may not import %s", dir, own)
			}
			continue
		}
		for _, r := range restrictions {
			if name != r.Import && !strings.HasPrefix(name, r.Import+"/") || overruled(name, r, restrictions) {
				continue
			}
			if ok, _ := path.Match(r.Files, path.Base(f.name)); r.Files != "" && !ok {
				t.problem(spec.Pos(), "%s belongs in files named %s (%s)", name, r.Files, r.Why)
			}
			if r.Packages != nil && !slices.Contains(r.Packages, dir) {
				t.problem(spec.Pos(), "%s may not import %s (%s)", dir, name, r.Why)
			}
		}
	}
}

// overruled reports whether a restriction of a longer path speaks about the import.
func overruled(name string, r Restriction, restrictions []Restriction) bool {
	return slices.ContainsFunc(restrictions, func(o Restriction) bool {
		return len(o.Import) > len(r.Import) && (name == o.Import || strings.HasPrefix(name, o.Import+"/"))
	})
}
