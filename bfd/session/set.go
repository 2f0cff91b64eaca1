package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"uvs/internal/mono"
)

// retryEvery is how long a socket that could not be opened is left alone.
const retryEvery = time.Second

// idle is how long the thread sleeps when nothing is due: any event wakes it.
const idle = time.Hour

// A Set runs BFD sessions. Its methods are safe for use by many goroutines.
type Set struct {
	onEvent func(Event)
	mail    chan struct{} // capacity 1; full means that someone will look at events anyway

	mu      sync.Mutex // guards all below; held while packets are dealt with, never during onEvent or the wait
	board   board
	lists   [][]Config // given to Apply and not taken up yet, oldest first
	wire    *wire      // while Run runs
	inlets  [inlets]inletState
	outbox  []Event
	running bool
}

// inletState is what is wanted of a receiving socket and what became of it.
type inletState struct {
	wanted bool
	err    string    // what the last attempt met, told once
	retry  mono.Time // when to try again, 0 if it is open or not wanted
}

// NewSet returns a Set without sessions. It starts nothing. onEvent is told each event, one at a time and in order,
// from the goroutine of Run; sessions go on meanwhile. It may call any method of the Set but Run.
func NewSet(onEvent func(Event)) *Set {
	s := &Set{onEvent: onEvent, mail: make(chan struct{}, 1)}
	s.board = board{
		byDiscriminator: make(map[uint32]*session),
		transmit:        s.transmit,
		release:         release,
		configured:      func(x *session) error { return x.outlet.setTTL(x.TTL) },
		discriminator:   rand.Uint32,
		jitter:          func(d time.Duration) time.Duration { return rand.N(d + 1) },
	}
	return s
}

// Apply replaces the list of sessions that are wanted. It never blocks: the lists are taken up in the order in which
// they were given. The Set keeps the list.
//
// A session whose name, addresses and port stay the same goes on; other intervals are negotiated with the peer while
// it stays up. One that is gone tells its peer and is not heard of again. A new one is reported by an event with
// Initial set.
func (s *Set) Apply(list []Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists = append(s.lists, list)
	if s.wire != nil {
		s.wire.wake()
	}
}

// Try reports whether the host gives what sessions need that none of old has: sockets to send by,
// and ports to listen on. It keeps nothing. An address that the host does not have now, and an
// interface that is not there, may come later and are no error.
func Try(list, old []Config) error {
	listening := make(map[inlet]bool)
	for i := range old {
		listening[inletOf(&old[i])] = true
	}
	for i := range list {
		c := &list[i]
		if slices.ContainsFunc(old, func(o Config) bool {
			return o.Name == c.Name && o.Peer == c.Peer && o.Source == c.Source && o.MultiHop == c.MultiHop
		}) {
			continue
		}
		if err := try(c, !listening[inletOf(c)]); err != nil {
			return fmt.Errorf("BFD session %s: %w", c.Name, err)
		}
	}
	return nil
}

// try opens and closes what one session needs.
func try(c *Config, listens bool) error {
	out, err := openOutlet(c)
	switch {
	case err == nil:
		out.close()
	case !mayCome(err):
		return err
	}
	if !listens {
		return nil
	}
	w, err := openWire()
	if err != nil {
		return err
	}
	defer w.close()
	return w.listen(inletOf(c))
}

// Run runs the sessions until ctx is done; then they tell their peers, and nil is returned when everything has ended. An
// error says that the host lacks what is needed to begin. Run may be called once.
func (s *Set) Run(ctx context.Context) error {
	w, err := openWire()
	if err != nil {
		return fmt.Errorf("bfd: %w", err)
	}
	s.mu.Lock()
	if s.running {
		s.mu.Unlock()
		w.close()
		return errors.New("bfd: the sessions run already")
	}
	s.running, s.wire = true, w
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, w.wake)
	defer stop()

	ended := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		// The thread ends with the goroutine, whatever it may have been made.
		runtime.LockOSThread()
		ended <- s.loop(ctx, w)
	})
	for {
		select {
		case <-s.mail:
			s.deliver()
		case err := <-ended:
			s.deliver()
			return err
		}
	}
}

// deliver tells the events that wait.
func (s *Set) deliver() {
	s.mu.Lock()
	events := s.outbox
	s.outbox = nil
	s.mu.Unlock()
	for _, e := range events {
		s.onEvent(e)
	}
}

// loop is the thread: packets, then timers, then the wait.
func (s *Set) loop(ctx context.Context, w *wire) error {
	defer s.finish(w)
	for ctx.Err() == nil {
		next := s.round(w)
		wait := idle
		if next != 0 {
			wait = max(0, next.Sub(mono.Now()))
		}
		if err := w.wait(wait); err != nil {
			return fmt.Errorf("bfd: %w", err)
		}
	}
	return nil
}

// round does all there is to do now and returns when it has to be called again, or 0.
func (s *Set) round(w *wire) mono.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeUp(mono.Now())
	w.receive(func(d datagram) { s.board.receive(d, mono.Now()) })
	now := mono.Now()
	next := s.board.due(now)
	for i := range s.inlets {
		if at := s.listen(inlet(i), now); at != 0 && (next == 0 || at.Before(next)) {
			next = at
		}
	}
	if len(s.board.events) > 0 {
		s.outbox = append(s.outbox, s.board.events...)
		s.board.events = nil
		select {
		case s.mail <- struct{}{}:
		default:
		}
	}
	return next
}

// takeUp makes the lists given to Apply the present state. mu is held.
func (s *Set) takeUp(now mono.Time) {
	for _, list := range s.lists {
		var wanted [inlets]bool
		for i := range list {
			wanted[inletOf(&list[i])] = true
		}
		// The ears before the mouth: an answer to the first packet is not to be lost.
		for i := range s.inlets {
			if s.inlets[i].wanted != wanted[i] {
				s.inlets[i] = inletState{wanted: wanted[i], retry: now}
				s.listen(inlet(i), now)
			}
		}
		s.board.replace(list, now)
	}
	s.lists = nil
}

// listen opens or closes a receiving socket when its time has come, and returns when to try again. mu is held.
func (s *Set) listen(i inlet, now mono.Time) mono.Time {
	in := &s.inlets[i]
	if in.retry == 0 || in.retry.After(now) {
		return in.retry
	}
	in.retry = 0
	if !in.wanted {
		s.wire.unlisten(i)
		return 0
	}
	text := ""
	if err := s.wire.listen(i); err != nil {
		text = err.Error()
		in.retry = now.Add(retryEvery)
	}
	if text != in.err {
		in.err = text
		message := "BFD packets are received again"
		if text != "" {
			message = "no BFD packets are received: " + text
		}
		s.board.events = append(s.board.events, Event{Kind: Note, Time: now, Message: message})
	}
	return in.retry
}

// transmit sends by the session's own socket. One that is missing, or bound to what is no more, is opened anew, at most
// once in retryEvery.
func (s *Set) transmit(x *session, now mono.Time, payload []byte) error {
	err := x.openError
	if x.outlet != nil {
		if err = x.outlet.send(payload); !isStale(err) {
			return err
		}
	}
	if now.Before(x.retry) {
		return err
	}
	x.retry = now.Add(retryEvery)
	release(x)
	if x.outlet, x.openError = openOutlet(&x.Config); x.openError != nil {
		return x.openError
	}
	return x.outlet.send(payload)
}

func release(x *session) {
	x.outlet.close()
	x.outlet = nil
}

// finish ends all sessions and closes everything.
func (s *Set) finish(w *wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.board.replace(nil, mono.Now())
	s.board.events = nil
	s.wire = nil
	w.close()
}

// Snapshot returns the state of all sessions, in the order of the list that was taken up last. The slice is the
// caller's.
func (s *Set) Snapshot() []Status {
	s.mu.Lock()
	n := len(s.board.sessions)
	s.mu.Unlock()
	all := make([]Status, 0, n) // not under mu, as the thread would wait for the memory too
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.board.sessions {
		all = append(all, Status{
			Config: x.Config, Snapshot: x.machine.Snapshot(), Up: x.up, Since: x.since, Downs: x.downs,
			Sent: x.sent, Received: x.received, Dropped: x.dropped, SendError: x.sendError,
		})
	}
	return all
}

// Counters returns the counters of the whole Set.
func (s *Set) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.board.counters
}

// Up reports whether the session of that name counts as up; false as well when there is none.
func (s *Set) Up(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.board.sessions {
		if x.Name == name {
			return x.up
		}
	}
	return false
}
