package netlab

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A Host is one machine of a site: a network namespace, a mount namespace, and the
// processes started in them. Safe for use by many goroutines.
type Host struct {
	name  string
	site  *Site
	index int // 1-based position in the site; becomes part of MAC addresses
	ns    namespaces
	rtnl  *netlink.Handle
	links linkTable
}

// A setting is a sysctl and its value.
type setting struct{ name, value string }

// hostSysctls are what a host starts with, written out so that a site is the same on
// every machine: IPv4 values would be copied from the initial namespace. The order
// matters: "default" holds for interfaces that come later.
func hostSysctls() []setting {
	return []setting{
		{"net.ipv4.ip_forward", "0"},
		{"net.ipv6.conf.all.forwarding", "0"},
		{"net.ipv4.conf.all.rp_filter", "0"},
		{"net.ipv4.conf.default.rp_filter", "0"},
		{"net.ipv4.conf.all.accept_redirects", "0"},
		{"net.ipv4.conf.all.send_redirects", "0"},
		{"net.ipv4.conf.default.send_redirects", "0"},
		{"net.ipv6.conf.all.accept_dad", "0"},
		{"net.ipv6.conf.default.accept_dad", "0"},
		{"net.ipv6.conf.default.accept_ra", "0"},
		{"net.ipv6.conf.default.router_solicitations", "0"},
		{"net.ipv6.conf.default.accept_redirects", "0"},
	}
}

func (h *Host) setUp(sysctls []setting) error {
	for _, s := range sysctls {
		if err := h.Sysctl(s.name, s.value); err != nil {
			return err
		}
	}
	rtnl, err := netlink.NewHandleAt(netns.NsHandle(h.ns.net.Fd()), netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("host %s: open rtnetlink: %w", h.name, err)
	}
	h.rtnl = rtnl
	return h.SetUp("lo")
}

func (h *Host) close() {
	if h.rtnl != nil {
		h.rtnl.Close()
	}
	h.ns.pid = nil // the site's
	h.ns.close()
}

// Name returns the host's name, which is unique in its site.
func (h *Host) Name() string { return h.name }

// NetPath returns a path that stands for the host's network namespace while the site
// lives; any process of the machine with the rights can open it (nsenter --net=PATH).
func (h *Host) NetPath() string { return fdPath(h.ns.net) }

// Do runs f on the calling goroutine while its thread is in the host's network
// namespace. Goroutines that f starts are outside; so is file access except /proc/sys.
// Sockets opened inside stay in the namespace for good. f may call t.Fatal and may
// nest Do of another host. The error is f's, or says that the host cannot be entered.
func (h *Host) Do(f func() error) error {
	leave, err := enterNet(h.ns.net)
	if err != nil {
		return fmt.Errorf("host %s: %w", h.name, err)
	}
	defer leave()
	return f()
}

// DialContext connects from the host; it fits http.Transport.DialContext. The address
// must be numeric: names would be resolved in the machine's namespace.
func (h *Host) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen announces on an address of the host. Accepted connections belong to the host.
func (h *Host) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = h.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, network, address)
		return err
	})
	return l, err
}

// ListenPacket opens a packet socket, such as UDP, on an address of the host.
func (h *Host) ListenPacket(ctx context.Context, network, address string) (c net.PacketConn, err error) {
	err = h.Do(func() (err error) {
		c, err = new(net.ListenConfig).ListenPacket(ctx, network, address)
		return err
	})
	return c, err
}

// Sysctl writes a kernel parameter of the host's network namespace. The name is as for
// sysctl(8), with dots, or with slashes where an interface name has a dot.
func (h *Host) Sysctl(name, value string) error {
	path := name
	if !strings.Contains(name, "/") {
		path = strings.ReplaceAll(name, ".", "/")
	}
	err := h.Do(func() error { return os.WriteFile("/proc/sys/"+path, []byte(value), 0) })
	if err != nil {
		return fmt.Errorf("host %s: set %s to %q: %w", h.name, name, value, err)
	}
	return nil
}
