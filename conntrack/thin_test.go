package conntrack_test

import (
	"fmt"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/mono"
)

// thinAll goes through all of a table of one chunk, once for each family.
func thinAll(table *conntrack.Table, x *conntrack.Thinner, now mono.Time) int {
	return table.Thin(x, now, func(int) int { return 0 })
}

// TestThinTakesWhatFloodsLeave: each state, idle time and packet count by itself.
func TestThinTakesWhatFloodsLeave(t *testing.T) {
	reply := func(tp *conntrack.Tuple) *conntrack.Tuple {
		return &conntrack.Tuple{Src: tp.Dst, Dst: tp.Src, SrcPort: tp.DstPort, DstPort: tp.SrcPort, Proto: tp.Proto}
	}
	for _, c := range []struct {
		name  string
		proto uint8
		acks  int // after the SYN; −1: not even the SYN
		fin   bool
		idle  time.Duration
		want  int
	}{
		{"half open", 6, 0, false, 0, 1},
		{"established and idle", 6, 1, false, 61 * time.Second, 1},
		{"established and at work", 6, 1, false, 58 * time.Second, 0},
		{"established, many packets", 6, 8, false, 200 * time.Second, 0},
		{"established, 8 packets", 6, 7, false, 200 * time.Second, 1},
		{"closing", 6, 1, true, 61 * time.Second, 0},
		{"udp", 17, 0, false, 61 * time.Second, 1},
		{"udp at work", 17, 0, false, 20 * time.Second, 0},
		{"never a packet", 17, -1, false, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := newTable(t, conntrack.Config{MaxFlows: 100, Shards: 1})
			tp := tuple(c.proto, "203.0.113.5:40000", "192.0.2.10:80")
			var f conntrack.Flow
			table.Insert(tp, &conntrack.Spec{}, start, &f)
			if c.acks >= 0 {
				f.Advance(conntrack.SYN, start)
			}
			for range c.acks {
				f.Advance(conntrack.ACK, start)
			}
			if c.fin {
				f.Advance(conntrack.FIN, start)
			}
			f.Unlock()
			var x conntrack.Thinner
			if got := thinAll(table, &x, start.Add(c.idle)); got != c.want {
				t.Errorf("%d ended, want %d", got, c.want)
			}
			if got := has(table, tp) || has(table, reply(tp)); got != (c.want == 0) {
				t.Errorf("the flow is there: %t", got)
			}
		})
	}
}

// TestThinTakesWhatFloodsOfSCTPLeave: associations of which only an INIT came, and of those that
// are established the idle ones.
func TestThinTakesWhatFloodsOfSCTPLeave(t *testing.T) {
	const init, cookieEcho, shutdown = conntrack.ChunkInit, conntrack.ChunkCookieEcho, conntrack.ChunkShutdown
	for _, c := range []struct {
		name   string
		chunks []conntrack.Signal
		idle   time.Duration
		want   int
	}{
		{"INIT1", []conntrack.Signal{init}, 0, 1},
		{"INIT", []conntrack.Signal{init, init}, 0, 1},
		{"ESTABLISHED and idle", []conntrack.Signal{cookieEcho}, 61 * time.Second, 1},
		{"ESTABLISHED and at work", []conntrack.Signal{cookieEcho}, 58 * time.Second, 0},
		{"S-RECEIVED", []conntrack.Signal{cookieEcho, shutdown}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := newTable(t, conntrack.Config{MaxFlows: 100, Shards: 1})
			var f conntrack.Flow
			table.Insert(tuple(132, "203.0.113.5:40000", "192.0.2.10:80"), &conntrack.Spec{Flags: conntrack.Route | conntrack.FlagNoOutput}, start, &f)
			for _, chunk := range c.chunks {
				f.Advance(chunk, start)
			}
			f.Unlock()
			var x conntrack.Thinner
			if got := thinAll(table, &x, start.Add(c.idle)); got != c.want {
				t.Errorf("%d ended, want %d", got, c.want)
			}
		})
	}
}

// TestThinTakesOneOfSoMany: of idle flows with three packets one in three goes.
func TestThinTakesOneOfSoMany(t *testing.T) {
	table := newTable(t, conntrack.Config{MaxFlows: 100, Shards: 1})
	var f conntrack.Flow
	for i := range 30 {
		table.Insert(tuple(17, fmt.Sprintf("203.0.113.5:%d", 1000+i), "192.0.2.10:53"), &conntrack.Spec{}, start, &f)
		for range 3 {
			f.Advance(0, start)
		}
		f.Unlock()
	}
	var x conntrack.Thinner
	if got := thinAll(table, &x, start.Add(2*time.Minute)); got != 10 {
		t.Errorf("%d of 30 ended, want 10", got)
	}
}

// TestThinTakesTemplatesOfNoWorth: one that no connection proved right goes, with the last of
// its flows or by itself; one that is assured stays.
func TestThinTakesTemplatesOfNoWorth(t *testing.T) {
	for _, proved := range []bool{false, true} {
		table := newTable(t, conntrack.Config{MaxFlows: 100, Shards: 1})
		key := tuple(6, "203.0.113.5:0", "192.0.2.10:80")
		template, _ := table.InsertTemplate(key, nil, &conntrack.Spec{}, time.Hour, start)
		var f conntrack.Flow
		table.Insert(tuple(6, "203.0.113.5:40000", "192.0.2.10:80"), &conntrack.Spec{Control: template.Ref}, start, &f)
		f.Advance(conntrack.SYN, start)
		if proved {
			f.Advance(conntrack.ACK, start)
		}
		f.Unlock()
		var x conntrack.Thinner
		later := start.Add(2 * time.Minute)
		if ended := table.Thin(&x, later, func(int) int { return 0 }); ended != 0 {
			t.Errorf("proved %t: the template went before its flow", proved)
		}
		want := 2
		if proved {
			want = 1 // the flow alone: it had two packets, and it is its turn
		}
		if ended := table.Thin(&x, later, func(int) int { return 1 }); ended != want || table.Templates() != 2-want {
			t.Errorf("proved %t: %d ended, want %d; %d templates are left", proved, ended, want, table.Templates())
		}
	}
}
