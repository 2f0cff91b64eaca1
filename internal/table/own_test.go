package table_test

import (
	"testing"

	"uvs/internal/table"
)

// TestCopiesAreApart: whatever is done to a table or to its copy, the other one lists what it did before; a listing that was
// made before stays as it was.
func TestCopiesAreApart(t *testing.T) {
	for name, change := range map[string]step{
		"load":           load(file(3, 1)),
		"load less":      load(nil),
		"verdict":        verdict(1, false),
		"weight":         func(x *table.Table) error { x.Weigh("web", addr(1), table.Weight{Set: true, Value: 9}); return nil },
		"reckon":         func(x *table.Table) error { x.Reckon(); return nil },
		"add service":    func(x *table.Table) error { return x.AddService(tls, table.ServiceSettings{Scheduler: "rr"}) },
		"edit service":   func(x *table.Table) error { return x.EditService(web, table.ServiceSettings{Scheduler: "lc"}) },
		"delete service": func(x *table.Table) error { return x.DeleteService(web) },
		"add server":     func(x *table.Table) error { return x.AddServer(web, addr(9), weight(1)) },
		"edit server":    func(x *table.Table) error { return x.EditServer(web, addr(1), weight(9)) },
		"delete server":  func(x *table.Table) error { return x.DeleteServer(web, addr(1)) },
		"clear":          func(x *table.Table) error { x.Clear(); return nil },
	} {
		for _, ofCopy := range []bool{false, true} {
			one := table.New()
			one.Load(file(1, 2))
			if name == "reckon" {
				one.Judge(table.Verdict{Group: "web", Server: addr(1)})
			}
			one.Services()
			one.Has(tls)
			other := one.Clone()
			if ofCopy {
				one, other = other, one
			}
			before, listed := listing(other), other.Services()
			if err := change(one); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if after := listing(other); after != before {
				t.Errorf("%s (of the copy: %t): the other one lists %q, before %q", name, ofCopy, after, before)
			}
			for i, s := range other.Services() {
				if !s.Same(&listed[i]) {
					t.Errorf("%s (of the copy: %t): the other one has changed %s", name, ofCopy, s.Key)
				}
			}
			if name != "reckon" && listing(one) == before {
				t.Errorf("%s changes nothing: %q", name, before)
			}
			if other.Has(tls) {
				t.Errorf("%s: the other one has another service", name)
			}
			if err := add(2, 1)(other); err == nil {
				t.Error("the other one does not find its server")
			}
		}
	}
}
