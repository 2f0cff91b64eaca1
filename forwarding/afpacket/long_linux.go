package afpacket

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
)

// longSlot times a buffer's number, from 1, is added to a Frame's Slot if its bytes are in that
// buffer. Rings have fewer slots.
const longSlot = 1 << 20

// long fetches frames that are too long for their slots from the socket's queue, where the
// kernel puts them in the order of the slots (tpacket_rcv, copy_skb).
type long struct {
	fd      int
	mem     []byte // of the buffers
	queue   int    // bytes that the socket may hold
	vectors *receiver
	free    []uint32 // numbers of buffers, from 0; the last ones were used last
	due     []due    // what recv has met
}

// A due is a frame that is to be fetched.
type due struct {
	frame  *forwarding.Frame
	buffer uint32
	length int // of the frame
}

func openLong(fd, buffers, queue int) (*long, error) {
	// Any number: it switches the queue on.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_COPY_THRESH, slotLeast); err != nil {
		return nil, os.NewSyscallError("setsockopt PACKET_COPY_THRESH", err)
	}
	// The kernel doubles the number for its own overhead (socket(7)).
	if err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, queue/2); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(-1, 0, buffers*longFrame, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("%d buffers: %w", buffers, os.NewSyscallError("mmap", err))
	}
	l := &long{fd: fd, mem: mem, queue: queue, vectors: newReceiver(buffers), due: make([]due, 0, buffers)}
	for i := range buffers {
		l.free = append(l.free, uint32(buffers-1-i))
	}
	return l, nil
}

func (l *long) buffer(i uint32) []byte { return l.mem[int(i)*longFrame:][:longFrame] }

// expect sets a buffer aside for a frame of a length. It reports false if there is none.
func (l *long) expect(f *forwarding.Frame, length int) bool {
	if l == nil || len(l.free) == 0 {
		return false
	}
	last := len(l.free) - 1
	l.due = append(l.due, due{f, l.free[last], length})
	l.free = l.free[:last]
	return true
}

// fetch has the frames that are due point to the whole of what was received. What cannot be
// had, which the kernel does not let happen, stays cut short and is refused by Decode.
func (l *long) fetch() {
	n := len(l.due)
	for i, d := range l.due {
		l.vectors.set(i, l.buffer(d.buffer)[headroom-forwarding.VnetLen:])
	}
	for got := 0; got < n; {
		k, errno := l.vectors.receive(l.fd, got, n-got)
		if k == 0 && errno != unix.EINTR && errno != unix.ENETDOWN { // which is said once
			break
		}
		for ; k > 0; k-- {
			d := &l.due[got]
			l.hand(d, got)
			got++
		}
	}
	for i := range l.due {
		l.due[i].frame.Slot += (l.due[i].buffer + 1) * longSlot
	}
	l.due = l.due[:0]
}

// hand has a frame point to what came in place i.
func (l *long) hand(d *due, i int) {
	length, _ := l.vectors.get(i)
	if length -= forwarding.VnetLen; length != d.length {
		return // of another frame
	}
	b := l.buffer(d.buffer)[: headroom+length : headroom+length]
	d.frame.Data, d.frame.Front = b[headroom:], b[:headroom]
	d.frame.Vnet = forwarding.VnetHeader(b[headroom-forwarding.VnetLen : headroom : headroom])
}

func (l *long) release(slot uint32) { l.free = append(l.free, slot/longSlot-1) }

func (l *long) size() int {
	if l == nil {
		return 0
	}
	return len(l.mem) + l.queue
}

func (l *long) close() error {
	if l == nil {
		return nil
	}
	return os.NewSyscallError("munmap", unix.Munmap(l.mem))
}
