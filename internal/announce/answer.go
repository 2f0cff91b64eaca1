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

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"

	"uvs/internal/wire"
)

// answerMax is the length of the longest frame that is answered: an echo of an IP packet
// as long as there are any.
const answerMax = wire.EthernetLen + 0xffff

// etherTypeAll has a socket receive frames of every protocol (ETH_P_ALL).
const etherTypeAll = 3

// A Spoken is an address that is answered for.
type Spoken struct {
	Addr netip.Addr
	// Silent has ping unanswered: the address is only for routing.
	Silent bool
}

// Answer answers on a link for addresses that its host does not have, until ctx ends, when
// it returns nil: ARP requests and neighbour solicitations, those of hosts that probe for
// an address included, and, unless an address is silent, echo requests (ping) in one piece. It needs CAP_NET_RAW, and
// opens its socket in the network namespace of the calling thread.
//
// Any other error means that nothing is answered any more, as when the link goes down. Of a
// link with multicast snooping, IPv6 solicitations may not come through: nobody reports
// that we listen to them.
func Answer(ctx context.Context, link Link, addrs []Spoken) error {
	a := answerer{link: link}
	for _, s := range addrs {
		addr := s.Addr.Unmap()
		if err := link.check(addr); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		a.addrs = append(a.addrs, addr)
		if !s.Silent {
			a.echoing = append(a.echoing, addr)
		}
	}
	if err := a.run(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("answer on %s: %w", link.Name, err)
	}
	return nil
}

// An answerer knows who it speaks for.
type answerer struct {
	link    Link
	addrs   []netip.Addr
	echoing []netip.Addr // those that answer ping, too
}

// run receives and answers until ctx ends.
func (a answerer) run(ctx context.Context) error {
	conn, err := a.open()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	buf := make([]byte, answerMax)
	for {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if reply := a.reply(buf[:n]); reply != nil {
			// Who asked asks again when one is lost.
			_, _ = conn.WriteTo(reply, linkAddr(reply))
		}
	}
}

// open opens a socket that receives what may be a question.
func (a answerer) open() (net.PacketConn, error) {
	program, err := bpf.Assemble(answerFilter())
	if err != nil {
		return nil, err
	}
	device := &net.Interface{Index: a.link.Index, Name: a.link.Name}
	conn, err := packet.Listen(device, packet.Raw, etherTypeAll, &packet.Config{Filter: program})
	if err != nil {
		return nil, err
	}
	for _, addr := range a.addrs {
		if addr.Is4() {
			continue // questions are broadcast
		}
		if err := conn.JoinGroup(hardwareAddr(groupMAC(solicitedNode(addr)))); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// answerFilter passes ARP, ICMP and ICMPv6 from the wire without a VLAN tag.
func answerFilter() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: outgoing, SkipTrue: 10},
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 8},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.EtherTypeARP, SkipTrue: 7},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.EtherTypeIPv4, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.EtherTypeIPv6, SkipTrue: 4},
		bpf.LoadAbsolute{Off: wire.EthernetLen + 6, Size: 1}, // next header
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.ProtoICMPv6, SkipTrue: 3, SkipFalse: 2},
		bpf.LoadAbsolute{Off: wire.EthernetLen + 9, Size: 1}, // protocol
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.ProtoICMP, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: answerMax},
	}
}

// has reports whether addr is one that is spoken for.
func (a answerer) has(addr netip.Addr) bool { return slices.Contains(a.addrs, addr) }

// echoes reports whether addr is one that answers ping.
func (a answerer) echoes(addr netip.Addr) bool { return slices.Contains(a.echoing, addr) }

// reply returns the answer to a frame, nil if it asks nothing of us.
func (a answerer) reply(frame []byte) []byte {
	if len(frame) < wire.EthernetLen {
		return nil
	}
	e := wire.Ethernet(frame)
	to := e.Destination()
	if e.Source() == a.link.MAC || to != a.link.MAC && to[0]&1 == 0 {
		return nil
	}
	asked := frame[wire.EthernetLen:]
	switch e.EtherType() {
	case wire.EtherTypeARP:
		return a.replyARP(asked)
	case wire.EtherTypeIPv4:
		if packet := a.echo4(asked); packet != nil && to == a.link.MAC {
			return a.link.frame(e.Source(), wire.EtherTypeIPv4, packet)
		}
	case wire.EtherTypeIPv6:
		if reply := a.replyND(e.Source(), asked); reply != nil {
			return reply
		}
		if packet := a.echo6(asked); packet != nil && to == a.link.MAC {
			return a.link.frame(e.Source(), wire.EtherTypeIPv6, packet)
		}
	}
	return nil
}

// replyARP answers a request (RFC 826); one without a sender address is a probe, and its
// sender is to learn that the address is taken (RFC 5227, Section 2.1.1).
func (a answerer) replyARP(packet []byte) []byte {
	q, ok := parseARP(packet)
	if !ok || q.operation != arpRequest || !a.has(q.targetIP) || q.senderIP == q.targetIP {
		return nil
	}
	r := arp{operation: arpReply, senderMAC: a.link.MAC, senderIP: q.targetIP, targetMAC: q.senderMAC, targetIP: q.senderIP}
	return a.link.frame(q.senderMAC, wire.EtherTypeARP, r.bytes())
}

// replyND answers a solicitation (RFC 4861, Section 7.2.4): its sender, or all nodes if it
// probes and has no address yet (RFC 4862, Section 5.4.3).
func (a answerer) replyND(ether wire.MAC, packet []byte) []byte {
	q, ok := parseND(packet)
	if !ok || q.kind != ndSolicitation || !a.has(q.target) {
		return nil
	}
	r := ndAnnouncement(a.link.MAC, q.target, false)
	if q.src.IsUnspecified() {
		return a.link.frame(groupMAC(r.dst), wire.EtherTypeIPv6, r.bytes())
	}
	r.dst, r.flags = q.src, r.flags|ndSolicited
	if !q.mac.IsZero() {
		ether = q.mac
	}
	return a.link.frame(ether, wire.EtherTypeIPv6, r.bytes())
}

// Echo messages: RFC 792 and RFC 4443, Section 4. Both have 8 bytes of header.
const (
	echoLen      = 8
	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129
	echoTTL      = 64
)

// echo4 answers an echo request of IPv4 with the packet to send back.
func (a answerer) echo4(b []byte) []byte {
	if len(b) < wire.IPv4Len {
		return nil
	}
	ip := wire.IPv4(b)
	head, total := ip.HeaderLen(), ip.TotalLen()
	if ip.Version() != 4 || head < wire.IPv4Len || total < head+echoLen || total > len(b) || wire.Checksum(b[:head]) != 0 ||
		ip.IsFragment() || ip.Protocol() != wire.ProtoICMP || !a.echoes(netip.AddrFrom4([4]byte(ip.Destination()))) {
		return nil
	}
	message := b[head:total]
	if message[0] != echoRequest4 || message[1] != 0 || wire.Checksum(message) != 0 {
		return nil
	}
	r := append(make([]byte, wire.IPv4Len), message...)
	out, reply := wire.IPv4(r), wire.ICMP(r[wire.IPv4Len:])
	copy(out.Source(), ip.Destination())
	copy(out.Destination(), ip.Source())
	out.Init(ip.TOS(), echoTTL, wire.ProtoICMP, 0, true, len(message))
	out.SetChecksum(wire.Checksum(r[:wire.IPv4Len]))
	reply.SetKind(echoReply4, 0)
	reply.SetChecksum(0)
	reply.SetChecksum(wire.Checksum(reply))
	return r
}

// echo6 answers an echo request of IPv6 with the packet to send back.
func (a answerer) echo6(b []byte) []byte {
	if len(b) < wire.IPv6Len+echoLen {
		return nil
	}
	ip := wire.IPv6(b)
	n := ip.PayloadLen()
	if ip.Version() != 6 || n < echoLen || n > len(b)-wire.IPv6Len || ip.NextHeader() != wire.ProtoICMPv6 ||
		!a.echoes(netip.AddrFrom16([16]byte(ip.Destination()))) {
		return nil
	}
	message := b[wire.IPv6Len:][:n]
	if message[0] != echoRequest6 || message[1] != 0 || ndChecksum(ip, message) != 0 {
		return nil
	}
	r := append(make([]byte, wire.IPv6Len), message...)
	out, reply := wire.IPv6(r), wire.ICMP(r[wire.IPv6Len:])
	copy(out.Source(), ip.Destination())
	copy(out.Destination(), ip.Source())
	out.Init(echoTTL, wire.ProtoICMPv6, n)
	reply.SetKind(echoReply6, 0)
	reply.SetChecksum(0)
	reply.SetChecksum(ndChecksum(out, reply))
	return r
}
