package table_test

import (
	"strings"
	"testing"

	"uvs/internal/table"
)

// TestExtend: what an extra file says belongs to the service's name. Edits leave it alone, and
// a service that an operator adds later has it.
func TestExtend(t *testing.T) {
	tab := table.New()
	tab.Load(file(1, 1))
	if lines := tab.Extend(map[table.Key]table.Extra{tls: {ReplyByUplink: true}}); len(lines) != 0 {
		t.Errorf("a service that there is not has changed: %q", lines)
	}
	if got := tab.Services()[0].Extra; got != (table.Extra{}) {
		t.Errorf("web has %+v", got)
	}
	before := tab.Clone()
	lines := tab.Extend(map[table.Key]table.Extra{web: {ReplyByUplink: true}, tls: {ReplyByUplink: true}})
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
	if lines := tab.Extend(nil); len(lines) != 1 || tab.Services()[0].Extra.ReplyByUplink {
		t.Errorf("without an extra file: %q, %+v", lines, tab.Services()[0].Extra)
	}
}
