package afpacket

import "os"

// A Receive is a way for frames to come in.
type Receive uint8

// The ways, each with a virtio_net_hdr beside the frame unless the Shape is Plain.
const (
	// SendOnly receives nothing.
	SendOnly Receive = iota
	// TPacketV2 is a ring of slots for frames of one segment: a frame is there as soon as the
	// kernel has written it. Longer ones wait in the socket's queue for recvmmsg(2), in their
	// order: their slot only says so (PACKET_COPY_THRESH).
	TPacketV2
	// TPacketV3 is a ring of blocks, in which frames take what they need. A block is handed
	// over when the next frame does not fit or blockTimeout is over: 1 ms and more of
	// latency (Linux before 6.18 counts it in jiffies: up to 8 ms with HZ=250).
	TPacketV3
	// RecvMMsg is recvmmsg(2) into buffers: about twice the CPU time of a ring, for kernels
	// that refuse one.
	RecvMMsg
)

// String returns the name in status.
func (r Receive) String() string {
	switch r {
	case SendOnly:
		return "send only"
	case TPacketV2:
		return "tpacket_v2"
	case TPacketV3:
		return "tpacket_v3"
	case RecvMMsg:
		return "recvmmsg"
	}
	return "unknown"
}

// A Shape is how a port's frames come in, but for how much memory that takes. The zero
// Shape only sends.
type Shape struct {
	Receive Receive
	// Plain leaves the virtio_net_hdr out. Frames then have to be complete: the interface's
	// offloads are to be switched off (GRO and LRO at the least). Partial checksums are
	// completed in software all the same; frames longer than MaxFrame come cut short.
	Plain bool
	// MaxFrame is the length of the interface's longest frame, as its wire has them, Ethernet
	// header included; 0 stands for an MTU of 1500. Other than a Plain one, a TPacketV3 and a
	// RecvMMsg take frames of any length all the same.
	MaxFrame int
}

// String returns the shape's name in status.
func (s Shape) String() string {
	if s.Plain {
		return "plain " + s.Receive.String()
	}
	return s.Receive.String()
}

// Least returns the least memory in bytes that a port of the shape works with.
func (s Shape) Least() int {
	switch s.Receive {
	case TPacketV2:
		if s.Plain {
			return s.ring().block
		}
		return max(v2Least, 4*s.ring().block)
	case TPacketV3:
		return 2 * v3BlockLeast
	case RecvMMsg:
		return 2 * s.buffer() // one to fill, and as much for the socket's queue
	}
	return 0
}

// Good returns the memory in bytes that a port of the shape should have: with less, a burst
// as it comes from one batch of a neighbour is lost.
func (s Shape) Good() int {
	switch s.Receive {
	case TPacketV2:
		r := s.ring()
		bytes := (goodSlots + r.slots - 1) / r.slots * r.block
		if s.Plain {
			return bytes
		}
		return max(v2Good, 4*bytes)
	case TPacketV3:
		// With two blocks, one that is being read and one that the timer took from the kernel
		// leave none for the next frame.
		return 4 * v3BlockLeast
	case RecvMMsg:
		if s.Plain {
			return goodSlots * (s.buffer() + plainTruesize)
		}
		return 16 * s.buffer()
	}
	return 0
}

// Most returns the memory in bytes beyond which a port of the shape gains nothing.
func (s Shape) Most() int {
	switch {
	case s.Receive == SendOnly:
		return 0
	case s.Receive == RecvMMsg:
		return s.buffer()*sendFrames + mostQueue
	case s.Plain:
		return 8 << 20
	case s.Receive == TPacketV2:
		return 24 << 20
	}
	return 64 << 20
}

// goodSlots is the shortest ring that is worth one: a worker's batch.
const goodSlots = 64

// plainTruesize bounds what a frame of an MTU of 1500 counts for in a socket's queue: the
// page fraction that a driver received it into, and its struct sk_buff.
const plainTruesize = 4 << 10

// mostQueue bounds a socket's queue without a ring.
const mostQueue = 8 << 20

// headroom is reserved before each frame for tags and tunnel headers.
const headroom = 64

// A ringShape is the geometry of a TPACKET_V2 ring: the kernel allocates it in blocks,
// which slots do not straddle.
type ringShape struct {
	slot  int // bytes of a slot
	block int // bytes of a block
	slots int // slots in a block
}

const (
	slotLeast = 2 << 10  // of an MTU of 1500
	ringBlock = 16 << 10 // 8 slots
	// slotHeader bounds what stands before a frame in a slot: struct tpacket2_hdr and
	// struct sockaddr_ll, aligned (TPACKET2_HDRLEN), the virtio_net_hdr and the alignment of
	// the IP header.
	slotHeader = 106
)

// ring returns the geometry of a TPACKET_V2 ring of the shape.
func (s Shape) ring() ringShape {
	const align = 16 // TPACKET_ALIGNMENT
	slot := max(s.MaxFrame+slotHeader+headroom, slotLeast)
	r := ringShape{slot: min((slot+align-1)/align*align, longFrame)}
	r.block = wholePages(max(r.slot, ringBlock))
	r.slots = r.block / r.slot
	return r
}

// longFrame holds a GSO frame of 64 KiB behind the reserved headroom and the virtio_net_hdr.
const longFrame = 66 << 10

// Memory for long frames beside a TPACKET_V2 ring.
const (
	v2Least = 512 << 10
	v2Good  = 1 << 20
	// longBuffers is how many a batch may have. Few are used again and again and stay in the
	// CPU's cache: with a slot of 66 KiB for every frame, one stream of TCP was slower by a
	// fifth.
	longBuffers = 16
	// mostLong bounds the socket's queue: some 160 frames of 64 KiB.
	mostLong = 16 << 20
)

// v2Parts divides memory between a ring, buffers for long frames, two at the least, and the
// socket's queue, where those wait for their turn. A Plain one is all ring.
func (s Shape) v2Parts(memory int) (blocks, buffers, queue int) {
	block := s.ring().block
	if s.Plain {
		return max(memory/block, 1), 0, 0
	}
	blocks = max(memory/4/block, 1)
	buffers = min(max(memory/8/longFrame, 2), longBuffers)
	return blocks, buffers, min(memory-blocks*block-buffers*longFrame, mostLong)
}

// offset returns where a slot begins.
func (r ringShape) offset(slot int) int { return slot/r.slots*r.block + slot%r.slots*r.slot }

// buffer returns the size of a buffer for recvmmsg.
func (s Shape) buffer() int {
	if s.Plain {
		return max(s.MaxFrame+headroom, slotLeast)
	}
	return longFrame
}

// Blocks of a TPACKET_V3 ring. The least holds one GSO frame of 64 KiB and short ones beside
// it; larger ones waste less at their end.
const (
	v3BlockLeast = 128 << 10
	v3BlockSmall = 256 << 10
	v3Block      = 1 << 20
	// A ring has that many large blocks at the least, else small ones, else the least.
	v3BlocksLarge = 8
	v3BlocksSmall = 4
	// v3Frame bounds what a GSO frame of 64 KiB takes in a block.
	v3Frame = longFrame
)

// blockTimeout is after how many milliseconds a block that is not full is handed over
// (retire_blk_tov). 1 is the least that the kernel knows; 0 would mean 8.
const blockTimeout = 1

// v3Blocks divides memory into blocks, two at the least.
func v3Blocks(memory int) (size, n int) {
	switch {
	case memory >= v3BlocksLarge*v3Block:
		return v3Block, memory / v3Block
	case memory >= v3BlocksSmall*v3BlockSmall:
		return v3BlockSmall, memory / v3BlockSmall
	}
	return v3BlockLeast, max(memory/v3BlockLeast, 2)
}

// recvBuffers divides memory between buffers, one at the least, and the socket's queue,
// where frames wait for their turn.
func (s Shape) recvBuffers(memory int) (buffers, queue int) {
	buffers = min(max(memory/2/s.buffer(), 1), sendFrames)
	return buffers, min(max(memory-buffers*s.buffer(), s.buffer()), mostQueue)
}

func wholePages(n int) int {
	page := os.Getpagesize()
	return (n + page - 1) / page * page
}
