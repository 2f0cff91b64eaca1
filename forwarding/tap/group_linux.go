package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"uvs/internal/wire"
)

// clonePath is the file of which each open is a queue.
const clonePath = "/dev/net/tun"

// ErrMissing says that the kernel offers no TAP devices here: there is no /dev/net/tun, or nothing
// behind it.
var ErrMissing = errors.New("no TAP devices")

// A Group is a device and its queues, one port for each worker. Its methods are safe for use by
// many goroutines.
type Group struct {
	name  string
	link  int
	mac   wire.MAC
	ports []*Port
}

// Open makes a device in the calling thread's network namespace, with the first free name of a
// pattern such as "uvs%d", and sets it up with an MTU. It needs CAP_NET_ADMIN. The error wraps
// ErrMissing if there are no such devices.
func Open(pattern string, workers, mtu int) (_ *Group, err error) {
	g := &Group{name: pattern}
	defer func() {
		if err != nil {
			g.Close()
		}
	}()
	for range workers {
		p, err := openQueue(g.name)
		if err != nil {
			return nil, err
		}
		g.ports = append(g.ports, p)
		g.name = p.name // the kernel's, from the first queue on
	}
	if err := g.configure(mtu); err != nil {
		return nil, fmt.Errorf("TAP device %s: %w", g.name, err)
	}
	for _, p := range g.ports {
		p.link, p.mac = g.link, g.mac
	}
	return g, nil
}

// openQueue opens one queue of the device of that name.
func openQueue(name string) (*Port, error) {
	fd, err := unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("%w: open %s: %w", ErrMissing, clonePath, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", clonePath, err)
	}
	p := newPort(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		p.Close() //nolint:errcheck // the first error counts
		return nil, fmt.Errorf("device name %q: %w", name, err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		p.Close() //nolint:errcheck // the first error counts
		return nil, os.NewSyscallError("ioctl TUNSETIFF", err)
	}
	p.name = request.Name()
	// What the stack may leave undone; the devices that it goes on to finish it.
	const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		p.Close() //nolint:errcheck // the first error counts
		return nil, os.NewSyscallError("ioctl TUNSETOFFLOAD", err)
	}
	return p, nil
}

// configure reads what the kernel chose, and sets the device up.
func (g *Group) configure(mtu int) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(s) //nolint:errcheck // nothing was written
	request, err := unix.NewIfreq(g.name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, request); err != nil {
		return os.NewSyscallError("ioctl SIOCGIFINDEX", err)
	}
	g.link = int(request.Uint32())
	if g.mac, err = hardwareAddr(g.ports[0].fd); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(g.ports[0].fd, unix.TUNSETLINK, unix.ARPHRD_VOID); err != nil {
		return os.NewSyscallError("ioctl TUNSETLINK", err)
	}
	request.SetUint32(uint32(mtu))
	if err := unix.IoctlIfreq(s, unix.SIOCSIFMTU, request); err != nil {
		return os.NewSyscallError("ioctl SIOCSIFMTU", err)
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, request); err != nil {
		return os.NewSyscallError("ioctl SIOCGIFFLAGS", err)
	}
	request.SetUint16(request.Uint16()&^unix.IFF_MULTICAST | unix.IFF_UP | unix.IFF_NOARP)
	return os.NewSyscallError("ioctl SIOCSIFFLAGS", unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request))
}

// Name returns the device's name, such as "uvs0".
func (g *Group) Name() string { return g.name }

// Link returns the device's index and the address to which the stack takes frames.
func (g *Group) Link() (index int, mac wire.MAC) { return g.link, g.mac }

// Ports returns the ports in the order of the workers.
func (g *Group) Ports() []*Port { return g.ports }

// Close closes all ports that have not been closed by their workers. The device goes with the
// last one.
func (g *Group) Close() {
	for _, p := range g.ports {
		p.Close() //nolint:errcheck // a descriptor that does not close is gone all the same
	}
}
