package sched_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"uvs/forwarding/sched"
)

// endOf is an End of an IPv4 or IPv6 address.
func endOf(addr string, port uint16) sched.End {
	b := netip.MustParseAddr(addr).AsSlice()
	e := sched.End{Port: port}
	for i := 0; i < len(b); i += 4 {
		e.Addr ^= uint32(b[i])<<24 | uint32(b[i+1])<<16 | uint32(b[i+2])<<8 | uint32(b[i+3])
	}
	return e
}

// at makes a server whose name is the last part of its address.
func at(addr string, weight int) *server {
	return &server{name: addr[len(addr)-1:], weight: weight, end: endOf(addr, 80)}
}

// flagged is newSite with flags.
func flagged(t *testing.T, name string, flags sched.Flags, list ...*server) *site {
	t.Helper()
	s, ok := sched.New(name, flags, env())
	if !ok {
		t.Fatalf("no scheduler %q", name)
	}
	out := &site{t: t, Scheduler: s}
	out.update(list...)
	return out
}

func (s *site) pickFor(client sched.End) string {
	if i := s.Pick(sched.Request{Client: client}); i >= 0 {
		return s.list[i].name
	}
	return "-"
}

// TestKernelVectors: choices that were computed with another implementation of the
// kernel's formulas; SipHash-1-3 there was checked against its published vector.
func TestKernelVectors(t *testing.T) {
	list := func() []*server {
		return []*server{at("192.0.2.11", 1), at("192.0.2.12", 1), at("192.0.2.13", 2)}
	}
	for _, v := range []struct {
		client string
		sh     string // server of bucket 185, 26, 103, 39: the buckets repeat 11, 12, 13, 13
		shPort string // of bucket 142, 240, 61, 253
		mh     string
	}{
		{"203.0.113.5", "2", "3", "3"},
		{"203.0.113.6", "3", "1", "1"},
		{"198.51.100.77", "3", "2", "1"},
		{"10.0.0.1", "3", "2", "3"},
	} {
		client := endOf(v.client, 51512)
		if got := flagged(t, "sh", 0, list()...).pickFor(client); got != v.sh {
			t.Errorf("sh sends %s to %s, want %s", v.client, got, v.sh)
		}
		if got := flagged(t, "sh", sched.Port, list()...).pickFor(client); got != v.shPort {
			t.Errorf("sh with sh-port sends %s to %s, want %s", v.client, got, v.shPort)
		}
		if got := flagged(t, "mh", 0, list()...).pickFor(client); got != v.mh {
			t.Errorf("mh sends %s to %s, want %s", v.client, got, v.mh)
		}
	}
}

// TestSourceHashingFills: servers take as many buckets in a row as their weight, one of
// weight 0 takes one that nobody gets.
func TestSourceHashingFills(t *testing.T) {
	list := []*server{at("192.0.2.1", 2), at("192.0.2.2", 0), at("192.0.2.3", 1)}
	s := flagged(t, "sh", 0, list...)
	var b strings.Builder
	for bucket := range uint32(12) {
		b.WriteString(s.pickFor(clientOf(t, bucket)))
	}
	if got, want := b.String(), "11-3"+"11-3"+"11-3"; got != want {
		t.Errorf("buckets %s, want %s", got, want)
	}
}

// clientOf finds a client that sh hashes to a bucket.
func clientOf(t *testing.T, bucket uint32) sched.End {
	t.Helper()
	for a := range uint32(100000) {
		if (a*0x61c88647)>>24 == bucket {
			return sched.End{Addr: a}
		}
	}
	t.Fatalf("no client for bucket %d", bucket)
	return sched.End{}
}

func TestSourceHashingFallback(t *testing.T) {
	list := []*server{at("192.0.2.1", 1), at("192.0.2.2", 1), at("192.0.2.3", 1)}
	s := flagged(t, "sh", sched.Fallback, list...)
	for bucket := range uint32(256) {
		client := clientOf(t, bucket)
		list[0].overloaded, list[1].overloaded, list[2].overloaded = false, false, false
		first := s.pickFor(client)
		if want := fmt.Sprint(bucket%3 + 1); first != want {
			t.Fatalf("bucket %d: %s, want %s", bucket, first, want)
		}
		list[bucket%3].overloaded = true
		// The kernel looks at bucket 2h + offset, modulo 256.
		want := ""
		for offset := uint32(0); want == ""; offset++ {
			if i := (2*bucket + offset) % 256 % 3; i != bucket%3 {
				want = fmt.Sprint(i + 1)
			}
		}
		if got := s.pickFor(client); got != want {
			t.Errorf("bucket %d without %s: %s, want %s", bucket, first, got, want)
		}
		list[0].overloaded, list[1].overloaded, list[2].overloaded = true, true, true
		if got := s.pickFor(client); got != "-" {
			t.Errorf("bucket %d with nobody: %s", bucket, got)
		}
	}
}

// shares counts which servers a thousand clients get.
func shares(s *site) map[string]int {
	n := make(map[string]int)
	for i := range uint32(10000) {
		n[s.pickFor(sched.End{Addr: 0x0a000000 + i*2654435761, Port: uint16(i)})]++
	}
	return n
}

func TestMaglevShares(t *testing.T) {
	s := flagged(t, "mh", 0, at("192.0.2.1", 100), at("192.0.2.2", 100), at("192.0.2.3", 200))
	n := shares(s)
	for name, want := range map[string]int{"1": 2500, "2": 2500, "3": 5000} {
		if got := n[name]; got < want*9/10 || got > want*11/10 {
			t.Errorf("server %s got %d of 10000 clients, want about %d", name, got, want)
		}
	}
	// Shares of more than six bits are cut, and nobody goes without.
	s = flagged(t, "mh", 0, at("192.0.2.1", 1), at("192.0.2.2", 65535))
	if n := shares(s); n["1"] == 0 || n["1"] > 400 {
		t.Errorf("weights 1 and 65535 share %v", n)
	}
}

// TestMaglevQuiesced: a server of weight 0 keeps its slots, and no other client moves.
func TestMaglevQuiesced(t *testing.T) {
	list := []*server{at("192.0.2.1", 3), at("192.0.2.2", 2), at("192.0.2.3", 1)}
	s := flagged(t, "mh", 0, list...)
	before := make(map[uint32]string)
	for i := range uint32(2000) {
		before[i] = s.pickFor(sched.End{Addr: i * 7919})
	}
	list[1].weight, list[1].last = 0, 2
	s.update(list...)
	for i, was := range before {
		want := was
		if was == "2" {
			want = "-"
		}
		if got := s.pickFor(sched.End{Addr: i * 7919}); got != want {
			t.Fatalf("client %d: %s before, %s after, want %s", i, was, got, want)
		}
	}
	fallback := flagged(t, "mh", sched.Fallback, list...)
	for i, was := range before {
		got := fallback.pickFor(sched.End{Addr: i * 7919})
		if was != "2" && got != was || got == "2" || got == "-" {
			t.Fatalf("client %d with mh-fallback: %s before, %s after", i, was, got)
		}
	}
	never := []*server{{name: "x", end: endOf("192.0.2.9", 80)}}
	flagged(t, "mh", sched.Fallback, never...).expect("only a server that never had a weight", "--")
}

func TestMaglevPort(t *testing.T) {
	s := flagged(t, "mh", sched.Port, at("192.0.2.1", 1), at("192.0.2.2", 1), at("192.0.2.3", 1))
	n := make(map[string]int)
	for port := range uint16(300) {
		n[s.pickFor(sched.End{Addr: 1, Port: port})]++
	}
	if len(n) != 3 {
		t.Errorf("300 ports of one client met %v", n)
	}
}
