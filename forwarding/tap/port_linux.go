package tap

import (
	"net"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

const (
	// slots is how many frames a Recv takes.
	slots = 32
	// slotBytes has room for the longest packet, its Ethernet header and the virtio_net_hdr.
	slotBytes = 66 << 10
)

// A Port is one worker's queue of the device. It implements forwarding.Port.
type Port struct {
	name string
	link int
	mac  wire.MAC
	fd   int
	in   []byte // slots; pages that no frame has reached take no memory
	out  envelope

	received, sent, sendErrors atomic.Uint64
	sendError                  atomic.Uint32 // the last errno

	mu     sync.Mutex // guards closed
	closed bool
}

var _ forwarding.Port = (*Port)(nil)

func newPort(fd int) *Port { return &Port{fd: fd, in: make([]byte, slots*slotBytes)} }

// Link implements forwarding.Port.
func (p *Port) Link() (index int, mac wire.MAC) { return p.link, p.mac }

// FD implements forwarding.Port.
func (p *Port) FD() int { return p.fd }

// Recv implements forwarding.Port. The frames are valid until the next Recv.
func (p *Port) Recv(fs []forwarding.Frame) (n int, err error) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return 0, net.ErrClosed
	}
	for n < min(len(fs), slots) {
		slot := p.in[n*slotBytes:][:slotBytes:slotBytes]
		got, err := unix.Read(p.fd, slot)
		if err != nil || got < forwarding.VnetLen+wire.EthernetLen {
			break // EAGAIN: there is no more
		}
		fs[n] = forwarding.Frame{Vnet: slot[:forwarding.VnetLen:forwarding.VnetLen], Data: slot[forwarding.VnetLen:got]}
		n++
	}
	p.received.Add(uint64(n))
	return n, nil
}

// Release implements forwarding.Port.
func (p *Port) Release([]forwarding.Frame) {}

// Send implements forwarding.Port. The stack has taken the frames when it returns.
func (p *Port) Send(fs []forwarding.Frame) (sent int, err error) {
	for i := range fs {
		if errno := p.out.write(p.fd, fs[i].Vnet, fs[i].Data); errno != 0 {
			fs[i].Refused = true
			p.sendErrors.Add(1)
			p.sendError.Store(uint32(errno))
			err = os.NewSyscallError("writev", errno)
			continue
		}
		sent++
	}
	p.sent.Add(uint64(sent))
	return sent, err
}

// Err implements forwarding.Port. A queue has no error to take; that its device is gone shows in
// Recv and Send.
func (p *Port) Err() error { return nil }

// Stats implements forwarding.Port.
func (p *Port) Stats() forwarding.PortStats {
	s := forwarding.PortStats{Received: p.received.Load(), Sent: p.sent.Load(), SendErrors: p.sendErrors.Load()}
	if errno := p.sendError.Load(); errno != 0 {
		s.SendError = os.NewSyscallError("writev", unix.Errno(errno))
	}
	return s
}

// Close implements forwarding.Port.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return os.NewSyscallError("close", unix.Close(p.fd))
}
