package forwarding

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"uvs/internal/mono"
)

const (
	fragmentTime   = 30 * time.Second // net.ipv4.ipfrag_time
	fragmentMemory = 4 << 20          // net.ipv4.ipfrag_high_thresh
	fragmentBlock  = 1536             // a fragment of a 1500-byte link with its headers
	fragmentBlocks = fragmentMemory / fragmentBlock
	datagramCount  = 1024 // that may be incomplete at a time
	fragmentCount  = 256  // of one datagram: 64 KiB over links of 280 bytes
	datagramBytes  = 65535
)

// A reassembler puts datagrams together from fragments, for all workers: later fragments
// have no ports, so that the kernel's fanout may bring them to another worker than the
// first one. Its memory is fixed; when it is full, the oldest datagram makes room. Its
// methods are safe for use by many goroutines; the lock is held for the copy of one fragment,
// or of one datagram when it is complete.
type reassembler struct {
	next atomic.Int64 // mono.Time at which the oldest datagram is given up; 0: there is none

	mu        sync.Mutex // guards what follows
	seed      maphash.Seed
	memory    []byte     // fragmentBlocks blocks
	blocks    []block    // parallel to them
	free      int32      // first free block
	spare     int        // how many are free
	datagrams []datagram // the zero one is not used: 0 is no datagram
	unused    int32      // first unused datagram
	buckets   [datagramCount]int32
	oldest    int32
	youngest  int32
}

const noBlock = -1

// A block is a piece of the memory. The first block of a fragment stands for the fragment.
type block struct {
	more int32 // the fragment goes on in that block, or the next free one
	next int32 // the fragment behind this one
	from int32 // offset in the datagram
	len  int32 // bytes of the datagram
	skip int32 // bytes of headers in front of them
}

func (b *block) end() int32 { return b.from + b.len }

// A fragmentKey tells datagrams apart (RFC 791, Section 3.2; RFC 8200, Section 4.5).
type fragmentKey struct {
	src, dst [16]byte
	id       uint32
	protocol uint8 // 0 for IPv6, where it is the first fragment's to say
	v6       bool
	vlan     uint16
}

// A datagram is what has come of one.
type datagram struct {
	key        fragmentKey
	chain      int32 // the next one in the bucket, or the next unused one
	older      int32
	younger    int32
	until      mono.Time
	first      int32 // fragments in order of their offset
	last       int32
	have       int32 // bytes
	total      int32 // −1: the last fragment is missing
	count      int32 // fragments
	longest    int32 // IP packet among the fragments
	longestDF  int32 // with DF
	congestion bool  // a router marked one of the fragments
}

// A fragment is what Decode found of one, and where.
type fragment struct {
	offset     int    // of its bytes in the datagram
	more       bool   // others follow
	df         bool   // IPv4's bit
	congestion bool   // ECN says congestion experienced
	id         uint32 // of the datagram
	head       int    // offset in the frame of its bytes
	nextAt     int    // offset in the frame of the byte that says what follows the fragment header; IPv6
	next       uint8  // what follows it; IPv6
}

// A gathering is what became of a fragment.
type gathering struct {
	// reason is held if others are awaited, Forwarded if the datagram is complete. Otherwise
	// the fragment is dropped for it.
	reason Reason
	// count is the number of earlier fragments of the datagram that share its fate: those it
	// consists of, or those that were dropped with it.
	count int
	// evicted is the number of other datagrams' fragments that made room.
	evicted int
	// Of a complete datagram: bytes of the frame, its longest fragment, whether all of that
	// length had DF, and whether there was congestion.
	length     int
	longest    int
	df         bool
	congestion bool
}

func (r *reassembler) init() {
	r.seed = maphash.MakeSeed()
	r.memory = make([]byte, fragmentBlocks*fragmentBlock) // pages are taken when they are used
	r.blocks = make([]block, fragmentBlocks)
	r.datagrams = make([]datagram, datagramCount+1)
	for i := range r.blocks {
		r.blocks[i].more = int32(i + 1)
	}
	r.blocks[len(r.blocks)-1].more = noBlock
	r.spare = fragmentBlocks
	for i := 1; i < len(r.datagrams)-1; i++ {
		r.datagrams[i].chain = int32(i + 1)
	}
	r.unused = 1
}

// add takes a fragment in. If it completes its datagram, that is written to into: the
// headers of the first fragment, the Ethernet header among them, and then its bytes. into must
// hold wholeBytes.
func (r *reassembler) add(f *Frame, p *Packet, now mono.Time, into []byte) (g gathering) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := fragmentKey{src: p.Tuple.Src, dst: p.Tuple.Dst, id: p.fragment.id, protocol: p.Tuple.Proto, v6: p.Tuple.V6, vlan: f.VLAN.ID()}
	if key.v6 {
		key.protocol = 0
	}
	bucket := maphash.Comparable(r.seed, key) % datagramCount
	i := r.find(bucket, &key)
	if i == 0 {
		if r.unused == 0 {
			g.evicted += r.drop(r.oldest)
		}
		i = r.begin(bucket, &key, now)
	}
	d := &r.datagrams[i]
	from, end := int32(p.fragment.offset), int32(p.fragment.offset+len(f.Data)-p.fragment.head)
	before, fit := r.place(d, from, end)
	switch {
	case fit == fitAgain:
		g.reason = DropFragmentAgain
		return g
	case fit == fitOverlaps, !r.bounds(d, end, p.fragment.more):
		g.reason, g.count = DropFragmentOverlap, r.drop(i)
		return g
	}
	b := f.Data[p.fragment.head:]
	skip := 0
	if from == 0 { // the headers of the first fragment are those of the datagram
		b, skip = f.Data, p.fragment.head
	}
	need := (len(b) + fragmentBlock - 1) / fragmentBlock
	for r.spare < need && r.oldest != i {
		g.evicted += r.drop(r.oldest)
	}
	if r.spare < need || d.count == fragmentCount {
		g.reason, g.count = DropFragmentMemory, r.drop(i)
		return g
	}
	r.insert(d, before, block{from: from, len: end - from, skip: int32(skip)}, b)
	d.note(p)
	if d.total < 0 || d.have < d.total {
		g.reason = held
		return g
	}
	g.reason, g.count = Forwarded, int(d.count)-1
	g.longest, g.df, g.congestion = int(d.longest), d.longestDF == d.longest, d.congestion
	if g.length = r.copyOut(d, into); g.length == 0 {
		g.reason = DropIPHeader
	}
	r.drop(i)
	return g
}

// bounds takes note of where the datagram ends, and reports false if fragments disagree.
func (r *reassembler) bounds(d *datagram, end int32, more bool) bool {
	switch {
	case more:
		return d.total < 0 || end <= d.total
	case d.total >= 0:
		return end == d.total
	case d.last != noBlock && r.blocks[d.last].end() > end:
		return false
	}
	d.total = end
	return true
}

// note takes over what matters of a fragment beside its bytes.
func (d *datagram) note(p *Packet) {
	d.longest = max(d.longest, int32(p.ipLen))
	if p.fragment.df {
		d.longestDF = max(d.longestDF, int32(p.ipLen))
	}
	d.congestion = d.congestion || p.fragment.congestion
}

// How a fragment fits those that are there.
type fit uint8

const (
	fitNew      fit = iota
	fitAgain        // all its bytes are there
	fitOverlaps     // some of them are: the datagram is not to be trusted (RFC 5722)
)

// place finds the fragment behind which a new one goes, noBlock for the front, or says why
// it does not fit
// (inet_frag_queue_insert in net/ipv4/inet_fragment.c).
func (r *reassembler) place(d *datagram, from, end int32) (before int32, how fit) {
	if d.last != noBlock && r.blocks[d.last].end() <= from { // they come in order most of the time
		return d.last, fitNew
	}
	before = noBlock
	at := d.first
	for at != noBlock && r.blocks[at].end() <= from {
		before, at = at, r.blocks[at].next
	}
	if at == noBlock || end <= r.blocks[at].from {
		return before, fitNew
	}
	// They meet: all is well only if nothing in it is new.
	if r.blocks[at].from > from {
		return before, fitOverlaps
	}
	for covered := r.blocks[at].end(); covered < end; covered = r.blocks[at].end() {
		next := r.blocks[at].next
		if next == noBlock || r.blocks[next].from != covered {
			return before, fitOverlaps
		}
		at = next
	}
	return before, fitAgain
}

// insert stores a fragment with its bytes behind another one.
func (r *reassembler) insert(d *datagram, before int32, x block, b []byte) {
	first, tail := int32(noBlock), int32(noBlock)
	for len(b) > 0 {
		i := r.free
		r.free = r.blocks[i].more
		r.spare--
		b = b[copy(r.memory[int(i)*fragmentBlock:][:fragmentBlock], b):]
		if first == noBlock {
			first = i
		} else {
			r.blocks[tail].more = i
		}
		tail = i
	}
	r.blocks[tail].more = noBlock
	more := r.blocks[first].more
	r.blocks[first] = x
	r.blocks[first].more = more
	if before == noBlock {
		r.blocks[first].next, d.first = d.first, first
	} else {
		r.blocks[first].next, r.blocks[before].next = r.blocks[before].next, first
	}
	if r.blocks[first].next == noBlock {
		d.last = first
	}
	d.have += x.len
	d.count++
}

// copyOut writes a complete datagram and returns its length, or 0 if it is longer than an IP
// packet can be.
func (r *reassembler) copyOut(d *datagram, into []byte) (n int) {
	head := int(r.blocks[d.first].skip)
	if head+int(d.total) > len(into) {
		return 0
	}
	for f := d.first; f != noBlock; f = r.blocks[f].next {
		left := int(r.blocks[f].skip + r.blocks[f].len)
		for i := f; left > 0; i = r.blocks[i].more {
			k := copy(into[n:], r.memory[int(i)*fragmentBlock:][:min(left, fragmentBlock)])
			n, left = n+k, left-k
		}
	}
	return n
}

// find returns the datagram with a key, 0 if there is none.
func (r *reassembler) find(bucket uint64, key *fragmentKey) int32 {
	for i := r.buckets[bucket]; i != 0; i = r.datagrams[i].chain {
		if r.datagrams[i].key == *key {
			return i
		}
	}
	return 0
}

// begin enters a datagram; there must be an unused one.
func (r *reassembler) begin(bucket uint64, key *fragmentKey, now mono.Time) int32 {
	i := r.unused
	d := &r.datagrams[i]
	r.unused = d.chain
	*d = datagram{key: *key, chain: r.buckets[bucket], older: r.youngest, until: now.Add(fragmentTime), first: noBlock, last: noBlock, total: -1}
	r.buckets[bucket] = i
	if r.youngest != 0 {
		r.datagrams[r.youngest].younger = i
	} else {
		r.oldest = i
		r.next.Store(int64(d.until))
	}
	r.youngest = i
	return i
}

// drop forgets a datagram and returns how many fragments it had.
func (r *reassembler) drop(i int32) (count int) {
	d := &r.datagrams[i]
	for f := d.first; f != noBlock; {
		next := r.blocks[f].next
		for b := f; b != noBlock; {
			more := r.blocks[b].more
			r.blocks[b].more, r.free = r.free, b
			r.spare++
			b = more
		}
		f = next
	}
	at := &r.buckets[maphash.Comparable(r.seed, d.key)%datagramCount]
	for *at != i {
		at = &r.datagrams[*at].chain
	}
	*at = d.chain
	if d.older != 0 {
		r.datagrams[d.older].younger = d.younger
	} else {
		r.oldest = d.younger
	}
	if d.younger != 0 {
		r.datagrams[d.younger].older = d.older
	} else {
		r.youngest = d.older
	}
	d.chain, r.unused = r.unused, i
	r.next.Store(0)
	if r.oldest != 0 {
		r.next.Store(int64(r.datagrams[r.oldest].until))
	}
	return int(d.count)
}

// expire gives up the datagrams whose time is over and returns how many fragments they had.
// It costs a load when there are none.
func (r *reassembler) expire(now mono.Time) (count int) {
	if next := r.next.Load(); next == 0 || now < mono.Time(next) {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.oldest != 0 && r.datagrams[r.oldest].until <= now {
		count += r.drop(r.oldest)
	}
	return count
}

// waiting returns how many fragments are kept.
func (r *reassembler) waiting() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := r.oldest; i != 0; i = r.datagrams[i].younger {
		n += int(r.datagrams[i].count)
	}
	return n
}
