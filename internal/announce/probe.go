package announce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"uvs/internal/wire"
)

// ProbeOptions say how patiently to probe. The zero value means the defaults.
//
// RFC 5227 would have us wait a random second, send three probes one to two seconds apart
// and wait two seconds more; RFC 4862 one second for IPv6. Those times are for machines
// that boot together on a network that comes up with them. A director that takes an
// address over is down for that address meanwhile, and a host on a working link answers
// within milliseconds. So the defaults are three probes in 0.75 s; who has time sets more.
type ProbeOptions struct {
	// Count is how many probes are sent, 3 if 0.
	Count int
	// Interval is the time between probes and the wait after the last, 250 ms if 0.
	Interval time.Duration
	// Own are further hardware addresses of this host. Another of our devices on the same
	// link would answer for an address that the host has, and must not count.
	Own [][6]byte
	// OwnersOnly leaves out hosts that only probe for the address at the same time.
	OwnersOnly bool
}

const (
	defaultProbes        = 3
	defaultProbeInterval = 250 * time.Millisecond
)

func (o ProbeOptions) withDefaults() ProbeOptions {
	if o.Count <= 0 {
		o.Count = defaultProbes
	}
	if o.Interval <= 0 {
		o.Interval = defaultProbeInterval
	}
	return o
}

// Probe asks the link whether another host has addr. It finds owners that answer, hosts
// that announce or use the address meanwhile, and hosts that probe for it at the same
// time. It returns the hardware address of the first one found, at once; found is false
// when all probes stayed without an answer. The error is ctx's, or says what went wrong
// with the device; then nothing is known.
//
// The socket is opened in the network namespace of the calling thread and needs
// CAP_NET_RAW. Safe for use by many goroutines.
func Probe(ctx context.Context, link Link, addr netip.Addr, o ProbeOptions) (owner net.HardwareAddr, found bool, err error) {
	addr = addr.Unmap()
	if err := link.check(addr); err != nil {
		return nil, false, fmt.Errorf("probe: %w", err)
	}
	q := newQuestion(link, addr, !o.OwnersOnly)
	conn, err := open(link, q)
	if err != nil {
		return nil, false, fmt.Errorf("probe %s on %s: %w", addr, link.Name, err)
	}
	owner, found, err = ask(ctx, conn, q, o.withDefaults())
	// Nothing reads any more, so an error of Close tells nothing.
	_ = conn.Close()
	if err != nil {
		return nil, false, fmt.Errorf("probe %s on %s: %w", addr, link.Name, err)
	}
	return owner, found, nil
}

// A question is a probe and how to understand the answers.
type question struct {
	etherType uint16
	frame     []byte
	// groups are the multicast addresses that answers and other probes are sent to.
	groups []wire.MAC
	// claim returns who, by the packet behind an Ethernet header, has the address. ether is
	// the sender of the frame.
	claim func(packet []byte, ether wire.MAC) (wire.MAC, bool)
	own   wire.MAC
}

// newQuestion asks for an address. With rivals, hosts that probe for it count too.
func newQuestion(link Link, addr netip.Addr, rivals bool) question {
	if addr.Is4() {
		return question{
			etherType: wire.EtherTypeARP,
			frame:     link.frame(broadcast, wire.EtherTypeARP, arpProbe(link.MAC, addr).bytes()),
			own:       link.MAC,
			claim: func(packet []byte, _ wire.MAC) (wire.MAC, bool) {
				a, ok := parseARP(packet)
				if !ok {
					return wire.MAC{}, false
				}
				return a.senderMAC, a.claims(addr) || rivals && a.probes(addr)
			},
		}
	}
	once := newNonce()
	group := groupMAC(solicitedNode(addr))
	return question{
		etherType: wire.EtherTypeIPv6,
		frame:     link.frame(group, wire.EtherTypeIPv6, ndProbe(addr, once).bytes()),
		groups:    []wire.MAC{group, groupMAC(netip.IPv6LinkLocalAllNodes())},
		own:       link.MAC,
		claim: func(packet []byte, ether wire.MAC) (wire.MAC, bool) {
			n, ok := parseND(packet)
			if has := n.claims(addr) || rivals && n.probes(addr, once); !ok || !has {
				return wire.MAC{}, false
			}
			if n.mac.IsZero() {
				return ether, true
			}
			return n.mac, true
		},
	}
}

// ask sends the probes and listens in between.
func ask(ctx context.Context, conn net.PacketConn, q question, o ProbeOptions) (net.HardwareAddr, bool, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	buf := make([]byte, frameMax)
	for range o.Count {
		if _, err := conn.WriteTo(q.frame, linkAddr(q.frame)); err != nil {
			return nil, false, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(o.Interval)); err != nil {
			return nil, false, err
		}
		for {
			// After setting the deadline, as ctx may just have ended and set its own before.
			if err := ctx.Err(); err != nil {
				return nil, false, err
			}
			n, _, err := conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, false, err
			}
			if owner, ok := q.answer(buf[:n], o.Own); ok {
				return hardwareAddr(owner), true, nil
			}
		}
	}
	return nil, false, ctx.Err()
}

// answer returns the other host that a frame shows to have the address.
func (q question) answer(frame []byte, own [][6]byte) (wire.MAC, bool) {
	if len(frame) < wire.EthernetLen {
		return wire.MAC{}, false
	}
	e := wire.Ethernet(frame)
	if e.EtherType() != q.etherType || q.ours(e.Source(), own) {
		return wire.MAC{}, false
	}
	owner, ok := q.claim(frame[wire.EthernetLen:], e.Source())
	return owner, ok && !q.ours(owner, own)
}

func (q question) ours(m wire.MAC, own [][6]byte) bool {
	return m == q.own || slices.Contains(own, [6]byte(m))
}
