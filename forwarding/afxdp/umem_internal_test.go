package afxdp

import (
	"slices"
	"testing"
)

// TestUmem: chunks come back once, whoever says so and however often, and those that were used
// last are used first.
func TestUmem(t *testing.T) {
	u := newUmem(make([]byte, 4*2048), 2048)
	u.done = ring[uint64]{producer: new(uint32), consumer: new(uint32), entries: make([]uint64, 4)}
	list := make([]uint32, 8)
	if n := u.take(list); n != 4 || !slices.Equal(list[:4], []uint32{0, 1, 2, 3}) {
		t.Fatalf("took %v, want chunks 0 to 3", list[:n])
	}
	if n := u.take(list); n != 0 {
		t.Fatalf("took %d chunks more", n)
	}
	*u.done.at(0), *u.done.at(1) = 2*2048+100, 0 // the kernel's addresses may be inside a chunk
	u.done.produce(2)
	u.give(2048, 0, 99<<40)
	if *u.done.consumer != 2 {
		t.Errorf("%d entries given back to the kernel, want 2", *u.done.consumer)
	}
	if n := u.take(list); n != 3 || !slices.Equal(list[:3], []uint32{1, 0, 2}) {
		t.Errorf("took %v, want 1, 0, 2", list[:n])
	}
	if b, addr := u.bytes(3); addr != 3*2048 || len(b) != 2048 || cap(b) != 2048 {
		t.Errorf("chunk 3 is at %d with %d bytes of %d", addr, len(b), cap(b))
	}
}
