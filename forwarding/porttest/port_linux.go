// Package porttest is a forwarding.Port without a network: frames in, frames out, no
// privileges. It is used by tests, fuzzers and benchmarks of the data plane.
package porttest

import (
	"net"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// A Port hands out the frames of Inject and keeps copies of those sent. Its methods are
// safe for use by many goroutines.
type Port struct {
	link int
	mac  wire.MAC
	fd   int

	mu     sync.Mutex // guards what follows
	in     [][]byte
	sent   [][]byte
	closed bool
	stats  forwarding.PortStats
	signal chan struct{}
}

var _ forwarding.Port = (*Port)(nil)

// New returns a port with the given interface index and address. Close it.
func New(link int, mac wire.MAC) (*Port, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &Port{link: link, mac: mac, fd: fd, signal: make(chan struct{}, 1)}, nil
}

// Inject makes frames (copies of Data, without a virtio_net_hdr) receivable.
func (p *Port) Inject(frames ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range frames {
		p.in = append(p.in, slices.Clone(f))
	}
	one := [8]byte{1}
	unix.Write(p.fd, one[:]) //nolint:errcheck // the counter cannot overflow
}

// Sent returns copies of the frames sent so far.
func (p *Port) Sent() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

// Signal is signalled after each Send.
func (p *Port) Signal() <-chan struct{} { return p.signal }

// Closed reports whether Close was called.
func (p *Port) Closed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Link implements forwarding.Port.
func (p *Port) Link() (int, wire.MAC) { return p.link, p.mac }

// FD implements forwarding.Port: an eventfd that is readable after Inject.
func (p *Port) FD() int { return p.fd }

// Recv implements forwarding.Port.
func (p *Port) Recv(fs []forwarding.Frame) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, net.ErrClosed
	}
	n := min(len(fs), len(p.in))
	for i := range n {
		fs[i] = forwarding.Frame{Data: p.in[i]}
	}
	p.in = p.in[n:]
	if n == 0 {
		var drain [8]byte
		unix.Read(p.fd, drain[:]) //nolint:errcheck // EAGAIN: nothing was injected since
	}
	p.stats.Received += uint64(n)
	return n, nil
}

// Send implements forwarding.Port.
func (p *Port) Send(fs []forwarding.Frame) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range fs {
		p.sent = append(p.sent, slices.Clone(fs[i].Data))
	}
	p.stats.Sent += uint64(len(fs))
	select {
	case p.signal <- struct{}{}:
	default:
	}
	return len(fs), nil
}

// Release implements forwarding.Port.
func (p *Port) Release([]forwarding.Frame) {}

// Err implements forwarding.Port.
func (p *Port) Err() error { return nil }

// Stats implements forwarding.Port.
func (p *Port) Stats() forwarding.PortStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Close implements forwarding.Port.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return unix.Close(p.fd)
}
