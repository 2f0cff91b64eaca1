package conntrack_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/mono"
)

func TestNewRefusesWhatCannotBe(t *testing.T) {
	for name, c := range map[string]conntrack.Config{
		"no flows":            {},
		"too many flows":      {MaxFlows: 1<<28 + 1},
		"too many shards":     {MaxFlows: 10, Shards: 1<<16 + 1},
		"negative shards":     {MaxFlows: 10, Shards: -1},
		"negative workers":    {MaxFlows: 10, Workers: -1},
		"timeout of 32 days":  {MaxFlows: 10, Timeouts: conntrack.Timeouts{conntrack.UDP: 32 * day}},
		"timeout of a moment": {MaxFlows: 10, Timeouts: conntrack.Timeouts{conntrack.UDP: 1}},
	} {
		if table, err := conntrack.New(c); err == nil {
			_ = table.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBoundIsExact(t *testing.T) {
	for _, tt := range []struct{ flows, shards, workers int }{
		{1, 1, 0}, {1, 64, 1}, {100, 0, 0}, {100, 64, 8}, {1000, 4, 1}, {1000, 4, 3}, {100, 2, 5}, {5000, 8, 2}, {40_000, 8, 1},
	} {
		t.Run(fmt.Sprintf("%d flows in %d shards of %d workers", tt.flows, tt.shards, tt.workers), func(t *testing.T) {
			table := newTable(t, conntrack.Config{MaxFlows: tt.flows, Shards: tt.shards, Workers: tt.workers})
			var f conntrack.Flow
			next := 0
			fill := func() {
				t.Helper()
				for range tt.flows + 300 {
					request, _ := numbered(next)
					next++
					switch got := table.Insert(&request, &conntrack.Spec{}, start, &f); got {
					case conntrack.Inserted:
						f.Unlock()
					case conntrack.Full:
						if has(table, &request) {
							t.Fatal("a refused flow is there")
						}
					default:
						t.Fatal(got)
					}
				}
				if got := table.Len(); got != tt.flows {
					t.Fatalf("%d flows fit, want %d", got, tt.flows)
				}
			}
			fill()
			for _, leave := range []int{0, 1, tt.flows / 2, tt.flows - 1} {
				removeAllBut(table, leave)
				if got := table.Len(); got != leave {
					t.Fatalf("%d flows left, want %d", got, leave)
				}
				fill()
			}
		})
	}
}

func removeAllBut(table *conntrack.Table, leave int) {
	var all []conntrack.Tuple
	table.Each(start, func(e *conntrack.Entry) bool {
		all = append(all, *tuple(e.Proto, e.Client.String(), e.Virtual.String()))
		return true
	})
	var f conntrack.Flow
	for i := range all[min(leave, len(all)):] {
		if table.Find(&all[i], &f) {
			f.Expire()
			f.Unlock()
		}
	}
}

// TestSameClientIsBounded opens flows from one address and port to all ports of a service.
func TestSameClientIsBounded(t *testing.T) {
	table := newTable(t, conntrack.Config{MaxFlows: 100_000})
	var f conntrack.Flow
	spec := &conntrack.Spec{Dest: endpoint("10.0.0.2:0")}
	request := tuple(udp, "203.0.113.5:40000", "192.0.2.1:0")
	fit := 0
	for port := range 5000 {
		request.DstPort = uint16(port)
		switch got := table.Insert(request, spec, start, &f); got {
		case conntrack.Inserted:
			f.Unlock()
			fit++
			if fit != port+1 {
				t.Fatalf("flow to port %d after refused ones", port)
			}
		case conntrack.TooMany:
		default:
			t.Fatal(got)
		}
	}
	if fit != 64 || table.Len() != fit {
		t.Errorf("%d flows of one client fit, %d in the table, want 64", fit, table.Len())
	}
	for port := range fit {
		request.DstPort = uint16(port)
		if !has(table, request) {
			t.Errorf("flow to port %d not found", port)
		}
	}
	if other := tuple(udp, "203.0.113.5:40001", "192.0.2.1:9"); table.Insert(other, spec, start, &f) != conntrack.Inserted {
		t.Error("another port of the client is refused as well")
	} else {
		f.Unlock()
	}
	request.DstPort = 10
	table.Find(request, &f)
	f.Expire()
	f.Unlock()
	request.DstPort = 4000
	if table.Insert(request, spec, start, &f) != conntrack.Inserted {
		t.Error("no room after a flow went")
	} else {
		f.Unlock()
	}
}

func TestEachListsFlows(t *testing.T) {
	table := newTable(t, conntrack.Config{})
	var f conntrack.Flow
	want := map[netip.AddrPort]conntrack.Entry{}
	for i := range 200 {
		client, virtual, dest := fmt.Sprintf("203.0.113.5:%d", 1000+i), "192.0.2.1:80", "10.0.0.2:8080"
		if i%3 == 0 {
			client, virtual, dest = fmt.Sprintf("[2001:db8::5]:%d", 1000+i), "[2001:db8:1::1]:80", "[fd00::2]:8080"
		}
		spec := &conntrack.Spec{
			Server: conntrack.ServerID{Slot: uint32(i), Gen: 1}, Dest: endpoint(dest),
			MAC: [6]byte{2, byte(i)}, Link: int32(i),
		}
		table.Insert(tuple(tcp, client, virtual), spec, start, &f)
		f.Advance(conntrack.SYN, start)
		f.Unlock()
		e := conntrack.Entry{
			Proto: tcp, State: conntrack.SynRecv, Server: spec.Server, Remaining: time.Minute - 10*time.Second,
			Client: netip.MustParseAddrPort(client), Virtual: netip.MustParseAddrPort(virtual), Dest: netip.MustParseAddrPort(dest),
			Packets: 1, MAC: spec.MAC, Link: spec.Link,
		}
		want[e.Client] = e
	}
	table.Each(start.Add(10*time.Second), func(e *conntrack.Entry) bool {
		if got := *e; got != want[e.Client] {
			t.Errorf("got  %+v\nwant %+v", got, want[e.Client])
		}
		delete(want, e.Client)
		return true
	})
	if len(want) != 0 {
		t.Errorf("%d flows not listed", len(want))
	}
	calls := 0
	table.Each(start, func(*conntrack.Entry) bool { calls++; return calls < 70 })
	if calls != 70 {
		t.Errorf("%d calls, want a stop after 70", calls)
	}
}

// TestManyWorkers has workers insert, advance, end and expire flows of few clients while
// others look for flows that stay and list the table.
func TestManyWorkers(t *testing.T) {
	const (
		workers = 4
		lasting = 500
		rounds  = 20_000
	)
	var inactive, active atomic.Int64
	table := newTable(t, conntrack.Config{
		MaxFlows: 4000, Shards: 2,
		Released: func(_ conntrack.ServerID, wasActive bool) {
			if wasActive {
				active.Add(-1)
			} else {
				inactive.Add(-1)
			}
		},
	})
	count := func(change int) {
		active.Add(int64(change))
		inactive.Add(int64(-change))
	}
	var f conntrack.Flow
	for i := range lasting {
		request, reply := numbered(i)
		spec := conntrack.Spec{Server: conntrack.ServerID{Slot: 1, Gen: 1}, Dest: endpointOf(reply)}
		table.Insert(&request, &spec, start, &f)
		inactive.Add(1)
		count(f.Advance(conntrack.ACK, start))
		f.Unlock()
	}
	var clock atomic.Int64
	clock.Store(int64(start))
	stop := make(chan struct{})
	var churning, watching sync.WaitGroup
	for worker := range workers {
		churning.Go(func() {
			var f conntrack.Flow
			for i := range rounds {
				request, reply := numbered(100_000 + (i*7+worker*13)%3000)
				now := mono.Time(clock.Load())
				tp := &request
				if i%3 == 0 {
					tp = &reply
				}
				if !table.Find(tp, &f) {
					spec := conntrack.Spec{Server: conntrack.ServerID{Slot: 1, Gen: 1}, Dest: endpointOf(reply)}
					switch got := table.Insert(&request, &spec, now, &f); got {
					case conntrack.Inserted:
						inactive.Add(1)
					case conntrack.Existed:
					default:
						t.Errorf("Insert = %v", got)
						return
					}
				}
				count(f.Advance([]conntrack.Signal{conntrack.SYN, conntrack.ACK, conntrack.FIN, 0}[i%4], now))
				if i%11 == 0 {
					f.Expire()
				}
				f.Unlock()
				if i%50 == 0 {
					clock.Add(int64(100 * time.Millisecond))
					table.Expire(now, 20)
				}
			}
		})
	}
	watching.Go(func() {
		var f conntrack.Flow
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			request, reply := numbered(i % lasting)
			if !table.Find(&request, &f) {
				t.Errorf("lasting flow %d not found", i%lasting)
				return
			}
			f.Unlock()
			if !table.Find(&reply, &f) || f.Dir() != conntrack.Reply {
				t.Errorf("lasting flow %d not found by its reply", i%lasting)
				return
			}
			f.Unlock()
		}
	})
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			table.Prepare()
			seen := map[netip.AddrPort]int{}
			table.Each(mono.Time(clock.Load()), func(e *conntrack.Entry) bool {
				seen[e.Client]++
				return true
			})
			for i := range lasting {
				request, _ := numbered(i)
				client := netip.AddrPortFrom(netip.AddrFrom4([4]byte(request.Src[:4])), request.SrcPort)
				if seen[client] != 1 {
					t.Errorf("lasting flow %d listed %d times", i, seen[client])
					return
				}
			}
		}
	})
	churning.Wait()
	close(stop)
	watching.Wait()
	for now := mono.Time(clock.Load()).Add(day); table.Len() > 0; {
		if table.Expire(now, 1000) == 0 {
			t.Fatalf("%d flows never end", table.Len())
		}
	}
	if active.Load() != 0 || inactive.Load() != 0 {
		t.Errorf("%d active, %d inactive in an empty table", active.Load(), inactive.Load())
	}
}

func endpointOf(reply conntrack.Tuple) conntrack.Endpoint {
	return conntrack.Endpoint{Addr: reply.Src, Port: reply.SrcPort}
}

// TestBoundIsExactAmongWorkers has workers fill a table at the same time.
func TestBoundIsExactAmongWorkers(t *testing.T) {
	const flows, workers = 20_000, 4
	table := newTable(t, conntrack.Config{MaxFlows: flows, Shards: 16})
	var inserted atomic.Int64
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			var f conntrack.Flow
			for i := range flows {
				request, _ := numbered(worker*flows + i)
				if table.Insert(&request, &conntrack.Spec{}, start, &f) == conntrack.Inserted {
					inserted.Add(1)
					f.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if inserted.Load() != flows || table.Len() != flows {
		t.Errorf("%d flows inserted, %d in the table, want %d", inserted.Load(), table.Len(), flows)
	}
}

func TestNoAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	table := newTable(t, conntrack.Config{MaxFlows: 200_000})
	var f conntrack.Flow
	request, reply := numbered(0)
	stranger := tuple(udp, "203.0.113.99:1", "192.0.2.1:80")
	spec := conntrack.Spec{Dest: endpointOf(reply)}
	table.Insert(&request, &spec, start, &f)
	f.Unlock()
	next := *tuple(tcp, "198.51.100.1:1", "192.0.2.1:80")
	next6 := *tuple(tcp, "[2001:db8::1]:1", "[2001:db8:1::1]:80")
	key := *tuple(tcp, "203.0.113.0:0", "192.0.2.1:80")
	var n uint32
	now := start
	for _, tt := range []struct {
		name string
		run  func()
	}{
		{"template", func() {
			got, ok := table.Template(&key, nil, time.Minute, now, anyServer)
			if !ok {
				got, _ = table.InsertTemplate(&key, nil, &spec, time.Minute, now)
			}
			table.LetGo(got.Ref)
			table.Template(&key, nil, time.Minute, now, noServer)
		}},
		{"hit", func() {
			for _, tp := range []*conntrack.Tuple{&request, &reply} {
				if !table.Find(tp, &f) {
					t.Fatal("miss")
				}
				f.Advance(conntrack.ACK, now)
				_, _, _ = f.Client(), f.Virtual(), f.Dest()
				f.Unlock()
			}
		}},
		{"miss", func() { table.Find(stranger, &f) }},
		{"insert and expire", func() {
			n++
			binary.BigEndian.PutUint32(next.Src[:], n)
			binary.BigEndian.PutUint32(next6.Src[8:], n)
			for _, tp := range []*conntrack.Tuple{&next, &next6} {
				if got := table.Insert(tp, &conntrack.Spec{}, now, &f); got != conntrack.Inserted {
					t.Fatal(got)
				}
				f.Advance(conntrack.SYN, now)
				f.Unlock()
			}
			now = now.Add(time.Second)
			table.Expire(now, 100)
		}},
	} {
		if got := testing.AllocsPerRun(2000, tt.run); got != 0 {
			t.Errorf("%s: %v allocations", tt.name, got)
		}
	}
}
