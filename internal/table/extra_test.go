package table_test

import (
	"strings"
	"testing"
	"time"

	"uvs/internal/table"
)

// TestExtend: what an extra file says belongs to the service's name. Edits leave it alone, and
// a service that an operator adds later has it.
func TestExtend(t *testing.T) {
	tab := table.New()
	tab.Load(file(1, 1))
	if lines := tab.Extend(extras(map[table.Key]table.Extra{tls: {ReplyByUplink: true}})); len(lines) != 0 {
		t.Errorf("a service that there is not has changed: %q", lines)
	}
	if got := tab.Services()[0].Extra; got != (table.Extra{}) {
		t.Errorf("web has %+v", got)
	}
	before := tab.Clone()
	lines := tab.Extend(extras(map[table.Key]table.Extra{web: {ReplyByUplink: true}, tls: {ReplyByUplink: true}}))
	if got, want := strings.Join(lines, "; "), "changed service [192.0.2.10]:tcp:80 in the extra file"; got != want {
		t.Errorf("lines %q, want %q", got, want)
	}
	if before.Services()[0].Extra.ReplyByUplink {
		t.Error("the copy from before has changed as well")
	}
	if err := tab.AddService(tls, table.ServiceSettings{Scheduler: "rr"}); err != nil {
		t.Fatal(err)
	}
	if err := tab.EditService(web, table.ServiceSettings{Scheduler: "wrr"}); err != nil {
		t.Fatal(err)
	}
	for _, s := range tab.Services() {
		if !s.Extra.ReplyByUplink {
			t.Errorf("%s has lost what the extra file says", s.Key)
		}
	}
	if lines := tab.Extend(table.Extras{}); len(lines) != 1 || tab.Services()[0].Extra.ReplyByUplink {
		t.Errorf("without an extra file: %q, %+v", lines, tab.Services()[0].Extra)
	}
}

// extras are what the extra file says of services, and nothing of all.
func extras(services map[table.Key]table.Extra) table.Extras { return table.Extras{Services: services} }

// TestDeparture: what becomes of connections is said of the service, else of all; checks that take a server out are no removal,
// and of a service that is gone with its words these still count.
func TestDeparture(t *testing.T) {
	drain, reset, drop := table.Removal{How: table.Drain, Time: time.Minute}, table.Removal{How: table.Reset}, table.Removal{How: table.Drop}
	own := func(r table.Removal) map[table.Key]table.Extra { return map[table.Key]table.Extra{web: {Removed: r}} }
	for _, tt := range []struct {
		name          string
		before, after table.Extras
		change        func(*table.Table)
		want          table.Removal
	}{
		{"nothing said", table.Extras{}, table.Extras{}, func(x *table.Table) { x.Load(file(1)) }, table.Removal{}},
		{"by the file", table.Extras{}, table.Extras{Removed: drain}, func(x *table.Table) { x.Load(file(1)) }, drain},
		{"the service's own word", table.Extras{Removed: drain}, table.Extras{Services: own(reset), Removed: drain}, func(x *table.Table) { x.Load(file(1)) }, reset},
		{"a service that goes with its words", table.Extras{Services: own(reset)}, table.Extras{Removed: drain}, func(x *table.Table) { x.Load(nil) }, reset},
		{"and gets others", table.Extras{Services: own(reset)}, table.Extras{Services: own(drop)}, func(x *table.Table) { x.Load(nil) }, drop},
		{"a word that goes", table.Extras{Services: own(reset)}, table.Extras{Removed: drain}, func(x *table.Table) { x.Load(file(1)) }, drain},
		{"by an operator", table.Extras{Removed: reset}, table.Extras{Removed: reset}, func(x *table.Table) {
			if err := x.DeleteServer(web, addr(2)); err != nil {
				t.Fatal(err)
			}
		}, reset},
		{"with its service by an operator", table.Extras{Removed: reset}, table.Extras{Removed: reset}, func(x *table.Table) {
			if err := x.DeleteService(web); err != nil {
				t.Fatal(err)
			}
		}, reset},
		{"by checks", table.Extras{Removed: reset}, table.Extras{Removed: reset}, func(x *table.Table) {
			if x.Judge(table.Verdict{Group: "web", Server: addr(2)}); x.Services()[0].Servers[1].Listed {
				t.Fatal("the server is still in the list")
			}
		}, table.Removal{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := table.New()
			before.Load(file(1, 1))
			before.Extend(tt.before)
			after := before.Clone()
			tt.change(after)
			after.Extend(tt.after)
			if got := after.Departure(before, web, addr(2)); got != tt.want {
				t.Errorf("connections %s, want that they %s", got, tt.want)
			}
		})
	}
}
