package router

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"uvs/internal/mono"
	"uvs/vrrp"
)

// Options say what a Router runs.
type Options struct {
	Spec      vrrp.Spec
	Endpoints []Endpoint
	// OnEffects is called with all effects but Send that have come about since it was called
	// last, in order, on one goroutine. It may block.
	OnEffects func([]vrrp.Effect)
	// Realtime is the priority of the timer thread under SCHED_RR, 1 to 99; 0 leaves the
	// scheduler alone.
	Realtime int
}

// An Endpoint says how the packets of an instance come and go, as it is configured.
type Endpoint struct {
	Instance string
	VRID     uint8
	IPv6     bool
	AH       bool // IP protocol 51 instead of 112
	// Group is the multicast group; Peers are the routers of unicast, which has no Group.
	Group netip.Addr
	Peers []netip.Addr
	// TTL of unicast packets, −1 for the kernel's own; multicast has 255.
	TTL int
}

// A Place is where an instance is on the host at the moment.
type Place struct {
	// Listen is the device that adverts are taken from and Send the one that they leave by,
	// by index and name. They differ for a virtual MAC. An index of 0 is any device, which is
	// for unicast only.
	Listen, Send Device
	// Source is the address that adverts come from, the zero Addr while there is none.
	Source netip.Addr
}

// A Device is a network device.
type Device struct {
	Index int
	Name  string
}

// A Router is one run of a Machine. Its methods are safe for use by many goroutines.
type Router struct {
	opts  Options
	loop  *loop
	hands *queue[act]
	jobs  *queue[func()] // for the opener of sockets
	done  chan struct{}  // closed by the effect Done
	once  sync.Once

	mu      sync.Mutex // guards what follows
	spec    vrrp.Spec  // in force, or about to be
	ends    map[string]Endpoint
	places  map[string]Place
	reopens bool // sockets are about to be opened as ends and places ask
}

// New makes a Router, which begins with Run.
func New(o Options) (*Router, error) {
	r := &Router{
		opts: o, hands: newQueue[act](), jobs: newQueue[func()](), done: make(chan struct{}),
		spec: o.Spec, ends: make(map[string]Endpoint), places: make(map[string]Place),
	}
	for _, e := range o.Endpoints {
		r.ends[e.Instance] = e
	}
	l, err := newLoop(vrrp.New(o.Spec), o.Realtime, r.effect)
	if err != nil {
		return nil, err
	}
	r.loop = l
	return r, nil
}

// Close frees what a Router that never ran holds. Run does so itself.
func (r *Router) Close() error { return r.loop.close() }

// Run works until ctx is cancelled; who wants masters to say good-bye calls Stop before. It
// waits for all that it started, and returns an error only if the thread cannot go on.
func (r *Router) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { r.hands.run(r.act) })
	wg.Go(func() {
		r.jobs.run(func(jobs []func()) {
			for _, job := range jobs {
				job()
			}
		})
		r.loop.dropSpare()
	})
	err := r.loop.run(ctx)
	r.jobs.close()
	r.hands.close()
	wg.Wait()
	return err
}

// effect passes an effect on. It is called by the thread and does not wait.
func (r *Router) effect(e vrrp.Effect) {
	r.hands.add(act{effect: e})
	if _, ok := e.(vrrp.Done); ok {
		r.once.Do(func() { close(r.done) })
	}
}

// An act is an effect to be passed on, or somebody who waits for those before it.
type act struct {
	effect vrrp.Effect
	done   chan struct{}
}

// act passes effects on.
func (r *Router) act(list []act) {
	var effects []vrrp.Effect
	for _, a := range list {
		if a.effect != nil {
			effects = append(effects, a.effect)
		}
	}
	if len(effects) > 0 {
		r.opts.OnEffects(effects)
	}
	for _, a := range list {
		if a.done != nil {
			close(a.done)
		}
	}
}

// Settle waits until all that was told and placed before has been heard by the Machine, and
// what it said to that has been done; or until ctx or Run ends.
func (r *Router) Settle(ctx context.Context) {
	done := make(chan struct{})
	r.jobs.add(func() {
		r.loop.do(func(*loop, mono.Time) { r.hands.add(act{done: done}) })
	})
	select {
	case <-done:
	case <-r.loop.ended:
	case <-ctx.Done():
	}
}

// Tell hands an event to the Machine. It does not wait.
func (r *Router) Tell(ev vrrp.Event) {
	r.loop.do(func(l *loop, now mono.Time) { l.step(now, ev) })
}

// Stop lets masters leave and waits until none owns anything, or ctx or Run ends.
func (r *Router) Stop(ctx context.Context) {
	r.Tell(vrrp.Stop{})
	select {
	case <-r.done:
	case <-r.loop.ended:
	case <-ctx.Done():
	}
}

// Reload replaces what runs. Places of instances that stay, or only have another name, are kept; new ones are given
// theirs by SetPlace before or after.
func (r *Router) Reload(spec vrrp.Spec, ends []Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[string]Endpoint, len(ends))
	for _, e := range ends {
		next[e.Instance] = e
	}
	renames := vrrp.Renames(r.spec.Instances, spec.Instances)
	for from, to := range renames {
		if p, ok := r.places[from]; ok {
			r.places[to] = p
		}
	}
	r.spec = spec
	for name := range r.places {
		if _, ok := next[name]; !ok {
			delete(r.places, name)
		}
	}
	r.ends = next
	r.loop.do(func(l *loop, now mono.Time) {
		l.rename(renames)
		l.effects(now, l.machine.Reload(now, spec))
	})
	r.reopen()
}

// Prepare opens the sockets that instances will need and that are not open, for a Reload with
// these endpoints to find them: all, or none and an error. Instances without a source are left
// out, as they wait for one. release closes what nobody has taken by then; it is called once the
// Reload has settled, or if there is to be none. Prepare waits for Run, or for its end.
func (r *Router) Prepare(ends []Endpoint, places map[string]Place) (release func(), err error) {
	done := make(chan error, 1)
	r.jobs.add(func() {
		done <- r.loop.prepare(func(yield func(way) bool) {
			for _, e := range ends {
				if p, ok := places[e.Instance]; ok && !yield(way{e, p}) {
					return
				}
			}
		})
	})
	select {
	case err = <-done:
	case <-r.loop.ended:
		err = errors.New("VRRP has ended")
	}
	if err != nil {
		return nil, err
	}
	return func() { r.jobs.add(r.loop.dropSpare) }, nil
}

// SetPlace says where an instance is now. Its sockets are opened on another goroutine;
// the Machine hears of a new source when they are there, so that it does not begin before it
// can speak.
func (r *Router) SetPlace(instance string, p Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, known := r.places[instance]
	if known && old == p {
		return
	}
	r.places[instance] = p
	r.reopen()
}

// reopen has sockets opened and closed as ends and places ask, once for all that change before
// it comes to that. r.mu is held.
func (r *Router) reopen() {
	if r.reopens {
		return
	}
	r.reopens = true
	r.jobs.add(func() {
		r.mu.Lock()
		r.reopens = false
		var ways []way
		for name, e := range r.ends {
			if p, ok := r.places[name]; ok {
				ways = append(ways, way{e, p})
			}
		}
		r.mu.Unlock()
		r.loop.setWays(ways)
	})
}

// Status returns the state of all instances, nil once Run has ended. It waits for the thread,
// some microseconds.
func (r *Router) Status(ctx context.Context) []vrrp.Status {
	answer := make(chan []vrrp.Status, 1)
	r.loop.do(func(l *loop, _ mono.Time) { answer <- l.machine.Status() })
	select {
	case s := <-answer:
		return s
	case <-r.loop.ended:
		return nil
	case <-ctx.Done():
		return nil
	}
}

// Lateness returns how late deadlines were served.
func (r *Router) Lateness() Lateness { return r.loop.late.get() }

// A way is that of an instance to its peers.
type way struct {
	Endpoint
	Place
}

// ready reports whether adverts can be sent.
func (w way) ready() bool { return w.Source.IsValid() && (w.Group.IsValid() || len(w.Peers) > 0) }

// A Lateness is how late deadlines were served since the start. Status and metrics show it:
// as long as it is far below an advert interval, no takeover is our own fault.
type Lateness struct {
	Deadlines uint64
	Sum       time.Duration
	Worst     time.Duration
	WorstAt   mono.Time
	// Recent is the worst of the last minute.
	Recent time.Duration
	// Buckets count deadlines that were late by less than 2^n × 16 µs; the last one holds all
	// others.
	Buckets [LatenessBuckets]uint64
}

// LatenessBuckets is how many buckets a Lateness has: the last bound is 0.5 s.
const LatenessBuckets = 17
