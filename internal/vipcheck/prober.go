package vipcheck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"uvs/internal/wire"
)

// firstRepeat is when an opening segment is sent again for the first time; each further wait is twice as long, as TCP's.
const firstRepeat = time.Second

// Answers that are none. All other errors but a *Refusal are the director's own, and say nothing about a server.
var (
	// ErrSilent: nothing has come.
	ErrSilent = errors.New("no answer")
	// ErrRefused: the server has the address, and nothing listens on the port.
	ErrRefused = errors.New("connection refused")
)

// A Question is what a server is asked: whether it accepts connections to VIP.
type Question struct {
	VIP    netip.AddrPort
	Source netip.Addr // the director's own, of the same family
	Link   int        // index of the Ethernet device to send by
	MAC    wire.MAC   // of the server, or of the next hop to its tunnel
	// Tunnel is the server's address where packets reach it inside others, with the port of UDP if it is that which they
	// are in; the zero AddrPort: they go as they are.
	Tunnel netip.AddrPort
	// Wrap makes of a segment's packet what is sent, and returns its EtherType.
	Wrap func(packet []byte) (etherType uint16, wrapped []byte)
}

// A Prober asks questions. Its methods are safe for use by many goroutines. It opens its sockets with the first question,
// in the network namespace of the asking thread; they need CAP_NET_RAW and stay until Close.
type Prober struct {
	open opener

	mu      sync.Mutex // guards what follows
	guard   net.Listener
	taps    map[bool]tap             // by whether they are IPv6's; each has a reader
	pending map[uint32]*conversation // by the sequence number that opens it
	closed  bool

	readers sync.WaitGroup
}

// An opener opens the sockets of a prober.
type opener interface {
	// guard holds a port, which is that of its address.
	guard() (net.Listener, error)
	// tap receives what filter passes.
	tap(v6 bool, port uint16) (tap, error)
}

// A tap is a packet socket that receives packets without link headers from all devices.
type tap interface {
	// Read waits for a packet; after Close it returns an error.
	Read(b []byte) (n int, err error)
	// send sends a packet of any protocol in a frame.
	send(link int, to wire.MAC, etherType uint16, packet []byte) error
	Close() error
}

// A conversation is a question that is under way.
type conversation struct {
	Question
	from  netip.AddrPort // Source, with the port of the prober
	seq   uint32         // of the opening segment
	heard chan heard     // of size maxHeard; what comes beyond that is left out
	spare int            // resets that may still be sent for connections of old
}

// maxHeard is how much waits for a conversation.
const maxHeard = 4

// maxSpare bounds what strangers can have a prober send who make up answers.
const maxSpare = 3

// NewProber returns a Prober without sockets.
func NewProber() *Prober { return newProber(sockets{}) }

func newProber(o opener) *Prober {
	return &Prober{open: o, taps: make(map[bool]tap), pending: make(map[uint32]*conversation)}
}

// Close closes the sockets and waits for what the prober has started. Nobody may be asking any more.
func (p *Prober) Close() error {
	p.mu.Lock()
	p.closed = true
	var errs []error
	if p.guard != nil {
		errs = append(errs, p.guard.Close())
	}
	for _, t := range p.taps {
		errs = append(errs, t.Close())
	}
	p.mu.Unlock()
	p.readers.Wait()
	return errors.Join(errs...)
}

// Ask asks until an answer comes or ctx is done, and returns nil if the server accepts, ErrRefused, a *Refusal, or
// ErrSilent after ctx is done. The connection is not completed: a reset ends it, and no program hears of it.
func (p *Prober) Ask(ctx context.Context, q Question) error {
	outer := q.VIP.Addr()
	if q.Tunnel.IsValid() {
		outer = q.Tunnel.Addr()
	}
	via, port, err := p.ready(q.VIP.Addr().Is6(), outer.Is6())
	if err != nil {
		return err
	}
	c := p.begin(q, port)
	defer p.end(c)
	repeat := time.NewTimer(firstRepeat)
	defer repeat.Stop()
	wait := firstRepeat
	if err := c.say(via, c.seq, wire.TCPSyn); err != nil {
		return err
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return ErrSilent
		case <-repeat.C:
			err = c.say(via, c.seq, wire.TCPSyn)
			wait *= 2
			repeat.Reset(wait)
		case h := <-c.heard:
			var done bool
			if done, err = c.listen(via, &h); done {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// listen takes an answer, and reports whether that is all. One to an older question means that its reset was lost:
// as long as the server keeps that connection half open it answers nobody else from this port.
func (c *conversation) listen(via tap, h *heard) (done bool, err error) {
	s := &h.segment
	switch {
	case h.refusal != nil:
		return true, h.refusal
	case s.flags&wire.TCPAck == 0:
		return false, nil
	case s.ack != c.seq+1 && s.flags&wire.TCPRst == 0 && c.spare > 0:
		c.spare--
		if err := c.say(via, s.ack, wire.TCPRst); err != nil {
			return true, err
		}
		return false, c.say(via, c.seq, wire.TCPSyn)
	case s.ack != c.seq+1:
		return false, nil
	case s.flags&wire.TCPRst != 0:
		return true, ErrRefused
	case s.flags&wire.TCPSyn != 0:
		return true, c.say(via, c.seq+1, wire.TCPRst)
	}
	return false, nil
}

// say sends a segment to the server.
func (c *conversation) say(via tap, seq uint32, flags uint8) error {
	s := segment{from: c.from, to: c.VIP, seq: seq, flags: flags}
	etherType, packet := c.Wrap(s.packet())
	if err := via.send(c.Link, c.MAC, etherType, packet); err != nil {
		return fmt.Errorf("send to %s: %w", c.MAC, err)
	}
	return nil
}

// ready opens what is not open yet for answers of two families: to the segments, and about what they are sent in. It returns
// a socket to send by, and the port to send from.
func (p *Prober) ready(families ...bool) (via tap, port uint16, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, 0, net.ErrClosed
	}
	if p.guard == nil {
		if p.guard, err = p.open.guard(); err != nil {
			return nil, 0, fmt.Errorf("hold a port: %w", err)
		}
	}
	at, err := netip.ParseAddrPort(p.guard.Addr().String())
	if err != nil {
		return nil, 0, err
	}
	for _, v6 := range families {
		if p.taps[v6] != nil {
			continue
		}
		t, err := p.open.tap(v6, at.Port())
		if err != nil {
			return nil, 0, err
		}
		p.taps[v6] = t
		p.readers.Go(func() { p.read(t, v6, at.Port()) })
	}
	return p.taps[families[0]], at.Port(), nil
}

// begin registers a question under a sequence number of its own.
func (p *Prober) begin(q Question, port uint16) *conversation {
	c := &conversation{Question: q, from: netip.AddrPortFrom(q.Source, port), heard: make(chan heard, maxHeard), spare: maxSpare}
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		c.seq = rand.Uint32()
		if p.pending[c.seq] == nil {
			p.pending[c.seq] = c
			return c
		}
	}
}

func (p *Prober) end(c *conversation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, c.seq)
}

// read hands out what a socket receives until it fails; the next question opens another one then.
func (p *Prober) read(t tap, v6 bool, port uint16) {
	buf := make([]byte, headMax)
	for {
		n, err := t.Read(buf)
		if err != nil {
			break
		}
		if h, ok := read(buf[:n], port); ok {
			p.tell(h)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taps[v6] == t {
		delete(p.taps, v6)
		if !p.closed {
			t.Close() //nolint:errcheck // it has failed already
		}
	}
}

// tell gives what was heard to those whom it concerns.
func (p *Prober) tell(h heard) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.pending[h.opening()]; c != nil && c.concerns(&h) {
		c.hear(h)
		return
	}
	for _, c := range p.pending { // an error about a tunnel, or an answer to a question of old
		if c.concerns(&h) {
			c.hear(h)
		}
	}
}

// opening returns the sequence number of the segment that was answered, if that opened a connection.
func (h *heard) opening() uint32 {
	if h.refusal != nil {
		return h.segment.seq
	}
	return h.segment.ack - 1
}

// concerns reports whether what was heard can be about a conversation.
func (c *conversation) concerns(h *heard) bool {
	s := &h.segment
	switch {
	case h.refusal == nil:
		return s.from == c.VIP && s.to == c.from
	case h.quoted.protocol == wire.ProtoTCP:
		return s.from == c.from && s.to == c.VIP && s.seq == c.seq
	}
	return c.Tunnel.IsValid() && h.quoted.to == c.Tunnel.Addr() && h.quotedPort() == c.Tunnel.Port()
}

// quotedPort returns the destination port of a quoted packet of UDP, 0 for others.
func (h *heard) quotedPort() uint16 {
	if h.quoted.protocol != wire.ProtoUDP {
		return 0
	}
	return wire.DestinationPort(h.quoted.payload)
}

func (c *conversation) hear(h heard) {
	h.quoted.payload = nil // the reader's memory
	select {
	case c.heard <- h:
	default:
	}
}
