package conntrack_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"uvs/conntrack"
	"uvs/internal/mono"
)

var (
	server1 = conntrack.ServerID{Slot: 1, Gen: 1}
	server2 = conntrack.ServerID{Slot: 2, Gen: 1}
)

func anyServer(conntrack.ServerID) bool { return true }
func noServer(conntrack.ServerID) bool  { return false }

// template inserts a template and gives it back.
func template(t testing.TB, table *conntrack.Table, key *conntrack.Tuple, id conntrack.ServerID, timeout time.Duration, now mono.Time) {
	t.Helper()
	spec := &conntrack.Spec{Server: id, Dest: endpoint("10.0.0.2:8080"), Flags: conntrack.Route | conntrack.FlagNoOutput}
	if key.V6 {
		spec.Dest = endpoint("[fd00::2]:8080")
	}
	got, res := table.InsertTemplate(key, nil, spec, timeout, now)
	if res != conntrack.Inserted || got.Server != id || got.Dest != spec.Dest || got.Flags != conntrack.Route|conntrack.FlagTemplate {
		t.Fatalf("InsertTemplate = %+v, %v", got, res)
	}
	table.LetGo(got.Ref)
}

// lookUp looks for a template without holding it.
func lookUp(table *conntrack.Table, key *conntrack.Tuple, timeout time.Duration, now mono.Time) (conntrack.ServerID, bool) {
	got, ok := table.Template(key, nil, timeout, now, anyServer)
	table.LetGo(got.Ref)
	return got.Server, ok
}

func TestTemplateIsFoundByItsKey(t *testing.T) {
	table := newTable(t, conntrack.Config{})
	for _, key := range []*conntrack.Tuple{
		tuple(tcp, "203.0.113.0:0", "192.0.2.1:80"), tuple(tcp, "[2001:db8::]:0", "[2001:db8:1::1]:80"),
	} {
		template(t, table, key, server1, time.Minute, start)
		if id, ok := lookUp(table, key, time.Minute, start); !ok || id != server1 {
			t.Errorf("%v: found %v, %t", key, id, ok)
		}
		if has(table, key) {
			t.Error("a template is found as a flow")
		}
		for name, change := range map[string]func(*conntrack.Tuple){
			"protocol":       func(k *conntrack.Tuple) { k.Proto = udp },
			"client":         func(k *conntrack.Tuple) { k.Src[2]++ },
			"virtual":        func(k *conntrack.Tuple) { k.Dst[3]++ },
			"virtual port":   func(k *conntrack.Tuple) { k.DstPort++ },
			"no port at all": func(k *conntrack.Tuple) { k.DstPort = 0 },
		} {
			other := *key
			change(&other)
			if _, ok := lookUp(table, &other, time.Minute, start); ok {
				t.Errorf("%s changed: found", name)
			}
		}
	}
	if table.Len() != 2 || table.Templates() != 2 {
		t.Errorf("%d entries, %d templates, want 2", table.Len(), table.Templates())
	}
}

// TestTemplateTime: it lasts for its timeout after the last connection, also if that is
// less than what is left, and a minute at a time for connections that are alive.
func TestTemplateTime(t *testing.T) {
	key := tuple(tcp, "203.0.113.0:0", "192.0.2.1:80")
	table := newTable(t, conntrack.Config{})
	template(t, table, key, server1, time.Minute, start)
	now := expectEnd(t, table, start, time.Minute)

	template(t, table, key, server1, time.Minute, now)
	lookUp(table, key, time.Minute, now.Add(50*time.Second))
	now = expectEnd(t, table, now.Add(50*time.Second), time.Minute)

	template(t, table, key, server1, time.Hour, now)
	lookUp(table, key, 10*time.Second, now)
	now = expectEnd(t, table, now, 10*time.Second)

	template(t, table, key, server1, 10*time.Second, now)
	held, _ := table.Template(key, nil, 10*time.Second, now, anyServer)
	for _, after := range []time.Duration{11, 72, 133} { // each time it is put off
		if table.Expire(now.Add(after*time.Second), noBound); table.Len() != 1 {
			t.Fatal("a template that is held has ended")
		}
	}
	table.LetGo(held.Ref)
	expectEnd(t, table, now.Add(133*time.Second), time.Minute)
}

// TestTemplateKeepsItsFlows: the flow's end lets go of the template.
func TestTemplateKeepsItsFlows(t *testing.T) {
	for _, end := range []string{"expires", "is ended"} {
		table := newTable(t, conntrack.Config{})
		key, request := tuple(udp, "203.0.113.0:0", "192.0.2.1:53"), tuple(udp, "203.0.113.5:4000", "192.0.2.1:53")
		template(t, table, key, server1, 10*time.Second, start)
		held, _ := table.Template(key, nil, 10*time.Second, start, anyServer)
		var f conntrack.Flow
		if res := table.Insert(request, &conntrack.Spec{Server: server1, Control: held.Ref}, start, &f); res != conntrack.Inserted {
			t.Fatal(res)
		}
		if !f.Controlled() {
			t.Error("the flow does not know its template")
		}
		f.Advance(0, start) // 300 s
		f.Unlock()
		table.Each(start, func(e *conntrack.Entry) bool {
			if e.Template && e.Controls != 1 || !e.Template && !e.Controlled {
				t.Errorf("listed: %+v", e)
			}
			return true
		})
		now := start.Add(299 * time.Second)
		if table.Expire(now, noBound); table.Len() != 2 {
			t.Fatalf("after 299 s %d entries, want flow and template", table.Len())
		}
		if end == "is ended" {
			table.Find(request, &f)
			f.Expire()
			f.Unlock()
		} else {
			now = now.Add(time.Second + late)
			table.Expire(now, noBound)
		}
		if table.Len() != 1 || table.Templates() != 1 {
			t.Fatalf("the flow %s: %d entries, want the template", end, table.Len())
		}
		if table.Expire(now.Add(time.Minute+late), noBound); table.Len() != 0 {
			t.Errorf("the flow %s: its template is there a minute later", end)
		}
	}
}

func TestSupersededTemplate(t *testing.T) {
	for _, address := range []string{"192.0.2.1:80", "192.0.2.1:65535"} {
		var left []conntrack.ServerID
		table := newTable(t, conntrack.Config{
			ReleasedTemplate: func(id conntrack.ServerID) { left = append(left, id) },
			Released:         func(id conntrack.ServerID, _ bool) { t.Errorf("released %v", id) },
		})
		key := tuple(tcp, "203.0.113.0:0", address)
		template(t, table, key, server1, time.Minute, start)
		if _, ok := table.Template(key, nil, time.Minute, start, noServer); ok {
			t.Fatal("a template whose server is refused is found")
		}
		if _, ok := lookUp(table, key, time.Minute, start); ok {
			t.Fatal("a superseded template is found")
		}
		template(t, table, key, server2, 2*time.Minute, start)
		if id, ok := lookUp(table, key, 2*time.Minute, start); !ok || id != server2 {
			t.Errorf("found %v, %t, want the new one", id, ok)
		}
		var listed []string
		table.Each(start, func(e *conntrack.Entry) bool {
			listed = append(listed, fmt.Sprint(e.State, " ", e.Client, " ", e.Virtual, " ", e.Dest, " ", e.Server.Slot))
			return true
		})
		slices.Sort(listed)
		want := []string{"NONE 203.0.113.0:0 " + address + " 10.0.0.2:8080 2", "NONE 203.0.113.0:0 192.0.2.1:65535 10.0.0.2:65535 1"}
		slices.Sort(want)
		if !slices.Equal(listed, want) {
			t.Errorf("listed %q, want %q", listed, want)
		}
		if table.Templates() != 2 {
			t.Errorf("%d templates, want 2", table.Templates())
		}
		table.Expire(start.Add(time.Minute+late), noBound)
		if fmt.Sprint(left) != fmt.Sprint([]conntrack.ServerID{server1}) {
			t.Errorf("released %v, want the superseded one's server", left)
		}
		table.Expire(start.Add(2*time.Minute+late), noBound)
		if len(left) != 2 || table.Len() != 0 || table.Templates() != 0 {
			t.Errorf("in the end released %v, %d entries", left, table.Len())
		}
	}
}

// TestManyTemplatesOfOneClient: neither services nor servers that come and go use up what one
// client may have.
func TestManyTemplatesOfOneClient(t *testing.T) {
	table := newTable(t, conntrack.Config{MaxFlows: 2000})
	for i := range 500 {
		key := tuple(tcp, "203.0.113.5:0", fmt.Sprintf("192.0.2.%d:%d", 1+i%3, 1+i))
		template(t, table, key, server1, time.Hour, start)
	}
	key := tuple(tcp, "203.0.113.5:0", "192.0.2.1:1")
	for range 500 {
		if _, ok := table.Template(key, nil, time.Hour, start, noServer); ok {
			t.Fatal("found")
		}
		template(t, table, key, server1, time.Hour, start)
	}
	if table.Templates() != 1000 {
		t.Errorf("%d templates", table.Templates())
	}
}

func TestTemplateIsAssured(t *testing.T) {
	const syn, ack = conntrack.SYN, conntrack.ACK
	type packet struct {
		dir conntrack.Dir
		seg conntrack.Signal
	}
	for _, tt := range []struct {
		name    string
		proto   uint8
		packets []packet
		want    conntrack.State
	}{
		{"SYN", tcp, []packet{{conntrack.Original, syn}}, conntrack.None},
		{"refused", tcp, []packet{{conntrack.Original, syn}, {conntrack.Reply, conntrack.RST}}, conntrack.None},
		{"established", tcp, []packet{{conntrack.Original, syn}, {conntrack.Reply, syn | ack}, {conntrack.Original, ack}}, conntrack.Assured},
		{"established and closed", tcp, []packet{{conntrack.Original, syn}, {conntrack.Original, ack}, {conntrack.Reply, conntrack.RST}}, conntrack.Assured},
		{"UDP requests", udp, []packet{{conntrack.Original, 0}, {conntrack.Original, 0}}, conntrack.None},
		{"UDP reply", udp, []packet{{conntrack.Original, 0}, {conntrack.Reply, 0}}, conntrack.Assured},
	} {
		table := newTable(t, conntrack.Config{})
		key, request, reply := tuple(tt.proto, "203.0.113.0:0", "192.0.2.1:80"), tuple(tt.proto, "203.0.113.5:4000", "192.0.2.1:80"), tuple(tt.proto, "10.0.0.2:8080", "203.0.113.5:4000")
		template(t, table, key, server1, time.Hour, start)
		held, _ := table.Template(key, nil, time.Hour, start, anyServer)
		var f conntrack.Flow
		table.Insert(request, &conntrack.Spec{Server: server1, Dest: endpoint("10.0.0.2:8080"), Control: held.Ref}, start, &f)
		f.Unlock()
		for _, p := range tt.packets {
			tp := request
			if p.dir == conntrack.Reply {
				tp = reply
			}
			if !table.Find(tp, &f) {
				t.Fatal("flow lost")
			}
			f.Advance(p.seg, start)
			f.Unlock()
		}
		table.Each(start, func(e *conntrack.Entry) bool {
			if e.Template && (e.State != tt.want || e.Controls != 1) {
				t.Errorf("%s: %v, controls %d, want %v and 1", tt.name, e.State, e.Controls, tt.want)
			}
			return true
		})
	}
}

// TestTemplatesAndFlowsShareOneBound also when both are at it.
func TestTemplatesAndFlowsShareOneBound(t *testing.T) {
	table := newTable(t, conntrack.Config{MaxFlows: 100})
	var f conntrack.Flow
	flow := func(i int) conntrack.InsertResult {
		res := table.Insert(tuple(tcp, fmt.Sprintf("203.0.113.5:%d", 1+i), "192.0.2.1:80"), &conntrack.Spec{}, start, &f)
		if res == conntrack.Inserted {
			f.Unlock()
		}
		return res
	}
	remember := func(i int) conntrack.InsertResult {
		got, res := table.InsertTemplate(tuple(tcp, fmt.Sprintf("203.0.113.%d:0", i), "192.0.2.1:80"), nil, &conntrack.Spec{}, 2*time.Second, start)
		table.LetGo(got.Ref)
		return res
	}
	for i := range 50 {
		if a, b := flow(i), remember(i); a != conntrack.Inserted || b != conntrack.Inserted {
			t.Fatalf("%d: %v, %v", i, a, b)
		}
	}
	if a, b := flow(50), remember(50); a != conntrack.Full || b != conntrack.Full {
		t.Errorf("at the bound: %v, %v", a, b)
	}
	table.Expire(start.Add(2*time.Second+late), noBound)
	if table.Len() != 50 || table.Templates() != 0 {
		t.Fatalf("%d entries, %d templates, want the flows", table.Len(), table.Templates())
	}
	for i := range 50 {
		if res := flow(50 + i); res != conntrack.Inserted {
			t.Fatalf("the templates' room: %v", res)
		}
	}
	if a, b := flow(100), remember(51); a != conntrack.Full || b != conntrack.Full {
		t.Errorf("at the bound again: %v, %v", a, b)
	}
}

func TestEvict(t *testing.T) {
	released := make(map[string]int)
	table := newTable(t, conntrack.Config{
		Released:         func(id conntrack.ServerID, _ bool) { released[fmt.Sprint("flow ", id.Slot)]++ },
		ReleasedTemplate: func(id conntrack.ServerID) { released[fmt.Sprint("template ", id.Slot)]++ },
	})
	var f conntrack.Flow
	for i := range 300 {
		id := []conntrack.ServerID{server1, server2, {}}[i%3]
		key, request := tuple(tcp, fmt.Sprintf("10.1.%d.%d:0", i/200, i%200), "192.0.2.1:80"), tuple(tcp, fmt.Sprintf("10.1.%d.%d:4000", i/200, i%200), "192.0.2.1:80")
		if i%2 == 1 {
			key, request = tuple(tcp, fmt.Sprintf("[fd00::%x]:0", i), "[fd01::1]:80"), tuple(tcp, fmt.Sprintf("[fd00::%x]:4000", i), "[fd01::1]:80")
		}
		held, _ := table.InsertTemplate(key, nil, &conntrack.Spec{Server: id}, time.Hour, start)
		table.Insert(request, &conntrack.Spec{Server: id, Control: held.Ref}, start, &f)
		f.Unlock()
	}
	// One template is held by another server's flow and stays.
	key := tuple(tcp, "10.1.0.0:0", "192.0.2.1:80")
	held, _ := table.Template(key, nil, time.Hour, start, anyServer)
	table.Insert(tuple(tcp, "10.1.0.0:4001", "192.0.2.1:80"), &conntrack.Spec{Server: server2, Control: held.Ref}, start, &f)
	f.Unlock()
	if n := table.Evict(func(id conntrack.ServerID) bool { return id == server1 }); n != 199 {
		t.Errorf("ended %d, want 100 flows and 99 templates", n)
	}
	if got, want := fmt.Sprint(released), "map[flow 1:100 template 1:99]"; got != want {
		t.Errorf("released %s, want %s", got, want)
	}
	if table.Len() != 402 || table.Templates() != 201 {
		t.Errorf("left are %d entries, %d templates", table.Len(), table.Templates())
	}
	if n := table.Evict(noServer); n != 0 {
		t.Errorf("ended %d for no server", n)
	}
}

// oracleTemplate is a template of the slow table.
type oracleTemplate struct {
	key        conntrack.Tuple
	server     conntrack.ServerID
	ends       mono.Time
	holders    int
	superseded bool
}

// TestTemplatesAgainstAnOracle makes templates, holds them, supersedes them, lets go and lets
// time pass, beside a slow list that does the same.
func TestTemplatesAgainstAnOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.SampledFrom([]int{3, 12, 500}).Draw(t, "bound")
		left := make(map[conntrack.ServerID]int)
		table, err := conntrack.New(conntrack.Config{
			MaxFlows: bound, Shards: rapid.SampledFrom([]int{1, 4}).Draw(t, "shards"),
			ReleasedTemplate: func(id conntrack.ServerID) { left[id]++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		var all []*oracleTemplate
		type hold struct {
			ref conntrack.TemplateRef
			of  *oracleTemplate
		}
		var holds []hold
		now := start
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			key := conntrack.Tuple{
				Src: [16]byte{byte(rapid.IntRange(1, 3).Draw(t, "client"))}, Dst: [16]byte{byte(rapid.IntRange(1, 2).Draw(t, "virtual"))},
				DstPort: rapid.SampledFrom([]uint16{0, 80, 65535}).Draw(t, "port"), Proto: tcp, V6: rapid.Bool().Draw(t, "v6"),
			}
			timeout := time.Duration(rapid.IntRange(1, 200).Draw(t, "timeout")) * time.Second
			var found *oracleTemplate
			for _, x := range all {
				if x.key == key && !x.superseded {
					found = x
				}
			}
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "wait")) * time.Second)
				// Ticks are coarser than the oracle's whole seconds: it is asked a little later.
				table.Expire(now.Add(late), noBound)
				gone := make(map[conntrack.ServerID]int)
				all = slices.DeleteFunc(all, func(x *oracleTemplate) bool {
					if x.ends > now {
						return false
					}
					if x.holders > 0 {
						// The table looks now, and puts it off from now on.
						x.ends = now.Add(time.Minute)
						return false
					}
					gone[x.server]++
					return true
				})
				if fmt.Sprint(left) != fmt.Sprint(gone) {
					t.Fatalf("released %v, want %v", left, gone)
				}
				clear(left)
			case 1, 2:
				server := conntrack.ServerID{Slot: uint32(rapid.IntRange(1, 3).Draw(t, "server")), Gen: 1}
				got, res := table.InsertTemplate(&key, nil, &conntrack.Spec{Server: server}, timeout, now)
				want := conntrack.Inserted
				switch {
				case found != nil:
					want = conntrack.Existed
				case len(all) >= bound:
					want = conntrack.Full
				default:
					found = &oracleTemplate{key: key, server: server}
					all = append(all, found)
				}
				if res != want || res != conntrack.Full && got.Server != found.server {
					t.Fatalf("InsertTemplate = %v, %v, want %v of %v", got.Server, res, want, found)
				}
				if res != conntrack.Full {
					found.holders++
					found.ends = now.Add(timeout)
					holds = append(holds, hold{got.Ref, found})
				}
			case 3:
				got, ok := table.Template(&key, nil, timeout, now, anyServer)
				if ok != (found != nil) || ok && got.Server != found.server {
					t.Fatalf("Template = %v, %t, want %v", got.Server, ok, found)
				}
				if ok {
					found.holders++
					found.ends = now.Add(timeout)
					holds = append(holds, hold{got.Ref, found})
				}
			case 4:
				if _, ok := table.Template(&key, nil, timeout, now, noServer); ok {
					t.Fatal("found though no server is usable")
				}
				if found != nil {
					found.superseded = true
				}
			default:
				if len(holds) > 0 {
					i := rapid.IntRange(0, len(holds)-1).Draw(t, "hold")
					table.LetGo(holds[i].ref)
					holds[i].of.holders--
					holds = slices.Delete(holds, i, i+1)
				}
			}
			if table.Len() != len(all) || table.Templates() != len(all) {
				t.Fatalf("%d entries, %d templates, want %d", table.Len(), table.Templates(), len(all))
			}
		}
	})
}

// TestTemplatesConcurrently lets workers make flows of few clients, supersede their templates
// and end them, while others expire, list and evict. In the end nothing is left, and every
// template was counted off once.
func TestTemplatesConcurrently(t *testing.T) {
	var made, left atomic.Int64
	table := newTable(t, conntrack.Config{MaxFlows: 300, ReleasedTemplate: func(conntrack.ServerID) { left.Add(1) }})
	var clock atomic.Int64
	now := func() mono.Time { return start.Add(time.Duration(clock.Add(int64(2 * time.Millisecond)))) }
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			var f conntrack.Flow
			for range 5000 {
				key := conntrack.Tuple{Src: [16]byte{byte(rng.IntN(5))}, DstPort: 80, Proto: udp, V6: rng.IntN(2) == 0}
				usable := anyServer
				if rng.IntN(10) == 0 {
					usable = noServer
				}
				held, ok := table.Template(&key, nil, 2*time.Second, now(), usable)
				if !ok {
					var res conntrack.InsertResult
					if held, res = table.InsertTemplate(&key, nil, &conntrack.Spec{Server: server1}, 2*time.Second, now()); res == conntrack.Full {
						continue
					} else if res == conntrack.Inserted {
						made.Add(1)
					}
				}
				tp := key
				tp.SrcPort = uint16(rng.IntN(20))
				res := table.Insert(&tp, &conntrack.Spec{Server: server2, Control: held.Ref}, now(), &f)
				if res != conntrack.Inserted {
					table.LetGo(held.Ref)
				}
				if res == conntrack.Inserted || res == conntrack.Existed {
					if f.Advance(0, now()); rng.IntN(3) == 0 {
						f.Expire()
					}
					f.Unlock()
				}
				if rng.IntN(50) == 0 {
					table.Expire(now(), 50)
				}
				if rng.IntN(500) == 0 {
					table.Evict(func(id conntrack.ServerID) bool { return id == server2 })
					table.Each(now(), func(*conntrack.Entry) bool { return true })
				}
			}
		})
	}
	wg.Wait()
	end := now()
	for range 12 { // flows last 300 s, then templates a minute
		end = end.Add(time.Minute)
		table.Expire(end, noBound)
	}
	if table.Len() != 0 || table.Templates() != 0 || made.Load() != left.Load() || made.Load() == 0 {
		t.Errorf("%d entries and %d templates are left; %d were made, %d counted off", table.Len(), table.Templates(), made.Load(), left.Load())
	}
}

// TestTemplateData: templates of one client are told apart by what a persistence engine says,
// each goes by itself, and none is taken for one without.
func TestTemplateData(t *testing.T) {
	table := newTable(t, conntrack.Config{MaxFlows: 100, Shards: 1})
	for _, key := range []*conntrack.Tuple{tuple(17, "203.0.113.5:0", "192.0.2.1:5060"), tuple(17, "[2001:db8::5]:0", "[2001:db8::1]:5060")} {
		words := []string{"", "a", "b", "ab", strings.Repeat("x", 255)}
		for i, word := range words {
			got, res := table.InsertTemplate(key, []byte(word), &conntrack.Spec{Server: conntrack.ServerID{Slot: uint32(i), Gen: 1}}, time.Duration(i+1)*time.Second, start)
			if res != conntrack.Inserted {
				t.Fatalf("%q: %s", word, res)
			}
			table.LetGo(got.Ref)
		}
		for i, word := range words {
			got, ok := table.Template(key, []byte(word), time.Duration(i+1)*time.Second, start, anyServer)
			if !ok || got.Server.Slot != uint32(i) {
				t.Errorf("%q finds server %d (%t), want %d", word, got.Server.Slot, ok, i)
				continue
			}
			table.LetGo(got.Ref)
		}
	}
	if _, ok := table.Template(tuple(17, "203.0.113.5:0", "192.0.2.1:5060"), []byte("c"), time.Second, start, anyServer); ok {
		t.Error("a word that nobody said is found")
	}
	for i := range 5 {
		table.Expire(start.Add(time.Duration(i+1)*time.Second+250*time.Millisecond), 1000)
		if got, want := table.Templates(), 2*(4-i); got != want {
			t.Errorf("after %d s there are %d templates, want %d", i+1, got, want)
		}
	}
	// An entry that is used again has nothing left of what it was.
	key := tuple(17, "203.0.113.5:0", "192.0.2.1:5060")
	for range 5 {
		got, _ := table.InsertTemplate(key, nil, &conntrack.Spec{}, time.Second, start)
		table.LetGo(got.Ref)
	}
	if got := table.Templates(); got != 1 {
		t.Errorf("one template without data, put in again and again, is %d", got)
	}
}
