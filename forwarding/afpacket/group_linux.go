package afpacket

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"uvs/internal/wire"
)

// Config says how to open one interface.
type Config struct {
	Link int      // interface index
	MAC  wire.MAC // the interface's address
	// Workers is the number of ports to open, one for each worker.
	Workers int
	// Shape is how frames come in; the zero Shape only sends.
	Shape Shape
	// Memory is what receiving may take in each port that receives, in bytes: from
	// Shape.Least up. A port takes no more, and no more than Shape.Most.
	Memory int
	// Receivers is how many of the ports receive, the first ones; 0: all of them. The others
	// only send.
	Receivers int
	// SendBuffer is what a port may have on its way out, in bytes; 0: 16 MiB.
	SendBuffer int
	// VIPs tell clients from servers for spreading frames over workers; see Group.SetVIPs.
	VIPs []netip.Addr
}

// sendBuffer is enough for a batch of 64 frames of 64 KiB, whose truesize is about double
// that. The default of 208 KiB blocks after one frame.
const sendBuffer = 16 << 20

// A Group is the set of ports of one interface, one for each worker. The fanout between
// those that receive is the kernel's. Its methods are safe for use by many goroutines.
type Group struct {
	ports  []*Port
	shape  Shape
	open   atomic.Int32  // ports that are not closed
	closed chan struct{} // closed with the last port
}

// Open opens one port for each worker on an interface of the calling thread's network
// namespace. They send at once and receive nothing before Start. It needs CAP_NET_RAW.
func Open(c Config) (*Group, error) {
	g := &Group{shape: c.Shape, closed: make(chan struct{})}
	receivers := c.Receivers
	if receivers <= 0 || receivers > c.Workers {
		receivers = c.Workers
	}
	if c.Shape.Receive == SendOnly {
		receivers = 0
	}
	for i := range c.Workers {
		shape := c.Shape
		if i >= receivers {
			shape = Shape{}
		}
		p, err := open(c, shape)
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("port %d: %w", i, err)
		}
		p.onClose = g.portClosed
		g.open.Add(1)
		g.ports = append(g.ports, p)
	}
	if err := g.join(receivers, c.VIPs); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Group) portClosed() {
	if g.open.Add(-1) == 0 {
		close(g.closed)
	}
}

// Ports returns the ports in the order of the workers.
func (g *Group) Ports() []*Port { return g.ports }

// Shape returns how frames come in.
func (g *Group) Shape() Shape { return g.shape }

// Start lets frames in: IPv4 and IPv6 for this host.
func (g *Group) Start() error { return g.setFilters(acceptHostIP()) }

// Stop lets no more frames in. Those that wait in the rings can still be received.
func (g *Group) Stop() error { return g.setFilters(dropAll()) }

// Close closes all ports that have not been closed by their workers.
func (g *Group) Close() {
	for _, p := range g.ports {
		p.Close() //nolint:errcheck // Close of a socket and its mapping; nothing to do about it
	}
}

// Closed returns a channel that is closed when all ports are.
func (g *Group) Closed() <-chan struct{} { return g.closed }

func (g *Group) setFilters(filter []bpf.Instruction) error {
	var errs []error
	for _, p := range g.receivers() {
		errs = append(errs, p.setFilter(filter))
	}
	return errors.Join(errs...)
}

// receivers returns the ports that receive.
func (g *Group) receivers() []*Port {
	for i, p := range g.ports {
		if p.slots == 0 {
			return g.ports[:i]
		}
	}
	return g.ports
}

// join makes the receiving ports a fanout group. With UNIQUEID the kernel finds a free id,
// so that groups of other software on this interface are never met.
func (g *Group) join(receivers int, vips []netip.Addr) error {
	if receivers < 2 {
		return nil
	}
	const mode = unix.PACKET_FANOUT_CBPF
	first := g.ports[0].fd
	join := mode<<16 | unix.PACKET_FANOUT_FLAG_UNIQUEID<<16
	if err := unix.SetsockoptInt(first, unix.SOL_PACKET, unix.PACKET_FANOUT, join); err != nil {
		return os.NewSyscallError("setsockopt PACKET_FANOUT", err)
	}
	id, err := unix.GetsockoptInt(first, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return os.NewSyscallError("getsockopt PACKET_FANOUT", err)
	}
	if err := g.SetVIPs(vips); err != nil {
		return err
	}
	for _, p := range g.ports[1:receivers] {
		if err := unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, mode<<16|id&0xffff); err != nil {
			return os.NewSyscallError("setsockopt PACKET_FANOUT", err)
		}
	}
	return nil
}

// SetVIPs changes which addresses are virtual. Frames to a VIP are spread by their source,
// all others by their destination: both are the client.
func (g *Group) SetVIPs(vips []netip.Addr) error {
	if len(g.receivers()) < 2 {
		return nil
	}
	program, err := assemble(clientHash(vips))
	if err != nil {
		return err
	}
	err = unix.SetsockoptSockFprog(g.ports[0].fd, unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, program)
	return os.NewSyscallError("setsockopt PACKET_FANOUT_DATA", err)
}

func assemble(instructions []bpf.Instruction) (*unix.SockFprog, error) {
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return nil, fmt.Errorf("assemble filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}, nil
}
