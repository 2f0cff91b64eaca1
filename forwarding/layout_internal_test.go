package forwarding

import (
	"reflect"
	"testing"

	"uvs/internal/wire"
)

// TestLines: what packets need of a server, a service and a roster is on as few lines of memory as
// their comments say, wherever they were allocated.
func TestLines(t *testing.T) {
	if reflect.TypeFor[uintptr]().Size() != 8 {
		t.Skip("lines are counted where pointers have 64 bits")
	}
	s := newSite(t)
	key := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 3)
	const line = 64
	check := func(object any, first, last string) {
		t.Helper()
		v := reflect.ValueOf(object)
		from, _ := v.Type().Elem().FieldByName(first)
		to, _ := v.Type().Elem().FieldByName(last)
		begin, end := v.Pointer()+from.Offset, v.Pointer()+to.Offset+to.Type.Size()-1
		if begin/line != end/line {
			t.Errorf("%s: %s begins at %d of one line, %s ends at %d of another", v.Type(), first, begin%line, last, end%line)
		}
	}
	svc := s.engine.services[key]
	check(svc, "mu", "peers")
	check(svc.roster.Load(), "scheduler", "list")
	for _, d := range svc.servers {
		check(d, "id", "overloaded")
		check(d, "active", "v6")
	}
}
