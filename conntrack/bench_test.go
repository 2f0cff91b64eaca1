package conntrack_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"uvs/conntrack"
)

var large = flag.Bool("large", false, "benchmark tables of 10 million flows as well (needs 1 GiB)")

func benchSizes() []int {
	sizes := []int{1_000, 100_000, 1_000_000}
	if *large {
		sizes = append(sizes, 10_000_000)
	}
	return sizes
}

// numbered returns the request and the reply of the i-th of many flows: 50 000 ports per
// client address, one NAT service on two servers.
func numbered(i int) (request, reply conntrack.Tuple) {
	request = conntrack.Tuple{SrcPort: uint16(1024 + i%50_000), DstPort: 80, Proto: tcp}
	binary.BigEndian.PutUint32(request.Src[:], 0xcb007100+uint32(i/50_000))
	binary.BigEndian.PutUint32(request.Dst[:], 0xc0000201)
	reply = conntrack.Tuple{SrcPort: 8080, DstPort: request.SrcPort, Proto: tcp}
	reply.Src = numberedDest(i).Addr
	reply.Dst = request.Src
	return request, reply
}

func numberedDest(i int) conntrack.Endpoint {
	e := conntrack.Endpoint{Port: 8080}
	binary.BigEndian.PutUint32(e.Addr[:], 0x0a000002+uint32(i%2))
	return e
}

// fillTable inserts n established flows, with the memory prepared as in a running director.
func fillTable(b *testing.B, n int) *conntrack.Table {
	b.Helper()
	table := newTable(b, conntrack.Config{MaxFlows: n})
	var f conntrack.Flow
	for i := range n {
		request, _ := numbered(i)
		spec := conntrack.Spec{Server: conntrack.ServerID{Slot: 1, Gen: 1}, Dest: numberedDest(i)}
		if got := table.Insert(&request, &spec, start, &f); got != conntrack.Inserted {
			b.Fatalf("Insert %d = %v", i, got)
		}
		f.Advance(conntrack.SYN, start)
		f.Advance(conntrack.ACK, start)
		f.Unlock()
		if i%25_000 == 0 {
			table.Prepare()
		}
	}
	return table
}

// scatter walks 0..n-1 in an order that no cache foresees.
func scatter(i, n int) int { return int(uint64(i) * 2654435761 % uint64(n)) }

func BenchmarkFindHit(b *testing.B) {
	for _, n := range benchSizes() {
		table := fillTable(b, n)
		for _, dir := range []conntrack.Dir{conntrack.Original, conntrack.Reply} {
			b.Run(fmt.Sprintf("%v/%d", dir, n), func(b *testing.B) {
				b.ReportAllocs()
				var f conntrack.Flow
				for i := 0; b.Loop(); i++ {
					request, reply := numbered(scatter(i, n))
					tp := &request
					if dir == conntrack.Reply {
						tp = &reply
					}
					if !table.Find(tp, &f) {
						b.Fatal("miss")
					}
					f.Advance(conntrack.ACK, start)
					f.Unlock()
				}
			})
		}
	}
}

func BenchmarkFindMiss(b *testing.B) {
	for _, n := range benchSizes() {
		table := fillTable(b, n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			var f conntrack.Flow
			for i := 0; b.Loop(); i++ {
				request, _ := numbered(scatter(i, n))
				request.Proto = udp
				if table.Find(&request, &f) {
					b.Fatal("hit")
				}
			}
		})
	}
}

// BenchmarkFindParallel has all workers look up replies of two servers.
func BenchmarkFindParallel(b *testing.B) {
	const n = 100_000
	table := fillTable(b, n)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var f conntrack.Flow
		for i := 0; pb.Next(); i++ {
			_, reply := numbered(scatter(i, n))
			if !table.Find(&reply, &f) {
				b.Error("miss")
				return
			}
			f.Advance(conntrack.ACK, start)
			f.Unlock()
		}
	})
}

// BenchmarkChurn inserts a flow per round into a table that holds n of them, while time
// goes on and old ones expire: what a new connection costs from its SYN to its end.
func BenchmarkChurn(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			// With CLOSE's 10 s and 10 s / n between flows, n of them live.
			table := newTable(b, conntrack.Config{MaxFlows: n + n/8 + 1000})
			var f conntrack.Flow
			step := 10 * time.Second / time.Duration(n)
			now := start
			one := func(i int) {
				request, _ := numbered(i)
				spec := conntrack.Spec{Server: conntrack.ServerID{Slot: 1, Gen: 1}, Dest: numberedDest(i)}
				if got := table.Insert(&request, &spec, now, &f); got != conntrack.Inserted {
					b.Fatalf("Insert = %v with %d flows", got, table.Len())
				}
				f.Advance(conntrack.SYN, now)
				f.Advance(conntrack.FIN|conntrack.RST, now)
				f.Expire()
				f.Unlock()
				if got := table.Insert(&request, &spec, now, &f); got != conntrack.Inserted {
					b.Fatalf("Insert = %v with %d flows", got, table.Len())
				}
				f.Advance(0, now)
				f.Unlock()
				now = now.Add(step)
				if i%32 == 0 {
					table.Expire(now, 256)
				}
			}
			i := 0
			for ; i < n; i++ {
				one(i)
			}
			b.ReportAllocs()
			for b.Loop() {
				one(i)
				i++
			}
		})
	}
}

// BenchmarkExpireIdle is the cost of a call with nothing due.
func BenchmarkExpireIdle(b *testing.B) {
	table := fillTable(b, 100_000)
	table.Expire(start, 1<<30)
	for b.Loop() {
		table.Expire(start, 256)
	}
}

// BenchmarkMemory reports the resident bytes per established IPv4 flow.
func BenchmarkMemory(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			before := resident(b)
			table := fillTable(b, n)
			used := resident(b) - before
			for b.Loop() {
				_ = table.Len()
			}
			b.ReportMetric(float64(used)/float64(n), "B/flow")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// resident returns the process's resident bytes.
func resident(b *testing.B) int {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}
