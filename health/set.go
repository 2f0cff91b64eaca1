package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"uvs/internal/mono"
)

// DefaultMaxProbes is how many probes a Set has under way at most, if Options does not
// say. A probe costs a descriptor and some 10 KB while it lasts.
const DefaultMaxProbes = 256

// Options are the parts a [Set] is made of.
type Options struct {
	// Prober does the probes; nil is NetProber{}.
	Prober Prober

	// OnEvent is told each event, one at a time and in order, from the goroutine of
	// Run. Probes go on meanwhile, but their outcomes wait. It may call any method of
	// the Set but Run; nil ignores events.
	OnEvent func(Event)

	// OnEvents is told instead of OnEvent if it is not nil: all events that have come about since
	// it was called last, so that who pays for each change of state pays for many at once when
	// many servers fail. The slice is its own.
	OnEvents func([]Event)

	// MaxProbes bounds the probes under way; what is due beyond that waits, the
	// longest due first. Not positive: DefaultMaxProbes.
	MaxProbes int

	// Jitter draws a duration from 0 up to d, which is positive; nil draws evenly.
	Jitter func(d time.Duration) time.Duration

	// Early draws from 0 up to d, which is a twentieth of a DelayLoop, how much earlier a probe
	// comes that would wait for a whole one; nil draws evenly. So checkers that something brought
	// into step, such as the bound of probes or a timeout of many at once, do not stay in it, and
	// as no probe comes later, what DelayLoop promises holds.
	Early func(d time.Duration) time.Duration
}

// A Set runs the checkers of many servers: one goroutine keeps the time, and each probe
// that is under way has one more. Its methods are safe for use by many goroutines.
type Set struct {
	opts Options
	wake chan struct{} // capacity 1; full means that the loop will look anyway
	// judged is closed by Run when the checkers of the first list have had an outcome.
	judged chan struct{}

	rounds atomic.Uint64 // of Run's loop

	mu      sync.Mutex // guards all below; never held during OnEvent or a probe
	lists   [][]Server // given to Apply and not taken up yet, oldest first
	servers []*server  // in the order of the list taken up last
	queue   queue      // checkers that wait for their time
	probing int        // probes under way, those of removed checkers included
	fresh   []*checker // of the list being taken up, not queued yet
	began   bool       // the first list has been taken up
	unheard int        // checkers of that list without an outcome

	news     []news // given to Observe and not taken up yet, oldest first
	observed map[observedKey]Observation

	suspended map[string]bool // services whose checkers wait; nobody changes it

	guard  guard
	limits map[string]int // given to Limit; nobody changes it
}

// A server is a real server as the Set knows it.
type server struct {
	Server
	checkers []*checker // by index in Checks
	down     int        // how many of them are down
	weight   Weight     // that was told last
	changed  mono.Time
}

func (s *server) up() bool { return s.down == 0 }

// A checker is a machine and its place in the Set.
type checker struct {
	machine Machine
	server  *server
	next    mono.Time          // when the next probe is due, or was
	index   int                // in the queue, or noIndex
	cancel  context.CancelFunc // of the probe under way, else nil
	removed bool               // nobody wants to hear of it any more
	prompt  bool               // its first probe waits for neither StartDelay nor Warmup
	unheard bool               // counted in the Set's

	lastEnd  mono.Time // of the last probe, 0 before it
	lastTook time.Duration
	lastText string // what the last failed probe met, "" after a success
}

// NewSet returns a Set without servers. It starts nothing.
func NewSet(opts Options) *Set {
	if opts.Prober == nil {
		opts.Prober = NetProber{}
	}
	if opts.OnEvent == nil {
		opts.OnEvent = func(Event) {}
	}
	if opts.OnEvents == nil {
		opts.OnEvents = func(events []Event) {
			for _, e := range events {
				opts.OnEvent(e)
			}
		}
	}
	if opts.MaxProbes <= 0 {
		opts.MaxProbes = DefaultMaxProbes
	}
	if opts.Jitter == nil {
		opts.Jitter = rand.N[time.Duration]
	}
	if opts.Early == nil {
		opts.Early = rand.N[time.Duration]
	}
	return &Set{opts: opts, wake: make(chan struct{}, 1), judged: make(chan struct{}), observed: make(map[observedKey]Observation)}
}

// Apply replaces the list of servers that are wanted. It never blocks: Run takes lists
// up in the order in which they were given, so events about servers that are no longer
// wanted may still come for a moment. The Set keeps the list; of two servers with one
// key only the first counts.
//
// A checker whose server and description stay the same goes on undisturbed. One that is
// gone stops, its probe is cancelled. A new one starts like any other, except that on a
// server that was there before it counts as up or down as that server does, so that a
// reload neither brings back a dead server nor takes away a live one. As there is no
// hurry then, and reloads may come often, Prompt does not count for it either.
//
// First probes with Prompt are spread evenly over PromptSpread, the first one at once.
//
// When a list is taken up, each server new to the Set is reported by one event with
// Initial set, and each server whose state is changed by its new list of checkers by an
// ordinary one. So whoever remembers the last event of each key knows all states.
func (s *Set) Apply(servers []Server) {
	s.mu.Lock()
	s.lists = append(s.lists, servers)
	s.mu.Unlock()
	s.Nudge()
}

// Suspend has the checkers of some services, by Key.Service, wait from now on, and those of all
// others go on with the state they had (ha_suspend). A probe that is under way counts. The Set
// keeps the map, which nobody may change any more. It does not block.
func (s *Set) Suspend(services map[string]bool) {
	s.mu.Lock()
	s.suspended = services
	s.mu.Unlock()
}

// Nudge makes the loop of Run begin another round soon, even if there is nothing to do. It
// does not block.
func (s *Set) Nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Rounds returns how many rounds the loop of Run has begun. One that does not go on though it
// is nudged hangs, or waits for OnEvent.
func (s *Set) Rounds() uint64 { return s.rounds.Load() }

// FirstVerdicts returns a channel that is closed once every checker of the list taken up
// first has had the outcome of a probe, and OnEvent has been told of it. A checker that a
// later list removes is not waited for. The channel stays open if Run ends before; it is
// the same for every call.
func (s *Set) FirstVerdicts() <-chan struct{} { return s.judged }

// Run does the checking until ctx is done. Then it cancels the probes under way, waits
// for them, and returns nil. It may be called once.
func (s *Set) Run(ctx context.Context) error {
	var probes sync.WaitGroup
	defer probes.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// Room for every probe under way, so that none ever waits for this loop to end.
	results := make(chan result, s.opts.MaxProbes)
	timer := time.NewTimer(0)
	defer timer.Stop()
	heard := false
	for {
		s.rounds.Add(1)
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			s.report(s.takeUp(mono.Now()))
		case r := <-results:
			events := s.finish(r)
			for range len(results) { // that came while the last events were told
				events = append(events, s.finish(<-results)...)
			}
			s.report(events)
		case <-timer.C:
			s.report(s.passTime(mono.Now()))
		}
		if !heard && s.heardAll() {
			heard = true
			close(s.judged)
		}
		now := mono.Now()
		started, wait := s.due(ctx, now)
		for _, p := range started {
			probes.Go(func() { results <- s.probe(p) })
		}
		timer.Reset(wait)
	}
}

// report tells events to the owner.
func (s *Set) report(events []Event) {
	if len(events) > 0 {
		s.opts.OnEvents(events)
	}
}

// takeUp makes the lists given to Apply the present state.
func (s *Set) takeUp(now mono.Time) (events []Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.lists {
		events = append(events, s.replace(list, now)...)
		events = append(events, s.begin(now)...)
	}
	var ended []Event
	if len(s.lists) > 0 {
		ended = s.guard.apply(s.limits, s.members(), now)
	}
	s.lists = nil
	return append(s.guarded(append(events, s.hearNews(now)...)), ended...)
}

// begin queues the checkers that a list has brought, and tells those that observe what is
// known. mu is held.
func (s *Set) begin(now mono.Time) (events []Event) {
	prompt, n := 0, 0
	for _, c := range s.fresh {
		if c.prompt && !c.machine.check.Kind.observed() {
			prompt++
		}
	}
	for _, c := range s.fresh {
		if !s.began {
			c.unheard = true
			s.unheard++
		}
		if k := c.machine.check.Kind; k.observed() {
			if o, known := s.observed[observedKey{k, c.machine.check.Name}]; known {
				events = append(events, s.observe(c, o, now)...)
			}
			continue
		}
		wait := StartDelay + s.warmup(c.machine.check)
		if c.prompt {
			wait = PromptSpread * time.Duration(n) / time.Duration(prompt)
			n++
		}
		s.queue.push(c, now.Add(wait))
	}
	s.fresh, s.began = nil, true
	return events
}

// hear counts the first outcome of a checker, or that there will be none. mu is held.
func (s *Set) hear(c *checker) {
	if c.unheard {
		c.unheard = false
		s.unheard--
	}
}

// heardAll reports whether the checkers of the first list have had their outcomes.
func (s *Set) heardAll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began && s.unheard == 0
}

// replace goes from the present list to another. mu is held.
func (s *Set) replace(list []Server, now mono.Time) (events []Event) {
	old := make(map[Key]*server, len(s.servers))
	for _, srv := range s.servers {
		old[srv.Key] = srv
	}
	seen := make(map[Key]bool, len(list))
	s.servers = make([]*server, 0, len(list))
	for _, want := range list {
		if seen[want.Key] {
			continue
		}
		seen[want.Key] = true
		srv := &server{Server: want, changed: now}
		events = append(events, s.replaceServer(old[want.Key], srv, now)...)
		delete(old, want.Key)
		s.servers = append(s.servers, srv)
	}
	for _, srv := range old {
		for _, c := range srv.checkers {
			s.remove(c)
		}
	}
	return events
}

// replaceServer fills srv with checkers: those of old that it still wants, and new ones.
// old is nil for a server that was not there before. mu is held.
func (s *Set) replaceServer(old, srv *server, now mono.Time) (events []Event) {
	var spare []*checker
	if old != nil {
		spare = append(spare, old.checkers...)
	}
	var started []Event
	for i := range srv.Checks {
		c := takeEqual(spare, &srv.Checks[i])
		if c == nil {
			c = &checker{index: noIndex}
			c.machine = newMachine(srv.Key, &srv.Checks[i], !srv.Checks[i].Alpha)
			if old != nil {
				c.machine.up = old.up()
			}
			c.prompt = old == nil && srv.Checks[i].Prompt
			s.fresh = append(s.fresh, c)
			started = append(started, c.machine.Start(now)...)
		}
		c.server = srv
		c.machine.check = &srv.Checks[i]
		srv.checkers = append(srv.checkers, c)
		if !c.machine.up {
			srv.down++
		}
	}
	if old != nil {
		srv.weight = old.weight
	}
	for _, c := range spare {
		if c != nil {
			s.remove(c)
		}
	}
	switch {
	case old == nil:
		e := srv.event(now)
		e.Initial = true
		events = append(events, e)
	case old.up() != srv.up():
		events = append(events, srv.event(now))
	default:
		srv.changed = old.changed
	}
	return append(events, started...)
}

// takeEqual takes a checker with this description out of spare, nil if there is none.
func takeEqual(spare []*checker, want *Check) *checker {
	for i, c := range spare {
		if c != nil && c.machine.check.equal(want) {
			spare[i] = nil
			return c
		}
	}
	return nil
}

// event is the report of the state the server is in.
func (s *server) event(now mono.Time) Event {
	e := Event{Kind: ServerUp, Key: s.Key, Time: now}
	if !s.up() {
		e.Kind = ServerDown
	}
	return e
}

func (s *Set) warmup(c *Check) time.Duration {
	if c.Warmup <= 0 {
		return 0
	}
	return s.opts.Jitter(c.Warmup)
}

// remove stops a checker. mu is held.
func (s *Set) remove(c *checker) {
	c.removed = true
	s.hear(c)
	if c.cancel != nil {
		c.cancel()
	}
	s.queue.remove(c)
}
