package announce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
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

// Burst announces all targets in turn, so many rounds, as keepalived does after a takeover:
// with many addresses each is known after the first round. One socket is opened for each link.
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
