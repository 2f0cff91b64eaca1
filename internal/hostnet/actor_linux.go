package hostnet

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

// An Actor carries out changes to the network of one namespace, many at a time. It has a
// socket of its own, so that it waits for no dump and no resolving of others; but the
// kernel itself makes it wait while it changes the network for somebody else, in system
// calls that no timeout interrupts. Who must not wait calls Submit. Safe for use by many
// goroutines.
type Actor struct {
	socket *actSocket

	wake  chan struct{} // holds one: there is something in queue
	mu    sync.Mutex    // guards queue
	queue []batch
}

// A batch is what was handed in by one call of Submit.
type batch struct {
	changes []Change
	done    func([]error)
}

// OpenActor opens an Actor for the network namespace of the calling thread, with which it
// stays. It holds one descriptor until Close.
func OpenActor() (*Actor, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := openActs()
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink for changes: %w", err)
	}
	return &Actor{socket: s, wake: make(chan struct{}, 1)}, nil
}

// Close releases the descriptor. Changes under way fail.
func (a *Actor) Close() error { return a.socket.file.Close() }

// Do carries out changes in their order and returns an error, nil for success, for each of
// them; one that fails does not keep the next from being tried. errors.Is finds ErrExists
// and its like. Do returns within a few seconds unless the kernel is stuck: a change
// whose outcome is not known by then fails with os.ErrDeadlineExceeded, and may have been
// carried out. 300 addresses take about 15 ms.
func (a *Actor) Do(changes ...Change) []error {
	errs := make([]error, len(changes))
	requests := make([]request, 0, len(changes))
	at := make([]int, 0, len(changes)) // the change of each request
	for i, c := range changes {
		r, err := encode(c)
		if err != nil {
			errs[i] = fmt.Errorf("%s: %w", c, err)
			continue
		}
		requests, at = append(requests, r), append(at, i)
	}
	for i, err := range a.socket.exchange(requests) {
		if err != nil {
			errs[at[i]] = fmt.Errorf("%s: %w", changes[at[i]], err)
		}
	}
	return errs
}

// Submit hands changes in for Run to carry out, behind those that were handed in before,
// and returns at once. Run calls done, unless it is nil, with what Do returned.
func (a *Actor) Submit(changes []Change, done func([]error)) {
	a.mu.Lock()
	a.queue = append(a.queue, batch{changes, done})
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // Run will see it
	}
}

// Run carries out what was submitted, batch by batch, until ctx ends; then what was
// submitted by that time, and returns nil. It may be called once.
func (a *Actor) Run(ctx context.Context) error {
	for {
		select {
		case <-a.wake:
			a.work()
		case <-ctx.Done():
			a.work()
			return nil
		}
	}
}

// work carries out what is in the queue.
func (a *Actor) work() {
	for {
		a.mu.Lock()
		batches := a.queue
		a.queue = nil
		a.mu.Unlock()
		if len(batches) == 0 {
			return
		}
		for _, b := range batches {
			errs := a.Do(b.changes...)
			if b.done != nil {
				b.done(errs)
			}
		}
	}
}
