package conntrack_test

import (
	"testing"
	"time"

	"uvs/conntrack"
)

// A helped site: a control connection and what it prepares.
func controlAndData(t *testing.T, table *conntrack.Table) (control, waiting conntrack.Tuple) {
	t.Helper()
	control = *tuple(6, "203.0.113.5:40000", "192.0.2.10:21")
	waiting = *tuple(6, "203.0.113.5:0", "192.0.2.10:50000")
	var f conntrack.Flow
	spec := conntrack.Spec{Server: conntrack.ServerID{Gen: 1}, Flags: conntrack.Masq | conntrack.FlagHelped}
	if got := table.Insert(&control, &spec, start, &f); got != conntrack.Inserted {
		t.Fatal(got)
	}
	f.Advance(conntrack.SYN, start)
	f.Advance(conntrack.ACK, start)
	if f.Helper() != nil {
		t.Error("a flow has a helper that nobody asked for")
	}
	f.Help().Mode = 7
	hold := f.HoldHelper()
	f.Unlock()
	spec = conntrack.Spec{Server: conntrack.ServerID{Gen: 1}, Flags: conntrack.Masq | conntrack.FlagNoClientPort | conntrack.FlagData, Helper: hold}
	if got := table.Insert(&waiting, &spec, start, &f); got != conntrack.Inserted {
		t.Fatal(got)
	}
	f.Listen(start)
	f.Unlock()
	return control, waiting
}

// TestControlLivesAsLongAsItsFlows: what is left of the control connection's time does not
// count while a data connection waits (ip_vs_conn_expire).
func TestControlLivesAsLongAsItsFlows(t *testing.T) {
	data := 0
	table := newTable(t, conntrack.Config{MaxFlows: 10, ReleasedData: func(virtual, _ conntrack.Endpoint, proto uint8, v6 bool) {
		if virtual.Port != 50000 || proto != 6 || v6 {
			t.Errorf("the data flow that went was of port %d, protocol %d", virtual.Port, proto)
		}
		data++
	}})
	timeouts := conntrack.Timeouts{conntrack.Established: 10 * time.Second}
	if err := table.SetTimeouts(timeouts); err != nil {
		t.Fatal(err)
	}
	control, waiting := controlAndData(t, table)
	at := func(d time.Duration) { table.Expire(start.Add(d), 1000) }
	at(15 * time.Second)
	if !has(table, &control) {
		t.Fatal("the control connection ended although a data connection waits")
	}
	at(75 * time.Second)
	at(121 * time.Second)
	if has(table, &waiting) || data != 1 {
		t.Fatalf("after 121 s the waiting flow is there: %t; told of %d", has(table, &waiting), data)
	}
	if !has(table, &control) {
		t.Fatal("the control connection ended with its data connection, not up to a minute later")
	}
	at(200 * time.Second)
	if has(table, &control) {
		t.Error("the control connection never ends")
	}
}

// TestHelperOutlivesItsFlow: a control connection that is cut leaves its helper to the flows
// that it controls, and a helper that nobody has is given out again, clean.
func TestHelperOutlivesItsFlow(t *testing.T) {
	table := newTable(t, conntrack.Config{MaxFlows: 10})
	for range 3 {
		control, waiting := controlAndData(t, table)
		var f conntrack.Flow
		if !table.Find(&control, &f) || f.Helper().Mode != 7 {
			t.Fatal("the helper is not the flow's")
		}
		f.Expire()
		f.Unlock()
		if !table.FindExpected(tuple(6, "203.0.113.5:1234", "192.0.2.10:50000"), &f) {
			t.Fatal("no flow waits")
		}
		if !f.Controlled() {
			t.Error("the waiting flow is not controlled")
		}
		f.Expire()
		f.Unlock()
		if has(table, &waiting) {
			t.Error("it waits still")
		}
	}
}

// TestExpectedIsNoOther: only a flow that waits for a port is found by FindExpected.
func TestExpectedIsNoOther(t *testing.T) {
	table := newTable(t, conntrack.Config{MaxFlows: 10})
	odd := tuple(6, "203.0.113.5:0", "192.0.2.10:50000") // a client may really send from port 0
	var f conntrack.Flow
	table.Insert(odd, &conntrack.Spec{}, start, &f)
	f.Unlock()
	if table.FindExpected(tuple(6, "203.0.113.5:7", "192.0.2.10:50000"), &f) {
		t.Error("a flow of port 0 was taken for one that waits")
	}
	if !table.Find(odd, &f) {
		t.Fatal("its shard stayed locked, or it is gone")
	}
	f.Unlock()
}

func TestSeqShift(t *testing.T) {
	var s conntrack.SeqShift
	if s.Note(100, 0); !s.Zero() || s.Forth(7) != 7 || s.Back(7) != 7 {
		t.Fatal("a change of no bytes changes numbers")
	}
	s.Note(100, 3) // the segment at 100 becomes 3 longer
	s.Note(100, 3) // and is sent again
	s.Note(90, 5)  // an older one cannot be told apart from what went out
	for _, c := range []struct{ in, out uint32 }{{90, 90}, {100, 100}, {101, 104}, {5000, 5003}} {
		if got := s.Forth(c.in); got != c.out {
			t.Errorf("%d goes out as %d, want %d", c.in, got, c.out)
		}
		if got := s.Back(c.out); got != c.in {
			t.Errorf("acknowledgement %d comes back as %d, want %d", c.out, got, c.in)
		}
	}
	s.Note(200, -5)
	for _, c := range []struct{ in, out uint32 }{{150, 153}, {200, 203}, {300, 298}} {
		if got := s.Forth(c.in); got != c.out {
			t.Errorf("after the second change %d goes out as %d, want %d", c.in, got, c.out)
		}
		if got := s.Back(c.out); got != c.in {
			t.Errorf("after the second change %d comes back as %d, want %d", c.out, got, c.in)
		}
	}
	s = conntrack.SeqShift{}
	s.Note(0xfffffff0, 8) // numbers wrap
	if got := s.Forth(2); got != 10 {
		t.Errorf("2 goes out as %d after the wrap, want 10", got)
	}
	if got := s.Forth(0xffffff00); got != 0xffffff00 {
		t.Errorf("an old number goes out as %#x", got)
	}
}
