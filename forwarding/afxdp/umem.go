package afxdp

import "sync"

// A umem is memory that the kernel knows, as chunks of one size, each for one frame. It is
// safe for use by many goroutines: workers that share a queue share its chunks.
type umem struct {
	mem   []byte
	chunk int

	mu   sync.Mutex   // guards what follows
	done ring[uint64] // addresses of chunks that the kernel is done with: it writes
	free []uint32     // numbers of chunks; the last ones may still be in a CPU's cache
	away []bool       // by number: somebody took the chunk
}

func newUmem(mem []byte, chunk int) *umem {
	n := len(mem) / chunk
	u := &umem{mem: mem, chunk: chunk, free: make([]uint32, n), away: make([]bool, n)}
	for i := range u.free {
		u.free[i] = uint32(n - 1 - i)
	}
	return u
}

// take fills list with the numbers of free chunks, as many as there are, and returns how many.
func (u *umem) take(list []uint32) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reclaim()
	n := min(len(list), len(u.free))
	rest := len(u.free) - n
	for i := range n {
		c := u.free[len(u.free)-1-i]
		u.away[c] = true
		list[i] = c
	}
	u.free = u.free[:rest]
	return n
}

// bytes returns the memory of a chunk, and the address that the kernel has for it.
func (u *umem) bytes(c uint32) (b []byte, addr uint64) {
	at := int(c) * u.chunk
	return u.mem[at : at+u.chunk : at+u.chunk], uint64(at)
}

// give takes chunks back that the kernel will not get after all. Some of them it may have
// told that it is done with.
func (u *umem) give(addrs ...uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reclaim()
	for _, addr := range addrs {
		u.put(addr)
	}
}

// reclaim takes back what the kernel is done with. The caller holds the lock.
func (u *umem) reclaim() {
	first, end := *u.done.consumer, u.done.produced()
	for i := first; i != end; i++ {
		u.put(*u.done.at(i))
	}
	if first != end {
		u.done.consume(end)
	}
}

func (u *umem) put(addr uint64) {
	if c := addr / uint64(u.chunk); c < uint64(len(u.away)) && u.away[c] {
		u.away[c] = false
		u.free = append(u.free, uint32(c))
	}
}
