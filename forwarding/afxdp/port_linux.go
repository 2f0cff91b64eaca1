package afxdp

import (
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/internal/mono"
)

// A Port is a port that receives as another one does, and sends by an AF_XDP queue what that
// can take. It implements forwarding.Port.
type Port struct {
	forwarding.Port // receives, and sends the rest

	sender *Sender
	once   sync.Once // of Close

	sent, refused atomic.Uint64 // by the queue
	lastError     atomic.Uint32 // errno
}

var _ forwarding.Port = (*Port)(nil)

// fewFrames is how many frames between others are not worth a system call of their own.
const fewFrames = 4

// Send transmits frames in their order. What goes by the queue is with the driver when Send
// returns, as it is with sendmmsg on an interface without a queueing discipline.
func (p *Port) Send(fs []forwarding.Frame) (sent int, err error) {
	var now mono.Time
	if p.sender.waiting != nil {
		now = mono.Now()
	}
	for len(fs) > 0 {
		n, fast := p.split(fs, now)
		send := p.Port.Send
		if fast {
			send = p.transmit
		}
		k, failed := send(fs[:n])
		if failed != nil {
			err = failed
		}
		sent += k
		fs = fs[n:]
	}
	return sent, err
}

// split returns how many frames from the first on go the same way, and whether that is the
// queue. A few that could, between others that cannot, go with those. Of what does not go by the
// queue note is taken.
func (p *Port) split(fs []forwarding.Frame, now mono.Time) (n int, fast bool) {
	for n < len(fs) && p.suits(&fs[n], now) {
		n++
	}
	if n == len(fs) || n >= fewFrames {
		return n, true
	}
	for run := 0; n < len(fs); n++ {
		if !p.suits(&fs[n], now) {
			run = 0
		} else if run++; run == fewFrames {
			n++
			return p.line(fs[:n-run], now), false
		}
	}
	return p.line(fs, now), false
}

// line takes note that frames wait in line, if the interface has a queueing discipline, and
// returns how many they are. A flow that waits already is not to wait for ever.
func (p *Port) line(fs []forwarding.Frame, now mono.Time) int {
	if waiting := p.sender.waiting; waiting != nil {
		for i := range fs {
			if !waiting.has(&fs[i], now) {
				waiting.mark(&fs[i], now)
			}
		}
	}
	return len(fs)
}

// suits reports whether a frame may go by the queue.
func (p *Port) suits(f *forwarding.Frame, now mono.Time) bool {
	s := p.sender
	if f.Vnet.GSO() {
		if s.waiting != nil {
			s.waiting.mark(f, now)
		}
		return false
	}
	return length(f) <= s.umem.chunk && finishable(f) && (s.waiting == nil || !s.waiting.has(f, now))
}

// transmit sends by the queue.
func (p *Port) transmit(fs []forwarding.Frame) (sent int, err error) {
	sent, errno := p.sender.send(fs)
	p.sent.Add(uint64(sent))
	if sent == len(fs) {
		return sent, nil
	}
	for i := sent; i < len(fs); i++ {
		fs[i].Refused = true
	}
	p.refused.Add(uint64(len(fs) - sent))
	p.lastError.Store(uint32(errno))
	return sent, asError(errno)
}

// Stats returns the port's totals.
func (p *Port) Stats() forwarding.PortStats {
	s := p.Port.Stats()
	s.Sent += p.sent.Load()
	s.SendErrors += p.refused.Load()
	if errno := p.lastError.Load(); errno != 0 && s.SendError == nil {
		s.SendError = unix.Errno(errno)
	}
	return s
}

// Close closes the other port and stops using the queue. A second Close does nothing.
func (p *Port) Close() (err error) {
	p.once.Do(func() { err = errors.Join(p.Port.Close(), p.sender.queue.Close()) })
	return err
}
