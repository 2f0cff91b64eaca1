package afxdp

import (
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// A Receiver is the port that has the frames which an XDP program redirects to a queue. It
// implements forwarding.Port beside another port of the same interface, which has all other
// frames and sends: a worker's list must have that one first.
//
// The program redirects plain frames only (steer.Rules.Diverts), and XDP says nothing about them
// but their bytes. On a virtual link a transport checksum may be unfinished (Config.Unfinished):
// the field then has the sum of the pseudo header. A frame whose field has that value gets a
// virtio_net_hdr that says so. If that is a mere chance the finished checksum is the same
// number as before, so that no frame is harmed that was right.
//
// One worker at a time owns it, but for Stats.
type Receiver struct {
	queue      *Queue
	fd         int
	link       int
	mac        wire.MAC
	unfinished bool
	mem        []byte // of the whole UMEM
	chunk      int
	first      int          // number of the first chunk that belongs to receiving
	rx         ring[desc]   // frames that came: the kernel writes
	fill       ring[uint64] // chunks for more of them: we write

	received, drops atomic.Uint64

	mu     sync.Mutex // guards closed against Stats
	closed bool
}

var _ forwarding.Port = (*Receiver)(nil)

func newReceiver(q *Queue, c Config, mem []byte) *Receiver {
	return &Receiver{queue: q, link: c.Link, mac: c.MAC, unfinished: c.Unfinished, mem: mem, chunk: c.Chunk, first: c.Chunks}
}

// fillAll gives the kernel all chunks. Its ring holds every one of them.
func (r *Receiver) fillAll() {
	for i := range r.fill.entries {
		*r.fill.at(uint32(i)) = uint64((r.first + i) * r.chunk)
	}
	r.fill.produce(uint32(len(r.fill.entries)))
}

// Link returns the interface's index and address.
func (r *Receiver) Link() (int, wire.MAC) { return r.link, r.mac }

// Recv takes the frames that are there. They stay where the kernel put them until Release.
// After Close it returns net.ErrClosed.
func (r *Receiver) Recv(fs []forwarding.Frame) (int, error) {
	if r.closed { // only the owner closes
		return 0, net.ErrClosed
	}
	from := *r.rx.consumer
	n := min(len(fs), int(r.rx.produced()-from))
	for i := range n {
		d := r.rx.at(from + uint32(i))
		at, end := int(d.addr), int(d.addr)+int(d.len)
		base := at / r.chunk * r.chunk
		f := &fs[i]
		*f = forwarding.Frame{Data: r.mem[at:end:end], Front: r.mem[base:at:end], Slot: uint32(base / r.chunk)}
		if r.unfinished {
			f.Vnet = describe(f.Data, r.mem[at-forwarding.VnetLen:at:at])
		}
	}
	if n > 0 {
		r.rx.consume(from + uint32(n))
		r.received.Add(uint64(n))
	}
	return n, nil
}

// Release gives memory back to the kernel.
func (r *Receiver) Release(fs []forwarding.Frame) {
	if r.closed {
		return
	}
	first := *r.fill.producer
	for i := range fs {
		*r.fill.at(first + uint32(i)) = uint64(int(fs[i].Slot) * r.chunk)
	}
	r.fill.produce(first + uint32(len(fs)))
}

// Send refuses all frames: they go by the interface's other port.
func (r *Receiver) Send(fs []forwarding.Frame) (int, error) {
	for i := range fs {
		fs[i].Refused = true
	}
	return 0, unix.EOPNOTSUPP
}

// FD returns the socket that receives.
func (r *Receiver) FD() int { return r.fd }

// Err takes the socket's pending error.
func (r *Receiver) Err() error {
	code, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	return asError(unix.Errno(code))
}

// Stats returns the totals. What a driver drops before its program runs is not among them.
func (r *Receiver) Stats() forwarding.PortStats {
	r.mu.Lock()
	if !r.closed {
		r.countDrops()
	}
	r.mu.Unlock()
	n := len(r.rx.entries)
	return forwarding.PortStats{Received: r.received.Load(), RingDrops: r.drops.Load(), Slots: n, RingBytes: n * r.chunk}
}

// countDrops reads the kernel's count of frames that found no chunk. The socket must be open.
func (r *Receiver) countDrops() {
	if n, err := droppedBy(r.fd); err == nil {
		r.drops.Store(n)
	}
}

// Close stops using the queue. A second Close does nothing.
func (r *Receiver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.countDrops()
	r.closed = true
	return r.queue.Close()
}
