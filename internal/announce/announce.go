package announce

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"uvs/internal/wire"
)

// Options say how to announce. The zero value means the defaults.
type Options struct {
	// Count is how many announcements are sent, 5 if 0: keepalived's
	// vrrp_garp_master_repeat. A second burst some seconds later is the caller's.
	Count int
	// Interval is the time between them. 0 sends them at once, as keepalived does.
	Interval time.Duration
	// Router sets the router flag of IPv6 announcements: the host forwards packets. A host
	// that uses us as its default router drops us from its list when the flag is missing.
	Router bool
}

// defaultAnnouncements is the count of announcements by default.
const defaultAnnouncements = 5

// Announce tells all hosts and switches of the link that addr is at link.MAC now:
// gratuitous ARP for IPv4 (RFC 5227, Section 2.3), unsolicited neighbour advertisements
// for IPv6 (RFC 4861, Section 7.2.6). It returns when the last one is sent, or ctx's error
// when that ends first.
//
// The socket is opened in the network namespace of the calling thread and needs
// CAP_NET_RAW. Safe for use by many goroutines.
func Announce(ctx context.Context, link Link, addr netip.Addr, o Options) error {
	addr = addr.Unmap()
	if err := link.check(addr); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if err := announce(ctx, link, addr, o); err != nil {
		return fmt.Errorf("announce %s on %s: %w", addr, link.Name, err)
	}
	return nil
}

func announce(ctx context.Context, link Link, addr netip.Addr, o Options) error {
	conn, err := open(link, question{}) // receives nothing
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	f := announcement(link, addr, o.Router)
	if o.Count <= 0 {
		o.Count = defaultAnnouncements
	}
	for i := range o.Count {
		if i > 0 && o.Interval > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(o.Interval):
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := conn.WriteTo(f, linkAddr(f)); err != nil {
			return err
		}
	}
	return nil
}

// announcement returns the frame that tells of addr.
func announcement(link Link, addr netip.Addr, router bool) []byte {
	if addr.Is4() {
		return link.frame(broadcast, wire.EtherTypeARP, arpAnnouncement(link.MAC, addr).bytes())
	}
	n := ndAnnouncement(link.MAC, addr, router)
	return link.frame(groupMAC(n.dst), wire.EtherTypeIPv6, n.bytes())
}
