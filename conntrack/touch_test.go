package conntrack_test

import (
	"sync"
	"testing"

	"uvs/conntrack"
)

// TestTouch: touching changes nothing, whatever the tuples and whoever inserts meanwhile.
func TestTouch(t *testing.T) {
	const flows = 100_000
	table, err := conntrack.New(conntrack.Config{MaxFlows: flows})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	tuple := func(i int) conntrack.Tuple {
		return conntrack.Tuple{Src: [16]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, Dst: [16]byte{192, 0, 2, 1}, SrcPort: 1, DstPort: 80, Proto: 6}
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for i := range flows {
			tp, spec := tuple(i), conntrack.Spec{Server: conntrack.ServerID{Slot: uint32(i), Gen: 1}}
			var f conntrack.Flow
			if got := table.Insert(&tp, &spec, 1, &f); got != conntrack.Inserted {
				t.Errorf("flow %d: %s", i, got)
				return
			}
			f.Unlock()
		}
	})
	touch := func(first int) (servers [conntrack.TouchMost]conntrack.ServerID) {
		var tuples [conntrack.TouchMost]conntrack.Tuple
		for i := range tuples {
			tuples[i] = tuple(first + i)
			if i%2 == 0 { // an answer
				tuples[i].Src, tuples[i].Dst = tuples[i].Dst, tuples[i].Src
				tuples[i].SrcPort, tuples[i].DstPort = 80, 1
			}
		}
		table.Touch(tuples[:], nil)
		table.Touch(tuples[:], &servers)
		return servers
	}
	for i, over := 0, false; !over; i = (i + 977) % (2 * flows) {
		touch(i)
		select {
		case <-done:
			over = true
		default:
		}
	}
	wg.Wait()
	for i, got := range touch(flows / 2) {
		// Where races are looked for entries are not read.
		if want := (conntrack.ServerID{Slot: uint32(flows/2 + i), Gen: 1}); got != want && !raceEnabled {
			t.Errorf("the server of flow %d is %v, want %v", flows/2+i, got, want)
		}
	}
	if got := table.Len(); got != flows {
		t.Errorf("%d flows, want %d", got, flows)
	}
	for i := range flows {
		tp := tuple(i)
		var f conntrack.Flow
		if !table.Find(&tp, &f) {
			t.Fatalf("flow %d is gone", i)
		}
		f.Unlock()
	}
}
