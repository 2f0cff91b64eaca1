package conntrack_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"uvs/conntrack"
)

// newPool makes a pool; ports of 0 are all.
func newPool(t testing.TB, table *conntrack.Table, first, last uint16, addrs ...string) *conntrack.Pool {
	t.Helper()
	list := make([]netip.Addr, len(addrs))
	for i, a := range addrs {
		list[i] = netip.MustParseAddr(a)
	}
	p, err := table.NewPool(list, first, last)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lease inserts a flow with a local end and returns that end.
func lease(t testing.TB, table *conntrack.Table, tp *conntrack.Tuple, server string, p *conntrack.Pool) (conntrack.Endpoint, conntrack.InsertResult) {
	t.Helper()
	var f conntrack.Flow
	res := table.Insert(tp, &conntrack.Spec{Dest: endpoint(server), Pool: p}, start, &f)
	if res != conntrack.Inserted {
		if res == conntrack.Existed {
			f.Unlock()
		}
		return conntrack.Endpoint{}, res
	}
	defer f.Unlock()
	e, ok := f.Local()
	if !ok {
		t.Fatal("a flow of a pool has no local end")
	}
	return e, res
}

func answerTo(e *conntrack.Endpoint, server string, like *conntrack.Tuple) *conntrack.Tuple {
	from := endpoint(server)
	return &conntrack.Tuple{Src: from.Addr, SrcPort: from.Port, Dst: e.Addr, DstPort: e.Port, Proto: like.Proto, V6: like.V6}
}

func expire(t testing.TB, table *conntrack.Table, tp *conntrack.Tuple) {
	t.Helper()
	var f conntrack.Flow
	if !table.Find(tp, &f) {
		t.Fatal("no such flow")
	}
	f.Expire()
	f.Unlock()
}

func TestLocalEnd(t *testing.T) {
	for _, tt := range []struct{ name, client, virtual, server, pool string }{
		{"IPv4", "203.0.113.5:4000", "192.0.2.10:80", "198.51.100.1:8080", "198.51.100.200"},
		{"IPv6", "[2001:db8:9::5]:4000", "[2001:db8:2::10]:80", "[2001:db8:5::1]:8080", "2001:db8:5::200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, conntrack.Config{})
			pool := newPool(t, table, 10000, 10099, tt.pool)
			request := tuple(tcp, tt.client, tt.virtual)
			local, res := lease(t, table, request, tt.server, pool)
			if res != conntrack.Inserted {
				t.Fatal(res)
			}
			if want := netip.MustParseAddr(tt.pool).AsSlice(); string(local.Addr[:len(want)]) != string(want) || local.Port < 10000 || local.Port > 10099 {
				t.Fatalf("the local end is %v", local)
			}
			var f conntrack.Flow
			answer := answerTo(&local, tt.server, request)
			if !table.Find(answer, &f) {
				t.Fatal("an answer to the local end is not found")
			}
			if f.Dir() != conntrack.Reply || f.Client() != endpoint(tt.client) || f.Virtual() != endpoint(tt.virtual) || f.Dest() != endpoint(tt.server) {
				t.Errorf("it is of another flow: %v from %v to %v at %v", f.Dir(), f.Client(), f.Virtual(), f.Dest())
			}
			f.Unlock()
			if table.Find(tuple(tcp, tt.server, tt.client), &f) {
				f.Unlock()
				t.Error("an answer past the local end is found")
			}
			wrong := *answer
			wrong.SrcPort++
			if table.Find(&wrong, &f) {
				f.Unlock()
				t.Error("a packet of another port of the server is found")
			}
			listed := 0
			table.Each(start, func(e *conntrack.Entry) bool {
				listed++
				if want := netip.AddrPortFrom(netip.MustParseAddr(tt.pool), local.Port); e.Local != want {
					t.Errorf("listed with local end %s, want %s", e.Local, want)
				}
				return true
			})
			if listed != 1 || table.Len() != 1 {
				t.Errorf("%d flows listed, %d counted, for one", listed, table.Len())
			}
			expire(t, table, request)
			if table.Find(answer, &f) {
				f.Unlock()
				t.Error("an answer is found after the flow ended")
			}
			// The entry serves another flow now, which has no local end.
			if res := table.Insert(request, &conntrack.Spec{Dest: endpoint(tt.server)}, start, &f); res != conntrack.Inserted {
				t.Fatal(res)
			}
			if e, ok := f.Local(); ok {
				t.Errorf("a flow without a pool has the local end %v", e)
			}
			f.Unlock()
		})
	}
}

// TestPoolIsUsedUp: an end serves one flow to one server at a time, and another as soon as that
// is gone.
func TestPoolIsUsedUp(t *testing.T) {
	table := newTable(t, conntrack.Config{})
	pool := newPool(t, table, 10000, 10019, "198.51.100.200")
	request := func(n int) *conntrack.Tuple {
		return tuple(tcp, fmt.Sprintf("203.0.113.5:%d", 4000+n), "192.0.2.10:80")
	}
	const one, other = "198.51.100.1:80", "198.51.100.2:80"
	taken := make(map[uint16]bool)
	for n := range 20 {
		e, res := lease(t, table, request(n), one, pool)
		if res != conntrack.Inserted || taken[e.Port] {
			t.Fatalf("flow %d: %v, port %d", n, res, e.Port)
		}
		taken[e.Port] = true
	}
	before := table.Len()
	if _, res := lease(t, table, request(20), one, pool); res != conntrack.NoLocalEnd || has(table, request(20)) || table.Len() != before {
		t.Fatalf("a pool without a free end: %v, %d flows, had %d", res, table.Len(), before)
	}
	for n := 21; n < 41; n++ {
		if _, res := lease(t, table, request(n), other, pool); res != conntrack.Inserted {
			t.Fatalf("to another server: %v", res)
		}
	}
	expire(t, table, request(7))
	if _, res := lease(t, table, request(20), one, pool); res != conntrack.Inserted {
		t.Fatalf("after a flow ended: %v", res)
	}
	if n := table.Expire(start.Add(time.Hour), 1000); n != 40 {
		t.Fatalf("%d flows ended", n)
	}
	for n := range 20 {
		if _, res := lease(t, table, request(n), one, pool); res != conntrack.Inserted {
			t.Fatalf("flow %d after all ended: %v", n, res)
		}
	}
}

// TestAddressesAlternate: the addresses of a pool serve as many flows each, and an end that was
// given back is not the next one.
func TestAddressesAlternate(t *testing.T) {
	table := newTable(t, conntrack.Config{})
	addrs := []string{"198.51.100.200", "198.51.100.201", "198.51.100.210"}
	pool := newPool(t, table, 1024, 65535, addrs...)
	count := make(map[byte]int)
	var last conntrack.Endpoint
	for range 300 {
		request := tuple(tcp, "203.0.113.5:4000", "192.0.2.10:80")
		e, res := lease(t, table, request, "198.51.100.1:80", pool)
		if res != conntrack.Inserted || e == last {
			t.Fatalf("%v, %v after %v", res, e, last)
		}
		count[e.Addr[3]]++
		last = e
		expire(t, table, request)
	}
	for _, a := range []byte{200, 201, 210} {
		if count[a] != 100 {
			t.Errorf("address %d served %d flows of 300", a, count[a])
		}
	}
}

// TestLeasesUnderContention: whatever workers do at the same time, no end serves two flows, and in
// the end all are free.
func TestLeasesUnderContention(t *testing.T) {
	table := newTable(t, conntrack.Config{Shards: 4})
	pool := newPool(t, table, 10000, 10049, "198.51.100.200", "198.51.100.201")
	const server = "198.51.100.1:80"
	var mu sync.Mutex
	used := make(map[conntrack.Endpoint]bool)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(worker)))
			mine := make(map[int]conntrack.Endpoint)
			request := func(n int) *conntrack.Tuple {
				return tuple(udp, fmt.Sprintf("203.0.113.%d:%d", worker, 4000+n), "192.0.2.10:80")
			}
			end := func(n int) {
				e := mine[n]
				var f conntrack.Flow
				if !table.Find(answerTo(&e, server, request(n)), &f) {
					t.Errorf("no flow has end %v", e)
					return
				}
				if f.Client() != endpoint(fmt.Sprintf("203.0.113.%d:%d", worker, 4000+n)) {
					t.Errorf("end %v leads to another client's flow", e)
				}
				mu.Lock()
				delete(used, e)
				mu.Unlock()
				f.Expire()
				f.Unlock()
				delete(mine, n)
			}
			for range 5000 {
				n := rng.IntN(40)
				if _, ok := mine[n]; ok {
					end(n)
					continue
				}
				e, res := lease(t, table, request(n), server, pool)
				if res == conntrack.NoLocalEnd {
					continue
				}
				mu.Lock()
				if used[e] {
					t.Errorf("%v serves two flows", e)
				}
				used[e] = true
				mu.Unlock()
				mine[n] = e
			}
			for n := range mine {
				end(n)
			}
		})
	}
	wg.Wait()
	for n := range 100 {
		if _, res := lease(t, table, tuple(udp, fmt.Sprintf("203.0.113.9:%d", 4000+n), "192.0.2.10:80"), server, pool); res != conntrack.Inserted {
			t.Fatalf("flow %d of 100 ends that are all free: %v", n, res)
		}
	}
}

func TestPoolRefusesWhatCannotBe(t *testing.T) {
	table := newTable(t, conntrack.Config{})
	one := []netip.Addr{netip.MustParseAddr("198.51.100.200")}
	for name, err := range map[string]error{
		"no address":   poolError(table, nil, 1, 2),
		"port 0":       poolError(table, one, 0, 2),
		"empty range":  poolError(table, one, 3, 2),
		"two families": poolError(table, append(one, netip.MustParseAddr("2001:db8::1")), 1, 2),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func poolError(table *conntrack.Table, addrs []netip.Addr, first, last uint16) error {
	_, err := table.NewPool(addrs, first, last)
	return err
}

func TestNoAllocsOfLeases(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	table := newTable(t, conntrack.Config{})
	pool := newPool(t, table, 1024, 65535, "198.51.100.200")
	request, spec := tuple(tcp, "203.0.113.5:4000", "192.0.2.10:80"), conntrack.Spec{Dest: endpoint("198.51.100.1:80"), Pool: pool}
	var f conntrack.Flow
	if n := testing.AllocsPerRun(1000, func() {
		if table.Insert(request, &spec, start, &f) != conntrack.Inserted {
			t.Fatal("not inserted")
		}
		e, _ := f.Local()
		f.Unlock()
		answer := conntrack.Tuple{Src: spec.Dest.Addr, SrcPort: 80, Dst: e.Addr, DstPort: e.Port, Proto: tcp}
		if !table.Find(&answer, &f) {
			t.Fatal("not found")
		}
		f.Expire()
		f.Unlock()
	}); n != 0 {
		t.Errorf("%v allocations for a flow with a local end", n)
	}
}
