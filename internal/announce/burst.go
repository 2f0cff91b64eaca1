package announce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"uvs/internal/wire"
)

// A Target is an address at a link, to be announced.
type Target struct {
	Link Link
	Addr netip.Addr
	// Router sets the router flag of IPv6 announcements: the host forwards packets.
	Router bool
}

// A Pace is the least time between two packets of a Burst: GARP for IPv4, NA for IPv6. 0 sends
// as fast as can be.
type Pace struct{ GARP, NA time.Duration }

// Burst tells all hosts and switches of the links where the targets are, in turn and so many
// rounds, as keepalived does after a takeover: gratuitous ARP for IPv4 (RFC 5227, Section 2.3),
// unsolicited neighbour advertisements for IPv6 (RFC 4861, Section 7.2.6). With many addresses
// each is known after the first round. The sockets are opened in the network namespace of the
// calling thread and need CAP_NET_RAW. One socket is opened for each link.
// It returns when the last packet is sent, or ctx ends; what cannot be announced does not keep
// the others from it, and is in the error. Safe for use by many goroutines.
func Burst(ctx context.Context, targets []Target, rounds int, pace Pace) error {
	conns := make(map[int]net.PacketConn)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	var errs []error
	for round := range rounds {
		for n, t := range targets {
			wait := pace.GARP
			if t.Addr.Is6() {
				wait = pace.NA
			}
			if wait > 0 && (round > 0 || n > 0) {
				select {
				case <-ctx.Done():
				case <-time.After(wait):
				}
			}
			if ctx.Err() != nil {
				return errors.Join(errs...)
			}
			if err := t.tell(conns); err != nil && round == 0 {
				errs = append(errs, fmt.Errorf("announce %s on %s: %w", t.Addr, t.Link.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// tell sends one packet, by the connection of its link.
func (t Target) tell(conns map[int]net.PacketConn) error {
	addr := t.Addr.Unmap()
	if err := t.Link.check(addr); err != nil {
		return err
	}
	conn, opened := conns[t.Link.Index]
	if !opened {
		var err error
		if conn, err = open(t.Link, question{}); err != nil { // receives nothing
			conns[t.Link.Index] = nil
			return err
		}
		conns[t.Link.Index] = conn
	}
	if conn == nil {
		return net.ErrClosed // it could not be opened
	}
	f := announcement(t.Link, addr, t.Router)
	_, err := conn.WriteTo(f, linkAddr(f))
	return err
}

// announcement returns the frame that tells of addr.
func announcement(link Link, addr netip.Addr, router bool) []byte {
	if addr.Is4() {
		return link.frame(broadcast, wire.EtherTypeARP, arpAnnouncement(link.MAC, addr).bytes())
	}
	n := ndAnnouncement(link.MAC, addr, router)
	return link.frame(groupMAC(n.dst), wire.EtherTypeIPv6, n.bytes())
}
