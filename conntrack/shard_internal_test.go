package conntrack

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"uvs/internal/mono"
)

// TestCreditsAreExact draws and returns credits in random shards: one is to be had exactly
// while fewer than the bound are out.
func TestCreditsAreExact(t *testing.T) {
	for _, tt := range []struct{ bound, shards int }{{1, 4}, {100, 8}, {5000, 8}, {20_000, 2}} {
		rng := rand.New(rand.NewPCG(1, uint64(tt.bound)))
		table := &Table{shards: make([]shard, tt.shards), maxFlows: tt.bound}
		table.credits.init(tt.bound, tt.shards)
		out, total := make([]int, tt.shards), 0
		for step := range 20 * tt.bound {
			// Between full and nearly empty, with one shard at the centre of each phase.
			i := rng.IntN(tt.shards)
			if rng.IntN(4) > 0 {
				i = step / tt.bound % tt.shards
			}
			s := &table.shards[i]
			if filling := step/(2*tt.bound)%2 == 0; filling == (rng.IntN(8) > 0) {
				got, want := table.takeCredit(s), total < tt.bound
				if got != want {
					t.Fatalf("bound %d, %d out: takeCredit = %v", tt.bound, total, got)
				}
				if got {
					out[i]++
					total++
				}
			} else if out[i] > 0 {
				table.returnCredit(s)
				out[i]--
				total--
			}
			if table.Len() != total {
				t.Fatalf("Len = %d, want %d", table.Len(), total)
			}
		}
	}
}

// TestAbsentMeansAbsent looks, without the lock, for an entry that others push to and fro.
func TestAbsentMeansAbsent(t *testing.T) {
	table, err := New(Config{MaxFlows: 1000, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	s := &table.shards[0]
	const tag = 0x80ffffff
	refs := make([]uint32, 12)
	for i := range refs {
		refs[i] = table.alloc(s, false)
	}
	table.enter(s, tag, refs[0])
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for range 30_000 {
			for i, ref := range refs[1:] {
				s.mu.Lock()
				table.enter(s, 0x80000000+uint32(i), ref)
				s.mu.Unlock()
			}
			for i, ref := range refs[1:] {
				s.mu.Lock()
				s.leave(0x80000000+uint32(i), ref)
				s.mu.Unlock()
			}
		}
	})
	for looks := 0; ; looks++ {
		select {
		case <-done:
			wg.Wait()
			return
		default:
		}
		for range 100 {
			if s.absent(tag) {
				t.Error("an entry that never left is absent")
				<-done
				return
			}
		}
	}
}

// TestCloseUnmapsEverything looks the table's regions up in the process's map.
func TestCloseUnmapsEverything(t *testing.T) {
	table, err := New(Config{MaxFlows: 1_000_000, Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	var f Flow
	for i := range 5000 { // the indexes grow several times
		tp := Tuple{SrcPort: uint16(i), Proto: protoTCP, V6: i%2 == 0}
		if table.Insert(&tp, &Spec{}, mono.Time(0), &f) == Inserted {
			f.Unlock()
		}
	}
	regions := []region{table.arena4.mem, table.arena6.mem}
	for _, r := range table.indexes.bySize {
		if r.size != 0 {
			regions = append(regions, r)
		}
	}
	if len(regions) < 5 {
		t.Fatalf("only %d regions: the indexes did not grow", len(regions))
	}
	for _, r := range regions {
		if !mapped(t, r) {
			t.Fatal("a region in use is not in the map; the test does not see anything")
		}
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	for i, r := range regions {
		if mapped(t, r) {
			t.Errorf("region %d of %d KiB is still mapped", i, r.size>>10)
		}
	}
}

// mapped reports whether a page of the region is in use by the process.
func mapped(t *testing.T, r region) bool {
	t.Helper()
	file, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	first, end := uintptr(r.base), uintptr(r.base)+r.size
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var from, to uintptr
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		if from < end && first < to {
			return true
		}
	}
	return false
}

// TestPrepareLooksAhead fills a table and wants memory ready beyond what flows use, but
// none for few flows.
func TestPrepareLooksAhead(t *testing.T) {
	const shards = 4
	table, err := New(Config{MaxFlows: 200_000, Shards: shards})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	var f Flow
	tuple := func(i int) *Tuple {
		return &Tuple{Src: [16]byte{10, byte(i >> 16)}, SrcPort: uint16(i), Proto: protoTCP}
	}
	for i := range 60_000 {
		if table.Insert(tuple(i), &Spec{Link: int32(i)}, 0, &f) != Inserted {
			t.Fatal("not inserted")
		}
		f.Unlock()
		if i%1000 != 0 {
			continue
		}
		table.Prepare()
		used := uintptr(table.arena4.taken.Load()) * size4
		if ready := table.arena4.ready; i < 10_000 && ready != 0 || i > 20_000 && ready < used+hugePage/2 {
			t.Fatalf("%d flows use %d KiB: %d KiB ready", i, used>>10, ready>>10)
		}
	}
	if table.arena6.ready != 0 {
		t.Error("memory ready for IPv6 without a flow")
	}
	for i := range shards {
		// 15 000 flows each have grown the index from 2^13 to 2^14, or to 2^15.
		s := &table.shards[i]
		if bits := s.index.Load().bits; s.prepared < bits {
			t.Errorf("an index of 2^%d slots was not ready, only 2^%d", bits, s.prepared)
		}
	}
	for i := range 60_000 {
		if !table.Find(tuple(i), &f) {
			t.Fatalf("flow %d lost", i)
		}
		if f.Link() != int32(i) {
			t.Errorf("flow %d is %d", i, f.Link())
		}
		f.Unlock()
	}
}
