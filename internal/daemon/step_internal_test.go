package daemon

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"uvs/forwarding"
	"uvs/internal/table"
)

// TestStepsComeOutAsTheWhole: after any change to a table, a step from what was in force is what the whole table comes to, and
// the engine has that.
func TestStepsComeOutAsTheWhole(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 0))
	services, _ := manyServices(12)
	e := newEngine(t)
	x := table.New()
	x.Load(services)
	in := effectiveOf(nil, nil)
	small := 0
	for n := range 2000 {
		before := x
		x = x.Clone()
		what := disturb(r, x, services)
		step := in.stepTo(x.Services(), nil)
		if whole := effectiveOf(x.Services(), nil); !reflect.DeepEqual(step.to.engine, whole.engine) || !step.to.goal.equal(whole.goal) ||
			!reflect.DeepEqual(step.to.at, whole.at) {
			t.Fatalf("seed %d, step %d, %s: comes to\n%+v\nwant\n%+v", seed, n, what, step.to, whole)
		}
		if !step.whole {
			small++
		}
		if err := e.Update(func(tx *forwarding.Tx) error { return step.sync(tx, fates(before, x)) }); err != nil {
			t.Fatalf("seed %d, step %d, %s: %v", seed, n, what, err)
		}
		in = step.to
		if got, want := inEngine(e.Services()), inEngine(in.infos()); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d, step %d, %s: the engine has\n%v\nwant\n%v", seed, n, what, got, want)
		}
	}
	if small < 500 {
		t.Errorf("%d of 2000 steps were small", small)
	}
}

// TestStepToAnotherMark: a service of a mark in the place of another one's is no small step, though no packet is taken for
// either.
func TestStepToAnotherMark(t *testing.T) {
	of := func(mark uint32) *table.Table {
		x := table.New()
		if err := x.AddService(table.Key{Fwmark: mark}, table.ServiceSettings{Scheduler: "rr"}); err != nil {
			t.Fatal(err)
		}
		return x
	}
	in := effectiveOf(of(1).Services(), nil)
	if step := in.stepTo(of(2).Services(), nil); !step.whole || step.to.engine[0].key.Mark() != 2 {
		t.Errorf("whole: %t, to %s; want a whole step to FWM 2", step.whole, step.to.engine[0].key)
	}
}

// inEngine lists services with their servers in order.
func inEngine(list []forwarding.ServiceInfo) map[forwarding.ServiceKey]string {
	m := make(map[forwarding.ServiceKey]string)
	for _, s := range list {
		text := fmt.Sprintf("%+v", s.Spec)
		for _, r := range s.Servers {
			text += fmt.Sprintf(" %s %+v", r.Addr, r.Spec)
		}
		m[s.Key] = text
	}
	return m
}

// disturb changes a table in some way, or not at all, and says how.
func disturb(r *rand.Rand, x *table.Table, services []table.FileService) string {
	s := &services[r.IntN(len(services))]
	server := s.Servers[r.IntN(len(s.Servers))].Addr
	other := netip.AddrPortFrom(server.Addr().Next().Next(), 80)
	weight := table.ServerSettings{Weight: r.IntN(3)}
	switch n := r.IntN(16); n {
	case 0:
		x.Load(services[:r.IntN(len(services)+1)])
		return "load of some"
	case 1:
		x.Load(services)
		return "load of all"
	case 2:
		return fmt.Sprint("-D ", x.DeleteService(s.Key))
	case 3:
		return fmt.Sprint("-A ", x.AddService(s.Key, table.ServiceSettings{Scheduler: "rr"}))
	case 4:
		return fmt.Sprint("-E ", x.EditService(s.Key, table.ServiceSettings{Scheduler: "lc"}))
	case 5:
		return fmt.Sprint("-a ", x.AddServer(s.Key, other, weight))
	case 6:
		return fmt.Sprint("-e ", x.EditServer(s.Key, server, weight))
	case 7:
		return fmt.Sprint("-d ", x.DeleteServer(s.Key, []netip.AddrPort{server, other}[r.IntN(2)]))
	case 8:
		x.Extend(table.Extras{Services: map[table.Key]table.Extra{s.Key: {ReplyByUplink: r.IntN(2) == 0}}})
		return "extras"
	case 9:
		x.Weigh(s.Group, server, table.Weight{Set: true, Value: r.IntN(3)})
		return "weight by checks"
	default:
		x.Judge(table.Verdict{Group: s.Group, Server: server, Up: r.IntN(2) == 0})
		return "verdict"
	}
}
