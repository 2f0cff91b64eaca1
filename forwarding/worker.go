package forwarding

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"uvs/conntrack"
	"uvs/internal/mono"
)

// batchFrames is how many frames a worker takes from a port at a time.
const batchFrames = 64

// A Worker is one thread of the data plane. It owns one Port per captured interface.
type Worker struct {
	id     int
	engine *Engine

	// What follows is shared with other goroutines.
	cpu       atomic.Int32           // −1: not pinned
	changed   atomic.Bool            // SetPorts was called since the last usePorts
	current   atomic.Pointer[[]Port] // ports in use, for Info
	waker     *waker                 // ends the worker's wait
	reasons   reasonCounters         // its totals are read by others
	made      madeCounters           // read by others
	rounds    atomic.Uint64          // read by others
	questions questions

	mu         sync.Mutex // guards what follows
	next       *[]Port    // to change over to
	superseded []Port     // of lists that another replaced before the worker took them up

	// What follows belongs to the worker's goroutine.
	running   bool // run takes up ports between its rounds
	ports     []portState
	in        []Frame
	out       Batch
	holder    holder
	doubter   doubter
	scratch   scratch
	limiter   limiter
	ownID     uint16                                  // identification of the last IPv4 packet of our own
	ownID6    uint32                                  // identification of the last IPv6 packet that was cut
	table     *table                                  // of the current batch
	routes    *Routes                                 // of the current batch
	answering *ends                                   // of the current batch
	sysctls   *Sysctls                                // of the current batch
	marks     *marker                                 // of the current batch
	usable    func(conntrack.ServerID) bool           // templateUsable, bound once
	ahead     [conntrack.TouchMost]conntrack.Tuple    // of the frames to come
	known     [conntrack.TouchMost]conntrack.ServerID // of their flows
	opening   [conntrack.TouchMost]bool               // they may open one
	services  [conntrack.TouchMost]*service           // those of frames without flows
	servers   [conntrack.TouchMost]*dest              // that they may go to
	packet    Packet
	request   Packet // inside an error about a tunnel's packet
	flow      conntrack.Flow
	once      *conntrack.Once    // of the current packet, if its service is one of one-packet scheduling
	end       conntrack.Endpoint // what NAT writes into the current packet
	far       conntrack.Endpoint // what FULLNAT writes at its other end
	full      bool               // far is to be written
	help      helping            // of the current packet, if it is of a control connection
	child     conntrack.Flow     // that is prepared for a data connection
}

type portState struct {
	port Port
	link int
}

// A Batch holds frames to send by port, in the order of SetPorts. The zero Batch is empty
// and ready for Process. It belongs to one worker.
type Batch struct {
	ports [][]Frame // parallel to the worker's ports
}

func (b *Batch) reset(ports int) {
	for len(b.ports) < ports {
		b.ports = append(b.ports, make([]Frame, 0, batchFrames))
	}
	b.ports = b.ports[:ports]
	for i := range b.ports {
		b.ports[i] = b.ports[i][:0]
	}
}

// Ports returns how many ports the batch has room for: as many as the worker of its last
// Process.
func (b *Batch) Ports() int { return len(b.ports) }

// Frames returns the frames to send by a port, 0 to Ports()−1. They are valid until the
// received frames are released or Process is called again.
func (b *Batch) Frames(port int) []Frame { return b.ports[port] }

// Reset empties the batch. It keeps its memory.
func (b *Batch) Reset() { b.reset(len(b.ports)) }

func (b *Batch) add(port int, f *Frame) { b.ports[port] = append(b.ports[port], *f) }

func newWorker(e *Engine, id, cpu int) (*Worker, error) {
	waker, err := newWaker()
	if err != nil {
		return nil, err
	}
	w := &Worker{
		id:      id,
		engine:  e,
		waker:   waker,
		in:      make([]Frame, batchFrames),
		holder:  newHolder(),
		scratch: newScratch(),
		limiter: newLimiter(e.workers, e.started),
		once:    conntrack.NewOnce(),
		ownID:   uint16(rand.Uint32()),
		ownID6:  rand.Uint32(),
	}
	w.usable = w.templateUsable
	w.cpu.Store(int32(cpu))
	return w, nil
}

// SetPorts makes ports the worker's own from its next batch on, of Run or, if the Engine is
// not running, of Process. Ports it had before, or was
// given before and never took up, are closed then unless they are in the list. Safe for use
// by many goroutines; the last call wins.
func (w *Worker) SetPorts(ports []Port) {
	w.mu.Lock()
	if w.next != nil {
		w.superseded = append(w.superseded, *w.next...)
	}
	w.next = &ports
	w.mu.Unlock()
	w.changed.Store(true)
	w.wake()
}

// usePorts changes over to the ports of the last SetPorts. Frames that wait in those that go
// are still forwarded, unless the worker is to have none.
func (w *Worker) usePorts() {
	w.mu.Lock()
	w.changed.Store(false)
	next, old := w.next, w.superseded
	w.next, w.superseded = nil, nil
	w.mu.Unlock()
	if next == nil {
		return
	}
	for i := range w.ports {
		old = append(old, w.ports[i].port)
		if len(*next) > 0 && !slices.Contains(*next, w.ports[i].port) {
			w.drain(i)
		}
	}
	w.ports = make([]portState, 0, len(*next))
	for _, p := range *next {
		link, _ := p.Link()
		w.ports = append(w.ports, portState{port: p, link: link})
	}
	w.out.reset(len(w.ports))
	w.current.Store(next)
	for _, p := range old {
		if !slices.Contains(*next, p) {
			p.Close() //nolint:errcheck // nothing can be done about a ring that does not unmap
		}
	}
}

// round receives from every port once, processes and sends. It reports how many frames came in.
func (w *Worker) round(now mono.Time) int {
	received := 0
	for i := range w.ports {
		received += w.serve(i, now)
	}
	w.retryHeld(now, &w.out)
	w.flush()
	w.probe(now, &w.out)
	w.flush()
	return received
}

// serve takes a batch from port i on its way and reports how many frames it had.
func (w *Worker) serve(i int, now mono.Time) int {
	port := w.ports[i].port
	n, err := port.Recv(w.in)
	if err != nil || n == 0 {
		return 0
	}
	for j := range w.in[:n] {
		w.in[j].Port = i
	}
	for taken := 0; taken < n; {
		taken += w.decide(w.in[taken:n], now, &w.out)
		w.flush()
	}
	port.Release(w.in[:n])
	return n
}

// drainFrames bounds what is taken from a port that goes: more than a ring holds, in case
// somebody still fills it.
const drainFrames = 1 << 17

// drain serves port i until nothing waits in it.
func (w *Worker) drain(i int) {
	now := mono.Now()
	for total := 0; total < drainFrames; {
		n := w.serve(i, now)
		if n == 0 {
			return
		}
		total += n
	}
}

// flush sends what was collected since the last one, and publishes what became of it. A
// frame that the kernel refused was not forwarded after all.
func (w *Worker) flush() {
	for i, frames := range w.out.ports {
		if len(frames) == 0 {
			continue
		}
		if sent, _ := w.ports[i].port.Send(frames); sent < len(frames) { // why is the port's to tell
			w.recount(frames)
		}
		w.out.ports[i] = frames[:0]
	}
	w.reasons.publish()
}

// recount counts the received frames that a port refused as drops. Of what the worker made
// only the port's own figures tell.
func (w *Worker) recount(frames []Frame) {
	for i := range frames {
		if frames[i].Refused && !frames[i].made {
			w.reasons.move(Forwarded, DropRefused)
		}
	}
}

// Rounds returns how many rounds the worker has begun. It has one for each batch, and some ten
// in a second without traffic: one that does not go on hangs. Safe for use by many
// goroutines.
func (w *Worker) Rounds() uint64 { return w.rounds.Load() }

func (w *Worker) wake() { w.waker.wake() }

// close releases what the worker holds, ports included. The worker must not be running.
func (w *Worker) close() {
	w.SetPorts(nil)
	w.usePorts()
	w.waker.close()
}
