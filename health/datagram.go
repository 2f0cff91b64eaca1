package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"
)

// maxDatagram is the longest payload of UDP over IPv4 (RFC 768).
const maxDatagram = 65507

// askOnce sends a datagram and hands each that comes back to read, until read is content or the
// time of a stage is over, which counts as late says.
func askOnce(ctx context.Context, c *Check, send []byte, late Outcome, read func([]byte) (Outcome, bool)) Outcome {
	conn, o := dialNetwork(ctx, c, "udp")
	if conn == nil {
		return o
	}
	defer conn.Close() //nolint:errcheck // a datagram has left or not
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	o = exchangeDatagrams(conn, c, send, late, read)
	if ctx.Err() != nil {
		return Outcome{Verdict: Rescheduled, Reason: Canceled, Err: ctx.Err()}
	}
	return o
}

func exchangeDatagrams(conn net.Conn, c *Check, send []byte, late Outcome, read func([]byte) (Outcome, bool)) Outcome {
	if err := conn.SetDeadline(time.Now().Add(c.stageTimeout())); err != nil {
		return failure(WriteFailed, shorten(err))
	}
	if _, err := conn.Write(send); err != nil {
		return stageOutcome(WriteTimeout, WriteFailed, "write", err)
	}
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return late
		case err != nil: // an ICMP error
			return failure(ConnectFailed, shorten(err))
		}
		if o, done := read(buf[:n]); done {
			return o
		}
	}
}

// probeUDP sends the payload, and takes an ICMP error for failure. Without a Reply silence is
// success, also that of a host which sends no error as it has sent enough (net.ipv4.icmp_ratelimit);
// with one it must come. keepalived 2.2.7, check/check_udp.c and layer4.c.
func probeUDP(ctx context.Context, c *Check) Outcome {
	if c.Reply == nil {
		return askOnce(ctx, c, c.Payload, Outcome{Verdict: Success}, func([]byte) (Outcome, bool) {
			return Outcome{Verdict: Success}, true
		})
	}
	return askOnce(ctx, c, c.Payload, failure(ReadTimeout, errors.New("reply: timeout")), func(b []byte) (Outcome, bool) {
		if err := c.Reply.fits(b); err != nil {
			return failure(BadAnswer, err), true
		}
		return Outcome{Verdict: Success}, true
	})
}

// fits tells what is wrong with a reply. One shorter than Data need only begin like it.
func (r *Reply) fits(b []byte) error {
	if len(b) < r.Min || len(b) > r.Max {
		return fmt.Errorf("reply of %d bytes, want %d to %d", len(b), r.Min, r.Max)
	}
	for i := range min(len(b), len(r.Data)) {
		differs := b[i] ^ r.Data[i]
		if len(r.Mask) > 0 {
			differs &= r.Mask[i]
		}
		if differs != 0 {
			return fmt.Errorf("byte %d of the reply is %#02x, want %#02x", i, b[i], r.Data[i])
		}
	}
	return nil
}

// Of a DNS message's header (RFC 1035, Section 4.1.1).
const (
	dnsHeaderLen = 12
	dnsResponse  = 1 << 15
	dnsRecursion = 1 << 8
	dnsCodeMask  = 0x000f
	classIN      = 1
	maxLabel     = 63
)

// probeDNS asks a name server, and is content with any answer without an error, be it empty.
// keepalived 2.2.7, check/check_dns.c.
func probeDNS(ctx context.Context, c *Check) Outcome {
	id := uint16(rand.Uint32())
	query, err := dnsQuery(id, c.QueryName, c.QueryType)
	if err != nil {
		return Outcome{Verdict: Rescheduled, Reason: BindFailed, Err: err}
	}
	return askOnce(ctx, c, query, failure(ReadTimeout, errors.New("read: timeout")), func(b []byte) (Outcome, bool) {
		if len(b) < dnsHeaderLen || binary.BigEndian.Uint16(b) != id {
			return Outcome{}, false // somebody else's
		}
		flags := binary.BigEndian.Uint16(b[2:])
		if flags&dnsResponse == 0 {
			return Outcome{}, false
		}
		if code := int(flags & dnsCodeMask); code != 0 {
			return Outcome{Reason: BadAnswer, Code: code, Err: fmt.Errorf("error %d of the name server", code)}, true
		}
		return Outcome{Verdict: Success}, true
	})
}

// dnsQuery is a question, recursion desired.
func dnsQuery(id uint16, name string, queryType uint16) ([]byte, error) {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, dnsRecursion)
	b = binary.BigEndian.AppendUint16(b, 1) // questions
	b = append(b, 0, 0, 0, 0, 0, 0)
	if name = strings.TrimSuffix(name, "."); name != "" {
		for label := range strings.SplitSeq(name, ".") {
			if label == "" || len(label) > maxLabel {
				return nil, fmt.Errorf("%q is not a domain name", name)
			}
			b = append(append(b, byte(len(label))), label...)
		}
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, queryType)
	return binary.BigEndian.AppendUint16(b, classIN), nil
}
