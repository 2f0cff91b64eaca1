package afxdp

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// Config says which queue to take.
type Config struct {
	Link  int // interface index
	Queue int // transmit queue, from 0
	// Senders is how many workers share the queue, 1 at the least.
	Senders int
	// Chunk is the memory for one frame in bytes, 2048 or 4096; longer frames are left to the
	// other port.
	Chunk int
	// Chunks is how many frames may be on their way out, a power of two.
	Chunks int
	// SendBuffer bounds what a sender has on its way out in bytes of the kernel's memory.
	SendBuffer int
	// Receive is how many frames of the queue can be on their way in, a power of two; 0: the
	// queue only sends. Frames come if an XDP program redirects them to Queue.FD.
	Receive int
	// Unfinished says that frames may come with an unfinished checksum, which nothing but the
	// value of its field tells (see Receiver).
	Unfinished bool
	// MAC is the interface's address.
	MAC wire.MAC
	// Queued says that the interface has a queueing discipline. Frames of several segments
	// wait there, and what follows them must not overtake them.
	Queued bool
}

// DefaultConfig returns what suits an interface of an MTU in bytes.
func DefaultConfig(link, queue, mtu int) Config {
	const tagged = 18 // an Ethernet header with a VLAN tag
	c := Config{Link: link, Queue: queue, Senders: 1, Chunk: 2 << 10, Chunks: 1 << 10, SendBuffer: 16 << 20}
	if mtu+tagged > c.Longest() { // also for what is received
		c.Chunk = 4 << 10
	}
	return c
}

// Longest returns the length of the longest frame that can be received.
func (c Config) Longest() int { return c.Chunk - receiveHeadroom }

// receiveHeadroom is what the kernel leaves free at the start of a chunk
// (XDP_PACKET_HEADROOM).
const receiveHeadroom = 256

// A Queue is a queue of an interface, which the AF_XDP sockets of one owner at a time
// can have. It outlives the ports that use it, so that they can be replaced. Its methods are
// safe for use by many goroutines.
type Queue struct {
	umem    *umem
	senders []*Sender
	in      *Receiver    // nil: it only sends
	mapped  [][]byte     // all memory that is to be unmapped
	users   atomic.Int32 // who opened it, and all ports
}

// Open takes a queue of an interface of the calling thread's network namespace. It needs
// CAP_NET_RAW and Linux 5.4.
func Open(c Config) (*Queue, error) {
	q := &Queue{}
	q.users.Store(1)
	if err := q.open(c); err != nil {
		q.Close() //nolint:errcheck // the first error counts
		return nil, err
	}
	return q, nil
}

func (q *Queue) open(c Config) error {
	mem, err := q.mapMemory(-1, 0, (c.Chunks+c.Receive)*c.Chunk, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	q.umem = newUmem(mem[:c.Chunks*c.Chunk], c.Chunk)
	if c.Receive > 0 {
		q.in = newReceiver(q, c, mem)
	}
	for i := range max(c.Senders, 1) {
		if err := q.addSender(c, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// addSender opens a socket. The first one takes the queue, the others share it.
func (q *Queue) addSender(c Config, first bool) error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket AF_XDP", err)
	}
	s := &Sender{queue: q, umem: q.umem, fd: fd}
	q.senders = append(q.senders, s)
	if c.Queued {
		s.waiting = new(waiting)
	}
	if first {
		if err := setUmem(fd, q.mapped[0], c.Chunk); err != nil {
			return os.NewSyscallError("setsockopt XDP_UMEM_REG", err)
		}
	}
	if err := q.makeRings(s, c, first); err != nil {
		return err
	}
	if first && q.in != nil {
		q.in.fd = fd
		q.in.fillAll()
	}
	// More than the usual 32 frames in one call. The same Linux, 6.17, began to tell at the end of each
	// call how far it came ("net: xsk: update tx queue consumer immediately after transmission").
	s.exact = unix.SetsockoptInt(fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, sendFrames) == nil
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, c.SendBuffer) != nil {
		// Without CAP_NET_ADMIN net.core.wmem_max is the bound.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, c.SendBuffer); err != nil {
			return os.NewSyscallError("setsockopt SO_SNDBUF", err)
		}
	}
	address := &unix.SockaddrXDP{Ifindex: uint32(c.Link), QueueID: uint32(c.Queue)}
	if first {
		// To copy frames: a driver that uses the memory itself would set its queues up anew.
		address.Flags = unix.XDP_COPY
	} else {
		address.Flags, address.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(q.senders[0].fd)
	}
	return bind(fd, address)
}

// makeRings makes a socket's rings and maps those that are used. The kernel insists on a fill
// ring, from which it takes memory to receive into, also where nothing is received.
func (q *Queue) makeRings(s *Sender, c Config, first bool) error {
	type size struct {
		option int
		name   string
		n      int
	}
	sizes := []size{{unix.XDP_TX_RING, "XDP_TX_RING", c.Chunks}}
	if first {
		sizes = append(sizes, size{unix.XDP_UMEM_COMPLETION_RING, "XDP_UMEM_COMPLETION_RING", c.Chunks},
			size{unix.XDP_UMEM_FILL_RING, "XDP_UMEM_FILL_RING", max(c.Receive, 1)})
		if q.in != nil {
			sizes = append(sizes, size{unix.XDP_RX_RING, "XDP_RX_RING", c.Receive})
		}
	}
	for _, r := range sizes {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, r.option, r.n); err != nil {
			return os.NewSyscallError("setsockopt "+r.name, err)
		}
	}
	offsets, err := getOffsets(s.fd)
	if errors.Is(err, unix.ENOSYS) {
		return errors.New("needs Linux 5.4 or newer")
	}
	if err != nil {
		return os.NewSyscallError("getsockopt XDP_MMAP_OFFSETS", err)
	}
	s.tx, err = mapRing[desc](q, s.fd, unix.XDP_PGOFF_TX_RING, offsets.tx, c.Chunks, descSize)
	if err != nil || !first {
		return err
	}
	q.umem.done, err = mapRing[uint64](q, s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, offsets.completion, c.Chunks, addrSize)
	if err != nil || q.in == nil {
		return err
	}
	if q.in.rx, err = mapRing[desc](q, s.fd, unix.XDP_PGOFF_RX_RING, offsets.rx, c.Receive, descSize); err != nil {
		return err
	}
	q.in.fill, err = mapRing[uint64](q, s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, offsets.fill, c.Receive, addrSize)
	return err
}

// mapRing maps a ring of n entries, each of some bytes.
func mapRing[T any](q *Queue, fd int, at int64, o ringOffsets, n int, entry uintptr) (ring[T], error) {
	mem, err := q.mapMemory(fd, at, int(o.desc)+n*int(entry), unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring[T]{}, err
	}
	return view[T](mem, o, n), nil
}

func (q *Queue) mapMemory(fd int, offset int64, size, flags int) ([]byte, error) {
	mem, err := unix.Mmap(fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return nil, fmt.Errorf("%d KiB: %w", size>>10, os.NewSyscallError("mmap", err))
	}
	q.mapped = append(q.mapped, mem)
	return mem, nil
}

// A queue stays taken for a moment after its last socket was closed: the kernel gives it back
// later, from a work queue. bindTries times bindWait is how long that is waited for.
const (
	bindTries = 20
	bindWait  = 10 * time.Millisecond
)

// bind ties a socket to its queue.
func bind(fd int, address *unix.SockaddrXDP) error {
	err := unix.Bind(fd, address)
	for try := 1; err == unix.EBUSY && try < bindTries; try++ {
		pause(bindWait)
		err = unix.Bind(fd, address)
	}
	switch err { //nolint:errorlint // a system call's own
	case nil:
		return nil
	case unix.EBUSY:
		return fmt.Errorf("another AF_XDP socket has queue %d: %w", address.QueueID, err)
	case unix.EINVAL:
		return fmt.Errorf("there is no queue %d: %w", address.QueueID, err)
	}
	return os.NewSyscallError("bind AF_XDP", err)
}

// Sender returns the queue's part that belongs to one worker, from 0 to Config.Senders−1.
func (q *Queue) Sender(i int) *Sender { return q.senders[i] }

// FD returns the socket that an XDP program can redirect the queue's frames to, if it receives.
func (q *Queue) FD() int { return q.senders[0].fd }

// Receiver returns the port that receives from the queue, nil if it only sends. Each call must
// be matched by a Close of the port.
func (q *Queue) Receiver() *Receiver {
	if q.in != nil {
		q.users.Add(1)
	}
	return q.in
}

// Close gives the queue up. It is free for others when all ports that use it are closed, too.
func (q *Queue) Close() error {
	if q.users.Add(-1) > 0 {
		return nil
	}
	var errs []error
	for _, s := range q.senders {
		errs = append(errs, os.NewSyscallError("close", unix.Close(s.fd)))
	}
	for _, mem := range q.mapped { // a mapping holds its socket
		errs = append(errs, os.NewSyscallError("munmap", unix.Munmap(mem)))
	}
	return errors.Join(errs...)
}

// Port returns a port that sends by the queue what AF_XDP can describe, and leaves all else
// to another one of the same interface and worker. Closing it closes that one.
func (s *Sender) Port(other forwarding.Port) *Port {
	s.queue.users.Add(1)
	return &Port{Port: other, sender: s}
}
