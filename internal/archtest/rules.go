package archtest

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
)

// checkPackageDoc wants one package comment in one file.
func (t *tree) checkPackageDoc(files []*source) {
	var first *source
	docs := 0
	for _, f := range files {
		if f.test {
			continue
		}
		if first == nil {
			first = f
		}
		if f.ast.Doc != nil {
			docs++
		}
	}
	if first != nil && docs != 1 {
		t.problem(first.ast.Package, "package %s has %d package comments, want 1", path.Dir(first.name), docs)
	}
}

// checkDocs wants a comment on each exported name: for a constant or variable of a group
// that of the group or the line will do.
func (t *tree) checkDocs(f *source) {
	if f.test {
		return
	}
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
				t.problem(d.Pos(), "%s has no doc comment", d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				t.checkSpecDoc(d, spec)
			}
		}
	}
}

func (t *tree) checkSpecDoc(d *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && (d.Lparen.IsValid() || d.Doc == nil) {
			t.problem(s.Pos(), "%s has no doc comment", s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
				t.problem(name.Pos(), "%s has no doc comment", name.Name)
			}
		}
	}
}

// receiver returns the name of a method's receiver type.
func receiver(d *ast.FuncDecl) string {
	expr := d.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

// checkState wants no init functions and no package-level variable that changes.
// Sentinel errors, tables and what sync.OnceValue remembers do not.
func (t *tree) checkState(files []*source) {
	vars := make(map[string]*ast.ValueSpec)
	for _, f := range files {
		if f.test {
			continue
		}
		for _, decl := range f.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.problem(d.Pos(), "init function")
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					t.collectVars(d, vars)
				}
			}
		}
	}
	for _, f := range files {
		if !f.test {
			t.checkWrites(f, vars)
		}
	}
}

func (t *tree) collectVars(d *ast.GenDecl, vars map[string]*ast.ValueSpec) {
	for _, spec := range d.Specs {
		s, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for _, name := range s.Names {
			vars[name.Name] = s
			if typ, ok := s.Type.(*ast.SelectorExpr); ok && isIdent(typ.X, "sync", "atomic") {
				t.problem(name.Pos(), "package-level variable %s is made to be changed", name.Name)
			}
		}
	}
}

// checkWrites finds assignments to package-level variables and addresses taken of them.
func (t *tree) checkWrites(f *source, vars map[string]*ast.ValueSpec) {
	write := func(target ast.Expr) {
		id := root(target)
		if id == nil || id.Name == "_" || vars[id.Name] == nil {
			return
		}
		// The parser resolves names within the file: another declaration is a local one.
		if id.Obj != nil && id.Obj.Decl != vars[id.Name] {
			return
		}
		t.problem(target.Pos(), "package-level variable %s changes here", id.Name)
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, l := range n.Lhs {
					write(l)
				}
			}
		case *ast.IncDecStmt:
			write(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				write(n.X)
			}
		}
		return true
	})
}

// root returns x of x, x.f, x[i] and *x, or nil.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func isIdent(e ast.Expr, names ...string) bool {
	id, ok := e.(*ast.Ident)
	if !ok {
		return false
	}
	for _, name := range names {
		if id.Name == name {
			return true
		}
	}
	return false
}

// checkTestHabits wants no sleeping outside synctest bubbles, and namespace tests behind
// their build tag.
func (t *tree) checkTestHabits(f *source) {
	if !f.test {
		return
	}
	tagged := false
	for _, group := range f.ast.Comments {
		if group.Pos() > f.ast.Package {
			break
		}
		for _, c := range group.List {
			tagged = tagged || c.Text == "//go:build netns" || strings.HasPrefix(c.Text, "//go:build netns && ")
		}
	}
	if named := strings.HasSuffix(f.name, "_netns_test.go"); named != tagged {
		t.problem(f.ast.Package, `files named *_netns_test.go, and only they, begin with "//go:build netns"`)
	}
	for _, spec := range f.ast.Imports {
		if spec.Path.Value == `"testing/synctest"` {
			return
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" && isIdent(s.X, "time") {
			t.problem(s.Pos(), "time.Sleep in a test: wait for the thing itself")
		}
		return true
	})
}
