package conntrack_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"uvs/conntrack"
	"uvs/internal/mono"
)

// oracle is the slow, obvious flow table: a list that every question walks through.
type oracle struct {
	bound    int
	timeouts conntrack.Timeouts
	flows    []*oracleFlow
	released []string
}

type oracleFlow struct {
	tp      conntrack.Tuple
	dest    conntrack.Endpoint
	server  conntrack.ServerID
	flags   conntrack.Flags
	state   conntrack.State
	packets uint32
	ends    mono.Time
}

// find returns the flow that a packet belongs to: the newest, and rather one as whose
// client's packet it can pass.
func (o *oracle) find(tp conntrack.Tuple) (*oracleFlow, conntrack.Dir) {
	for i := len(o.flows) - 1; i >= 0; i-- {
		if o.flows[i].tp == tp {
			return o.flows[i], conntrack.Original
		}
	}
	for i := len(o.flows) - 1; i >= 0; i-- {
		f := o.flows[i]
		reply := f.tp
		reply.Src, reply.SrcPort, reply.Dst, reply.DstPort = f.tp.Dst, f.tp.DstPort, f.tp.Src, f.tp.SrcPort
		if f.flags.Method() == conntrack.Masq {
			reply.Src, reply.SrcPort = f.dest.Addr, f.dest.Port
		}
		if reply == tp {
			return f, conntrack.Reply
		}
	}
	return nil, 0
}

func (o *oracle) insert(tp conntrack.Tuple, s conntrack.Spec, now mono.Time) (*oracleFlow, conntrack.InsertResult) {
	same := 0
	for _, f := range o.flows {
		if f.tp == tp {
			return f, conntrack.Existed
		}
		if f.tp.Src == tp.Src && f.tp.SrcPort == tp.SrcPort && f.tp.Proto == tp.Proto && f.tp.V6 == tp.V6 {
			same++
		}
	}
	if same >= 64 {
		return nil, conntrack.TooMany
	}
	if len(o.flows) >= o.bound {
		return nil, conntrack.Full
	}
	f := &oracleFlow{tp: tp, dest: s.Dest, server: s.Server, flags: s.Flags, ends: now.Add(3 * time.Second)}
	if tp.Proto == udp {
		f.state = conntrack.UDP
	}
	o.flows = append(o.flows, f)
	return f, conntrack.Inserted
}

// take notes a packet. The next state is the tested table's answer, as another test holds
// the kernel's; here each flow must keep its own.
func (o *oracle) take(f *oracleFlow, state conntrack.State, flags conntrack.Flags, d conntrack.Dir, now mono.Time) {
	f.state, f.flags = state, flags
	if d == conntrack.Original {
		f.packets++
	}
	f.ends = now.Add(o.timeouts[state])
}

func (o *oracle) drop(f *oracleFlow) {
	for i := range o.flows {
		if o.flows[i] == f {
			o.flows = append(o.flows[:i], o.flows[i+1:]...)
			break
		}
	}
	if f.server.Gen != 0 {
		o.released = append(o.released, fmt.Sprint(f.server, f.state.Active()))
	}
}

func TestTableAgainstAnOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start.Add(time.Duration(rapid.Int64Range(0, int64(day)).Draw(t, "start")))
		o := &oracle{
			bound:    rapid.SampledFrom([]int{5, 70, 400}).Draw(t, "bound"),
			timeouts: conntrack.DefaultTimeouts(),
		}
		var released []string
		table, err := conntrack.New(conntrack.Config{
			MaxFlows: o.bound,
			Shards:   rapid.SampledFrom([]int{1, 4, 0}).Draw(t, "shards"),
			Released: func(id conntrack.ServerID, active bool) { released = append(released, fmt.Sprint(id, active)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		steps := rapid.IntRange(1, 400).Draw(t, "steps")
		for range steps {
			tp, spec := drawPacket(t)
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "wait")))
				expireBoth(t, table, o, now)
			case 1:
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "long wait")))
				expireBoth(t, table, o, now)
			case 2, 3, 4, 5:
				insertBoth(t, table, o, tp, spec, now)
			default:
				packetBoth(t, table, o, tp, now)
			}
			if got := table.Len(); got != len(o.flows) {
				t.Fatalf("%d flows, want %d", got, len(o.flows))
			}
			slices.Sort(released)
			slices.Sort(o.released)
			if !slices.Equal(released, o.released) {
				t.Fatalf("released %v, want %v", released, o.released)
			}
			released, o.released = nil, nil
		}
		listBoth(t, table, o, now)
	})
}

// drawPacket draws from few ends, so that tuples come again, meet as replies and crowd on
// one client.
func drawPacket(t *rapid.T) (conntrack.Tuple, conntrack.Spec) {
	proto := rapid.SampledFrom([]uint8{tcp, udp}).Draw(t, "proto")
	ends := []string{"203.0.113.5:1000", "203.0.113.5:1001", "203.0.113.6:1000", "192.0.2.1:80", "10.0.0.2:8080", "10.0.0.3:8080"}
	other := fmt.Sprintf("192.0.2.1:%d", rapid.IntRange(5000, 5100).Draw(t, "port"))
	dests := []string{"10.0.0.2:8080", "10.0.0.3:8080"}
	if rapid.Bool().Draw(t, "v6") {
		ends = []string{"[2001:db8::5]:1000", "[2001:db8::5]:1001", "[2001:db8::6]:1000", "[2001:db8::1]:80", "[fd00::2]:8080", "[fd00::3]:8080"}
		other = fmt.Sprintf("[2001:db8::1]:%d", rapid.IntRange(5000, 5100).Draw(t, "port"))
		dests = []string{"[fd00::2]:8080", "[fd00::3]:8080"}
	}
	src, dst := rapid.SampledFrom(ends).Draw(t, "src"), rapid.SampledFrom(append(ends, other, other)).Draw(t, "dst")
	return *tuple(proto, src, dst), conntrack.Spec{
		Server: conntrack.ServerID{Slot: rapid.Uint32Range(0, 3).Draw(t, "slot"), Gen: rapid.Uint32Range(0, 2).Draw(t, "gen")},
		Dest:   endpoint(rapid.SampledFrom(dests).Draw(t, "dest")),
		Flags:  rapid.SampledFrom([]conntrack.Flags{conntrack.Masq, conntrack.Route | conntrack.FlagNoOutput}).Draw(t, "flags"),
	}
}

func insertBoth(t *rapid.T, table *conntrack.Table, o *oracle, tp conntrack.Tuple, spec conntrack.Spec, now mono.Time) {
	var f conntrack.Flow
	want, result := o.insert(tp, spec, now)
	if got := table.Insert(&tp, &spec, now, &f); got != result {
		t.Fatalf("Insert = %v, want %v", got, result)
	}
	if want == nil {
		return
	}
	compare(t, &f, want, conntrack.Original)
	f.Unlock()
}

func packetBoth(t *rapid.T, table *conntrack.Table, o *oracle, tp conntrack.Tuple, now mono.Time) {
	var f conntrack.Flow
	want, dir := o.find(tp)
	if got := table.Find(&tp, &f); got != (want != nil) {
		t.Fatalf("Find = %v", got)
	}
	if want == nil {
		return
	}
	defer f.Unlock()
	compare(t, &f, want, dir)
	if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
		f.Expire()
		o.drop(want)
		return
	}
	was := want.state.Active()
	change := f.Advance(rapid.SampledFrom([]conntrack.Signal{conntrack.SYN, conntrack.ACK, conntrack.FIN, conntrack.RST, 0}).Draw(t, "seg"), now)
	o.take(want, f.State(), f.Flags()&^conntrack.FlagInactive, dir, now)
	is := want.state.Active()
	if active := map[bool]int{true: 1}; change != active[is]-active[was] {
		t.Fatalf("change %d from active %v to %v", change, was, is)
	}
}

func compare(t *rapid.T, f *conntrack.Flow, want *oracleFlow, dir conntrack.Dir) {
	inactive := conntrack.FlagInactive
	if want.state.Active() {
		inactive = 0
	}
	if f.Dir() != dir || f.State() != want.state || f.Server() != want.server || f.Packets() != want.packets || f.Flags() != want.flags|inactive ||
		f.Client() != (conntrack.Endpoint{Addr: want.tp.Src, Port: want.tp.SrcPort}) ||
		f.Virtual() != (conntrack.Endpoint{Addr: want.tp.Dst, Port: want.tp.DstPort}) || f.Dest() != want.dest {
		t.Fatalf("flow %v %v %v %v of %v > %v > %v, want %+v", f.Dir(), f.State(), f.Server(), f.Flags(), f.Client(), f.Virtual(), f.Dest(), want)
	}
}

// expireBoth lets the table end flows and checks that their time was over. Which of those
// in their last two ticks go is the table's affair.
func expireBoth(t *rapid.T, table *conntrack.Table, o *oracle, now mono.Time) {
	if budget := rapid.IntRange(0, 20).Draw(t, "budget"); table.Expire(now, budget) > budget {
		t.Fatalf("more than %d flows ended", budget)
	}
	for range 20 { // each call looks at 128 entries of a shard
		table.Expire(now, noBound)
	}
	there := listed(table, now)
	for _, f := range slices.Clone(o.flows) {
		_, ok := there[f.tp]
		switch {
		case !ok && now.Before(f.ends):
			t.Fatalf("a flow ended %v early: %+v", f.ends.Sub(now), f)
		case ok && !now.Before(f.ends.Add(late)):
			t.Fatalf("a flow is there %v late: %+v", now.Sub(f.ends), f)
		case !ok:
			o.drop(f)
		}
	}
}

// listed returns what Each lists, by request.
func listed(table *conntrack.Table, now mono.Time) map[conntrack.Tuple]conntrack.Entry {
	all := map[conntrack.Tuple]conntrack.Entry{}
	table.Each(now, func(e *conntrack.Entry) bool {
		all[*tuple(e.Proto, e.Client.String(), e.Virtual.String())] = *e
		return true
	})
	return all
}

func listBoth(t *rapid.T, table *conntrack.Table, o *oracle, now mono.Time) {
	all := listed(table, now)
	if len(all) != len(o.flows) {
		t.Fatalf("%d flows listed, want %d", len(all), len(o.flows))
	}
	for _, f := range o.flows {
		e, ok := all[f.tp]
		left := max(0, f.ends.Sub(now))
		if !ok || e.State != f.state || e.Server != f.server || e.Packets != f.packets || e.Remaining < left-late || e.Remaining > left+late {
			t.Fatalf("listed %+v, want %+v with %v left", e, f, left)
		}
	}
}
