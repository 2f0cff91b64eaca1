package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"uvs/internal/mono"
)

// A Watcher follows the network of one namespace. Snapshot, AddAddress, DeleteAddress and
// Resolve are safe for use by many goroutines. Run may be called once.
type Watcher struct {
	events  *eventSocket
	dumps   *requestSocket // by Open and Run
	acts    *requestSocket // by everyone else: a long dump holds nobody up
	state   *state         // owned by Open, then by Run
	current atomic.Pointer[Snapshot]
	closed  atomic.Bool
}

// Open reads the network of the calling thread's namespace and prepares to follow it. The
// Watcher stays with that namespace, whichever thread uses it later. It holds three
// descriptors until Close; what happens between Open and Run is not lost.
func Open() (*Watcher, error) {
	runtime.LockOSThread() // three sockets, one namespace
	defer runtime.UnlockOSThread()
	w := &Watcher{state: newState()}
	if err := w.open(); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("watch the network: %w", err)
	}
	return w, nil
}

func (w *Watcher) open() (err error) {
	// Subscribe first: an event that comes between is applied on top of the dump.
	if w.events, err = openEvents(); err != nil {
		return err
	}
	if w.dumps, err = openRequests(); err != nil {
		return err
	}
	if w.acts, err = openRequests(); err != nil {
		return err
	}
	if err := w.dump(w.state, everything); err != nil {
		return err
	}
	w.current.Store(w.state.snapshot())
	return nil
}

// everything is all parts of a snapshot.
const everything Parts = 1<<partCount - 1

// Close releases the descriptors. A Run under way returns net.ErrClosed. Close is
// idempotent.
func (w *Watcher) Close() error {
	w.closed.Store(true) // a read that this interrupts has no error to tell it by
	for _, s := range []*requestSocket{w.dumps, w.acts} {
		if s != nil {
			s.close()
		}
	}
	if w.events == nil {
		return nil
	}
	if err := w.events.close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Snapshot returns the latest picture. It is never nil.
func (w *Watcher) Snapshot() *Snapshot { return w.current.Load() }

// Run follows the network until ctx ends, then returns nil. It calls changed, unless that
// is nil, from its own goroutine with each new snapshot: the first one some 2 ms after a
// change that follows silence, and never more than 20 a second. While changed runs, events
// wait in the kernel. If the kernel loses events for want of space, Run reads all anew.
// Run returns an error only when it cannot go on; the last snapshot stays available.
func (w *Watcher) Run(ctx context.Context, changed func(*Snapshot)) error {
	stop := context.AfterFunc(ctx, func() { _ = w.events.setDeadline(time.Now()) })
	defer stop()
	r := run{w: w, changed: changed}
	for {
		if err := r.wait(ctx); ctx.Err() != nil {
			return nil
		} else if err != nil && w.closed.Load() {
			return net.ErrClosed
		} else if err != nil {
			return fmt.Errorf("watch the network: %w", err)
		}
		if err := r.act(mono.Now()); err != nil {
			return fmt.Errorf("watch the network: %w", err)
		}
	}
}

// A run is what Run keeps between two reads.
type run struct {
	w       *Watcher
	changed func(*Snapshot)
	pace    pace
	// lost says that the kernel dropped events behind those that still wait. These must
	// not be applied after a dump: what they say may have been taken back by a lost one.
	lost bool
}

// wait takes in one datagram of events, or returns when something is due.
func (r *run) wait(ctx context.Context) error {
	var deadline time.Time
	if due := r.pace.next(); due != 0 {
		deadline = time.Now().Add(due.Sub(mono.Now()))
	}
	if err := r.w.events.setDeadline(deadline); err != nil {
		return err
	}
	// Run's AfterFunc may have set its deadline before ours, but not both before this
	// look at ctx and after it.
	if ctx.Err() != nil {
		return nil
	}
	st := r.w.state
	err := r.w.events.receive(func(kind, flags uint16, payload []byte) {
		if ev := decode(kind, flags, payload); ev != nil {
			st.apply(ev)
		}
		if isOwnRoute(kind, payload) {
			st.apply(ownRoutesTouched{})
		}
	})
	switch {
	case errors.Is(err, errOverrun):
		st.stale, r.lost = everything, true
	case errors.Is(err, errTimeout):
	case err != nil:
		return err
	}
	return nil
}

// act publishes what is due at now.
func (r *run) act(now mono.Time) error {
	st := r.w.state
	if st.silent {
		st.silent = false
		r.pace.unsettled(now)
	}
	if r.pace.rechecking(now) {
		st.stale |= PartRoutes4 | PartRoutes6 | PartOwnRoutes
	}
	if st.dirty|st.stale != 0 {
		r.pace.touch(now)
	}
	if !r.pace.publishing(now) {
		return nil
	}
	if r.lost {
		empty, err := r.w.events.drain()
		if err != nil {
			return err
		}
		r.lost = !empty
	}
	if st.stale != 0 {
		if err := r.w.dump(st, st.stale); err != nil {
			return err
		}
	}
	if r.lost {
		st.stale = everything
	}
	if s := st.snapshot(); s != r.w.current.Load() {
		r.w.current.Store(s)
		if r.changed != nil {
			r.changed(s)
		}
	}
	return nil
}
