package afxdp

import "sync/atomic"

// A ring is one of a socket's rings, whose memory the kernel shares: two counters that only
// grow, and entries that lie at a counter modulo their number, a power of two. One side
// writes entries and producer, the other reads them and writes consumer.
type ring[T any] struct {
	producer, consumer *uint32
	entries            []T
}

func (r *ring[T]) at(i uint32) *T { return &r.entries[i&uint32(len(r.entries)-1)] }

func (r *ring[T]) produced() uint32 { return atomic.LoadUint32(r.producer) }
func (r *ring[T]) consumed() uint32 { return atomic.LoadUint32(r.consumer) }

// produce publishes the entries before i.
func (r *ring[T]) produce(i uint32) { atomic.StoreUint32(r.producer, i) }

// consume gives the entries before i back.
func (r *ring[T]) consume(i uint32) { atomic.StoreUint32(r.consumer, i) }

// A desc is struct xdp_desc: where a frame lies in the UMEM and how long it is.
type desc struct {
	addr uint64
	len  uint32
	_    uint32 // options: none
}

// nowhere is the address of an entry that the kernel has to skip: it lies in no UMEM.
const nowhere = 1 << 47
