// Package ownwatch notices what the host sends to addresses of its own over its loopback
// interface: connections that a director's stack keeps to itself, as no other interface ever
// sees them. It reads and changes nothing.
package ownwatch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"

	"uvs/internal/wire"
)

// An Attempt is a packet that opens a connection to an address of the host itself.
type Attempt struct {
	Protocol uint8 // wire.ProtoTCP or wire.ProtoUDP
	Dst      netip.AddrPort
}

const (
	// pause is the least time between two attempts of a family that are looked at: whoever
	// sends many makes up for those that are not.
	pause = 20 * time.Millisecond
	// headMax is how much of a packet is read: an Ethernet header, the longest IPv4 header
	// and two ports.
	headMax = wire.EthernetLen + 60 + 4
)

// Watch calls seen for TCP segments that open connections and for UDP datagrams to addresses
// of the host, but for 127.0.0.0/8 and ::1; of many it leaves out some. loopback is the
// index of the interface. It opens its sockets in the network namespace of the calling
// thread, needs CAP_NET_RAW, and returns nil when ctx ends, or what keeps it from reading.
// seen is called by one goroutine for each family.
func Watch(ctx context.Context, loopback int, seen func(Attempt)) error {
	var conns []*packet.Conn
	defer func() {
		for _, c := range conns {
			c.Close() //nolint:errcheck // nothing reads any more
		}
	}()
	for _, etherType := range []uint16{wire.EtherTypeIPv4, wire.EtherTypeIPv6} {
		c, err := open(loopback, etherType)
		if err != nil {
			return fmt.Errorf("watch the loopback interface: %w", err)
		}
		conns = append(conns, c)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		for _, c := range conns {
			c.SetReadDeadline(time.Now()) //nolint:errcheck // a closed one does not wait either
		}
	})
	defer stop()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			if err := read(ctx, c, seen); err != nil {
				cancel(fmt.Errorf("watch the loopback interface: %w", err))
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func open(loopback int, etherType uint16) (*packet.Conn, error) {
	program, err := bpf.Assemble(filter(etherType))
	if err != nil {
		return nil, err
	}
	return packet.Listen(&net.Interface{Index: loopback}, packet.Raw, int(etherType), &packet.Config{Filter: program})
}

// read reports what a socket receives until ctx ends.
func read(ctx context.Context, c *packet.Conn, seen func(Attempt)) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	buf := make([]byte, headMax)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
		n, _, err := c.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return err
		default:
			if a, ok := decode(buf[:n]); ok {
				seen(a)
			}
		}
		wait.Reset(pause)
	}
}

// decode reads the head of a frame that the filter passed.
func decode(b []byte) (a Attempt, ok bool) {
	if len(b) < wire.EthernetLen+wire.IPv4Len {
		return a, false
	}
	var l4 int
	var dst netip.Addr
	ip := b[wire.EthernetLen:]
	switch wire.Ethernet(b).EtherType() {
	case wire.EtherTypeIPv4:
		h := wire.IPv4(ip)
		l4, a.Protocol, dst = h.HeaderLen(), h.Protocol(), netip.AddrFrom4([4]byte(h.Destination()))
	case wire.EtherTypeIPv6:
		if len(ip) < wire.IPv6Len {
			return a, false
		}
		h := wire.IPv6(ip)
		l4, a.Protocol, dst = wire.IPv6Len, h.NextHeader(), netip.AddrFrom16([16]byte(h.Destination()))
	default:
		return a, false
	}
	const ports = 4
	if l4 < wire.IPv4Len || len(ip) < l4+ports {
		return a, false
	}
	a.Dst = netip.AddrPortFrom(dst, wire.DestinationPort(ip[l4:]))
	return a, true
}

// filter passes first packets only, and none to loopback addresses: a resolver that listens
// there may be half the traffic of a host. Packets with extension headers are left out.
func filter(etherType uint16) []bpf.Instruction {
	const (
		ip      = wire.EthernetLen
		four    = ip + 16 // destination
		six     = ip + 24
		frag    = ip + 6
		proto4  = ip + 9
		proto6  = ip + 6
		flags   = 13 // of TCP
		opening = wire.TCPSyn | wire.TCPAck
	)
	if etherType == wire.EtherTypeIPv4 {
		return []bpf.Instruction{
			bpf.LoadAbsolute{Off: four, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 127, SkipTrue: 10},
			bpf.LoadAbsolute{Off: frag, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 8},
			bpf.LoadAbsolute{Off: proto4, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.ProtoUDP, SkipTrue: 5},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.ProtoTCP, SkipTrue: 5},
			bpf.LoadMemShift{Off: ip},
			bpf.LoadIndirect{Off: ip + flags, Size: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: opening},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.TCPSyn, SkipTrue: 1},
			bpf.RetConstant{Val: headMax},
			bpf.RetConstant{Val: 0},
		}
	}
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: six, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 7}, // ::1, and nothing that is routed
		bpf.LoadAbsolute{Off: proto6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.ProtoUDP, SkipTrue: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.ProtoTCP, SkipTrue: 4},
		bpf.LoadAbsolute{Off: ip + wire.IPv6Len + flags, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: opening},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.TCPSyn, SkipTrue: 1},
		bpf.RetConstant{Val: headMax},
		bpf.RetConstant{Val: 0},
	}
}
