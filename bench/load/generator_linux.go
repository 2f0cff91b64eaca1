package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// burst is the most frames that go to the kernel in one system call.
const burst = 64

// A transmitter sends frames out of memory that it owns.
type transmitter interface {
	// room returns up to burst frames of the given length to be written, and none while the
	// kernel has them all. They hold what was in them when they were last sent.
	room() [][]byte
	// send passes the first n frames of the last room to the kernel. Frames that the device
	// refuses count as sent: they are lost as on a wire. It never blocks.
	send(n int) error
	close() error
}

// A Method is how a generator sends.
type Method string

// The methods, the faster one first.
const (
	XDP      Method = "AF_XDP"
	Sendmmsg Method = "sendmmsg"
)

// A Generator sends a stream of frames out of one interface. It is owned by one goroutine.
type Generator struct {
	maker  *maker
	port   transmitter
	method Method
	cpu    int
}

// NewGenerator opens a generator on an interface of the calling thread's network namespace.
// It will run on the given CPU. Without AF_XDP it sends by sendmmsg.
func NewGenerator(ifindex int, s Stream, cpu int) (*Generator, error) {
	m, err := newMaker(s)
	if err != nil {
		return nil, err
	}
	g := &Generator{maker: m, cpu: cpu, method: XDP}
	if g.port, err = newXDP(ifindex, m.template); err == nil {
		return g, nil
	}
	g.method = Sendmmsg
	g.port, err = newMmsg(ifindex, m.template)
	return g, err
}

// Method returns how the generator sends.
func (g *Generator) Method() Method { return g.method }

// Close gives up the socket.
func (g *Generator) Close() error { return g.port.close() }

// A Plan says how much to send.
type Plan struct {
	// Rate is in frames per second; 0 sends as many as go.
	Rate float64
	// Pace, if there is one, says the rate instead, and may change it on the way.
	Pace *Pace
	// For is how long to send, if Frames is 0.
	For time.Duration
	// Frames is how many to send.
	Frames int
	// Sleep gives the CPU away between bursts, as far as the rate allows, so that the
	// generator's cost is that of sending. Otherwise it spins, which is more even.
	Sleep bool
}

// A Pace steers a generator while it runs and tells how far it is. It is safe for use by many
// goroutines, and serves one run.
type Pace struct {
	rate, sent atomic.Uint64 // the rate's bits, frames
}

// NewPace returns a pace of a number of frames per second; 0 sends as many as go.
func NewPace(rate float64) *Pace {
	p := new(Pace)
	p.Set(rate)
	return p
}

// Set changes the rate. What the generator owes of the rate before is forgiven.
func (p *Pace) Set(rate float64) { p.rate.Store(math.Float64bits(rate)) }

// Sent returns the frames that were sent until now.
func (p *Pace) Sent() uint64 { return p.sent.Load() }

// Sent is what a generator offered.
type Sent struct {
	Frames  uint64
	Elapsed time.Duration // from the first frame to the last
}

// Rate returns the frames per second.
func (s Sent) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Frames) / s.Elapsed.Seconds()
}

// Run sends until the plan is done or ctx is. It goes on with the flow after the last one
// that was sent.
func (g *Generator) Run(ctx context.Context, p Plan) (Sent, error) {
	var sent Sent
	err := onThread(g.cpu, 0, func() (err error) {
		sent, err = g.run(ctx, p)
		return err
	})
	return sent, err
}

func (g *Generator) run(ctx context.Context, p Plan) (sent Sent, err error) {
	start := time.Now()
	// What is due counts from when the rate was last changed.
	rate, since, before := p.Rate, time.Duration(0), uint64(0)
	for {
		now := time.Since(start)
		sent.Elapsed = now
		if ctx.Err() != nil {
			return sent, nil
		}
		if p.Frames == 0 && now >= p.For || p.Frames > 0 && sent.Frames >= uint64(p.Frames) {
			return sent, nil
		}
		if p.Pace != nil {
			if r := math.Float64frombits(p.Pace.rate.Load()); r != rate {
				rate, since, before = r, now, sent.Frames
			}
		}
		due := burst
		if rate > 0 {
			if due = min(burst, int(rate*(now-since).Seconds())-int(sent.Frames-before)); due < minBurst(p) {
				if p.Sleep {
					pause(time.Duration(float64(minBurst(p)-due) / rate * 1e9))
				}
				continue
			}
		}
		if p.Frames > 0 {
			due = min(due, p.Frames-int(sent.Frames))
		}
		frames := g.port.room()
		n := min(due, len(frames))
		for _, f := range frames[:n] {
			g.maker.next(f)
		}
		if err := g.port.send(n); err != nil {
			return sent, err
		}
		sent.Frames += uint64(n)
		if p.Pace != nil {
			p.Pace.sent.Store(sent.Frames)
		}
	}
}

// minBurst is the least number of frames that are sent at once. Many make sending cheap,
// and more than a device's queue holds of a slow rate would be no rate at all.
func minBurst(p Plan) int {
	if p.Sleep {
		return 32
	}
	return 8
}

// pause sleeps on the thread itself: the runtime's timers would have another one to wake.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal ends it early, and the loop looks at the clock
}

// sendError tells a frame that was lost from a socket that is broken. The device's queue
// is full, or memory is short, or the receiver dropped the frame: all are loss.
func sendError(errno unix.Errno) error {
	switch errno {
	case 0, unix.EAGAIN, unix.EBUSY, unix.ENOBUFS, unix.EINTR:
		return nil
	}
	return fmt.Errorf("send: %w", errno)
}

var errShort = errors.New("the kernel took no frame and named no error")
