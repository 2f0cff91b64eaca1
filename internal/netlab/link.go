package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
)

// A linkTable remembers what was configured on a host, in order.
type linkTable struct {
	mu    sync.Mutex // guards what follows
	count int        // interfaces made so far; becomes part of MAC addresses
	addrs []linkAddr
}

type linkAddr struct {
	ifname string
	prefix netip.Prefix
}

// nextMAC returns a locally administered address that is unique in the site and the same
// in every run: 02:75:76:73 ("uvs"), host, interface.
func (h *Host) nextMAC() net.HardwareAddr {
	h.links.mu.Lock()
	defer h.links.mu.Unlock()
	h.links.count++
	return net.HardwareAddr{0x02, 0x75, 0x76, 0x73, byte(h.index), byte(h.links.count)}
}

// Connect joins two hosts by a veth pair and sets both ends up.
func (s *Site) Connect(a *Host, aName string, b *Host, bName string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = aName
	attrs.HardwareAddr = a.nextMAC()
	attrs.TxQLen = 1000
	veth := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         bName,
		PeerHardwareAddr: b.nextMAC(),
		PeerNamespace:    netlink.NsFd(b.ns.net.Fd()),
	}
	if err := a.rtnl.LinkAdd(veth); err != nil {
		return fmt.Errorf("connect %s %s with %s %s: %w", a.name, aName, b.name, bName, err)
	}
	if err := a.SetUp(aName); err != nil {
		return err
	}
	return b.SetUp(bName)
}

// A Bridge is an Ethernet switch in a namespace of its own, without addresses.
type Bridge struct {
	// Host is where the bridge "br0" and its ports are; a capture there sees every
	// frame of the segment. Ports are named after the hosts they lead to.
	*Host
	dev netlink.Link
}

// AddBridge adds a bridge with no ports. IPv6 is off in its namespace, snooping and
// spanning tree are off too: it speaks no word of its own.
func (s *Site) AddBridge(name string) (*Bridge, error) {
	h, err := s.addHost(name, []setting{
		{"net.ipv6.conf.all.disable_ipv6", "1"},
		{"net.ipv6.conf.default.disable_ipv6", "1"},
	})
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	attrs.HardwareAddr = h.nextMAC()
	snooping := false
	dev := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := h.rtnl.LinkAdd(dev); err != nil {
		return nil, fmt.Errorf("bridge %s: %w", name, err)
	}
	if err := h.SetUp("br0"); err != nil {
		return nil, err
	}
	return &Bridge{Host: h, dev: dev}, nil
}

// Attach gives the host a new interface that leads to the bridge, and sets it up. The
// bridge's port is named after the host, with "-1", "-2" … for its further interfaces.
func (b *Bridge) Attach(h *Host, ifname string) error {
	port := h.name
	for i := 1; ; i++ {
		if _, err := b.rtnl.LinkByName(port); err != nil {
			break
		}
		port = fmt.Sprintf("%s-%d", h.name, i)
	}
	if err := b.site.Connect(h, ifname, b.Host, port); err != nil {
		return err
	}
	link, err := b.link(port)
	if err != nil {
		return err
	}
	if err := b.rtnl.LinkSetMaster(link, b.dev); err != nil {
		return fmt.Errorf("bridge %s: add port %s: %w", b.name, port, err)
	}
	return nil
}

func (h *Host) link(ifname string) (netlink.Link, error) {
	link, err := h.rtnl.LinkByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("host %s: interface %s: %w", h.name, ifname, err)
	}
	return link, nil
}

// onLink looks an interface up and runs f on it, naming both in the error.
func (h *Host) onLink(ifname, what string, f func(netlink.Link) error) error {
	link, err := h.link(ifname)
	if err != nil {
		return err
	}
	if err := f(link); err != nil {
		return fmt.Errorf("host %s: interface %s: %s: %w", h.name, ifname, what, err)
	}
	return nil
}

// SetUp sets an interface up.
func (h *Host) SetUp(ifname string) error {
	return h.onLink(ifname, "set up", func(l netlink.Link) error { return h.rtnl.LinkSetUp(l) })
}

// SetDown sets an interface down; its peer loses carrier. IPv6 addresses and all routes
// of the interface are lost, as on any Linux machine.
func (h *Host) SetDown(ifname string) error {
	return h.onLink(ifname, "set down", func(l netlink.Link) error { return h.rtnl.LinkSetDown(l) })
}

// SetMTU sets an interface's MTU in bytes.
func (h *Host) SetMTU(ifname string, mtu int) error {
	return h.onLink(ifname, "set MTU", func(l netlink.Link) error { return h.rtnl.LinkSetMTU(l, mtu) })
}

// MAC returns an interface's hardware address.
func (h *Host) MAC(ifname string) (net.HardwareAddr, error) {
	link, err := h.link(ifname)
	if err != nil {
		return nil, err
	}
	return link.Attrs().HardwareAddr, nil
}

// AddAddr adds an address, for IPv6 without duplicate address detection.
func (h *Host) AddAddr(ifname string, p netip.Prefix) error {
	err := h.onLink(ifname, "add "+p.String(), func(l netlink.Link) error {
		return h.rtnl.AddrAdd(l, addrOf(p))
	})
	if err != nil {
		return err
	}
	h.links.mu.Lock()
	defer h.links.mu.Unlock()
	h.links.addrs = append(h.links.addrs, linkAddr{ifname, p})
	return nil
}

// DelAddr removes an address that AddAddr or a process of the host added.
func (h *Host) DelAddr(ifname string, p netip.Prefix) error {
	err := h.onLink(ifname, "delete "+p.String(), func(l netlink.Link) error {
		return h.rtnl.AddrDel(l, addrOf(p))
	})
	if err != nil {
		return err
	}
	h.links.mu.Lock()
	defer h.links.mu.Unlock()
	h.links.addrs = slices.DeleteFunc(h.links.addrs, func(a linkAddr) bool { return a == linkAddr{ifname, p} })
	return nil
}

// ifaNoDAD is IFA_F_NODAD of linux/if_addr.h.
const ifaNoDAD = 0x02

func addrOf(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = ifaNoDAD
	}
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Addr4 returns the first IPv4 address that AddAddr gave to the interface, or the zero
// Addr when there is none.
func (h *Host) Addr4(ifname string) netip.Addr { return h.addr(ifname, netip.Addr.Is4) }

// Addr6 returns the first IPv6 address that AddAddr gave to the interface, or the zero
// Addr when there is none.
func (h *Host) Addr6(ifname string) netip.Addr { return h.addr(ifname, netip.Addr.Is6) }

func (h *Host) addr(ifname string, family func(netip.Addr) bool) netip.Addr {
	for _, p := range h.Addrs(ifname) {
		if family(p.Addr()) {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// Addrs returns what AddAddr gave to the interface, in that order.
func (h *Host) Addrs(ifname string) []netip.Prefix {
	h.links.mu.Lock()
	defer h.links.mu.Unlock()
	var ps []netip.Prefix
	for _, a := range h.links.addrs {
		if a.ifname == ifname {
			ps = append(ps, a.prefix)
		}
	}
	return ps
}

// AddRoute adds a route to dst. The zero Addr as via makes it on-link; an empty ifname
// leaves the choice of the interface to the kernel, which needs via.
func (h *Host) AddRoute(dst netip.Prefix, via netip.Addr, ifname string) error {
	return h.route("add", dst, via, ifname, h.rtnl.RouteReplace)
}

// DelRoute removes a route that AddRoute added with the same arguments.
func (h *Host) DelRoute(dst netip.Prefix, via netip.Addr, ifname string) error {
	return h.route("delete", dst, via, ifname, h.rtnl.RouteDel)
}

func (h *Host) route(what string, dst netip.Prefix, via netip.Addr, ifname string, f func(*netlink.Route) error) error {
	r := &netlink.Route{Dst: ipNet(dst.Masked())}
	if via.IsValid() {
		r.Gw = via.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	if ifname != "" {
		link, err := h.link(ifname)
		if err != nil {
			return err
		}
		r.LinkIndex = link.Attrs().Index
	}
	if err := f(r); err != nil {
		return fmt.Errorf("host %s: %s route %s via %s: %w", h.name, what, dst, via, err)
	}
	return nil
}

// describeLinks returns a line for each interface as the kernel has it now.
func (h *Host) describeLinks() ([]string, error) {
	links, err := h.rtnl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	lines := make([]string, 0, len(links))
	for _, l := range links {
		words := []string{fmt.Sprintf("%-10s %s", l.Attrs().Name, l.Attrs().OperState)}
		addrs, err := h.rtnl.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("list addresses of %s: %w", l.Attrs().Name, err)
		}
		for _, a := range addrs {
			words = append(words, a.IPNet.String())
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines, nil
}
