package forwarding

import (
	"testing"

	"uvs/internal/wire"
)

// TestOverload follows the flag through flows that come (+), go (-) and edits ("u/l").
func TestOverload(t *testing.T) {
	type step struct {
		what string
		n    int    // flows that come, or go if negative
		spec [2]int // upper and lower threshold to edit to, if what is "edit"
		want bool
	}
	for _, tt := range []struct {
		name         string
		upper, lower uint32
		steps        []step
	}{
		{"no threshold", 0, 0, []step{{"come", 1000, [2]int{}, false}}},
		{"set when reached, cleared below three quarters", 4, 0, []step{
			{"three", 3, [2]int{}, false}, {"four", 1, [2]int{}, true}, {"three", -1, [2]int{}, true}, {"two", -1, [2]int{}, false}, {"three", 1, [2]int{}, false},
		}},
		{"three quarters of what four does not divide", 5, 0, []step{
			{"five", 5, [2]int{}, true}, {"four", -1, [2]int{}, true}, {"three: 12 < 15", -1, [2]int{}, false},
		}},
		{"one flow", 1, 0, []step{{"one", 1, [2]int{}, true}, {"none", -1, [2]int{}, false}}},
		{"cleared below the lower one", 10, 4, []step{
			{"ten", 10, [2]int{}, true}, {"four", -6, [2]int{}, true}, {"three", -1, [2]int{}, false}, {"nine", 6, [2]int{}, false}, {"ten", 1, [2]int{}, true},
		}},
		{"equal thresholds", 3, 3, []step{{"three", 3, [2]int{}, true}, {"two", -1, [2]int{}, false}}},
		{"a higher one clears at once", 4, 0, []step{
			{"four", 4, [2]int{}, true}, {"edit", 0, [2]int{5, 0}, false}, {"five", 1, [2]int{}, true}, {"edit", 0, [2]int{5, 0}, true}, {"edit", 0, [2]int{0, 0}, false}, {"six", 1, [2]int{}, false},
		}},
		{"a lower one counts from the next flow on", 10, 0, []step{
			{"five", 5, [2]int{}, false}, {"edit", 0, [2]int{3, 0}, false}, {"six", 1, [2]int{}, true}, {"edit", 0, [2]int{2, 1}, true}, {"one", -5, [2]int{}, true}, {"none", -1, [2]int{}, false},
		}},
	} {
		d := &dest{}
		d.configure(ServerSpec{Weight: 1, UpperThreshold: tt.upper, LowerThreshold: tt.lower}, true)
		for i, st := range tt.steps {
			for range st.n {
				d.bound()
				d.moved(1) // its state does not matter
			}
			for range -st.n {
				d.gone(true)
			}
			if st.what == "edit" {
				d.configure(ServerSpec{Weight: 1, UpperThreshold: uint32(st.spec[0]), LowerThreshold: uint32(st.spec[1])}, false)
			}
			if d.Overloaded() != st.want {
				t.Errorf("%s: step %d, %s: overloaded %t", tt.name, i+1, st.what, d.Overloaded())
			}
		}
	}
}

// TestLastWeight: mh keeps the place of a server that was quiesced, not of one that came so.
func TestLastWeight(t *testing.T) {
	d := &dest{}
	for _, tt := range []struct {
		weight int
		added  bool
		want   int
	}{{3, true, 3}, {0, false, 3}, {5, false, 5}, {0, false, 5}, {0, true, 0}, {2, false, 2}} {
		d.configure(ServerSpec{Weight: tt.weight}, tt.added)
		if d.LastWeight() != tt.want {
			t.Errorf("weight %d, added %t: last weight %d, want %d", tt.weight, tt.added, d.LastWeight(), tt.want)
		}
	}
}

// TestThresholdTurnsConnectionsAway has two servers with room for two connections each.
func TestThresholdTurnsConnectionsAway(t *testing.T) {
	s := newSite(t)
	k := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 2)
	for i := range 2 {
		if err := s.engine.Update(func(tx *Tx) error {
			return tx.EditServer(k, endpoint(server4(i), 80), ServerSpec{Method: Masq, Weight: 1, UpperThreshold: 2})
		}); err != nil {
			t.Fatal(err)
		}
	}
	open := func(port uint16) Reason {
		_, _, reason := s.process(outside, segment{src: endpoint(client4, port), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t), nil)
		return reason
	}
	for i := range 4 {
		if reason := open(uint16(40000 + i)); reason != Forwarded {
			t.Fatalf("connection %d: %s", i, reason)
		}
	}
	if reason := open(40004); reason != DropNoServer {
		t.Errorf("fifth connection: %s, want %s", reason, DropNoServer)
	}
	for _, x := range s.engine.Services()[0].Servers {
		if !x.Overloaded || x.Active != 2 {
			t.Errorf("server %s: overloaded %t with %d connections", x.Addr, x.Overloaded, x.Active)
		}
	}
	if _, _, reason := s.process(outside, segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPAck}.frame(t), nil); reason != Forwarded {
		t.Errorf("a connection of an overloaded server: %s", reason)
	}
	s.now = s.now.Add(61e9) // SYN_RECV is over, but for the one that was established
	s.engine.flows.Expire(s.now, 100)
	for i := range 3 {
		if reason := open(uint16(41000 + i)); reason != Forwarded {
			t.Errorf("connection %d after three have ended: %s", i, reason)
		}
	}
	if reason := open(41003); reason != DropNoServer {
		t.Errorf("one too many: %s", reason)
	}
}
