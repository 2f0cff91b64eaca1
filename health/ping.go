package health

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// An echoKind is what an echo is in one family.
type echoKind struct {
	network  string
	any      netip.Addr
	protocol int
	request  icmp.Type
	reply    icmp.Type
}

func echoOf(a netip.Addr) echoKind {
	if a.Unmap().Is4() {
		return echoKind{"ip4:icmp", netip.IPv4Unspecified(), 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply}
	}
	return echoKind{"ip6:ipv6-icmp", netip.IPv6Unspecified(), 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply}
}

// probePing sends an echo request and waits for its reply. keepalived 2.2.7, check/check_ping.c.
func probePing(ctx context.Context, c *Check) Outcome {
	to := c.Target.Addr().Unmap()
	kind := echoOf(to)
	from := c.BindAddr
	if !from.IsValid() {
		from = kind.any
	}
	l := net.ListenConfig{Control: socketControl(c)}
	conn, err := l.ListenPacket(ctx, kind.network, from.String())
	if err != nil {
		return dialOutcome(ctx, err)
	}
	defer conn.Close() //nolint:errcheck // a packet has left or not
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	o := echo(conn, c, to, kind)
	if ctx.Err() != nil {
		return Outcome{Verdict: Rescheduled, Reason: Canceled, Err: ctx.Err()}
	}
	return o
}

func echo(conn net.PacketConn, c *Check, to netip.Addr, kind echoKind) Outcome {
	id := int(uint16(rand.Uint32()))
	// The kernel computes the checksum of ICMPv6.
	request, err := (&icmp.Message{Type: kind.request, Body: &icmp.Echo{ID: id, Seq: 1, Data: make([]byte, 32)}}).Marshal(nil)
	if err != nil {
		return failure(WriteFailed, err)
	}
	if err := conn.SetDeadline(time.Now().Add(c.stageTimeout())); err != nil {
		return failure(WriteFailed, shorten(err))
	}
	if _, err := conn.WriteTo(request, &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}); err != nil {
		return failure(NetworkUnreachable, shorten(err))
	}
	buf := make([]byte, 1500)
	for {
		n, who, err := conn.ReadFrom(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return failure(ReadTimeout, errors.New("no echo reply"))
		case err != nil:
			return failure(ReadFailed, shorten(err))
		}
		m, err := icmp.ParseMessage(kind.protocol, buf[:n])
		if err != nil || m.Type != kind.reply {
			continue
		}
		reply, ok := m.Body.(*icmp.Echo)
		if sender, isIP := who.(*net.IPAddr); ok && isIP && reply.ID == id && to.WithZone("") == addrOf(sender.IP) {
			return Outcome{Verdict: Success}
		}
	}
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
