package announce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"uvs/internal/wire"
)

// A Target is an address at a link, to be announced.
type Target struct {
	Link Link
	Addr netip.Addr
	// Router sets the router flag of IPv6 announcements: the host forwards packets.
	Router bool
	// Limit is the rate of packets that all have who share it, nil for none.
	Limit *Limit
}

// Burst tells all hosts and switches of the links where the targets are, in turn and so many
// rounds, as keepalived does after a takeover: gratuitous ARP for IPv4 (RFC 5227, Section 2.3),
// unsolicited neighbour advertisements for IPv6 (RFC 4861, Section 7.2.6). With many addresses
// each is known after the first round. Targets of one limit do not wait for those of another. The
// sockets are opened in the network namespace of the calling thread and need CAP_NET_RAW. One
// socket is opened for each link.
// It returns when the last packet is sent, or ctx ends; what cannot be announced does not keep
// the others from it, and is in the error. Safe for use by many goroutines.
func Burst(ctx context.Context, targets []Target, rounds int) error {
	conns := make(map[int]net.PacketConn)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	// Sockets are opened here, as other goroutines may be in another namespace.
	var errs []error
	for _, t := range targets {
		if err := t.connect(conns); err != nil {
			errs = append(errs, fmt.Errorf("announce %s on %s: %w", t.Addr, t.Link.Name, err))
		}
	}
	err := inTurn(ctx, targets, rounds, func(t Target) error { return t.tell(conns[t.Link.Index]) })
	return errors.Join(append(errs, err)...)
}

// inTurn sends for the targets of each limit by themselves, in turn and as the limit allows.
func inTurn(ctx context.Context, targets []Target, rounds int, send func(Target) error) error {
	var limits []*Limit
	for _, t := range targets {
		if !slices.Contains(limits, t.Limit) {
			limits = append(limits, t.Limit)
		}
	}
	var wg sync.WaitGroup
	failed := make([]error, len(limits))
	for n, limit := range limits {
		own := slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return t.Limit != limit })
		wg.Go(func() { failed[n] = limit.inTurn(ctx, own, rounds, send) })
	}
	wg.Wait()
	return errors.Join(failed...)
}

// connect opens the connection of the target's link, unless it was tried before. What cannot be is
// nil in conns.
func (t Target) connect(conns map[int]net.PacketConn) error {
	if err := t.Link.check(t.Addr.Unmap()); err != nil {
		return err
	}
	if _, tried := conns[t.Link.Index]; tried {
		return nil
	}
	conn, err := open(t.Link, question{}) // receives nothing
	if err != nil {
		conns[t.Link.Index] = nil
		return err
	}
	conns[t.Link.Index] = conn
	return nil
}

// tell sends one packet. Without a connection, which is known by then, it does nothing.
func (t Target) tell(conn net.PacketConn) error {
	addr := t.Addr.Unmap()
	if conn == nil || t.Link.check(addr) != nil {
		return nil
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
