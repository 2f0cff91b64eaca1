package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"uvs/internal/hostnet"
)

// pingTimeout is how long one question waits for its answer, and pingTries how often it is
// asked: the first packet to a neighbour may be lost to its resolution.
const (
	pingTimeout = 400 * time.Millisecond
	pingTries   = 2
)

// An echo is an answer to a ping.
type echo struct {
	link     int // where it came in
	hopLimit int
}

// askGateway finds out where a server on a link of ours sends what is for another network:
// it pings the server from our address beside it and from one of another network, and
// compares the ways of the answers. ok is false if that cannot be told: the server is not
// on a link, does not answer pings, or we have no address of another network.
func askGateway(ctx context.Context, n *hostnet.Snapshot, server netip.Addr) (g Gateway, ok bool) {
	r, found := n.Lookup(server)
	if !found || r.Kind != hostnet.Unicast || len(r.Hops) == 0 || r.Hops[0].Gateway.IsValid() {
		return Gateway{}, false
	}
	link := r.Hops[0].Link
	beside, off := sources(n, server, link)
	if !beside.IsValid() || !off.IsValid() {
		return Gateway{}, false
	}
	direct, err := ping(ctx, beside, server)
	if err != nil {
		return Gateway{}, false
	}
	g = Gateway{Server: server, From: off, Beside: beside}
	answer, err := ping(ctx, off, server)
	switch {
	case errors.Is(err, errNoAnswer):
		g.Way = Nowhere
	case err != nil:
		return Gateway{}, false
	case answer.link == link && answer.hopLimit == direct.hopLimit:
		g.Way = Straight
	default:
		g.Way = Elsewhere
		l, _ := n.LinkByIndex(answer.link)
		g.Interface = l.Name
	}
	return g, true
}

// sources picks our addresses to ask a server from: one of its own network and one that it
// can only reach over its gateway.
func sources(n *hostnet.Snapshot, server netip.Addr, link int) (beside, off netip.Addr) {
	for _, a := range n.Addresses {
		addr := a.Prefix.Addr()
		if addr.Is6() != server.Is6() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || !a.Usable() {
			continue
		}
		switch {
		case a.Prefix.Masked().Contains(server):
			if a.Link == link && !beside.IsValid() {
				beside = addr
			}
		case a.Link != link && !off.IsValid() && a.Scope == hostnet.ScopeGlobal && !inNetworkOf(n, link, addr):
			off = addr
		}
	}
	return beside, off
}

// inNetworkOf reports whether an address is of a network on a link.
func inNetworkOf(n *hostnet.Snapshot, link int, addr netip.Addr) bool {
	for _, a := range n.AddressesOf(link) {
		if a.Prefix.Masked().Contains(addr) {
			return true
		}
	}
	return false
}

var errNoAnswer = errors.New("no answer")

// ping asks a host from one of our addresses.
func ping(ctx context.Context, from, to netip.Addr) (echo, error) {
	network, protocol := "ip4:icmp", 1
	var request, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if to.Is6() {
		network, protocol = "ip6:ipv6-icmp", 58
		request, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	conn, err := icmp.ListenPacket(network, from.String())
	if err != nil {
		return echo{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) }) //nolint:errcheck // the connection is closed then
	defer stop()
	if err := wantOrigin(conn); err != nil {
		return echo{}, err
	}
	id := os.Getpid() & 0xffff
	for seq := range pingTries {
		m := icmp.Message{Type: request, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("uvs preflight")}}
		b, err := m.Marshal(nil)
		if err != nil {
			return echo{}, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(pingTimeout)); err != nil {
			return echo{}, err
		}
		if _, err := conn.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}); err != nil {
			return echo{}, err
		}
		answer, err := awaitEcho(conn, to, protocol, reply, id)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return answer, err
		}
		if ctx.Err() != nil {
			return echo{}, ctx.Err()
		}
	}
	return echo{}, errNoAnswer
}

// wantOrigin asks for the interface and the hop limit of what comes in.
func wantOrigin(c *icmp.PacketConn) error {
	if p := c.IPv4PacketConn(); p != nil {
		return p.SetControlMessage(ipv4.FlagInterface|ipv4.FlagTTL, true)
	}
	return c.IPv6PacketConn().SetControlMessage(ipv6.FlagInterface|ipv6.FlagHopLimit, true)
}

// awaitEcho reads until the answer or the deadline comes.
func awaitEcho(c *icmp.PacketConn, host netip.Addr, protocol int, reply icmp.Type, id int) (echo, error) {
	buf := make([]byte, 1500)
	for {
		n, e, from, err := readEcho(c, buf)
		if err != nil {
			return echo{}, err
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || m.Type != reply || fmt.Sprint(from) != host.String() {
			continue
		}
		if body, ok := m.Body.(*icmp.Echo); ok && body.ID == id {
			return e, nil
		}
	}
}

func readEcho(c *icmp.PacketConn, buf []byte) (n int, e echo, from net.Addr, err error) {
	if p := c.IPv4PacketConn(); p != nil {
		n, cm, from, err := p.ReadFrom(buf)
		if cm != nil {
			e = echo{cm.IfIndex, cm.TTL}
		}
		return n, e, from, err
	}
	n, cm, from, err := c.IPv6PacketConn().ReadFrom(buf)
	if cm != nil {
		e = echo{cm.IfIndex, cm.HopLimit}
	}
	return n, e, from, err
}
