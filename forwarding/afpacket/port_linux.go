package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// Config says how to capture one interface.
type Config struct {
	Link int      // interface index
	MAC  wire.MAC // the interface's address
	// Workers is the number of ports to open, one for each worker.
	Workers int
	// Slots is the size of each receive ring in frames; see RingBytes. With 0 the ports only send.
	Slots int
	// VIPs tell clients from servers for spreading frames over workers; see Group.SetVIPs.
	VIPs []netip.Addr
}

// sendBuffer is the send buffer asked for: enough for a batch of 64 frames of 64 KiB, whose
// truesize is about double that. The default of 208 KiB blocks after one frame.
const sendBuffer = 16 << 20

// sendFrames is the longest vector for sendmmsg.
const sendFrames = 64

// A Group is the set of ports that capture one interface, one for each worker. The fanout
// between them is the kernel's. Its methods are safe for use by many goroutines.
type Group struct {
	ports []*Port
}

// Open opens one port for each worker on an interface of the calling thread's network
// namespace. It needs CAP_NET_RAW.
func Open(c Config) (*Group, error) {
	g := &Group{}
	for i := range c.Workers {
		p, err := open(c)
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("port %d: %w", i, err)
		}
		g.ports = append(g.ports, p)
	}
	if c.Slots == 0 {
		return g, nil
	}
	if err := g.join(c.VIPs); err != nil {
		g.Close()
		return nil, err
	}
	for _, p := range g.ports {
		if err := setFilter(p.fd, acceptHostIP()); err != nil {
			g.Close()
			return nil, err
		}
	}
	return g, nil
}

// Ports returns the ports in the order of the workers.
func (g *Group) Ports() []*Port { return g.ports }

// Close closes all ports that have not been closed by their workers.
func (g *Group) Close() {
	for _, p := range g.ports {
		p.Close() //nolint:errcheck // Close of a socket and its mapping; nothing to do about it
	}
}

// join makes the ports a fanout group. With UNIQUEID the kernel finds a free id, so that
// groups of other software on this interface are never met.
func (g *Group) join(vips []netip.Addr) error {
	if len(g.ports) == 1 {
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
	for _, p := range g.ports[1:] {
		if err := unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, mode<<16|id&0xffff); err != nil {
			return os.NewSyscallError("setsockopt PACKET_FANOUT", err)
		}
	}
	return nil
}

// SetVIPs changes which addresses are virtual. Frames to a VIP are spread by their source,
// all others by their destination: both are the client.
func (g *Group) SetVIPs(vips []netip.Addr) error {
	if len(g.ports) < 2 {
		return nil
	}
	program, err := assemble(clientHash(vips))
	if err != nil {
		return err
	}
	err = unix.SetsockoptSockFprog(g.ports[0].fd, unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, program)
	return os.NewSyscallError("setsockopt PACKET_FANOUT_DATA", err)
}

// A Port is one worker's socket on an interface. It implements forwarding.Port.
type Port struct {
	link    int
	mac     wire.MAC
	fd      int
	receive bool
	sender  *sender
	ring    []byte
	slots   int
	next    int // the slot that the kernel fills next
	pending int // slots before next that are not released yet

	received, sent, ringDrops, sendErrors atomic.Uint64

	mu     sync.Mutex // guards closed against Stats
	closed bool
}

var _ forwarding.Port = (*Port)(nil)

// open makes the socket in the only order that loses nothing: unbound and without a
// protocol, ring and filter first, bind last (packet(7); the filter drops everything until
// the whole group is ready).
func open(c Config) (_ *Port, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket AF_PACKET", err)
	}
	p := &Port{link: c.Link, mac: c.MAC, fd: fd, receive: c.Slots > 0, sender: newSender(sendFrames)}
	defer func() {
		if err != nil {
			p.Close() //nolint:errcheck // the first error counts
		}
	}()
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt PACKET_VNET_HDR", err)
	}
	// The forced variant needs CAP_NET_ADMIN; without it net.core.wmem_max is the bound.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer); err != nil {
			return nil, os.NewSyscallError("setsockopt SO_SNDBUF", err)
		}
	}
	protocol := uint16(0)
	if p.receive {
		if err := p.openRing(c.Slots); err != nil {
			return nil, err
		}
		protocol = unix.ETH_P_ALL
	}
	address := &unix.SockaddrLinklayer{Protocol: networkOrder(protocol), Ifindex: c.Link}
	if err := unix.Bind(fd, address); err != nil {
		return nil, os.NewSyscallError("bind AF_PACKET", err)
	}
	return p, nil
}

func (p *Port) openRing(slots int) error {
	options := []struct {
		name  string
		value int
		code  int
	}{
		{"PACKET_VERSION", unix.TPACKET_V2, unix.PACKET_VERSION},
		{"PACKET_RESERVE", headroom, unix.PACKET_RESERVE},
		{"PACKET_IGNORE_OUTGOING", 1, unix.PACKET_IGNORE_OUTGOING},
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(p.fd, unix.SOL_PACKET, o.code, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.name, err)
		}
	}
	if err := setFilter(p.fd, dropAll()); err != nil {
		return err
	}
	blocks := ringBlocks(slots)
	if err := setRing(p.fd, blocks); err != nil {
		return fmt.Errorf("ring of %d MiB: %w", blocks*blockBytes>>20, os.NewSyscallError("setsockopt PACKET_RX_RING", err))
	}
	ring, err := unix.Mmap(p.fd, 0, blocks*blockBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	p.ring, p.slots = ring, blocks*slotsPerBlock
	return nil
}

func setFilter(fd int, instructions []bpf.Instruction) error {
	program, err := assemble(instructions)
	if err != nil {
		return err
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program)
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
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

// Link returns the interface's index and address.
func (p *Port) Link() (int, wire.MAC) { return p.link, p.mac }

// FD returns the socket, or −1 for a port that only sends.
func (p *Port) FD() int {
	if !p.receive {
		return -1
	}
	return p.fd
}

// Recv takes the frames that are ready in the ring; they stay there, and the kernel does
// not overwrite them, until Release. After Close it returns net.ErrClosed.
func (p *Port) Recv(fs []forwarding.Frame) (int, error) {
	if p.ring == nil {
		if p.receive {
			return 0, net.ErrClosed
		}
		return 0, nil
	}
	n := 0
	for n < len(fs) && p.pending < p.slots {
		slot := p.ring[slotOffset(p.next):][:slotBytes]
		status := loadStatus(slot)
		if status&statusUser == 0 {
			break
		}
		p.fill(&fs[n], slot, status)
		fs[n].Slot = uint32(p.next)
		n++
		p.pending++
		if p.next++; p.next == p.slots {
			p.next = 0
		}
	}
	if n > 0 {
		p.received.Add(uint64(n))
	}
	return n, nil
}

// fill points a frame into a slot. A frame that the slot cut short keeps its cut length,
// and Decode refuses it.
func (p *Port) fill(f *forwarding.Frame, slot []byte, status uint32) {
	mac, n := int(slotUint16(slot, slotMAC)), int(slotUint32(slot, slotSnapLen))
	*f = forwarding.Frame{
		Data: slot[mac : mac+n : mac+n],
		Vnet: slot[mac-forwarding.VnetLen : mac : mac],
	}
	if status&statusVLANValid != 0 {
		f.VLAN = forwarding.VLANTag{TPID: wire.EtherTypeVLAN, TCI: slotUint16(slot, slotVLANTCI)}
		if status&statusVLANTPID != 0 {
			f.VLAN.TPID = slotUint16(slot, slotVLANTPID)
		}
	}
}

// Release gives slots back to the kernel.
func (p *Port) Release(fs []forwarding.Frame) {
	if p.ring == nil {
		return
	}
	for i := range fs {
		storeStatus(p.ring[slotOffset(int(fs[i].Slot)):][:slotBytes], statusKernel)
	}
	p.pending -= len(fs)
}

// Send transmits frames with sendmmsg. When the send buffer is full the rest is dropped, as
// a full queue of the device would do: to wait for one congested interface would stall all
// others of the worker. A frame that the kernel refuses for another reason is skipped.
func (p *Port) Send(fs []forwarding.Frame) (sent int, err error) {
	for len(fs) > 0 {
		n := min(len(fs), sendFrames)
		for i := range fs[:n] {
			p.sender.set(i, &fs[i])
		}
		for at := 0; at < n; {
			k, errno := p.sender.send(p.fd, at, n)
			at += k
			sent += k
			if errno == 0 || errno == unix.EINTR {
				continue
			}
			lost := 1
			if errno == unix.EAGAIN {
				lost = n - at
			}
			err = os.NewSyscallError("sendmmsg", errno)
			p.sendErrors.Add(uint64(lost))
			at += lost
		}
		fs = fs[n:]
	}
	p.sent.Add(uint64(sent))
	return sent, err
}

// fill writes a tag, and a virtio_net_hdr whose offsets count from before it.
func (t *tagged) fill(vnet []byte, tag forwarding.VLANTag) []byte {
	binary.BigEndian.PutUint16(t.tag[0:], tag.TPID)
	binary.BigEndian.PutUint16(t.tag[2:], tag.TCI)
	copy(t.vnet[:], vnet)
	forwarding.VnetHeader(t.vnet[:]).Shift(wire.VLANLen)
	return t.vnet[:]
}

// networkOrder returns a number whose bytes in memory are v in network order (htons(3)).
func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)})
}

// Err takes the socket's pending error.
func (p *Port) Err() error {
	code, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return nil
}

// Stats returns the port's totals. The kernel's count of ring drops starts over at each
// reading, so it is added up here.
func (p *Port) Stats() forwarding.PortStats {
	p.mu.Lock()
	if !p.closed && p.receive {
		if s, err := unix.GetsockoptTpacketStats(p.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			p.ringDrops.Add(uint64(s.Drops))
		}
	}
	p.mu.Unlock()
	return forwarding.PortStats{
		Received:   p.received.Load(),
		Sent:       p.sent.Load(),
		RingDrops:  p.ringDrops.Load(),
		SendErrors: p.sendErrors.Load(),
		Slots:      p.slots,
		RingBytes:  p.slots / slotsPerBlock * blockBytes,
	}
}

// Close closes the socket and unmaps the ring. A second Close does nothing.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	var unmapped error
	if p.ring != nil {
		unmapped = os.NewSyscallError("munmap", unix.Munmap(p.ring))
		p.ring = nil
	}
	return errors.Join(unmapped, os.NewSyscallError("close", unix.Close(p.fd)))
}
