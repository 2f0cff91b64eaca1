package conntrack_test

import (
	"fmt"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/mono"
)

const (
	day = 24 * time.Hour

	// late is how long after its time a flow may still be there: two ticks.
	late = 250 * time.Millisecond

	noBound = 1 << 30
)

// insert adds a flow for tp, which must be new, and leaves it locked in f.
func insert(t testing.TB, table *conntrack.Table, tp *conntrack.Tuple, flags conntrack.Flags, now mono.Time, f *conntrack.Flow) {
	t.Helper()
	spec := &conntrack.Spec{Server: conntrack.ServerID{Slot: 1, Gen: 1}, Dest: endpoint("10.0.0.2:8080"), Flags: flags}
	if tp.V6 {
		spec.Dest = endpoint("[fd00::2]:8080")
	}
	if got := table.Insert(tp, spec, now, f); got != conntrack.Inserted {
		t.Fatalf("Insert = %v", got)
	}
}

func has(table *conntrack.Table, tp *conntrack.Tuple) bool {
	var f conntrack.Flow
	if table.Find(tp, &f) {
		f.Unlock()
		return true
	}
	return false
}

// expectEnd lets time go from now on and checks that the table's only flow ends after
// timeout, not before. It returns the time at the end.
func expectEnd(t *testing.T, table *conntrack.Table, now mono.Time, timeout time.Duration) mono.Time {
	t.Helper()
	if n := table.Expire(now.Add(timeout-1), noBound); n != 0 || table.Len() != 1 {
		t.Fatalf("the flow ended before its %v", timeout)
	}
	if n := table.Expire(now.Add(timeout+late), noBound); n != 1 || table.Len() != 0 {
		t.Fatalf("the flow is there after its %v", timeout)
	}
	return now.Add(timeout + late)
}

func TestExpiryByState(t *testing.T) {
	const (
		syn = conntrack.SYN
		ack = conntrack.ACK
		fin = conntrack.FIN | conntrack.ACK
		rst = conntrack.RST
	)
	type packet struct {
		dir conntrack.Dir
		seg conntrack.Signal
	}
	in := func(seg conntrack.Signal) packet { return packet{conntrack.Original, seg} }
	out := func(seg conntrack.Signal) packet { return packet{conntrack.Reply, seg} }
	const direct = conntrack.Route | conntrack.FlagNoOutput
	for _, tt := range []struct {
		name    string
		proto   uint8
		flags   conntrack.Flags
		packets []packet
		state   conntrack.State
		changes string // of each packet
		timeout time.Duration
	}{
		{"TCP without a packet", tcp, conntrack.Masq, nil, conntrack.None, "[]", 3 * time.Second},
		{"UDP without a packet", udp, conntrack.Masq, nil, conntrack.UDP, "[]", 3 * time.Second},
		{"UDP", udp, conntrack.Masq, []packet{in(0), out(0)}, conntrack.UDP, "[0 0]", 300 * time.Second},
		{"SYN", tcp, conntrack.Masq, []packet{in(syn)}, conntrack.SynRecv, "[1]", time.Minute},
		{"handshake by NAT", tcp, conntrack.Masq, []packet{in(syn), out(syn | ack), in(ack)}, conntrack.Established, "[1 0 0]", 15 * time.Minute},
		{"handshake by direct routing", tcp, direct, []packet{in(syn), in(ack)}, conntrack.Established, "[1 0]", 15 * time.Minute},
		{"client closes by NAT", tcp, conntrack.Masq, []packet{in(syn), out(syn | ack), in(ack), in(fin)}, conntrack.CloseWait, "[1 0 0 -1]", time.Minute},
		{"both close by NAT", tcp, conntrack.Masq, []packet{in(syn), out(syn | ack), in(ack), in(fin), out(fin), in(ack)}, conntrack.TimeWait, "[1 0 0 -1 0 0]", 2 * time.Minute},
		{"server closes by NAT", tcp, conntrack.Masq, []packet{in(syn), out(syn | ack), in(ack), out(fin)}, conntrack.FinWait, "[1 0 0 -1]", 2 * time.Minute},
		{"client closes by direct routing", tcp, direct, []packet{in(syn), in(ack), in(fin), in(ack)}, conntrack.FinWait, "[1 0 -1 0]", 2 * time.Minute},
		{"client closes by direct routing whose replies pass", tcp, direct, []packet{in(syn), out(syn | ack), in(ack), in(fin)}, conntrack.CloseWait, "[1 0 0 -1]", time.Minute},
		{"server refuses", tcp, conntrack.Masq, []packet{in(syn), out(rst | ack)}, conntrack.Close, "[1 -1]", 10 * time.Second},
		{"anew after the close", tcp, conntrack.Masq, []packet{in(syn), in(ack), in(rst), in(syn)}, conntrack.SynRecv, "[1 0 -1 1]", time.Minute},
		{"reply first", tcp, conntrack.Masq, []packet{out(syn)}, conntrack.SynSent, "[1]", 2 * time.Minute},
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s v6=%v", tt.name, v6), func(t *testing.T) {
				var released []bool
				table := newTable(t, conntrack.Config{Released: func(id conntrack.ServerID, active bool) {
					if id != (conntrack.ServerID{Slot: 1, Gen: 1}) {
						t.Errorf("released server %v", id)
					}
					released = append(released, active)
				}})
				client, virtual, server := "203.0.113.5:40000", "192.0.2.1:80", "10.0.0.2:8080"
				if v6 {
					client, virtual, server = "[2001:db8::5]:40000", "[2001:db8:1::1]:80", "[fd00::2]:8080"
				}
				if tt.flags.Method() != conntrack.Masq {
					server = virtual
				}
				request, reply := tuple(tt.proto, client, virtual), tuple(tt.proto, server, client)
				var f conntrack.Flow
				now := start
				insert(t, table, request, tt.flags, now, &f)
				f.Unlock()
				changes, requests := []int{}, uint32(0)
				for _, p := range tt.packets {
					now = now.Add(time.Second)
					tp := request
					if p.dir == conntrack.Reply {
						tp = reply
					} else {
						requests++
					}
					if !table.Find(tp, &f) {
						t.Fatalf("%v packet does not find the flow", p.dir)
					}
					changes = append(changes, f.Advance(p.seg, now))
					f.Unlock()
				}
				table.Find(request, &f)
				state, packets := f.State(), f.Packets()
				inactive := f.Flags()&conntrack.FlagInactive != 0
				f.Unlock()
				if state != tt.state || fmt.Sprint(changes) != tt.changes || packets != requests || inactive == state.Active() {
					t.Errorf("state %v, changes %v, packets %d, inactive %v, want %v, %s, %d",
						state, changes, packets, inactive, tt.state, tt.changes, requests)
				}
				expectEnd(t, table, now, tt.timeout)
				if fmt.Sprint(released) != fmt.Sprint([]bool{tt.state.Active()}) {
					t.Errorf("released active %v, want once %v", released, tt.state.Active())
				}
			})
		}
	}
}

// TestExpiryFollowsThePackets lets packets put the end off, over every level of the
// wheel, and a change of state bring it nearer.
func TestExpiryFollowsThePackets(t *testing.T) {
	for _, timeout := range []time.Duration{time.Second, 31 * time.Second, 33 * time.Second, time.Hour, 30 * time.Hour, 31 * day} {
		t.Run(timeout.String(), func(t *testing.T) {
			var timeouts conntrack.Timeouts
			timeouts[conntrack.Established] = timeout
			table := newTable(t, conntrack.Config{Timeouts: timeouts})
			request := tuple(tcp, "203.0.113.5:40000", "192.0.2.1:80")
			var f conntrack.Flow
			now := start
			insert(t, table, request, conntrack.Masq, now, &f)
			f.Advance(conntrack.ACK, now)
			f.Unlock()
			for i := range 50 {
				now = now.Add(timeout * time.Duration(i%10+1) / 11)
				if table.Expire(now, noBound) != 0 || !table.Find(request, &f) {
					t.Fatalf("packet %d: the flow ended early", i)
				}
				f.Advance(conntrack.ACK, now)
				f.Unlock()
			}
			now = expectEnd(t, table, now, timeout)

			insert(t, table, request, conntrack.Masq, now, &f)
			f.Advance(conntrack.ACK, now)
			f.Unlock()
			now = now.Add(timeout / 2)
			table.Expire(now, noBound)
			table.Find(request, &f)
			f.Advance(conntrack.RST, now)
			f.Unlock()
			expectEnd(t, table, now, 10*time.Second)
		})
	}
}

func TestExpiryAfterALongSilence(t *testing.T) {
	table := newTable(t, conntrack.Config{Shards: 1})
	var f conntrack.Flow
	one, two := tuple(udp, "203.0.113.5:1", "192.0.2.1:53"), tuple(udp, "203.0.113.5:2", "192.0.2.1:53")
	insert(t, table, one, conntrack.Masq, start, &f)
	f.Advance(0, start)
	f.Unlock()
	// Nobody calls Expire for a year; meanwhile another flow begins.
	later := start.Add(365 * day)
	insert(t, table, two, conntrack.Masq, later, &f)
	f.Advance(0, later)
	f.Unlock()
	if n := table.Expire(later, noBound); n != 1 || has(table, one) || !has(table, two) {
		t.Fatalf("%d flows ended, want the old one", n)
	}
	expectEnd(t, table, later, 300*time.Second)
}

func TestExpireKeepsToItsBudget(t *testing.T) {
	const flows = 1000
	table := newTable(t, conntrack.Config{MaxFlows: flows, Shards: 4})
	var f conntrack.Flow
	for i := range flows {
		request, _ := numbered(i)
		insert(t, table, &request, conntrack.Masq, start, &f)
		f.Unlock()
	}
	now := start.Add(4 * time.Second)
	calls := 0
	for ; table.Len() > 0; calls++ {
		if n := table.Expire(now, 10); n > 10 {
			t.Fatalf("%d flows ended with a budget of 10", n)
		}
		if calls > flows {
			t.Fatal("Expire does not come to an end")
		}
	}
	if calls < flows/10 {
		t.Errorf("all ended in %d calls", calls)
	}
}

func TestSetTimeouts(t *testing.T) {
	table := newTable(t, conntrack.Config{})
	if got, want := table.Timeouts(), conntrack.DefaultTimeouts(); got != want {
		t.Errorf("timeouts %v, want the kernel's %v", got, want)
	}
	request := tuple(udp, "203.0.113.5:40000", "192.0.2.1:53")
	var f conntrack.Flow
	insert(t, table, request, conntrack.Masq, start, &f)
	f.Advance(0, start)
	f.Unlock()

	var tm conntrack.Timeouts
	tm[conntrack.UDP] = 20 * time.Second
	if err := table.SetTimeouts(tm); err != nil {
		t.Fatal(err)
	}
	want := conntrack.DefaultTimeouts()
	want[conntrack.UDP] = 20 * time.Second
	if got := table.Timeouts(); got != want {
		t.Errorf("timeouts %v, want %v", got, want)
	}
	now := start.Add(100 * time.Second)
	if table.Expire(now, noBound) != 0 {
		t.Error("a flow without a packet since learnt of the new timeout")
	}
	table.Find(request, &f)
	f.Advance(0, now)
	f.Unlock()
	expectEnd(t, table, now, 20*time.Second)

	for _, bad := range []time.Duration{-1, time.Millisecond, 31*day + 1} {
		tm[conntrack.UDP] = bad
		if err := table.SetTimeouts(tm); err == nil {
			t.Errorf("timeout %v taken", bad)
		}
	}
	if got := table.Timeouts(); got != want {
		t.Errorf("refused timeouts changed something: %v", got)
	}
}

func TestExpireOfAFlow(t *testing.T) {
	released := 0
	table := newTable(t, conntrack.Config{Released: func(conntrack.ServerID, bool) { released++ }})
	request := tuple(tcp, "203.0.113.5:40000", "192.0.2.1:80")
	var f conntrack.Flow
	insert(t, table, request, conntrack.Masq, start, &f)
	f.Expire()
	f.Unlock()
	if has(table, request) || table.Len() != 0 || released != 1 {
		t.Errorf("after Expire: found %v, %d flows, released %d times", has(table, request), table.Len(), released)
	}
	insert(t, table, request, conntrack.Masq, start, &f)
	f.Unlock()
	if !has(table, request) {
		t.Error("the tuple cannot be used again")
	}
}

func TestFlowWithoutAServerIsNotReleased(t *testing.T) {
	table := newTable(t, conntrack.Config{Released: func(id conntrack.ServerID, _ bool) { t.Errorf("released %v", id) }})
	var f conntrack.Flow
	if got := table.Insert(tuple(tcp, "203.0.113.5:1", "192.0.2.1:80"), &conntrack.Spec{}, start, &f); got != conntrack.Inserted {
		t.Fatal(got)
	}
	f.Expire()
	f.Unlock()
}
