package afpacket

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
)

// The layout of struct tpacket_auxdata (packet(7), PACKET_AUXDATA): status 0–4, VLAN tag
// 16–18, VLAN TPID 18–20.
const (
	auxStatus   = 0
	auxVLANTCI  = 16
	auxVLANTPID = 18
	auxLen      = 20
)

// mailbox receives by recvmmsg into buffers that go round in order.
type mailbox struct {
	fd      int
	mem     []byte // of the buffers
	size1   int    // of a buffer
	queue   int    // bytes that the socket may hold
	plain   bool
	vectors *receiver
	next    int // the buffer to fill next
	pending int // buffers before next that are not released yet
}

func openMailbox(fd int, s Shape, memory int) (*mailbox, error) {
	buffers, queue := s.recvBuffers(memory)
	m := &mailbox{fd: fd, size1: s.buffer(), queue: queue, plain: s.Plain}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt PACKET_AUXDATA", err)
	}
	// The kernel doubles the number for its own overhead (socket(7)).
	if err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, queue/2); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(-1, 0, buffers*m.size1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("%d buffers: %w", buffers, os.NewSyscallError("mmap", err))
	}
	m.mem = mem
	m.vectors = newReceiver(buffers)
	for i := range buffers {
		if s.Plain {
			m.vectors.set(i, m.buffer(i)[headroom:])
		} else {
			m.vectors.set(i, m.buffer(i)[headroom-forwarding.VnetLen:])
		}
	}
	return m, nil
}

func (m *mailbox) buffer(i int) []byte { return m.mem[i*m.size1:][:m.size1] }

// recv takes frames off the socket's queue, as many as there are free buffers in a row.
func (m *mailbox) recv(fs []forwarding.Frame) (n int, err error) {
	buffers := m.vectors.len()
	room := min(len(fs), buffers-m.pending, buffers-m.next)
	if room == 0 {
		return 0, nil
	}
	got, errno := m.vectors.receive(m.fd, m.next, room)
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR:
	case unix.ENETDOWN: // said once; the socket is hooked in again with the interface
	default:
		return 0, os.NewSyscallError("recvmmsg", errno)
	}
	for i := m.next; i < m.next+got; i++ {
		// The virtio_net_hdr stands before the data, as in a ring.
		length, state := m.vectors.get(i)
		if !m.plain {
			length -= forwarding.VnetLen
		}
		fs[n] = inRing(m.buffer(i), headroom, length, m.plain, state)
		fs[n].Slot = uint32(i)
		n++
	}
	m.pending += n
	if m.next += n; m.next == buffers {
		m.next = 0
	}
	return n, nil
}

func (m *mailbox) release(fs []forwarding.Frame) { m.pending -= len(fs) }

func (m *mailbox) size() (slots, bytes int) {
	return m.vectors.len() + m.queue/longFrame, len(m.mem) + m.queue
}

func (m *mailbox) close() error { return os.NewSyscallError("munmap", unix.Munmap(m.mem)) }
