// Package detunnel ends tunnels in a host of a site, on kernels that have no tunnel devices: it
// takes the packets out of IPIP, GUE and GRE ones as Linux's ipip, sit, ip6_tunnel, fou and
// gre modules do, and gives them to the host by a TUN device. It is for tests.
//
// The outer packets come by sockets, so the kernel has put their fragments together and
// verified their checksums.
package detunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"uvs/internal/netlab"
	"uvs/internal/wire"
)

// Device is the name of the TUN device.
const Device = "tunnel0"

// An End is the end of all tunnels to a host: ipip and gre, and gue at one port, over IPv4 and
// IPv6. Its methods are safe for use by many goroutines.
type End struct {
	device  *os.File
	sockets []net.PacketConn
	readers sync.WaitGroup
	taken   atomic.Uint64
	bad     atomic.Uint64
}

// Start opens the end. GUE comes to a UDP port, 0 for none. Close it before the site.
func Start(ctx context.Context, h *netlab.Host, guePort uint16) (_ *End, err error) {
	e := &End{}
	defer func() {
		if err != nil {
			e.Close() //nolint:errcheck // the first error counts
		}
	}()
	if err = h.Do(func() (err error) { e.device, err = openTUN(Device); return err }); err != nil {
		return nil, fmt.Errorf("host %s: %w", h.Name(), err)
	}
	if err := h.SetUp(Device); err != nil {
		return nil, err
	}
	type source struct {
		network, address string
		open             func(b []byte) ([]byte, error)
	}
	var sources []source
	for _, family := range []struct{ digit, any string }{{"4", "0.0.0.0"}, {"6", "::"}} {
		sources = append(sources,
			source{"ip" + family.digit + ":4", family.any, openIPIP},
			source{"ip" + family.digit + ":41", family.any, openIPIP},
			source{"ip" + family.digit + ":47", family.any, openGRE})
		if guePort != 0 {
			sources = append(sources, source{"udp" + family.digit, net.JoinHostPort(family.any, fmt.Sprint(guePort)), openGUE})
		}
	}
	for _, s := range sources {
		c, err := h.ListenPacket(ctx, s.network, s.address)
		if err != nil {
			return nil, err
		}
		e.sockets = append(e.sockets, c)
		if err := prepare(c); err != nil {
			return nil, fmt.Errorf("host %s: %s: %w", h.Name(), s.network, err)
		}
		e.readers.Go(func() { e.serve(c, s.open) })
	}
	return e, nil
}

// Close ends all of it and returns when nothing is read any more.
func (e *End) Close() error {
	var errs []error
	for _, c := range e.sockets {
		errs = append(errs, c.Close())
	}
	e.readers.Wait()
	if e.device != nil {
		errs = append(errs, e.device.Close())
	}
	e.sockets, e.device = nil, nil
	return errors.Join(errs...)
}

// Taken returns how many packets were taken out of others.
func (e *End) Taken() uint64 { return e.taken.Load() }

// Bad returns how many outer packets were not right: their headers, or the checksum of GRE.
func (e *End) Bad() uint64 { return e.bad.Load() }

// serve gives the host what comes by a socket until that is closed.
func (e *End) serve(c net.PacketConn, open func([]byte) ([]byte, error)) {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		packet, err := open(buf[:n])
		if err != nil {
			e.bad.Add(1)
			continue
		}
		e.taken.Add(1)
		e.device.Write(packet) //nolint:errcheck // a host that refuses a packet loses it, as a device would
	}
}

var errBad = errors.New("not a packet of the tunnel's kind")

// openIPIP opens what follows an outer IP header.
func openIPIP(b []byte) ([]byte, error) {
	if len(b) < wire.IPv4Len {
		return nil, io.ErrUnexpectedEOF
	}
	return b, nil
}

// openGRE opens a GRE packet.
func openGRE(b []byte) ([]byte, error) {
	if len(b) < wire.GRELen {
		return nil, io.ErrUnexpectedEOF
	}
	h := wire.GRE(b)
	n := h.HeaderLen()
	if n == 0 || len(b) < n || h.HasChecksum() && wire.Checksum(b) != 0 {
		return nil, errBad
	}
	if t := h.EtherType(); t != wire.EtherTypeIPv4 && t != wire.EtherTypeIPv6 {
		return nil, errBad
	}
	return openIPIP(b[n:])
}

// openGUE opens a GUE packet and completes a checksum that is left to the receiver.
func openGUE(b []byte) ([]byte, error) {
	if len(b) < wire.GUELen {
		return nil, io.ErrUnexpectedEOF
	}
	h := wire.GUE(b)
	n := h.HeaderLen()
	if !h.Data() || len(b) < n || h.Protocol() != wire.ProtoIPIP && h.Protocol() != wire.ProtoIPv6 {
		return nil, errBad
	}
	packet := b[n:]
	if start, field, ok := h.RemoteChecksum(); ok {
		if start >= len(packet) || field+2 > len(packet) {
			return nil, errBad
		}
		binary.BigEndian.PutUint16(packet[field:], ^wire.Sum(packet[start:], 0))
	}
	return openIPIP(packet)
}
